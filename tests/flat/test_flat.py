"""What clients can make up (conversations, traces, paths, queries) leaves no memory behind."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from proxy.config.limits import MEBIBYTE
from proxy.process.policy import TRIM_SECONDS
from tests.bombs.rig import serving
from tests.servers import await_log, free_port, module

CLIENTS = 8
SHARE = 20
"""A sample of the memory after each twentieth of the requests."""
WARM = 210_000
"""So many conversations fill every cache: twice the hundred thousand records of the largest."""
SLOPE_BYTES = 3 * MEBIBYTE
BACK_BYTES = 5 * MEBIBYTE
SHORT_BYTES = 24 * MEBIBYTE
"""What caches take that the short form does not fill; what leaked took more."""
CANARY = "canary-of-flat-memory"

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
    defaults: {{others: pass}}
    rules:
      - name: talk
        match: POST /talk/{{chat}}
        tenant: const:t
        conversation: path:chat
        request: {{encrypt: $.content}}
        response: {{decrypt: $.content}}
      - name: seen
        mode: observe
        match: POST /seen
        tenant: const:t
        conversation: const:c
        request: {{encrypt: $.content}}
"""
SHAKE = (
    b"GET /socket HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


@dataclass
class Sidecar:
    process: subprocess.Popen[bytes]
    port: int
    log: Path

    @property
    def held(self) -> int:
        """The bytes that it holds."""
        pages = Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    async def settled(self) -> int:
        """The same, once what is free has been given back."""
        await asyncio.sleep(1.1 * TRIM_SECONDS)
        return self.held

    def forget_log(self) -> None:
        """Fail where it tells of a message's content; else empty it, so that no disk fills."""
        assert CANARY not in self.log.read_text()
        os.truncate(self.log, 0)


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Sidecar]:
    port = free_port()
    with (
        module("tests.flat.backend") as upstream,
        serving(folder, CONFIGURATION.format(port=port, upstream=upstream)) as (process, log),
    ):
        yield Sidecar(process, port, log)
        assert process.poll() is None, log.read_text()[-2000:]


Made = Callable[[int], tuple[str, str]]
"""Returns the target of a request, and its `traceparent`."""
TRACE = f"00-{'a' * 32}-{'b' * 16}-01"


def new_trace() -> str:
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"


REQUESTS: dict[str, Made] = {
    "conversations": lambda number: (f"/talk/chat{number}", TRACE),
    "traces": lambda _: ("/talk/one", new_trace()),
    "paths": lambda number: (f"/other/{number:x}/name{number}", TRACE),
    "queries": lambda number: (f"/talk/one?of={number}", TRACE),
    "all of them": lambda number: (f"/talk/next{number}?of={number}", new_trace()),
}


async def ask(sidecar: Sidecar, made: Made, numbers: Iterator[int]) -> None:
    """Send requests one after the other; where the sidecar is busy, it is asked again."""
    reader, writer = await asyncio.open_connection("127.0.0.1", sidecar.port)
    try:
        for number in numbers:
            target, trace = made(number)
            body = f'{{"content":"{CANARY} {number}"}}'
            text = (
                f"POST {target} HTTP/1.1\r\nHost: h\r\ntraceparent: {trace}\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
            )
            status = 503
            while status == 503:
                writer.write(text.encode())
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                status = int(head.split()[1])
                size = int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
                got = await reader.readexactly(size)
                if status == 503:
                    await asyncio.sleep(0.05)
            assert (status, got) == (200, body.encode())
    finally:
        writer.close()
        await writer.wait_closed()


async def load(sidecar: Sidecar, made: Made, numbers: range) -> list[int]:
    """Send a request for each number; return what the sidecar held from time to time."""
    held = []
    step = max(1, len(numbers) // SHARE)
    for first in range(numbers.start, numbers.stop, step):
        some = iter(range(first, min(first + step, numbers.stop)))
        async with asyncio.TaskGroup() as group:
            for _ in range(CLIENTS):
                group.create_task(ask(sidecar, made, some))
        sidecar.forget_log()
        held.append(sidecar.held)
    return held


def growth(held: list[int]) -> int:
    """Return by how much the second half of the samples is above the first, by its least."""
    middle = len(held) // 2
    return min(held[middle:]) - min(held[:middle])


@pytest.mark.parametrize("kind", ["traces", "paths", "queries", "all of them"])
async def test_a_few_thousand_requests_leave_little(
    tmp_path: Path, kind: str, record_property: Callable[[str, object], None]
) -> None:
    async with running(tmp_path) as sidecar:
        await load(sidecar, REQUESTS[kind], range(500))
        before = sidecar.held
        await load(sidecar, REQUESTS[kind], range(500, 2500))
        grown = sidecar.held - before
    record_property(f"2,000 new {kind}", f"+{grown / MEBIBYTE:.1f} MiB")
    assert grown < SHORT_BYTES


@pytest.mark.slow
async def test_a_million_requests_of_each_kind_leave_nothing(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """The caches are filled first; then each kind has a slope of zero."""
    requests = int(os.environ.get("FLAT_REQUESTS", "1000000"))
    async with running(tmp_path) as sidecar:
        await load(sidecar, REQUESTS["all of them"], range(-WARM, 0))
        for kind, made in REQUESTS.items():
            held = await load(sidecar, made, range(requests))
            record_property(f"{requests:,} new {kind}", f"{growth(held) / MEBIBYTE:+.1f} MiB")
            assert growth(held) < SLOPE_BYTES
    record_property("requests", requests)


async def reload(sidecar: Sidecar, times: int) -> None:
    for number in range(times):
        sidecar.forget_log()
        configuration = sidecar.log.parent / "sealyard.yaml"
        text = configuration.read_text().partition("# ")[0]
        configuration.write_text(f"{text}# {number}\n")
        sidecar.process.send_signal(signal.SIGHUP)
        await asyncio.to_thread(await_log, sidecar.process, sidecar.log, '"cause":"signal"')


async def drop_sockets(sidecar: Sidecar, number: int) -> None:
    """Open WebSockets, and drop each of them without a word."""
    for _ in range(number):
        reader, writer = await asyncio.open_connection("127.0.0.1", sidecar.port)
        writer.write(SHAKE)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        writer.transport.abort()


@pytest.mark.parametrize(
    ("reloads", "sockets", "conversations", "warm"),
    [(10, 100, 500, 500), pytest.param(2000, 10_000, 200_000, WARM, marks=pytest.mark.slow)],
)
async def test_memory_is_back_after_reloads_websockets_and_conversations(  # noqa: PLR0917 - fixtures
    tmp_path: Path,
    reloads: int,
    sockets: int,
    conversations: int,
    warm: int,
    record_property: Callable[[str, object], None],
) -> None:
    long = warm == WARM
    async with running(tmp_path) as sidecar:
        await load(sidecar, REQUESTS["all of them"], range(-warm, 0))
        await reload(sidecar, 3)
        await drop_sockets(sidecar, 50)
        await load(sidecar, REQUESTS["all of them"], range(-warm, 0))
        before = await sidecar.settled()
        for name, work in (
            (f"{reloads:,} reloads", reload(sidecar, reloads)),
            (f"{sockets:,} WebSockets", drop_sockets(sidecar, sockets)),
            (
                f"{conversations:,} conversations",
                load(sidecar, REQUESTS["conversations"], range(conversations)),
            ),
        ):
            began = time.monotonic()
            await work
            took, left = time.monotonic() - began, await sidecar.settled() - before
            record_property(name, f"{left / MEBIBYTE:+.1f} MiB, {took:.0f} s")
            assert left < (BACK_BYTES if long else SHORT_BYTES)
