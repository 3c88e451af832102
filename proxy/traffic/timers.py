"""One timer that looks after many deadlines.

A timer for each message costs more than the rest of its bookkeeping. Connections note a deadline
in an attribute instead, and one tick each quarter of a second looks at all of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import astuple
from typing import Final

from ..config.limits import Timeouts

TICK: Final = 0.25
NEVER: Final = float("inf")


def interval(timeouts: Timeouts) -> float:
    """Return how often to look, so that the shortest of the timeouts is not missed by much."""
    shortest: float = min(astuple(timeouts))
    return min(TICK, shortest / 4)


class Ticker:
    """Calls `tick(then)` again and again while it runs; `then` is when it did so before.

    A loop that was held up looks at its timers first and at its sockets after. So a deadline has
    passed only once the sockets have been looked at behind it: what had come in time is in time.
    """

    __slots__ = ("_handle", "_interval", "_loop", "_then", "_tick")

    def __init__(self, tick: Callable[[float], None], *, interval: float = TICK) -> None:
        self._tick = tick
        self._interval = interval
        self._loop: asyncio.AbstractEventLoop | None = None
        self._handle: asyncio.TimerHandle | None = None
        self._then = 0.0

    def start(self) -> None:
        """Begin, unless begun already."""
        if self._handle is None:
            self._loop = asyncio.get_running_loop()
            self._then = self._loop.time()
            self._handle = self._loop.call_later(self._interval, self._run, self._loop)

    def stop(self) -> None:
        """End; a stopped ticker can be started again."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        # Set first: a tick that fails must not be the last.
        self._handle = loop.call_later(self._interval, self._run, loop)
        then, self._then = self._then, loop.time()
        self._tick(then)
