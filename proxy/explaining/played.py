"""The two ends of a trial: a client that asks once, and a backend that answers as it is told.

Both speak plain HTTP/1.1 and WebSocket frames over a socket, and read only what Sealyard writes.
"""

from __future__ import annotations

import asyncio
import hashlib
import socket
from base64 import b64encode
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from ..core.explain.explanation import PlayedAnswer, Wanted
from ..core.http.message import Headers, header_values
from ..traffic.websocket.frames import BINARY, CLOSE, TEXT, frame
from ..traffic.websocket.reader import FRAGMENT, Arrived, MessageReader
from .policy import FRAME_BYTES, READ_BYTES

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 section 1.3
_BODILESS: Final = frozenset({204, 304})
_INTERIM: Final = range(100, 200)
_SWITCHING: Final = 101
_NORMAL: Final = (1000).to_bytes(2, "big")
_CODE_BYTES: Final = 2
_STREAMS: Final = (b"text/event-stream", b"application/x-ndjson")


@dataclass(slots=True)
class Received:
    """What the client got: a response, or what came of the messages of a WebSocket.

    `arrivals` has, for each message, what arrived at its other end; None where it was refused.
    """

    raw: bytes = b""
    status: int = 0
    body: bytes | None = None
    opened: bool = False
    closed: int | None = None
    arrivals: list[bytes | None] = field(default_factory=list)


class _Peer:
    """One end of a connection, which reads heads, bodies and frames."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer
        self.raw = bytearray()

    async def head(self) -> tuple[bytes, Headers] | None:
        """Return the first line of a head and its headers; None where the connection has ended."""
        try:
            text = await self._reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        self.raw += text
        first, *lines = text[:-4].split(b"\r\n")
        headers = tuple(
            (name, value.strip()) for name, _, value in (line.partition(b":") for line in lines)
        )
        return first, headers

    async def body(self, headers: Headers, *, until_end: bool) -> bytes | None:
        """Return a body; None where it was cut off."""
        try:
            if header_values(headers, b"transfer-encoding"):
                return await self._chunks()
            if lengths := header_values(headers, b"content-length"):
                return await self._exactly(int(lengths[0]))
            rest = await self._reader.read(-1) if until_end else b""
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        self.raw += rest
        return rest

    async def _chunks(self) -> bytes:
        body = bytearray()
        while True:
            line = await self._reader.readuntil(b"\r\n")
            size = int(line.partition(b";")[0], 16)
            piece = await self._reader.readexactly(size + 2)
            if not size:
                return bytes(body)
            body += piece[:-2]
            self.raw += piece[:-2]

    async def _exactly(self, size: int) -> bytes:
        body = await self._reader.readexactly(size)
        self.raw += body
        return body

    async def message(self, frames: MessageReader) -> Arrived | None:
        """Return the next frame; None where the connection has ended."""
        while True:
            for arrived in iter(frames.next, None):
                if arrived is not FRAGMENT:
                    # Frames are masked at random.
                    self.raw += b"%d %b\r\n" % (arrived.opcode, arrived.payload)
                    return arrived
            try:
                data = await self._reader.read(READ_BYTES)
            except ConnectionError:
                return None
            if not data:
                return None
            frames.put(data)

    async def end(self) -> None:
        """Close the connection."""
        self.writer.close()
        with suppress(ConnectionError):
            await self.writer.wait_closed()


class PlayedBackend:
    """A backend that answers every request alike, and notes the last one.

    `questions` are the targets at which it is asked for a name first, with what it answers there.
    """

    def __init__(
        self,
        answer: PlayedAnswer,
        *,
        reads_messages: bool,
        questions: Mapping[str, PlayedAnswer] | None = None,
    ) -> None:
        self.answer = answer
        self._questions = dict(questions or {})
        self.reads_messages = reads_messages
        self._peers: list[_Peer] = []
        self._tasks: list[asyncio.Task[None]] = []
        self.asked: bytes | None = None
        self.body: bytes | None = None
        self.socket: _Peer | None = None
        self.frames = MessageReader(masked=True, limit=FRAME_BYTES, deflate=False)

    @property
    def raw(self) -> bytes:
        """All bytes that came, chunks put together."""
        return b"".join(peer.raw for peer in self._peers)

    @property
    def target(self) -> str:
        """The target of the request."""
        return "" if self.asked is None else self.asked.split(b" ")[1].decode("latin-1")

    def forget(self) -> None:
        """Forget what has come, before another request."""
        self.asked = self.body = None
        for peer in self._peers:
            peer.raw.clear()

    async def serve(self, sock: socket.socket) -> None:
        """PlayedAnswer the requests of one connection."""
        peer = _Peer(*await asyncio.open_unix_connection(sock=sock))
        self._peers.append(peer)
        self._tasks.append(asyncio.get_running_loop().create_task(self._serve(peer)))

    async def close(self) -> None:
        """End all connections."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for peer in self._peers:
            await peer.end()

    async def _serve(self, peer: _Peer) -> None:
        while (head := await peer.head()) is not None:
            first, headers = head
            body = await peer.body(headers, until_end=False)
            if body is None:
                return
            method, target, _ = first.decode("latin-1").split(" ")
            told = self._questions.pop(target, None) if method == "GET" else None
            if told is not None:
                peer.writer.write(_response(told, head_only=False))
                continue
            self.asked, self.body = first, body
            if self.reads_messages:
                self.socket = peer
                self.frames = MessageReader(masked=True, limit=FRAME_BYTES, deflate=False)
                peer.writer.write(_switching(headers))
                return
            peer.writer.write(_response(self.answer, head_only=first.startswith(b"HEAD ")))
            await peer.writer.drain()


class PlayedClient:
    """The client of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._peer = _Peer(reader, writer)

    async def ask(self, wanted: Wanted, backend: PlayedBackend) -> Received:
        """Send a request, and all messages of a WebSocket; return what comes back."""
        received = Received()
        self._peer.writer.write(_request(wanted))
        status, headers = await self._status()
        received.status = status
        if status == _SWITCHING:
            received.opened = True
            await self._exchange(wanted, backend, received)
        else:
            bodiless = wanted.method == "HEAD" or status in _BODILESS
            received.body = (
                b"" if bodiless else await self._peer.body(headers, until_end=bool(status))
            )
        received.raw = bytes(self._peer.raw)
        return received

    async def leave(self) -> None:
        """Close the connection."""
        await self._peer.end()

    async def _status(self) -> tuple[int, Headers]:
        while (head := await self._peer.head()) is not None:
            status = int(head[0].split(b" ")[1])
            if status not in _INTERIM or status == _SWITCHING:
                return status, head[1]
        return 0, ()

    async def _exchange(self, wanted: Wanted, backend: PlayedBackend, received: Received) -> None:
        """Send each message once the one before has arrived, or was refused."""
        frames = MessageReader(masked=False, limit=FRAME_BYTES, deflate=False)
        there = backend.socket
        assert there is not None  # noqa: S101 - it has accepted the handshake
        for message in wanted.messages:
            upward = message.direction == "request"
            opcode = BINARY if message.binary else TEXT
            sender, receiver = (self._peer, there) if upward else (there, self._peer)
            sender.writer.write(frame(opcode, message.payload, masked=upward))
            arrived = await receiver.message(backend.frames if upward else frames)
            if arrived is None or arrived.opcode == CLOSE:
                received.arrivals.append(None)
                mine = await self._peer.message(frames) if upward else arrived
                received.closed = _code(mine)
                return
            received.arrivals.append(arrived.payload)
        self._peer.writer.write(frame(CLOSE, _NORMAL, masked=True))


def _code(arrived: Arrived | None) -> int | None:
    if arrived is None or len(arrived.payload) < _CODE_BYTES:
        return None
    return int.from_bytes(arrived.payload[:_CODE_BYTES], "big")


def _request(wanted: Wanted) -> bytes:
    method = "GET" if wanted.websocket else wanted.method
    lines = [f"{method} {wanted.target} HTTP/1.1".encode("utf-8", "surrogateescape")]
    lines += [name + b": " + value for name, value in wanted.headers]
    framed = header_values(wanted.headers, b"content-length") or header_values(
        wanted.headers, b"transfer-encoding"
    )
    if wanted.body and not framed:
        lines.append(b"Content-Length: %d" % len(wanted.body))
    return b"\r\n".join((*lines, b"", b"")) + wanted.body


def _response(answer: PlayedAnswer, *, head_only: bool) -> bytes:
    lines = [b"HTTP/1.1 %d Played" % answer.status]
    lines += [name + b": " + value for name, value in answer.headers]
    if answer.status in _BODILESS:
        return b"\r\n".join((*lines, b"", b""))
    kind = b"".join(header_values(answer.headers, b"content-type"))
    body = answer.body
    if kind.startswith(_STREAMS):
        lines.append(b"Transfer-Encoding: chunked")
        body = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
        body += b"0\r\n\r\n"
    elif not header_values(answer.headers, b"content-length"):
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join((*lines, b"", b"" if head_only else body))


def _switching(headers: Headers) -> bytes:
    key = header_values(headers, b"sec-websocket-key")[0]
    accept = b64encode(hashlib.sha1(key + _GUID).digest())  # noqa: S324 - RFC 6455
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Accept: %b\r\n\r\n" % accept
    )
