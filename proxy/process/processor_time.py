"""How busy this process is: the time that it runs, and that it waits for a processor.

Wall time cannot tell: where others run, or a quota is used up, a loop that has little to do takes
as long for it as one that has too much.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from . import cgroup

_SCHEDSTAT: Final = Path("/proc/thread-self/schedstat")


class ProcessorTime:
    """Of a thread that turns an event loop, with all that others do for it meanwhile.

    Attributes:
        busy: The share of the last interval in which it ran, or would have: 1 is all of it.
        given: The part of what it wanted that it got: 1 is all of it.
    """

    __slots__ = ("_at", "_cpu", "_most", "_ran", "_schedstat", "_waited", "busy", "given")

    def __init__(
        self,
        *,
        cpu: Callable[[], float] = time.process_time,
        schedstat: Path = _SCHEDSTAT,
        quota: float | None = None,
    ) -> None:
        """Begin an interval; `quota` is how many processors there are, unless the group says it."""
        self._cpu = cpu
        self._schedstat = schedstat
        self._most = min(1.0, quota or cgroup.processors() or 1.0)
        self._at: float | None = None
        self._ran = self._waited = 0.0
        self.busy, self.given = 0.0, 1.0

    def look(self, now: float) -> None:
        """End an interval at a monotonic time, and begin the next."""
        ran, waited = self._cpu(), self._read()
        at, self._at = self._at, now
        if at is not None and now > at:
            share = (ran - self._ran) / (now - at)
            if waited is None:  # the waits are not known; more than the quota is not to be had
                self.busy = share / self._most
            else:
                self.busy = share + (waited - self._waited) / (now - at)
            self.given = min(1.0, share / self.busy) if self.busy > 0 else 1.0
        self._ran, self._waited = ran, waited or 0.0

    def _read(self) -> float | None:
        """Return how long the thread has waited for a processor; see sched-stats.rst of Linux."""
        with suppress(OSError, ValueError, IndexError):
            return int(self._schedstat.read_bytes().split()[1]) / 1e9
        return None
