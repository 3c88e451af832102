"""Stores: where session records live, so that processes agree on a session.

A new store is one file beside this one and one line in STORES.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ...config.settings import RedisSettings
from ...core.errors import ConfigurationError, UnfitEnvironment
from .memory import MemoryStore
from .store import (
    Changed,
    ClockRefused,
    FoundRecords,
    HeldRecords,
    Offer,
    Room,
    Store,
    StoreFailed,
    StoreFull,
    StoreRefused,
    erased,
)

__all__ = [
    "STORES",
    "Changed",
    "ClockRefused",
    "FoundRecords",
    "HeldRecords",
    "MemoryStore",
    "Offer",
    "Room",
    "Store",
    "StoreFailed",
    "StoreFull",
    "StorePlace",
    "StoreRefused",
    "erased",
    "open_store",
]

Clock = Callable[[], float]
"""Returns seconds and never goes back; `time.monotonic` outside of tests."""


@dataclass(frozen=True, slots=True)
class StorePlace:
    """Where a store is: its address (`memory`, `sqlite:PATH`, `redis`), and what it is made of.

    `wall` returns seconds since 1970; `environ` holds what secrets refer to.
    """

    address: str
    clock: Clock = time.monotonic
    wall: Callable[[], float] = time.time
    redis: RedisSettings | None = None
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)


StoreFactory = Callable[[StorePlace], Store]
"""Makes a store, connecting to nothing."""


def _memory(place: StorePlace) -> Store:
    return MemoryStore(place.clock)


def _sqlite(place: StorePlace) -> Store:
    from .sqlite import SqliteStore  # noqa: PLC0415 - only who uses it pays for it

    return SqliteStore(Path(place.address.partition(":")[2]), place.wall)


def _redis(place: StorePlace) -> Store:
    try:
        from .redis.store import RedisStore  # noqa: PLC0415 - redis-py costs 20 MiB and half the start
    except ModuleNotFoundError as missing:
        if missing.name != "redis":
            raise
        raise UnfitEnvironment("redis-py is not installed: pip install sealyard[redis]") from None
    if place.redis is None:
        raise ConfigurationError(("keys.store: no Redis is configured",))
    return RedisStore(place.redis, place.environ)


STORES: Final[Mapping[str, StoreFactory]] = {
    "memory": _memory,
    "sqlite": _sqlite,
    "redis": _redis,
}


def open_store(
    address: str,
    clock: Clock = time.monotonic,
    *,
    redis: RedisSettings | None = None,
    environ: Mapping[str, str] | None = None,
    wall: Callable[[], float] = time.time,
) -> Store:
    """Return the store of an address of the configuration.

    Raises ConfigurationError for an unknown kind, UnfitEnvironment for files and packages that
    cannot be used. The caller opens and closes the store.
    """
    kind = address.partition(":")[0]
    factory = STORES.get(kind)
    if factory is None:
        raise ConfigurationError((f"keys.store: {kind} is unknown; one of: {', '.join(STORES)}",))
    return factory(StorePlace(address, clock, wall, redis, environ or {}))
