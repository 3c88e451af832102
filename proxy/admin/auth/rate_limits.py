"""Bounds for each peer or caller on its own, so that none of them spends those of the others."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv6Address, ip_address
from typing import Final

from ...keys.lru_map import BoundedMap


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


MOST: Final = 1024
_SUBNET: Final = 64


class Limits:
    """One rate limit for each name; of those above `MOST`, the ones unused for longest go.

    Who is forgotten begins anew, with everything there is for a burst.
    """

    def __init__(self, per_second: float, burst: int, clock: Callable[[], float]) -> None:
        """Begin with nobody known; `clock` returns seconds that never go back."""
        self._bounds = per_second, burst, clock
        self._by_name: BoundedMap[str, RateLimit] = BoundedMap(MOST)

    def of(self, name: str) -> RateLimit:
        """Return the limit of a name."""
        limit = self._by_name.get(name)
        if limit is None:
            limit = RateLimit(*self._bounds)
            self._by_name.put(name, limit)
        return limit


def peer(remote: str | None) -> str:
    """Return whose bound counts for an address: of IPv6 that of its /64, of a Unix socket one."""
    try:
        address = ip_address((remote or "").partition("%")[0])
    except ValueError:
        return "unix"
    if isinstance(address, IPv6Address):
        return str(int(address) >> _SUBNET) if address.ipv4_mapped is None else str(remote)
    return str(address)
