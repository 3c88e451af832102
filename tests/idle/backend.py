"""A backend in a process of its own: takes WebSockets, echoes their bytes, answers other requests.

`python -m tests.idle.backend` prints its port. It ends when its input does.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib

from tests.servers import serve_until_input_ends

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 section 1.3
PONG = b"\x8a\x00"
_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Line(asyncio.Protocol):
    """One connection."""

    def __init__(self) -> None:
        """Begin in HTTP."""
        self._transport: asyncio.WriteTransport | None = None
        self._head = b""
        self._switched = False
        self._answers = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Echo, or answer a whole head."""
        assert self._transport is not None
        if self._switched:
            # Where Sealyard reads what passes, an echo of masked frames would break the protocol.
            self._transport.write(PONG if self._answers else data)
            return
        self._head += data
        if not self._head.endswith(b"\r\n\r\n"):
            return
        lines = dict(line.lower().split(b": ", 1) for line in self._head.split(b"\r\n")[1:-2])
        key = next(
            (one.split(b": ")[1] for one in self._head.split(b"\r\n") if b"-Key: " in one), None
        )
        self._answers = self._head.startswith(b"GET /ruled ")
        self._head = b""
        if key is None or b"upgrade" not in lines:
            self._transport.write(_OK)
            return
        self._switched = True
        accept = base64.b64encode(hashlib.sha1(key + _GUID).digest())  # noqa: S324 - RFC 6455
        self._transport.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )


if __name__ == "__main__":
    asyncio.run(serve_until_input_ends(Line))
