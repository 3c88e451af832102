"""Whether the upstream answers at all: what its circuit breaker is told, and whom it refuses."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Final

from ...config.limits import Timeouts, TrafficLimits
from ...core.errors import UpstreamFailed, UpstreamResting, UpstreamTimeout
from ...process.circuit_breaker import CircuitBreaker

_GATEWAY_ERRORS: Final = frozenset(
    {HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT}
)
_CUT: Final = frozenset({"connection-lost", "no-response"})


class UpstreamHealth:
    """The health of one upstream, judged by its answers alone: nothing is sent to find it out.

    By default it has failed only where no connection can be made. Where one route crashes, or
    hangs, others may still be answered, which a breaker for all of them would prevent. Those who
    want it count such failures as `gateway_errors`.
    """

    __slots__ = ("_gateway_errors", "_most_gateway_errors", "breaker")

    def __init__(
        self,
        limits: TrafficLimits,
        timeouts: Timeouts,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.breaker: Final = CircuitBreaker(
            clock,
            failures=limits.failures,
            rest=timeouts.rest,
            longest_rest=timeouts.longest_rest,
        )
        self._most_gateway_errors = limits.gateway_errors
        self._gateway_errors = 0

    @property
    def sound(self) -> bool:
        """Whether every request may go upstream, with no more question."""
        return self.breaker.state == "closed"

    def admit(self) -> None:
        """Let a request go upstream; the caller reports how it ended.

        Raises:
            UpstreamResting: The upstream has failed, and is left alone.
        """
        if not self.breaker.admits():
            raise self.resting()

    def resting(self) -> UpstreamResting:
        """Return the error for what the upstream does not get."""
        error = UpstreamResting()
        error.retry_after = max(1, math.ceil(self.breaker.seconds_left))
        return error

    def answered(self, status: int) -> None:
        """Take note of the head of a response."""
        if self._most_gateway_errors is not None and status in _GATEWAY_ERRORS:
            self._gateway_error(self._most_gateway_errors)
        else:
            self._gateway_errors = 0
            self.breaker.succeeded()

    def not_connected(self, error: BaseException) -> None:
        """Take note that there is no connection for a request."""
        if isinstance(error, UpstreamFailed | UpstreamTimeout):
            self.breaker.failed()
        else:
            self.breaker.released()

    def not_answered(self, error: BaseException | None, *, reused: bool) -> None:
        """Take note of a request to which no head of a response came.

        A connection that was `reused` may have been closed for being idle.
        """
        cut = isinstance(error, UpstreamFailed) and error.reason in _CUT and not reused
        if self._most_gateway_errors is not None and (cut or isinstance(error, UpstreamTimeout)):
            self._gateway_error(self._most_gateway_errors)
        else:
            self.breaker.released()

    def _gateway_error(self, most: int) -> None:
        self._gateway_errors += 1
        if self._gateway_errors >= most or not self.sound:
            self.breaker.failed(slow=True)
