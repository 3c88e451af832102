"""Whether there is more to do than can be done, told from what is only a burst.

A burst makes a long queue, too, but the queue is soon empty again. So what counts is not how long a
delay is, but whether it has not once been short for some time: a standing delay, as CoDel says
(K. Nichols and V. Jacobson, Controlling Queue Delay, ACM Queue 10(5), RFC 8289). What follows from
it for a server, a short deadline and the newest first, is from B. Maurer, Fail at Scale, ACM Queue
13(8).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final


class StandingDelay:
    """Whether a delay has been there for `interval` seconds without once being short.

    A queue that is empty because all who waited were refused, or have left, does not make it short.
    One that has stood must be short for a fifth of the interval before it is over, since it may be
    short by chance. If nobody has come for the interval, it is forgotten.

    Attributes:
        since: The time from which on it has not been short, None if it is.
    """

    __slots__ = ("_interval", "_last", "_short_at", "since")

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self.since: float | None = None
        self._short_at: float | None = None
        self._last = 0.0

    def long(self, now: float) -> None:
        """Note that somebody has to wait."""
        if self.since is None or self._over(now) or now - self._last > self._interval:
            self.since = now
        self._short_at = None
        self._last = now

    def short(self, now: float) -> None:
        """Note that somebody did not have to, or that nobody waits any more."""
        if not self.stands(now):
            self.forget()
        elif self._short_at is None:
            self._short_at = now

    def forget(self) -> None:
        """Begin anew: the delay is short beyond doubt."""
        self.since = self._short_at = None

    def stands(self, now: float) -> bool:
        """Return whether it has not been short for the interval."""
        return self.since is not None and now - self.since > self._interval and not self._over(now)

    def _over(self, now: float) -> bool:
        return self._short_at is not None and now - self._short_at > self._interval / 5


TURN_SECONDS: Final = 0.1
"""A turn of the event loop is long from here on; overloaded, it begins no request after that. An
operation of the store has 250 ms, so a turn must be shorter than that."""
FAIR_TURN_SECONDS: Final = 0.15
"""The same for clients that have had less than others."""
STANDING_SECONDS: Final = 1.0
SHARES_SECONDS: Final = 1.0
"""For how long what clients have had counts."""


class LoopLag:
    """How long the event loop takes for one turn, and which requests it has no time for.

    In one turn the loop reads what has come on all connections. What comes meanwhile waits in the
    sockets, unread, so that this queue has no length that could be limited: but it is not longer
    than the turn. If turns have been long for STANDING_SECONDS, each begins only as many requests
    as it can in TURN_SECONDS and refuses the others, before their bodies are looked at.
    """

    __slots__ = (
        "_began",
        "_begun",
        "_call_soon",
        "_clock",
        "_long",
        "_longest",
        "_over",
        "_shares",
        "_shares_since",
    )

    def __init__(
        self,
        call_soon: Callable[[Callable[[], None]], object] | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`call_soon` calls back at the end of a turn; unless given, that of the running loop."""
        self._call_soon = call_soon or asyncio.get_running_loop().call_soon
        self._clock = clock
        self._began: float | None = None
        self._over = clock()
        self._long = StandingDelay(STANDING_SECONDS)
        self._longest = 0.0
        self._shares: dict[str, int] = {}
        self._begun = 0
        self._shares_since = self._over

    def refuses(self, client: str) -> bool:
        """Return whether a new request of a client is to be refused; it has begun otherwise.

        Late in a turn, only those clients are served that have had less than their even share.
        """
        if self._began is None:
            self._begin(self._clock())
        if self._long.since is None:
            return False
        now = self._clock()
        if not self._long.stands(now):
            return False
        lasted = now - (self._began or now)
        if now - self._shares_since > SHARES_SECONDS:
            self._shares, self._begun, self._shares_since = {}, 0, now
        had = self._shares.get(client, 0)
        if lasted >= FAIR_TURN_SECONDS or (
            lasted >= TURN_SECONDS and had * len(self._shares) >= self._begun
        ):
            return True
        self._shares[client] = had + 1
        self._begun += 1
        return False

    @property
    def stands(self) -> bool:
        """Whether turns have been long for STANDING_SECONDS."""
        return self._long.stands(self._clock())

    def longest(self) -> float:
        """Return the longest turn in seconds since this was last asked."""
        longest, self._longest = self._longest, 0.0
        return longest

    def _begin(self, now: float) -> None:
        if now - self._over >= TURN_SECONDS:
            self._long.forget()  # the loop has waited for something to do
        self._began = now
        self._call_soon(self._end)

    def _end(self) -> None:
        began, self._began = self._began, None
        if began is None:
            return
        self._over = now = self._clock()
        lasted = now - began
        self._longest = max(self._longest, lasted)
        if lasted >= TURN_SECONDS:
            self._long.long(began)
        elif self._long.since is not None:
            self._long.short(now)
