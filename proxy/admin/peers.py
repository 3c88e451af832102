"""Bounds for each peer or caller on its own, so that none of them spends those of the others."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv6Address, ip_address
from typing import Final

from ..keys.lru_map import BoundedMap
from .limit import RateLimit

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
