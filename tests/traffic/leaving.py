"""Clients that leave in every way, and an upstream that notes when their requests end."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from itertools import count
from typing import Final, Literal

from .wire import Origin, Peer, Seen

Way = Literal["reset", "close", "half-close"]
WAYS: Final[tuple[Way, ...]] = ("reset", "close", "half-close")
GONE: Final[tuple[Way, ...]] = ("reset", "close")
SOON: Final = 1.0
"""Within so many seconds of its end, the upstream request of a client that has left has ended."""
OK: Final = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
INTERIM: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_numbers = count(1)


@dataclass
class Case:
    """One request whose client leaves, as the origin sees it."""

    number: int
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    whole: asyncio.Event = field(default_factory=asyncio.Event)
    over: asyncio.Event = field(default_factory=asyncio.Event)
    go: asyncio.Event = field(default_factory=asyncio.Event)
    bytes: bytearray = field(default_factory=bytearray)
    arrivals: int = 0


@dataclass
class Hanging:
    """An origin that answers a case when it is told to, and notes how its connection ends.

    `first` is sent as soon as the request has come, and `more` ten times a second behind it.
    """

    first: bytes = b""
    more: bytes = b""
    cases: dict[int, Case] = field(default_factory=dict)

    def case(self) -> Case:
        number = next(_numbers)
        return self.cases.setdefault(number, Case(number))

    async def serve(self, peer: Peer, origin: Origin) -> None:
        while True:
            seen = Seen(await peer.head(), b"")
            case = self.cases[int(seen.values(b"x-case")[0])]
            case.arrivals += 1
            case.bytes += seen.head
            case.begun.set()
            try:
                await self._play(peer, seen, case)
            finally:
                if not case.go.is_set():
                    case.over.set()

    async def _play(self, peer: Peer, seen: Seen, case: Case) -> None:
        if lengths := seen.values(b"content-length"):
            await self._read(peer, case, int(lengths[0]))
        elif seen.values(b"transfer-encoding"):
            async for chunk in peer.chunks():
                case.bytes += chunk
        case.whole.set()
        peer.send(self.first)
        beat = asyncio.get_running_loop().create_task(self._beat(peer))
        ended = asyncio.get_running_loop().create_task(peer.reader.read(1))
        told = asyncio.get_running_loop().create_task(case.go.wait())
        try:
            await asyncio.wait({ended, told}, return_when=asyncio.FIRST_COMPLETED)
            if ended.done():
                raise ConnectionResetError
        finally:
            for one in (beat, ended, told):
                one.cancel()
            await asyncio.gather(beat, ended, told, return_exceptions=True)
        peer.send(OK)

    async def _beat(self, peer: Peer) -> None:
        while self.more:
            await asyncio.sleep(0.1)
            peer.send(self.more)

    @staticmethod
    async def _read(peer: Peer, case: Case, size: int) -> None:
        while size:
            part = await peer.reader.read(min(size, 65536))
            if not part:
                raise ConnectionResetError
            case.bytes += part
            size -= len(part)


class Client:
    """A raw client, which can leave in every way."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.loop = asyncio.get_running_loop()

    @classmethod
    @contextlib.asynccontextmanager
    async def connected(cls, port: int) -> AsyncIterator[Client]:
        with socket.socket() as sock:
            sock.setblocking(False)  # noqa: FBT003 - the signature of the standard library
            await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
            yield cls(sock)

    async def send(self, data: bytes) -> None:
        await self.loop.sock_sendall(self.sock, data)

    def leave(self, way: Way) -> None:
        if way == "half-close":
            self.sock.shutdown(socket.SHUT_WR)
            return
        if way == "reset":
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    async def rest(self) -> bytes:
        got = b""
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(5):
                while part := await self.loop.sock_recv(self.sock, 65536):
                    got += part
        return got


def request(
    case: Case, start: bytes, body: bytes = b"", *lines: bytes, chunked: bool = False
) -> bytes:
    """Return a request of a case; `start` is its method and target."""
    head = [start + b" HTTP/1.1", b"Host: h", b"X-Case: %d" % case.number, *lines]
    if chunked:
        head.append(b"Transfer-Encoding: chunked")
        half = len(body) // 2
        pieces = (body[:half], body[half:])
        body = b"".join(b"%x\r\n%b\r\n" % (len(one), one) for one in pieces) + b"0\r\n\r\n"
    elif body:
        head.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join(head) + b"\r\n\r\n" + body


async def soon(event: asyncio.Event) -> None:
    """Wait for what happens within SOON, on a machine that does nothing else."""
    async with asyncio.timeout(3 * SOON):
        await event.wait()
