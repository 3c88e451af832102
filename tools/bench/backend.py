"""The backend of the benchmark, `python -m tools.bench.backend PORT`: echoes what is posted, fast.

Only the CPU time of the proxy before it counts; the backend must merely not be what all wait for.
It remembers the last bodies, so that a check can see what a proxy sent, and so that a list or an
event stream can be made of messages that this very proxy has sealed. It speaks as much HTTP as that
takes: messages one at a time, with Content-Length.

Below `/api/chunked/` it answers in chunks, below `/api/json/` as application/json whatever it got.
"""

from __future__ import annotations

import asyncio
import itertools
import re
import sys
from collections import deque
from collections.abc import Iterator
from typing import Final

import uvloop

from .websocket import Echo, accepted
from .works import ROWS

LAST: Final = "/-/last"
FREEZE: Final = "/-/freeze"
_LISTED_BYTES: Final = 64 * 1024
_END: Final = b"\r\n\r\n"
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_TYPE: Final = re.compile(rb"\r\ncontent-type: *([^\r]+)", re.IGNORECASE)
_JSON: Final = b"application/json"
_AS_JSON: Final = b"/api/json/"
_CHUNKED: Final = b"/api/chunked/"
_CHUNKS: Final = (
    b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"%x\r\n%b\r\n0\r\n\r\n"
)
_STREAM: Final = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
)


class Memory:
    """The last bodies that were posted, and the lists that were made of them."""

    def __init__(self) -> None:
        self._last = b""
        self._bodies: deque[bytes] = deque(maxlen=ROWS)
        self._lists: dict[bytes, bytes] = {}
        self._events: dict[bytes, list[bytes]] = {}

    def posted(self, target: bytes, body: bytes) -> bytes:
        """Remember a body and return it; or make a list of the last ones, repeated, named by it."""
        path, _, count = target.rpartition(b"/")
        if path == FREEZE.encode():
            rows = list(itertools.islice(itertools.cycle(self._bodies), int(count)))
            self._lists[body] = b'{"data": [' + b", ".join(rows) + b"]}"
            self._events[body] = [b"data: %b\n\n" % row for row in rows[:ROWS]]
            return body
        self._last = body
        if len(body) < _LISTED_BYTES:
            self._bodies.append(body)
        return body

    def read(self, target: bytes) -> bytes:
        """Return the last body, or the list that `/…/NAME/…` names."""
        if target == LAST.encode():
            return self._last
        return self._lists[target.split(b"/")[-2]]

    def events(self, target: bytes) -> Iterator[bytes]:
        """Yield the pieces of the answer that is a stream of the events of `/…/NAME/events`."""
        yield _STREAM
        for event in self._events[target.split(b"/")[-2]]:
            yield b"%x\r\n%b\r\n" % (len(event), event)
        yield b"0\r\n\r\n"


class Connection(asyncio.Protocol):
    """Answers the messages of one connection."""

    _transport: asyncio.Transport

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._chunks: list[bytes] = []
        self._held = self._wanted = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = transport  # type: ignore[assignment] # TCP has this kind

    def data_received(self, data: bytes) -> None:
        """Answer once the message is whole."""
        self._chunks.append(data)
        self._held += len(data)
        if self._held < self._wanted:
            return
        message = data if len(self._chunks) == 1 else b"".join(self._chunks)
        headless = (end := message.find(_END) + len(_END)) < len(_END)
        length = _LENGTH.search(message, 0, end)
        size = end + int(length[1]) if length else end
        if headless or self._held < size:
            self._chunks, self._wanted = [message], size
            return
        self._chunks, self._held, self._wanted = [], 0, 0
        self._answer(message, end)

    def _answer(self, message: bytes, end: int) -> None:
        method, target, _ = message[: message.find(b"\r\n")].split(b" ")
        if method in {b"POST", b"PUT"}:
            body, stated = self._memory.posted(target, message[end:]), _TYPE.search(message, 0, end)
            media_type = stated[1] if stated else b"application/octet-stream"
            if target.startswith(_AS_JSON):
                media_type = _JSON
            elif target.startswith(_CHUNKED):
                self._transport.write(_CHUNKS % (media_type, len(body), body))
                return
        elif target.endswith(b"/events"):
            self._send(self._memory.events(target))
            return
        elif answer := accepted(message[:end]):
            self._transport.write(answer)
            self._transport.set_protocol(
                Echo(self._transport, lambda body: self._memory.posted(target, body))
            )
            return
        else:
            body, media_type = self._memory.read(target), _JSON
        self._transport.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n%b"
            % (media_type, len(body), body)
        )

    def _send(self, pieces: Iterator[bytes]) -> None:
        """Send one piece in each turn of the loop, as events come one after the other."""
        if (piece := next(pieces, None)) and not self._transport.is_closing():
            self._transport.write(piece)
            asyncio.get_running_loop().call_soon(self._send, pieces)


async def _serve(port: int) -> None:
    memory = Memory()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(memory), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1])))
