"""A real `sealyard serve` whose store is the Redis under trial."""

from __future__ import annotations

import asyncio
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import aiohttp

from proxy.config.settings import RedisCluster, RedisSentinels, RedisSettings
from tests.scenarios.rig import command, environment, write_keys
from tests.servers import free_port

Mode = Literal["durable", "ephemeral"]
MODES: Final[tuple[Mode, ...]] = ("durable", "ephemeral")

_PATIENCE_SECONDS = 60.0
_CONFIGURATION = """\
version: 1
keys:
  keyring: {{file: keyring.jwe, key: {{file: root.key}}}}
  store: {store}
  sessions: {{mode: {mode}, ttl: 1h, grace: 1h, revocation_max_age: {max_age}s}}
admin: {{listen: "127.0.0.1:{admin}", token: {{file: admin.token}}}}
health: {{listen: "127.0.0.1:{health}"}}
listeners:
  - name: api
    listen: 127.0.0.1:{port}
    upstream: http://127.0.0.1:{upstream}
    unmatched: reject
    defaults:
      others: pass
      tenant: const:clinic
      conversation: $.conversationId
    rules:
      - name: send
        match: POST /api/messages
        request: {{encrypt: $.content}}
        response: {{decrypt: $.content}}
      - name: read an old one
        match: POST /api/old
        request: {{encrypt: $.content}}
        response: {{decrypt: $.content}}
"""


@dataclass
class Sealyard:
    """A running one: where it is, and where its log stands."""

    process: subprocess.Popen[bytes]
    port: int
    health: int
    log: Path

    @property
    def url(self) -> str:
        """Where clients send to."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def resident_bytes(self) -> int:
        """How much memory it has."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
        return int(line.split()[1]) * 1024

    async def metrics(self, session: aiohttp.ClientSession) -> str:
        """Return the page for scrapers."""
        async with session.get(f"http://127.0.0.1:{self.health}/metrics") as response:
            return await response.text()


@asynccontextmanager
async def sealyard(
    folder: Path, upstream: int, redis: RedisSettings, mode: Mode, *, max_age: int = 30
) -> AsyncIterator[Sealyard]:
    """Run one until the context ends. Its keys and its log are in `folder`."""
    port, admin, health = free_port(), free_port(), free_port()
    write_keys(folder)
    (folder / "sealyard.yaml").write_text(
        _CONFIGURATION.format(
            store=_written(redis),
            mode=mode,
            max_age=max_age,
            admin=admin,
            health=health,
            port=port,
            upstream=upstream,
        )
    )
    log = folder / "sealyard.log"
    with log.open("wb") as sink:
        process = subprocess.Popen(  # noqa: ASYNC220, S603 - Sealyard itself, which is started once
            command(folder), stderr=sink, stdout=sink, env=environment()
        )
        try:
            await _until_it_answers(port, process, log)
            yield Sealyard(process, port, health, log)
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                process.send_signal(signal.SIGINT)
                await asyncio.to_thread(process.wait, _PATIENCE_SECONDS)


def _written(redis: RedisSettings) -> str:
    place, scheme = redis.address, "rediss" if redis.tls else "redis"
    more = "" if redis.ca is None else f", ca: {redis.ca}"
    if isinstance(place, RedisSentinels | RedisCluster):
        nodes = ", ".join(f'"{scheme}://{node}"' for node in place.nodes)
        if isinstance(place, RedisCluster):
            return f"{{cluster: [{nodes}]{more}}}"
        return f"{{sentinels: [{nodes}], service: {place.service}{more}}}"
    return f'{{url: "{scheme}://{place}/0"{more}}}'


async def _until_it_answers(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    async with asyncio.timeout(_PATIENCE_SECONDS):
        while process.poll() is None:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return
    raise AssertionError(await asyncio.to_thread(log.read_text))
