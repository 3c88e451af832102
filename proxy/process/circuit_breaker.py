"""A circuit breaker: what has failed several times in a row is left alone for a while.

Then one request is let through (half-open): its end decides. Each trial in vain doubles the rest,
as Envoy's outlier detection lengthens an ejection.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal

BreakerState = Literal["closed", "open", "half-open"]
NO_TRIAL: Final = 0


class CircuitBreaker:
    """Closed: all requests pass. Open: none. Half-open: one passes, and its result decides.

    Requests that began while it was closed may end while it is half-open. So the one has a number,
    with which its end is told. A success of any closes it: what is tried has answered.
    """

    __slots__ = (
        "_clock",
        "_failures",
        "_in_a_row",
        "_longest_rest",
        "_present_rest",
        "_rest",
        "_since",
        "_trials",
        "opened",
        "trial",
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
        self._trials = 0
        self.trial = NO_TRIAL
        """The number of the trial under way. Right behind `admits`: of what it has let through."""
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

    @property
    def refuses(self) -> bool:
        """Whether no request may pass now."""
        return self._since is not None and (bool(self.trial) or self._resting(self._since))

    def admits(self) -> bool:
        """Whether a request may pass now; the caller then reports how it ended, with `trial`."""
        if self._since is None:
            return True
        if self.refuses:
            return False
        self._trials += 1
        self.trial = self._trials
        return True

    def succeeded(self) -> None:
        """Close."""
        self._since, self._in_a_row, self.trial = None, 0, NO_TRIAL
        self._present_rest = self._rest

    def failed(self, trial: int, *, slow: bool = False) -> None:
        """Open after one slow failure, several fast ones in a row, or a trial in vain."""
        tried = self._since is not None
        if tried and (not trial or trial != self.trial):
            return  # it began before
        self._in_a_row += 1
        if tried:
            self._present_rest = min(2 * self._present_rest, self._longest_rest)
        if slow or tried or self._in_a_row >= self._failures:
            self._since = self._clock()
            self.opened += 1
        self.trial = NO_TRIAL

    def released(self, trial: int) -> None:
        """Take back a request that was cancelled."""
        if trial == self.trial:
            self.trial = NO_TRIAL

    def _resting(self, since: float) -> bool:
        # A clock that was set back must not prolong the rest.
        return since <= self._clock() < since + self._present_rest
