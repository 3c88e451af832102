"""A server that keeps what clients send, byte by byte; it answers itself, or a backend does."""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import h11

_PIECE: Final = 65_536
_PAGE: Final = b"text/html; charset=utf-8"
_JSON: Final = b"application/json"
_HEADERS: Final = (
    (b"Access-Control-Allow-Origin", b"*"),
    (b"Connection", b"close"),
)


@dataclass(frozen=True)
class Sent:
    """A request as its client sent it; a body that came in chunks is joined."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str:
        """Return the value of a header, or nothing."""
        return next((value for key, value in self.headers if key.lower() == name), "")


@dataclass
class Recorder:
    """What is kept, in order. `pages` are HTML by their path; `port` is where clients call.

    With a `backend`, its port, all bytes go on to it, and back.
    """

    pages: dict[str, bytes] = field(default_factory=dict)
    backend: int | None = None
    kept: list[Sent] = field(default_factory=list)
    port: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take a connection."""
        with contextlib.suppress(ConnectionError):
            await (self._answer if self.backend is None else self._pass_on)(reader, writer)
        writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        read = _Reader()
        while not (found := read.after(await reader.read(_PIECE))):
            if read.waits:
                writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            if reader.at_eof():
                return
        self.kept += found
        page = self.pages.get(found[0].target) if found[0].method == "GET" else None
        body, kind = (b"{}", _JSON) if page is None else (page, _PAGE)
        lines = (*_HEADERS, (b"Content-Type", kind), (b"Content-Length", b"%d" % len(body)))
        head = b"".join(b"%b: %b\r\n" % line for line in lines)
        writer.write(b"HTTP/1.1 200 OK\r\n%b\r\n%b" % (head, body))
        await writer.drain()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        theirs, ours = await asyncio.open_connection("127.0.0.1", self.backend)
        read = _Reader()

        async def there() -> None:
            while piece := await reader.read(_PIECE):
                self.kept += read.after(piece)
                ours.write(piece)
                await ours.drain()
            ours.write_eof()

        async def back() -> None:
            while piece := await theirs.read(_PIECE):
                writer.write(piece)
                await writer.drain()
            writer.write_eof()

        try:
            await asyncio.gather(there(), back())
        finally:
            ours.close()


class _Reader:
    """Reads the requests of a connection, up to one that switches to another protocol."""

    def __init__(self) -> None:
        self._state = h11.Connection(h11.SERVER)
        self._head: h11.Request | None = None
        self._body = b""
        self._over = False

    @property
    def waits(self) -> bool:
        """Whether the client waits for `100 Continue`."""
        return self._state.they_are_waiting_for_100_continue

    def after(self, piece: bytes) -> list[Sent]:
        """Return the requests that are complete with this piece."""
        found: list[Sent] = []
        if self._over:
            return found
        self._state.receive_data(piece)
        while True:
            event = self._state.next_event()
            if isinstance(event, h11.Request):
                self._head, self._body = event, b""
            elif isinstance(event, h11.Data):
                self._body += event.data
            elif isinstance(event, h11.EndOfMessage):
                assert self._head is not None
                found.append(_sent(self._head, self._body))
                self._state.send(h11.Response(status_code=200, headers=[("Content-Length", "0")]))
                self._state.send(h11.EndOfMessage())
                if found[-1].header("upgrade") or self._state.their_state is not h11.DONE:
                    self._over = True  # what follows is of another protocol, or of nobody
                    return found
                self._state.start_next_cycle()
            else:  # it needs more, or the connection has ended
                return found


def _sent(head: h11.Request, body: bytes) -> Sent:
    lines = tuple((name.decode(), value.decode()) for name, value in head.headers.raw_items())
    return Sent(head.method.decode(), head.target.decode(), lines, body)


@contextlib.contextmanager
def recording(recorder: Recorder) -> Iterator[Recorder]:
    """Run a recorder beside the caller."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    begun = asyncio.run_coroutine_threadsafe(
        asyncio.start_server(recorder.serve, "127.0.0.1", 0), loop
    )
    server = begun.result()
    recorder.port = server.sockets[0].getsockname()[1]
    try:
        yield recorder
    finally:
        loop.call_soon_threadsafe(server.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


_PORT: Final = re.compile(r"(127\.0\.0\.1|localhost):\d{4,5}")


def scrubbed(text: str) -> str:
    """Return a text without the ports of a run."""
    return _PORT.sub(r"\1:8080", text)
