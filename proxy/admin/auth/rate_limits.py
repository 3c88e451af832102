"""Rate limits for each address or caller, so that none of them uses up those of others."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv6Address, ip_address

from ...keys.lru_map import BoundedMap
from ..policy import LIMITED_NAMES, SUBNET_BITS


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

    def _refill(self) -> None:
        now = self._clock()
        self._left = min(self._burst, self._left + (now - self._when) * self._per_second)
        self._when = now


class Limits:
    """One rate limit for each name; above `LIMITED_NAMES`, the least recently used is dropped.

    A name that was dropped starts again with a full burst.
    """

    def __init__(self, per_second: float, burst: int, clock: Callable[[], float]) -> None:
        """Start empty; `clock` returns monotonic seconds."""
        self._bounds = per_second, burst, clock
        self._by_name: BoundedMap[str, RateLimit] = BoundedMap(LIMITED_NAMES)

    def of(self, name: str) -> RateLimit:
        """Return the limit of a name."""
        limit = self._by_name.get(name)
        if limit is None:
            limit = RateLimit(*self._bounds)
            self._by_name.put(name, limit)
        return limit


def peer(remote: str | None) -> str:
    """Return the name under which an address is limited: its /64 for IPv6, `unix` for a socket."""
    try:
        address = ip_address((remote or "").partition("%")[0])
    except ValueError:
        return "unix"
    if isinstance(address, IPv6Address):
        return str(int(address) >> SUBNET_BITS) if address.ipv4_mapped is None else str(remote)
    return str(address)
