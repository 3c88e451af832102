"""`python -m tools.bench.unlogged serve …`: Sealyard without its log line for each message.

Events keep being reported; the one of a handled message is declared to be of a level below those
that are written. There is no setting for it.
"""

from __future__ import annotations

import dataclasses

from proxy.__main__ import run
from proxy.telemetry.logs.events import EVENTS

_LINE = "message.handled"

if __name__ == "__main__":
    EVENTS[_LINE] = dataclasses.replace(EVENTS[_LINE], level="debug")
    run()
