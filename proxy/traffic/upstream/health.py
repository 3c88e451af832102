"""Whether the upstream answers at all: what its circuit breaker is told, and whom it refuses."""

from __future__ import annotations

import math
import time
from http import HTTPStatus
from typing import Final

from ...config.limits import Timeouts, TrafficLimits
from ...core.errors import UpstreamResting
from ...process.circuit_breaker import CircuitBreaker
from ..policy import MOST_RETRIES
from .limit import Outcome

_GATEWAY_ERRORS: Final = frozenset(
    {HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT}
)
ANSWERS_PER_RETRY: Final = 5


class UpstreamHealth:
    """The health of one upstream, judged by its answers alone: nothing is sent to find it out.

    By default it has failed only where no connection can be made. Where one route crashes, or
    hangs, others may still be answered, which a breaker for all of them would prevent. Those who
    want it count such failures as `gateway_errors`.
    """

    __slots__ = ("_gateway_errors", "_most_gateway_errors", "_saved_answers", "breaker")

    def __init__(self, limits: TrafficLimits, timeouts: Timeouts) -> None:
        self.breaker: Final = CircuitBreaker(
            time.monotonic,
            failures=limits.failures,
            rest=timeouts.rest,
            longest_rest=timeouts.longest_rest,
        )
        self._most_gateway_errors = limits.gateway_errors
        self._gateway_errors = 0
        self._saved_answers = MOST_RETRIES * ANSWERS_PER_RETRY

    def refuse_if_resting(self) -> None:
        """Raise UpstreamResting while the upstream has failed, and is left alone."""
        if self.breaker.refuses:
            raise self._resting()

    def _resting(self) -> UpstreamResting:
        """Return it: a frame that raises what it has a name for is freed by the collector alone."""
        error = UpstreamResting()
        error.retry_after = max(1, math.ceil(self.breaker.seconds_left))
        return error

    def admit(self) -> int:
        """As above; return the number of a request that is the breaker's trial, else NO_TRIAL."""
        self.refuse_if_resting()
        self.breaker.admits()
        return self.breaker.trial

    def answered(self, status: int, trial: int) -> None:
        """Take note of the head of a response."""
        if self._saved_answers < MOST_RETRIES * ANSWERS_PER_RETRY:
            self._saved_answers += 1
        if self._most_gateway_errors is not None and status in _GATEWAY_ERRORS:
            self._gateway_error(self._most_gateway_errors, trial)
        else:
            self._gateway_errors = 0
            self.breaker.succeeded()

    def may_retry(self) -> bool:
        """Whether another request may be repeated, which then counts as one."""
        if self._saved_answers < ANSWERS_PER_RETRY:
            return False
        self._saved_answers -= ANSWERS_PER_RETRY
        return True

    def ended(self, outcome: Outcome, trial: int) -> None:
        """Take note of a request to which no head of a response came."""
        if outcome == "unconnected":
            self.breaker.failed(trial)
        elif self._most_gateway_errors is not None and outcome in {"cut", "timeout"}:
            self._gateway_error(self._most_gateway_errors, trial)
        self.breaker.released(trial)

    def _gateway_error(self, most: int, trial: int) -> None:
        self._gateway_errors += 1
        if self._gateway_errors >= most or self.breaker.state != "closed":
            self.breaker.failed(trial, slow=True)
