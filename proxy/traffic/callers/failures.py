"""How many credentials that do not hold are verified: of one client, and of all."""

from __future__ import annotations

from collections.abc import Callable

from ...core.errors import CallersThrottled
from ...keys.lru_map import BoundedMap
from ...process.rate_limit import RateLimit
from ..policy import (
    FAILED_AT_ONCE,
    FAILED_BURST_SECONDS,
    FAILED_PER_SECOND,
    FAILED_SHARE,
    MOST_FAILING,
)


class Failures:
    """Counts failures by client, and the time that they took. `clock` is in monotonic seconds."""

    __slots__ = ("_clients", "_clock", "_spent", "_when")

    def __init__(self, clock: Callable[[], float]) -> None:
        """Begin with none."""
        self._clients: BoundedMap[str, RateLimit] = BoundedMap(MOST_FAILING)
        self._clock = clock
        self._spent = 0.0
        self._when = clock()

    def refuse_more(self, client: str) -> None:
        """Raise CallersThrottled where nothing more of a client, or of anybody, is verified."""
        now = self._clock()
        self._spent = max(0.0, self._spent - (now - self._when) * FAILED_SHARE)
        self._when = now
        limit = self._clients.get(client)
        if limit is not None and limit.spent():
            raise CallersThrottled("of-this-client")
        if self._spent >= FAILED_BURST_SECONDS:
            raise CallersThrottled("of-all-clients")

    def note(self, client: str, seconds: float) -> None:
        """Count a failure that took so long."""
        limit = self._clients.get(client)
        if limit is None:
            limit = RateLimit(FAILED_PER_SECOND, FAILED_AT_ONCE, self._clock)
            self._clients.put(client, limit)
        limit.take()
        self._spent += seconds
