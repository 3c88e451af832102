"""Whether there is more to do than can be done, told from what is only a burst.

A burst makes a long queue, too, but the queue is soon empty again. So what counts is not how long a
delay is, but whether it has not once been short for some time: a standing delay, as CoDel says
(K. Nichols and V. Jacobson, Controlling Queue Delay, ACM Queue 10(5), RFC 8289). What follows from
it for a server, a short deadline, is from B. Maurer, Fail at Scale, ACM Queue 13(8).
"""

from __future__ import annotations

from .policy import IN_TIME_SHARE, LEAST_WAITING, NEWEST_SHARE


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


class QueueRoom:
    """How many may wait in an overload: as many as have their turn before their deadline.

    Whoever else waited would wait in vain, and be refused at a higher price (J. D. C. Little, A
    Proof for the Queuing Formula L = λW, Operations Research 9(3)).

    Attributes:
        given: How many turns there have been since `measure`; the owner counts them.
        most: How many may wait; infinite where there is no overload.
    """

    __slots__ = ("_pace", "_since", "given", "most")

    def __init__(self) -> None:
        self.given = 0
        self.most = float("inf")
        self._pace = 0.0
        self._since: float | None = None

    def measure(self, now: float, seconds: float, *, stands: bool, places: int = 0) -> None:
        """Learn the pace; where an overload `stands`, let those wait who have `seconds`.

        As many as there are `places` may wait always.
        """
        if self._since is not None and now > self._since:
            pace = self.given / (now - self._since)
            self._pace += (pace - self._pace) * NEWEST_SHARE
        self.given, self._since = 0, now
        in_time = self._pace * seconds * IN_TIME_SHARE
        self.most = max(LEAST_WAITING, places, in_time) if stands else float("inf")
