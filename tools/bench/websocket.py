"""WebSocket messages: a client that loads a proxy with them, and the backend that echoes them.

    python -m tools.bench.websocket PORT PATH CONNECTIONS SECONDS < MESSAGE

Each connection sends the message, waits for its echo, and sends it again; the figures are printed
as wrk's script prints its own. It speaks as much of RFC 6455 as that takes: whole messages in one
frame.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
import sys
import time
from collections.abc import Callable, Iterator
from typing import Final, cast

import uvloop

_END: Final = b"\r\n\r\n"
_KEY: Final = re.compile(rb"\r\nsec-websocket-key: *(\S+)", re.IGNORECASE)
_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_MASK: Final = b"\x37\xfa\x21\x3d"
_TEXT, _BINARY, _CLOSE = 1, 2, 8
_SHORT, _TWO_BYTES, _EIGHT_BYTES = 125, 126, 127
_PATIENCE_SECONDS: Final = 10.0


def frame(payload: bytes, *, mask: bytes = b"", opcode: int = _TEXT) -> bytes:
    """Return a message in one frame, masked as a client must."""
    size, flag = len(payload), 0x80 if mask else 0
    if size <= _SHORT:
        head = bytes((0x80 | opcode, flag | size))
    elif size < 1 << 16:
        head = bytes((0x80 | opcode, flag | _TWO_BYTES)) + size.to_bytes(2)
    else:
        head = bytes((0x80 | opcode, flag | _EIGHT_BYTES)) + size.to_bytes(8)
    return head + mask + (_masked(payload, mask) if mask else payload)


def _masked(payload: bytes, mask: bytes) -> bytes:
    size = len(payload)
    key = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(payload) ^ int.from_bytes(key)).to_bytes(size)


class Frames:
    """Takes bytes as they come, and yields the whole messages among them."""

    def __init__(self) -> None:
        self._held = b""

    def messages(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Yield opcode and payload of each frame that is complete."""
        self._held += data
        while found := self._first():
            opcode, payload, end = found
            self._held = self._held[end:]
            yield opcode, payload

    def _first(self) -> tuple[int, bytes, int] | None:
        held = self._held
        if len(held) < 2:  # noqa: PLR2004 - the least that a head has
            return None
        size, at = held[1] & 0x7F, 2
        if size > _SHORT:
            more = 2 if size == _TWO_BYTES else 8
            size, at = int.from_bytes(held[at : at + more]), at + more
        start = at + (4 if held[1] & 0x80 else 0)
        mask, end = held[at:start], start + size
        if len(held) < end:
            return None
        payload = held[start:end]
        return held[0] & 0x0F, _masked(payload, mask) if mask else payload, end


def handshake(path: str) -> bytes:
    """Return the request of a client that asks for a WebSocket."""
    return (
        f"GET {path} HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Key: YmVuY2htYXJrIG9mIDE2Yg==\r\n"
        "Sec-WebSocket-Version: 13\r\n\r\n"
    ).encode()


def accepted(head: bytes) -> bytes | None:
    """Return the backend's answer to a handshake, or None where the request is none."""
    if not (key := _KEY.search(head)):
        return None
    proof = base64.b64encode(hashlib.sha1(key[1] + _GUID, usedforsecurity=False).digest())
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + proof + _END
    )


class Echo(asyncio.Protocol):
    """The backend's end of a WebSocket: sends back every message, once `posted` has seen it."""

    def __init__(self, transport: asyncio.Transport, posted: Callable[[bytes], object]) -> None:
        self._transport = transport
        self._posted = posted
        self._frames = Frames()

    def data_received(self, data: bytes) -> None:
        """Echo what is complete."""
        for opcode, payload in self._frames.messages(data):
            if opcode in {_TEXT, _BINARY}:
                self._posted(payload)
                self._transport.write(frame(payload, opcode=opcode))
            elif opcode == _CLOSE:
                self._transport.write(frame(payload, opcode=_CLOSE))
                self._transport.close()


class Client(asyncio.Protocol):
    """One connection of the load; `times` are the seconds that each echo took."""

    _transport: asyncio.Transport

    def __init__(self, path: str, message: bytes) -> None:
        self.times: list[float] = []
        self.last = b""
        self.failed = 0
        self._path = path
        self._sent = frame(message, mask=_MASK)
        self._frames = Frames()
        self._head: bytes | None = b""
        self._began = 0.0
        self._ends = 0.0
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the WebSocket."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(handshake(self._path))

    def begin(self, ends: float) -> None:
        """Send the first message; the last is the one that is under way at `ends`."""
        self._ends, self._began = ends, time.perf_counter()
        self._transport.write(self._sent)

    def data_received(self, data: bytes) -> None:
        """Send the message again once its echo is here."""
        if self._head is not None:
            self._head += data
            head, end, data = self._head.partition(_END)
            if not end:
                return
            self._head = None
            if not head.startswith(b"HTTP/1.1 101 "):
                self.connection_lost(ConnectionError(head.decode("latin-1")))
                return
            self.opened.set_result(None)
        for opcode, payload in self._frames.messages(data):
            now = time.perf_counter()
            if opcode == _CLOSE:
                self._transport.close()
                return
            self.times.append(now - self._began)
            self.last = payload
            if now >= self._ends:
                self.done.set_result(None)
                return
            self._began = now
            self._transport.write(self._sent)

    def connection_lost(self, error: Exception | None) -> None:
        """Count it, unless all was done."""
        for future in (self.opened, self.done):
            if not future.done():
                self.failed = 1
                future.set_exception(error or ConnectionError("closed"))

    def close(self) -> None:
        """Say good-bye, and leave."""
        self._transport.write(frame(b"\x03\xe8", mask=_MASK, opcode=_CLOSE))
        self._transport.close()


async def run(
    port: int, path: str, message: bytes, connections: int, seconds: float
) -> dict[str, float]:
    """Load a proxy, and return the figures as wrk's script names them.

    With `seconds` 0 each connection sends one message. Raises OSError and TimeoutError.
    """
    loop = asyncio.get_running_loop()
    clients = [
        (await loop.create_connection(lambda: Client(path, message), "127.0.0.1", port))[1]
        for _ in range(connections)
    ]
    async with asyncio.timeout(seconds + _PATIENCE_SECONDS):
        await asyncio.gather(*(client.opened for client in clients))
        began = time.perf_counter()
        for client in clients:
            client.begin(began + seconds)
        await asyncio.gather(*(client.done for client in clients))
        took = time.perf_counter() - began
    for client in clients:
        client.close()
    times = sorted(one * 1e6 for client in clients for one in client.times)
    return {
        "requests": len(times),
        "seconds": took,
        "p50": times[len(times) // 2],
        "p99": times[len(times) * 99 // 100],
        "failed": sum(client.failed for client in clients),
    }


def echo(port: int, path: str, message: bytes) -> bytes:
    """Return what comes back of one message. Raises OSError and TimeoutError."""

    async def once() -> bytes:
        loop = asyncio.get_running_loop()
        _, client = await loop.create_connection(lambda: Client(path, message), "127.0.0.1", port)
        async with asyncio.timeout(_PATIENCE_SECONDS):
            await client.opened
            client.begin(0.0)
            await client.done
        client.close()
        return client.last

    return asyncio.run(once())


if __name__ == "__main__":
    figures = uvloop.run(
        run(
            int(sys.argv[1]),
            sys.argv[2],
            sys.stdin.buffer.read(),
            int(sys.argv[3]),
            float(sys.argv[4]),
        )
    )
    sys.stdout.write(f"@{json.dumps(figures)}\n")
