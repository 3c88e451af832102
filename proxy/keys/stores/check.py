"""Whether the configured store can be worked with, and what about it is risky."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path

from ...config.settings import KeySettings
from ...core.errors import ConfigurationError, UnfitEnvironment
from ...process.fitness import Finding


async def examined(
    keys: KeySettings,
    environ: Mapping[str, str],
    *,
    clock: Callable[[], float],
    seconds: float,
) -> tuple[Finding, ...]:
    """Return what was found within `seconds`; nothing for a store within the process.

    `clock` returns seconds since 1970. Raises nothing that a store can be to blame for.
    """
    kind, _, place = keys.store.partition(":")
    if kind == "sqlite":
        return (await asyncio.to_thread(_sqlite, Path(place), clock),)
    if kind != "redis" or keys.redis is None:
        return ()
    try:
        from .redis import check  # noqa: PLC0415 - redis-py costs 20 MiB and half of the start

        return await check.examined(keys.redis, environ, keys.mode, clock=clock, seconds=seconds)
    except ModuleNotFoundError as missing:
        if missing.name != "redis":
            raise
        text = "redis-py is not installed: pip install sealyard[redis]"
        return (Finding("redis", "failed", text),)
    except (UnfitEnvironment, ConfigurationError) as error:
        return (Finding("redis", "failed", error.reason),)


def _sqlite(path: Path, clock: Callable[[], float]) -> Finding:
    from .sqlite_file import SqliteFile  # noqa: PLC0415 - only who uses it pays for it

    try:
        SqliteFile(path, clock).close()
    except UnfitEnvironment as error:
        return Finding("sqlite", "failed", error.reason)
    return Finding("sqlite", "ok", f"{path} can be used.")
