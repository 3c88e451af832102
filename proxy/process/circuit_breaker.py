"""A circuit breaker: what has failed several times in a row is left alone for a while.

Then one request is let through (half-open): its end decides. Each trial in vain doubles the rest,
as Envoy's outlier detection lengthens an ejection.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

BreakerState = Literal["closed", "open", "half-open"]


class CircuitBreaker:
    """Closed: all requests pass. Open: none. Half-open: one passes, and its result decides."""

    __slots__ = (
        "_clock",
        "_failures",
        "_in_a_row",
        "_longest_rest",
        "_present_rest",
        "_probing",
        "_rest",
        "_since",
        "calm",
        "opened",
    )

    def __init__(
        self,
        clock: Callable[[], float],
        *,
        failures: int,
        rest: float,
        longest_rest: float | None = None,
    ) -> None:
        """Begin closed; open after so many failures in a row, for `rest` seconds at first."""
        self._clock = clock
        self._failures = failures
        self._rest = self._present_rest = rest
        self._longest_rest = max(rest, longest_rest or rest)
        self._in_a_row = 0
        self._since: float | None = None
        self._probing = False
        self.calm = True
        """Whether it is closed, and nothing has failed since a success: another changes nothing."""
        self.opened = 0
        """How many times it has opened."""

    @property
    def state(self) -> BreakerState:
        """Its state."""
        if self._since is None:
            return "closed"
        return "open" if self._resting(self._since) else "half-open"

    @property
    def seconds_left(self) -> float:
        """For how long it will be open, at least."""
        if self._since is None or not self._resting(self._since):
            return 0.0
        return self._since + self._present_rest - self._clock()

    def admits(self) -> bool:
        """Whether a request may pass now; the caller must then report how it ended."""
        if self._since is None:
            return True
        if self._probing or self._resting(self._since):
            return False
        self._probing = True
        return True

    def succeeded(self) -> None:
        """Close."""
        self._since, self._in_a_row, self._probing = None, 0, False
        self._present_rest = self._rest
        self.calm = True

    def failed(self, *, slow: bool = False) -> None:
        """Open after one slow failure, several fast ones in a row, or a probe in vain."""
        if self._since is not None and not self._probing:
            return  # it began before
        self.calm = False
        self._in_a_row += 1
        if self._probing:
            self._present_rest = min(2 * self._present_rest, self._longest_rest)
        if slow or self._probing or self._in_a_row >= self._failures:
            self._since = self._clock()
            self.opened += 1
        self._probing = False

    def released(self) -> None:
        """Take back a request that was cancelled."""
        self._probing = False

    def _resting(self, since: float) -> bool:
        # A clock that was set back must not prolong the rest.
        return since <= self._clock() < since + self._present_rest
