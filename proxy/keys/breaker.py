"""The circuit breaker of a store: after a failure it rests for a second, then one may try."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal

BreakerState = Literal["closed", "open", "half-open"]

# Long enough to spare a store that hangs, short enough to be back soon after it is.
REST_SECONDS: Final = 1.0
# A killed connection fails at once and costs nothing, so it takes several to call the store down.
FAST_FAILURES: Final = 3


class Breaker:
    """Closed: all may ask. Open: nobody. Half-open: one asks, and its answer decides."""

    __slots__ = ("_clock", "_failures", "_probing", "_since", "opened")

    def __init__(self, clock: Callable[[], float]) -> None:
        """Begin closed."""
        self._clock = clock
        self._failures = 0
        self._since: float | None = None
        self._probing = False
        self.opened = 0
        """How many times it has opened."""

    @property
    def state(self) -> BreakerState:
        """How it stands."""
        if self._since is None:
            return "closed"
        return "open" if self._resting(self._since) else "half-open"

    def admits(self) -> bool:
        """Whether the caller may ask now; it must then tell how that ended."""
        state = self.state
        if state == "closed":
            return True
        if state == "open" or self._probing:
            return False
        self._probing = True
        return True

    def succeeded(self) -> None:
        """Close."""
        self._since, self._failures, self._probing = None, 0, False

    def failed(self, *, slow: bool) -> None:
        """Open after one slow failure, several fast ones in a row, or a probe in vain."""
        self._failures += 1
        if slow or self._probing or self._failures >= FAST_FAILURES:
            self._since = self._clock()
            self.opened += 1
        self._probing = False

    def released(self) -> None:
        """Take back a question that ended without an answer, because nobody waits for it."""
        self._probing = False

    def _resting(self, since: float) -> bool:
        # A clock that was set back must not prolong the rest.
        return since <= self._clock() < since + REST_SECONDS
