"""How often something may happen: so many at once, and so many a second in the long run."""

from __future__ import annotations

from collections.abc import Callable


class RateLimit:
    """A token bucket: `burst` at once, `per_second` in the long run."""

    __slots__ = ("_burst", "_clock", "_left", "_per_second", "_when")

    def __init__(self, per_second: float, burst: int, clock: Callable[[], float]) -> None:
        """`clock` returns monotonic seconds."""
        self._per_second = per_second
        self._burst = burst
        self._clock = clock
        self._left = float(burst)
        self._when = clock()

    def spent(self) -> bool:
        """Return whether the limit is reached, without counting."""
        self._refill()
        return self._left < 1

    def take(self) -> bool:
        """Count one; return whether it was within the limit."""
        if self.spent():
            return False
        self._left -= 1
        return True

    def spend(self, number: int) -> None:
        """Count so many, also beyond the limit: they are waited for before there is more."""
        self._refill()
        self._left -= number

    def _refill(self) -> None:
        now = self._clock()
        self._left = min(self._burst, self._left + (now - self._when) * self._per_second)
        self._when = now
