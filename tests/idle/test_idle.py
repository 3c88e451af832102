"""Ten thousand WebSockets that say nothing: what each of them holds, and who waits for it."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.bombs.rig import serving
from tests.servers import free_port, module
from tests.traffic.wire import Client, connected

from .backend import PONG

KIBIBYTE = 1024
MOST_BYTES = 40 * KIBIBYTE
AT_A_TIME = 50
PATIENCE_SECONDS = 60.0
LOAD_SECONDS = 4.0
RATE = 200
NOISE_SECONDS = 0.005
"""What a busy machine adds to a p99 by itself."""

CONFIGURATION = """\
version: 1
keys:
  keyring: {{file: keyring.jwe, key: {{file: root.key}}}}
admin: {{listen: "127.0.0.1:0", token: {{file: admin.token}}}}
listeners:
  - name: api
    listen: 127.0.0.1:{port}
    upstream: http://127.0.0.1:{upstream}
    unmatched: pass
    limits: {{clients: 20000, clients_per_address: 20000, connections: 20000}}
    defaults: {{others: pass}}
    rules:
      - name: ruled
        match: WS /ruled
        tenant: const:t
        request: {{encrypt: optional $.content, nothing: pass}}
        response: {{decrypt: $.content, bind: [tenant, field]}}
"""
SHAKE = (
    b"GET /%b HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
PING = b"\x89\x80\x00\x00\x00\x00"  # masked, and empty
PLAIN = b"GET /plain HTTP/1.1\r\nHost: h\r\n\r\n"


def held(pid: int) -> int:
    """Return the bytes that a process and its children hold for themselves."""
    total = 0
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Private_"):
            total += int(line.split()[1]) * KIBIBYTE
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return total + sum(held(int(child)) for child in children)


@contextlib.asynccontextmanager
async def sockets(port: int, number: int, path: bytes) -> AsyncIterator[list[Client]]:
    """Open that many WebSockets."""
    made: list[Client] = []
    waiting = iter(range(number))
    async with contextlib.AsyncExitStack() as stack:

        async def some() -> None:
            for _ in waiting:
                client = await stack.enter_async_context(connected(port))
                client.send(SHAKE % path)
                assert (await client.until(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
                made.append(client)

        async with asyncio.TaskGroup() as group:
            for _ in range(AT_A_TIME):
                group.create_task(some())
        yield made
        for client in made:
            client.writer.transport.abort()


async def p99(port: int) -> float:
    """Return the seconds within which 99 of 100 requests are answered, at RATE a second."""
    durations: list[float] = []
    async with connected(port) as client:
        began = time.perf_counter()
        for turn in range(int(RATE * LOAD_SECONDS)):
            await asyncio.sleep(max(0.0, began + turn / RATE - time.perf_counter()))
            start = time.perf_counter()
            client.send(PLAIN)
            assert (await client.response()).status == 200
            durations.append(time.perf_counter() - start)
    return sorted(durations)[len(durations) * 99 // 100]


@pytest.mark.timing
@pytest.mark.parametrize(("path", "answer"), [(b"socket", PING), (b"ruled", PONG)])
@pytest.mark.parametrize("number", [1000, pytest.param(10_000, marks=pytest.mark.slow)])
async def test_idle_websockets_hold_little_and_hinder_nobody(
    tmp_path: Path,
    number: int,
    path: bytes,
    answer: bytes,
    record_property: Callable[[str, object], None],
) -> None:
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if most < number + 100:
        pytest.skip(f"only {most} files may be open here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    port = free_port()
    # Two files for each tunnel: with two workers no process needs more than one for each.
    with (
        module("tests.idle.backend") as upstream,
        serving(tmp_path, CONFIGURATION.format(port=port, upstream=upstream), "--workers", "2") as (
            process,
            log,
        ),
    ):
        async with sockets(port, 50, path):
            pass
        before, base = await p99(port), held(process.pid)
        async with sockets(port, number, path) as clients:
            await asyncio.sleep(1)
            each = (held(process.pid) - base) / number
            during = await p99(port)
            for client in clients[:: number // 50]:
                client.send(PING)
                got = await asyncio.wait_for(client.reader.readexactly(len(answer)), 5)
                assert got == answer
        assert process.poll() is None, log.read_text()[-2000:]
    record_property(
        f"memory of {path.decode()}", f"{each / KIBIBYTE:.1f} KiB for each of {number:,}"
    )
    record_property(
        f"p99 beside {path.decode()}",
        f"{before * 1000:.1f} ms before, {during * 1000:.1f} ms beside them",
    )
    assert each <= MOST_BYTES
    assert during <= 2 * before + NOISE_SECONDS
