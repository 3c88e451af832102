"""Stores: where session records live, so that processes agree on a session.

A new kind is one file beside this one, one entry in STORES and one in STORE_KINDS of
config/schema/store_kinds.py. tests/contracts says what it must do.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ...config.settings import KeySettings, RedisSettings
from ...core.errors import ConfigurationError, UnfitEnvironment
from ...process.fitness import Finding
from .memory import MemoryStore as MemoryStore
from .store import Changed as Changed
from .store import ClockRefused as ClockRefused
from .store import Fenced as Fenced
from .store import FoundRecords as FoundRecords
from .store import HeldRecords as HeldRecords
from .store import Offer as Offer
from .store import Room as Room
from .store import Settled as Settled
from .store import Store as Store
from .store import StoreFailed as StoreFailed
from .store import StoreFull as StoreFull
from .store import StoreRefused as StoreRefused
from .store import Told as Told
from .store import Under as Under
from .store import erased as erased

Clock = Callable[[], float]
"""Returns seconds and never goes back; `time.monotonic` outside of tests."""


@dataclass(frozen=True, slots=True)
class StorePlace:
    """Where a store is: its address (`memory`, `sqlite:PATH`, `redis`), and what it is made of.

    `options` are those of its kind in config/schema/store_kinds.py; `wall` returns seconds since
    1970; `environ` holds what secrets refer to.
    """

    address: str
    clock: Clock = time.monotonic
    wall: Callable[[], float] = time.time
    options: object | None = None
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class StoreCheck:
    """What a check of the configured store needs. `clock` returns seconds since 1970."""

    keys: KeySettings
    environ: Mapping[str, str] = field(repr=False)
    clock: Callable[[], float]
    seconds: float


@dataclass(frozen=True, slots=True)
class _Kind:
    """A kind of store: how one is made, connecting to nothing, and how it is checked.

    `check` returns findings within `seconds`; it raises ConfigurationError or UnfitEnvironment
    where the store cannot be used. None: there is nothing to check.
    """

    make: Callable[[StorePlace], Store]
    check: Callable[[StoreCheck], Awaitable[tuple[Finding, ...]]] | None = None


def _memory(place: StorePlace) -> Store:
    return MemoryStore(place.clock)


def _sqlite(place: StorePlace) -> Store:
    from .sqlite import SqliteStore  # noqa: PLC0415 - only who uses it pays for it

    return SqliteStore(_path(place.address), place.wall)


async def _check_sqlite(check: StoreCheck) -> tuple[Finding, ...]:
    from .sqlite_file import SqliteFile  # noqa: PLC0415 - only who uses it pays for it

    path = _path(check.keys.store.address)
    await asyncio.to_thread(lambda: SqliteFile(path, check.clock).close())
    return (Finding("sqlite", "ok", f"{path} can be used."),)


def _path(address: str) -> Path:
    return Path(address.partition(":")[2])


def _redis(place: StorePlace) -> Store:
    from .redis.store import RedisStore  # noqa: PLC0415 - only who uses it pays for it

    if not isinstance(place.options, RedisSettings):
        raise ConfigurationError(("keys.store: no Redis is configured",))
    return RedisStore(place.options, place.environ)


async def _check_redis(check: StoreCheck) -> tuple[Finding, ...]:
    keys = check.keys
    if not isinstance(keys.store.options, RedisSettings):
        return ()
    from .redis.check import examined  # noqa: PLC0415 - only who uses it pays for it

    return await examined(
        keys.store.options,
        check.environ,
        keys.sessions.mode,
        clock=check.clock,
        seconds=check.seconds,
    )


STORES: Final[Mapping[str, _Kind]] = {
    "memory": _Kind(_memory),
    "sqlite": _Kind(_sqlite, _check_sqlite),
    "redis": _Kind(_redis, _check_redis),
}


def open_store(
    address: str,
    clock: Clock = time.monotonic,
    *,
    options: object | None = None,
    environ: Mapping[str, str] | None = None,
    wall: Callable[[], float] = time.time,
) -> Store:
    """Return the store of an address of the configuration.

    Raises ConfigurationError for an unknown kind, UnfitEnvironment for files and packages that
    cannot be used. The caller opens and closes the store.
    """
    kind = address.partition(":")[0]
    found = STORES.get(kind)
    if found is None:
        raise ConfigurationError((f"keys.store: {kind} is unknown; one of: {', '.join(STORES)}",))
    return found.make(StorePlace(address, clock, wall, options, environ or {}))


async def check_store(
    keys: KeySettings,
    environ: Mapping[str, str],
    *,
    clock: Callable[[], float],
    seconds: float,
) -> tuple[Finding, ...]:
    """Return what was found about the configured store within `seconds`; nothing for memory.

    `clock` returns seconds since 1970. A store that cannot be used is a finding, not an error.
    """
    kind = keys.store.address.partition(":")[0]
    check = STORES[kind].check
    if check is None:
        return ()
    try:
        return await check(StoreCheck(keys, environ, clock, seconds))
    except (UnfitEnvironment, ConfigurationError) as error:
        return (Finding(kind, "failed", error.reason),)
