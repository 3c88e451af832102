"""What an erasure costs a Redis that holds much else."""

from __future__ import annotations

import asyncio
import os
import re
from typing import Final

from proxy.keys.stores import Store, open_store

from .server import Server, needs_redis

pytestmark = needs_redis

KEYS: Final = int(os.environ.get("SEALYARD_KEYS", "50000"))
"""Keys of others; at 1,000,000, Redis took 0.1 ms."""
AT_ONCE: Final = 50_000  # keys that one script makes
_CALLS: Final = rb"cmdstat_([^:]+):calls=(\d+)"


async def test_erasing_looks_at_no_other_key(server: Server) -> None:
    """Redis runs the same commands as often as where there is no other key, and none that scans."""
    store = open_store("redis", options=server.settings)
    await _erased(store, server, "l")  # it makes Redis learn the scripts
    alone = await _erased(store, server, "m")
    one = "redis.call('SET', 'sealyard:v1:{x' .. n .. '}:k:y', 'z')"
    script = f"for n = ARGV[1], ARGV[2] do {one} end"
    for first in range(1, KEYS + 1, AT_ONCE):
        last = str(min(first + AT_ONCE - 1, KEYS))
        await asyncio.to_thread(server.command, "EVAL", script, "0", str(first), last)

    among_others = await _erased(store, server, "n")

    await store.close()
    assert among_others == alone
    assert b"get" in alone
    assert not {b"scan", b"keys", b"sscan", b"hscan", b"zscan"} & alone.keys()


async def _erased(store: Store, server: Server, name: str) -> dict[bytes, int]:
    """Erase three keys; return how often Redis ran each command for that."""
    for number in range(3):
        await store.keep(name, f"s{number}", b"record", 20_000)
    server.command("CONFIG", "RESETSTAT")
    assert len(await store.erase(name, b"fence")) == 3
    stats = server.command("INFO", "commandstats")
    return {command: int(calls) for command, calls in re.findall(_CALLS, stats)}
