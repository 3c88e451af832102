"""Lists of 16 MiB beside small messages, which must not wait for them."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from tests.bombs.makers import MEBIBYTE
from tests.bombs.rig import serving
from tests.scenarios.rig import ROOT
from tests.servers import free_port, module

LARGEST = 16 * MEBIBYTE
VALUES = 19_000
CANARY = "canary-of-the-list"
CLIENTS = 32
MOST_TIMES = 3
QUIET, BUSY = 0.005, 0.3
"""Seconds that a machine adds, the latter one that runs other tests meanwhile; a list that is not
sliced takes 0.7 s of a core, and several times that on such a machine."""
LARGE_READS = 2**20

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
    defaults: {{others: pass, tenant: "const:t", conversation: "const:c"}}
    rules:
      - name: seal
        match: POST /seal
        request: {{encrypt: $.items.*.text, max_values: 20000}}
      - name: list
        match: POST /list
        response: {{decrypt: $.items.*.text}}
  - name: small
    listen: 127.0.0.1:{small}
    upstream: http://127.0.0.1:{apart}
    unmatched: pass
    defaults: {{others: pass, tenant: "const:t", conversation: "const:c"}}
    rules:
      - name: small
        match: POST /small
        request: {{encrypt: $.text}}
        response: {{decrypt: $.text}}
"""
"""Small messages go to a backend of their own: what holds up that of the lists is not Sealyard."""


@contextmanager
def lists(
    port: int, folder: Path, sealed: bytes, plain: bytes
) -> Iterator[subprocess.Popen[bytes]]:
    """Read lists, one after the other, in a process that ends where one is not opened whole."""
    (folder / "sealed").write_bytes(sealed)
    (folder / "plain").write_bytes(plain)
    command = [sys.executable, "-m", "tests.bombs.lists", str(port), str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as process:  # noqa: S603 - see above
        assert process.stdout is not None
        assert process.stdout.readline() == b"read\n"
        yield process
        process.kill()


class Client:
    """A connection that is kept."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def post(self, path: bytes, body: bytes) -> bytes:
        self.writer.write(
            b"POST /%b HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (path, len(body), body)
        )
        head = (await self.reader.readuntil(b"\r\n\r\n")).lower()
        assert head.startswith(b"http/1.1 200 "), head
        size = int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
        return await self.reader.readexactly(size)


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=LARGE_READS)
    try:
        yield Client(reader, writer)
    finally:
        writer.close()
        await writer.wait_closed()


async def p99(port: int, *, rate: int, seconds: float) -> float:
    """Return the seconds within which 99 of 100 small messages come back, at so many a second."""
    clients: asyncio.Queue[Client] = asyncio.Queue()
    took: list[float] = []
    body = json.dumps({"text": "x" * 1000}).encode()

    async def one(due: float) -> None:
        client = await clients.get()
        assert json.loads(await client.post(b"small", body)) == json.loads(body)
        clients.put_nowait(client)
        took.append(time.perf_counter() - due)

    async with AsyncExitStack() as stack:
        for _ in range(CLIENTS):
            clients.put_nowait(await stack.enter_async_context(connected(port)))
        group = await stack.enter_async_context(asyncio.TaskGroup())
        began = time.perf_counter()
        for number in range(int(rate * seconds)):
            due = began + number / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            group.create_task(one(due))
    return sorted(took)[len(took) * 99 // 100]


@pytest.mark.timing
@pytest.mark.parametrize(
    ("rate", "seconds", "noise"),
    [(50, 4.0, BUSY), pytest.param(200, 30.0, QUIET, marks=pytest.mark.slow)],
)
async def test_small_messages_do_not_wait_for_lists_of_16_mebibytes(
    tmp_path: Path,
    rate: int,
    seconds: float,
    noise: float,
    record_property: Callable[[str, object], None],
) -> None:
    port, small = free_port(), free_port()
    plain = json.dumps(
        {"items": [{"id": at, "text": CANARY + "a" * 430} for at in range(VALUES)]}
    ).encode()
    with (
        module("tests.flat.backend") as upstream,
        module("tests.flat.backend") as apart,
        serving(
            tmp_path,
            CONFIGURATION.format(port=port, upstream=upstream, small=small, apart=apart),
        ) as (process, log),
    ):
        async with connected(port) as client:
            sealed = await client.post(b"seal", plain)
        assert CANARY.encode() not in sealed
        assert LARGEST * 0.9 < len(sealed) < LARGEST
        await p99(small, rate=rate, seconds=1.0)  # caches are warm
        without = await p99(small, rate=rate, seconds=seconds)
        with lists(port, tmp_path, sealed, plain) as reading:
            beside = await p99(small, rate=rate, seconds=seconds)
            assert reading.poll() is None
        # Its client is gone in the middle of a list: the next one is served.
        async with connected(port) as client:
            assert await client.post(b"list", sealed) == plain
        assert process.poll() is None
        assert CANARY not in log.read_text()
    record_property("p99 of small messages", f"{1000 * without:.1f} ms without lists")
    record_property("p99 beside lists of 16 MiB", f"{1000 * beside:.1f} ms")
    assert beside <= MOST_TIMES * without + noise
