"""The time by which sessions begin, end and are revoked: that of the store, where it has a clock.

Session ids hold the time at which they began, and a revocation compares with it. Both are right
only if all processes go by one clock. No clock is set: what the store says is taken as it is while
ours is near enough, and otherwise the process does not share sessions.
"""

from __future__ import annotations

from collections.abc import Callable

from ..policy import CLOCK_STEP_SECONDS, CLOCK_WARN_SECONDS, MAX_SKEW_SECONDS, REVOKE_MARGIN_SECONDS
from ..stores.guarded import GuardedStore


class SharedClock:
    """Returns seconds since 1970. `clock` is that of this process, in the same unit.

    `went_back` is called when the time has gone back. What was to be believed until some time is
    believed no more then: a clock that was weeks ahead would make it hold for weeks.

    Attributes:
        own: The clock of this process. Where it `suffices`, since the store has none, and says no
            less than `latest`, whoever sets `latest` to it need not call this one.
        latest: The latest time that was returned.
    """

    __slots__ = ("_store", "_went_back", "latest", "own", "suffices")

    def __init__(
        self, clock: Callable[[], float], store: GuardedStore, went_back: Callable[[], None]
    ) -> None:
        """Go by our clock until the store has answered."""
        self.own = clock
        self._store = store
        self.suffices = not store.keeps_time
        self.latest = 0.0
        self._went_back = went_back

    def __call__(self) -> float:
        """Return the store's time; ours, where the store has none or says another by far."""
        now, theirs = self.own(), None if self.suffices else self._store.time()
        if theirs is not None and abs(theirs - now) <= MAX_SKEW_SECONDS:
            now = theirs
        if now > self.latest:
            self.latest = now
        elif now < self.latest - CLOCK_STEP_SECONDS:
            self.latest = now
            self._went_back()
        return now

    def begun(self, created: int) -> bool:
        """Whether a session that says this time (since 1970) began by now, by either clock.

        One from the future is of a clock that was wrong, and escapes revocation.
        """
        ours, theirs = self.own(), self._store.time()
        return created <= (ours if theirs is None else max(ours, theirs)) + MAX_SKEW_SECONDS

    @property
    def ahead(self) -> float | None:
        """By how many seconds the store's clock is ahead of ours; None where it is not known."""
        theirs = self._store.time()
        return None if theirs is None else theirs - self.own()

    @property
    def unknown(self) -> bool:
        """Whether the store has a clock of its own and has not told it yet."""
        return self._store.keeps_time and self._store.time() is None

    @property
    def wrong(self) -> bool:
        """Whether our clock is too far from the store's to share sessions and to revoke."""
        ahead = self.ahead
        return ahead is not None and abs(ahead) > MAX_SKEW_SECONDS

    @property
    def off(self) -> bool:
        """Whether our clock is so far from the store's that somebody should know."""
        ahead = self.ahead
        return ahead is not None and abs(ahead) > CLOCK_WARN_SECONDS

    def begins(self) -> int:
        """Return the time that the id of a new session says.

        It is never later than the store's time, so that no revocation misses a session that was
        there: not even one of a process that has not reached the store yet, or whose clock is
        wrong. A store that lies cannot put it far ahead of our own clock.
        """
        ours, theirs = self.own(), self._store.time()
        if not self._store.keeps_time:
            return int(ours)
        return int(
            ours - MAX_SKEW_SECONDS if theirs is None else min(theirs, ours + MAX_SKEW_SECONDS)
        )


def latest_not_before(now: float, *, shared: bool) -> int:
    """Return the time (seconds since 1970) before which every session made until now began.

    `shared` says whether it is the time of a store, which processes know to within less than 1 s.
    """
    return int(now) + REVOKE_MARGIN_SECONDS * (1 + shared)
