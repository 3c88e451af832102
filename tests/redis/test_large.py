"""What an erasure costs a Redis that holds much else."""

from __future__ import annotations

import asyncio
import os
import re
from typing import Final

from proxy.keys.stores import open_store

from .server import Server, needs_redis

pytestmark = needs_redis

KEYS: Final = int(os.environ.get("SEALYARD_KEYS", "50000"))
"""Keys of others; at 1,000,000, Redis took 0.1 ms."""
AT_ONCE: Final = 50_000  # keys that one script makes
MOST_MS: Final = 5.0


async def test_erasing_looks_at_no_other_key(server: Server) -> None:
    one = "redis.call('SET', 'sealyard:v1:{x' .. n .. '}:k:y', 'z')"
    script = f"for n = ARGV[1], ARGV[2] do {one} end"
    for first in range(1, KEYS + 1, AT_ONCE):
        last = str(min(first + AT_ONCE - 1, KEYS))
        await asyncio.to_thread(server.command, "EVAL", script, "0", str(first), last)
    store = open_store("redis", options=server.settings)
    for number in range(3):
        await store.keep("n", f"s{number}", b"record", 20_000)
    await store.erase("m", b"fence")  # it makes Redis learn the scripts
    server.command("CONFIG", "RESETSTAT")
    assert len(await store.erase("n", b"fence")) == 3
    stats = server.command("INFO", "commandstats").decode()
    await store.close()
    used = [int(one) for one in re.findall(r"cmdstat_evalsha:calls=2,usec=(\d+)", stats)]
    assert "cmdstat_scan" not in stats
    assert sum(used) / 1000 <= MOST_MS, stats
    print(f"{KEYS} keys: {sum(used) / 1000} ms of Redis")  # noqa: T201 - the figure is wanted
