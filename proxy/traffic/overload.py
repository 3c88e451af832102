"""Whether there is more to do than can be done, told from what is only a burst.

A burst makes a long queue, too, but the queue is soon empty again. So what counts is not how long a
delay is, but whether it has not once been short for some time: a standing delay, as CoDel says
(K. Nichols and V. Jacobson, Controlling Queue Delay, ACM Queue 10(5), RFC 8289). What follows from
it for a server, a short deadline and the newest first, is from B. Maurer, Fail at Scale, ACM Queue
13(8).
"""

from __future__ import annotations


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
