"""One timer that checks many deadlines.

A timer for each message costs more than the rest of its bookkeeping. Connections keep a deadline
in an attribute instead, and one timer compares all of them, four times a second or more often.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import astuple, replace
from typing import Final

from ..config.limits import Timeouts
from .policy import TICK_SECONDS

NEVER: Final = float("inf")


def interval(timeouts: Timeouts) -> float:
    """Return the interval in seconds that exceeds no deadline by more than a quarter of it."""
    waits = replace(timeouts, rest=NEVER, longest_rest=NEVER)  # those have no deadline to check
    shortest: float = min(astuple(waits))
    return min(TICK_SECONDS, shortest / 4)


class RepeatingTimer:
    """Calls `tick(before)` every `interval` seconds; `before` is the loop time of the call before.

    A loop that was held up runs its timers before it polls its sockets. So a deadline has passed
    only if the sockets were polled after it: data that had come in time counts as in time.

    Where `rests` says after a tick that there is nothing to check, no other follows until `start`.
    """

    __slots__ = ("_before", "_handle", "_interval", "_loop", "_rests", "_tick")

    def __init__(
        self,
        tick: Callable[[float], None],
        *,
        interval: float = TICK_SECONDS,
        rests: Callable[[], bool] = lambda: False,
    ) -> None:
        self._tick = tick
        self._interval = interval
        self._rests = rests
        self._loop: asyncio.AbstractEventLoop | None = None
        self._handle: asyncio.TimerHandle | None = None
        self._before = 0.0

    def start(self) -> None:
        """Start, unless it runs already."""
        if self._handle is None:
            self._loop = asyncio.get_running_loop()
            self._before = self._loop.time()
            self._handle = self._loop.call_later(self._interval, self._run, self._loop)

    def stop(self) -> None:
        """Stop; it can be started again."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        # Set first: a tick that fails must not be the last.
        self._handle = loop.call_later(self._interval, self._run, loop)
        before, self._before = self._before, loop.time()
        self._tick(before)
        if self._rests():
            self.stop()
