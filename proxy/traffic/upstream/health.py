"""Whether the upstream answers at all: what its circuit breaker is told, and whom it refuses."""

from __future__ import annotations

import math
import time
from http import HTTPStatus
from typing import Final

from ...config.limits import Timeouts, TrafficLimits
from ...core.errors import UpstreamFailed, UpstreamResting, UpstreamTimeout
from ...process.circuit_breaker import CircuitBreaker
from ..policy import MOST_RETRIES

_GATEWAY_ERRORS: Final = frozenset(
    {HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT}
)
_CUT: Final = frozenset({"connection-lost", "no-response"})
ANSWERS_PER_RETRY: Final = 5


class UpstreamHealth:
    """The health of one upstream, judged by its answers alone: nothing is sent to find it out.

    By default it has failed only where no connection can be made. Where one route crashes, or
    hangs, others may still be answered, which a breaker for all of them would prevent. Those who
    want it count such failures as `gateway_errors`.
    """

    __slots__ = ("_gateway_errors", "_most_gateway_errors", "_saved_answers", "breaker", "full")

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
        self.full = True
        """Whether another answer would save up nothing, nor end a row of gateway errors."""

    @property
    def sound(self) -> bool:
        """Whether every request may go upstream, with no more question."""
        return self.breaker.calm or self.breaker.state == "closed"

    def admit(self) -> int:
        """Let a request go upstream; the caller reports how it ended.

        Return its number where it is the breaker's trial, else NO_TRIAL.

        Raises:
            UpstreamResting: The upstream has failed, and is left alone.
        """
        if not self.breaker.admits():
            raise self._resting()
        return self.breaker.trial

    def _resting(self) -> UpstreamResting:
        error = UpstreamResting()
        error.retry_after = max(1, math.ceil(self.breaker.seconds_left))
        return error

    def answered(self, status: int, trial: int) -> None:
        """Take note of the head of a response."""
        if self._saved_answers < MOST_RETRIES * ANSWERS_PER_RETRY:
            self._saved_answers += 1
        if self._most_gateway_errors is not None and status in _GATEWAY_ERRORS:
            self._gateway_error(self._most_gateway_errors, trial)
        else:
            self._gateway_errors = 0
            self.full = self._saved_answers == MOST_RETRIES * ANSWERS_PER_RETRY
            self.breaker.succeeded()

    def may_retry(self) -> bool:
        """Whether another request may be repeated, which then counts as one."""
        if self._saved_answers < ANSWERS_PER_RETRY:
            return False
        self._saved_answers -= ANSWERS_PER_RETRY
        self.full = False
        return True

    def not_connected(self, error: BaseException, trial: int) -> None:
        """Take note that there is no connection for a request."""
        if isinstance(error, UpstreamFailed | UpstreamTimeout):
            self.breaker.failed(trial)

    def not_answered(self, error: BaseException | None, trial: int, *, reused: bool) -> None:
        """Take note of a request to which no head of a response came.

        A connection that was `reused` may have been closed for being idle.
        """
        cut = isinstance(error, UpstreamFailed) and error.reason in _CUT and not reused
        if self._most_gateway_errors is not None and (cut or isinstance(error, UpstreamTimeout)):
            self._gateway_error(self._most_gateway_errors, trial)

    def _gateway_error(self, most: int, trial: int) -> None:
        self._gateway_errors += 1
        self.full = False
        if self._gateway_errors >= most or not self.sound:
            self.breaker.failed(trial, slow=True)
