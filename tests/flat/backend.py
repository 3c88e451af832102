"""A backend in a process of its own: answers each request with its body, takes each WebSocket.

`python -m tests.flat.backend` prints its port. It ends when its input does.
"""

from __future__ import annotations

import asyncio
import re

from tests.servers import serve_until_input_ends

_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)
_SWITCHED = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: ICX+Yqv66kxgM0FcWaLWlFLwTAI=\r\n\r\n"
)
"""For the key of sixteen zero bytes."""


class Line(asyncio.Protocol):
    """One connection, of which only whole requests are answered."""

    def __init__(self) -> None:
        """Begin with nothing read."""
        self._transport: asyncio.WriteTransport | None = None
        self._read = bytearray()
        self._awaited = 0
        self._asked_to_switch = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer every request that is there whole."""
        assert self._transport is not None
        self._read += data
        while len(self._read) >= self._awaited and (end := self._read.find(b"\r\n\r\n") + 4) > 4:
            found = _LENGTH.search(self._read, 0, end)
            self._asked_to_switch = b"\r\nUpgrade: websocket\r\n" in self._read[:end]
            self._awaited = end + (int(found[1]) if found else 0)
            if len(self._read) < self._awaited:
                return
            body = bytes(self._read[end : self._awaited]) or b"{}"
            del self._read[: self._awaited]
            self._awaited = 0
            if body == b"{}" and self._asked_to_switch:
                self._transport.write(_SWITCHED)
                return
            self._transport.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
                % (len(body), body)
            )


if __name__ == "__main__":
    asyncio.run(serve_until_input_ends(Line))
