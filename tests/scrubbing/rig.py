"""A real process whose log is searched while it is written, and the peers that talk to it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote_to_bytes

from .canaries import Canary
from .company import DONE

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 60.0
_MOST_FOUND = 1 << 20
_EVENTS = (b"message.handled", b"message.refused", b"library.message", b"exception.unhandled",
           b"library.warning", b"admin.called", b"config.problem",
           b"log.processor_failed")  # fmt: skip


@dataclass
class Searched:
    """Reads a log as it comes and lets grep look for needles in all of it."""

    needles: Path
    lines: int = 0
    of: Counter[bytes] = field(default_factory=Counter)
    found: bytes = b""
    over: threading.Event = field(default_factory=threading.Event)
    whole: bool = False
    last: bytes = b""
    told: dict[str, bytes] = field(default_factory=dict)
    """What else an operator can see: metrics, status, configuration, the tap."""

    def read(self, descriptor: int) -> None:
        """Read until the end."""
        try:
            self._read(descriptor)
        finally:
            self.over.set()  # also where the process, or grep, ended by itself

    def _read(self, descriptor: int) -> None:
        command = ["grep", "-a", "-F", "-f", str(self.needles)]
        environment = {**os.environ, "LC_ALL": "C"}
        with subprocess.Popen(  # noqa: S603 - grep of this machine
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
        ) as grep:
            assert grep.stdin is not None
            assert grep.stdout is not None
            collect = threading.Thread(target=self._collect, args=(grep.stdout,))
            collect.start()
            rest = b""
            while data := os.read(descriptor, 1 << 20):
                grep.stdin.write(data)
                whole, _, rest = (rest + data).rpartition(b"\n")
                self._count(whole)
            grep.stdin.close()
            collect.join()

    def _count(self, whole: bytes) -> None:
        if not whole:
            return
        self.lines += whole.count(b"\n") + 1
        for name in _EVENTS:
            self.of[name] += whole.count(name)
        if DONE.encode() in whole:
            self.whole = True
            self.over.set()
        self.last = whole[-3000:]

    def _collect(self, stdout: Iterable[bytes]) -> None:
        for line in stdout:
            # Of a leak in every line a few are enough, and to keep all would take for ever.
            if len(self.found) < _MOST_FOUND:
                self.found += line


def write_needles(
    folder: Path, canaries: Iterable[Canary], more: Iterable[bytes], control: str
) -> Path:
    """Write everything that is looked for, and one word that must be found."""
    needles = {needle for canary in canaries for needle in canary.needles}
    needles |= {*more, control.encode()}
    path = folder / "needles"
    path.write_bytes(b"\n".join(sorted(needles)) + b"\n")
    return path


@contextmanager
def watched(
    folder: Path, canaries: Iterable[Canary], needles: Path, *options: str, lines: int
) -> Iterator[Searched]:
    """Run Sealyard beside its bad company; its log is searched up to its last line."""
    told = folder / "told.json"
    told.write_text(json.dumps([canary.text for canary in canaries]))
    script = Path(__file__).with_name("company.py")
    configuration = str(folder / "sealyard.yaml")
    process = subprocess.Popen(  # noqa: S603 - Sealyard itself
        [
            sys.executable,
            "-P",
            script,
            told,
            str(lines),
            "serve",
            "--config",
            configuration,
            "--log-level",
            "debug",
            *options,
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "PYTHONASYNCIODEBUG": "1",
            "PYTHONDEVMODE": "1",
        },
    )
    assert process.stdout is not None
    searched = Searched(needles)
    reader = threading.Thread(target=searched.read, args=(process.stdout.fileno(),))
    reader.start()
    try:
        yield searched
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
        reader.join(PATIENCE_SECONDS)
        process.stdout.close()


@asynccontextmanager
async def odd_backend() -> AsyncIterator[int]:
    """Run a backend that says what it was asked in every part of its answer; yield its port."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(
            ConnectionError,
            asyncio.IncompleteReadError,
            asyncio.LimitOverrunError,
            asyncio.CancelledError,  # at the end of the test
        ):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                size = next(
                    (
                        int(line[15:])
                        for line in head.split(b"\r\n")
                        if line.lower().startswith(b"content-length:")
                    ),
                    0,
                )
                body = await reader.readexactly(size)
                target = head.split(b" ")[1]
                reply, ends = _reply(target, body)
                writer.write(reply)
                await writer.drain()
                if ends:
                    break
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield int(server.sockets[0].getsockname()[1])


def _reply(target: bytes, body: bytes) -> tuple[bytes, bool]:
    path, _, query = target.partition(b"?q=")
    secret = unquote_to_bytes(query)
    odd = {
        b"/odd/status": b"HTTP/1.1 2x0 " + secret + b"\r\n\r\n",
        b"/odd/header": b"HTTP/1.1 200 OK\r\n" + secret + b"\r\nX \x01: " + secret + b"\r\n\r\n",
        b"/odd/length": b"HTTP/1.1 200 OK\r\nContent-Length: " + secret + b"\r\n\r\n",
        b"/odd/cut": b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n" + secret,
    }
    if path in odd:
        return odd[path], True
    kind = b"application/json"
    if path == b"/odd/json":
        body = b'{"content": "' + secret
    elif path == b"/odd/token":
        body = json.dumps({"content": secret.decode("latin-1")}).encode()
    place = (
        b"Location: " + query + b"\r\nSet-Cookie: a=" + query + b"\r\n"
        if path == b"/odd/location"
        else b""
    )
    head = b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\n%bContent-Length: %d\r\n\r\n"
    return head % (kind, place, len(body)) + body, False


async def ask(port: int, path: str, token: str) -> bytes:
    """Return what the admin listener answers, or how far that comes in a second."""
    found: list[bytes] = []
    with suppress(TimeoutError):
        async with asyncio.timeout(1):
            await listen(port, path, token, found)
    return b"".join(found)


async def listen(port: int, path: str, token: str, found: list[bytes]) -> None:
    """Add to `found` what the admin listener answers, until that ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with closing(writer):
        head = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        writer.write(f"{head}Authorization: Bearer {token}\r\n\r\n".encode())
        while data := await reader.read(1 << 20):
            found.append(data)


async def send_all(port: int, requests: Iterable[bytes], *, clients: int = 8) -> None:
    """Send each request on a connection of its own, and read what comes until it ends."""
    waiting = iter(requests)

    async def client() -> None:
        for data in waiting:
            with suppress(ConnectionError, TimeoutError):
                async with asyncio.timeout(2):
                    reader, writer = await asyncio.open_connection("127.0.0.1", port)
                    with closing(writer):
                        writer.write(data)
                        await reader.read(-1)

    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(client())
