"""The process that makes one key pair: `python -m proxy.keys.participants.key_generator_process`.

It lowers its priority before it imports anything: importing takes a third of a second of CPU, which
messages need more.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Final

from ...process.hardening import guard_memory

NICENESS: Final = 10


def main() -> None:
    """Make the pair that stdin requests, with a lower CPU priority."""
    guard_memory()
    # A courtesy to the messages: where a sandbox forbids it, the pair is made all the same.
    with suppress(OSError):
        os.nice(NICENESS)
    if hasattr(os, "SCHED_BATCH"):  # Linux: on waking up it preempts no other process
        with suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))

    from . import key_generator  # noqa: PLC0415 - only now

    key_generator.main()


if __name__ == "__main__":
    main()
