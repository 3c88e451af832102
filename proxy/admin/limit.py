"""A bound on how often something may happen."""

from __future__ import annotations

from collections.abc import Callable


class RateLimit:
    """Lets `burst` happen at once, and `per_second` in the long run (a token bucket)."""

    __slots__ = ("_burst", "_clock", "_left", "_per_second", "_when")

    def __init__(self, per_second: float, burst: int, clock: Callable[[], float]) -> None:
        """`clock` returns seconds that never go back."""
        self._per_second = per_second
        self._burst = burst
        self._clock = clock
        self._left = float(burst)
        self._when = clock()

    def spent(self) -> bool:
        """Tell whether the bound is reached, and count nothing."""
        self._refill()
        return self._left < 1

    def take(self) -> bool:
        """Count one; return whether it was within the bound."""
        if self.spent():
            return False
        self._left -= 1
        return True

    def _refill(self) -> None:
        now = self._clock()
        self._left = min(self._burst, self._left + (now - self._when) * self._per_second)
        self._when = now
