"""The process that makes one key pair: `python -m proxy.keys.participants.key_generator_process`.

It steps back before it imports anything: that takes a third of a second of CPU, which the messages
that pass meanwhile need more.
"""

from __future__ import annotations

import os
from typing import Final

from ...process.hardening import guard_memory

NICENESS: Final = 10


def main() -> None:
    """Make the pair that stdin asks for, with less right to the CPU than others have."""
    guard_memory()
    os.nice(NICENESS)
    if hasattr(os, "SCHED_BATCH"):  # Linux: when it wakes up, it takes the CPU from nobody
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))

    from . import key_generator  # noqa: PLC0415 - only now

    key_generator.main()


if __name__ == "__main__":
    main()
