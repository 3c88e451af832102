"""The clock by which rights end that only last for seconds."""

from __future__ import annotations

import time
from typing import Final

# On Linux, CLOCK_MONOTONIC stands still while the machine sleeps: a lease would outlive the others'
# wait for its end.
_CLOCK: Final[int] = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def since_boot() -> float:
    """Return seconds that go on while the machine sleeps, and that no clock change touches."""
    return time.clock_gettime(_CLOCK)
