"""Input and output of a connection that aiohttp's parser reads, one head or body at a time.

aiohttp's RequestHandler has the parser (llhttp), the queue of pipelined requests with its back
pressure, and bodies as streams.
"""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp.http_exceptions import HttpProcessingError, LineTooLong
from aiohttp.http_parser import HttpRequestParser
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import RequestHandler, RequestPayloadError
from aiohttp.web_server import Server

from ...core.errors import HeadTooLarge, MalformedRequest, TrafficError, UnsupportedTransferCoding
from ..http1.boundaries import MessageBoundaries
from ..http1.framing import CHUNKED, Framing
from ..http1.gate import check_line
from ..interfaces import Receiver
from ..timers import NEVER
from .client_lifecycle import ClientLifecycle, ConnectionOwner, reset


class Incoming(ClientLifecycle, RequestHandler):  # type: ignore[misc] # aiohttp drops asyncio's result
    """The receiving half of a client's connection; Outgoing is the other half.

    `_refusal` is why the bytes after the queued requests are refused. `_patience` is how many
    seconds are left for the present body, while its deadline is suspended. `_shut`: the sending
    half has been closed from here. `_stuck`: the client has ended its half of a WebSocket, and its
    last bytes wait for an upstream that takes none.
    """

    __slots__ = (
        "_asking",
        "_body",
        "_boundaries",
        "_busy",
        "_discarding",
        "_ended",
        "_head_bytes",
        "_owner",
        "_patience",
        "_read_deadline",
        "_reading_body",
        "_receiver",
        "_refusal",
        "_rest",
        "_shut",
        "_stuck",
        "_task",
        "_write_deadline",
        "live",
        "peer",
        "when_leaving",
    )

    def __init__(
        self, server: Server, owner: ConnectionOwner, loop: asyncio.AbstractEventLoop
    ) -> None:
        limits = owner.limits
        RequestHandler.__init__(
            self,
            server,
            loop=loop,
            keepalive_timeout=0,  # the listener's timer sees to it
            access_log=None,  # type: ignore[arg-type] # aiohttp's own way to have none
            max_line_size=limits.header_line,
            max_field_size=limits.header_line,
            max_headers=limits.headers,
            read_bufsize=limits.window,
            auto_decompress=False,
        )
        self._init_lifecycle(owner)
        self._body: StreamReader | None = None
        self._boundaries = MessageBoundaries()
        self._busy = False
        self._discarding = False
        self._head_bytes = 0
        self._receiver: Receiver | None = None
        self._refusal: TrafficError | None = None
        self._reading_body = False
        self._patience = 0.0
        self._rest = b""
        self._shut = False
        self._stuck = False

    def data_received(self, data: bytes) -> None:
        """Take bytes; none means that the parser may continue with what it holds."""
        if self._receiver is not None and data:
            self._stuck = False
            self._receiver.received(data)
            return
        if self._discarding or self._close:
            return
        if not data:
            self._parse(b"")
        data, self._rest = self._rest + data, b""
        while data and not self._close:
            if self._buffer_paused or self._reading_paused:
                self._rest = data
                return
            size = len(data) if self._upgraded else self._boundaries.take(data)
            self._check_line()
            self._parse(data[:size])
            data = data[size:]

    def _check_line(self) -> None:
        line = self._boundaries.line
        if line is not None and not self._upgraded:
            try:
                check_line(line)
            except MalformedRequest as error:
                self._refuse_rest(error)

    def _parse(self, data: bytes) -> None:
        """Hand bytes of one head or body to the parser."""
        in_body = self._body is not None and not self._body.is_eof()
        count = self._request_count
        super().data_received(data)
        if self._request_count != count:
            self._take_note_of_request()
        elif in_body:
            self._earn(len(data))
            self._take_note_of_end()
        elif data and not self._upgraded:
            self._take_note_of_head(len(data))

    def _take_note_of_request(self) -> None:
        message, payload = self._messages[-1]
        self._head_bytes = 0
        if isinstance(getattr(message, "exc", None), HttpProcessingError):
            # The parser stops after an error: what follows is not a request (A23).
            self._close = True
            if self._body is not None and not self._body.is_eof():
                self._body.set_exception(MalformedRequest("body"))
            return
        self._body = payload
        self._patience = self._owner.timeouts.body
        if not payload.is_eof():
            self._boundaries.begin_body(_framing(message))
        self._take_note_of_end()

    def awaiting_body(self, *, waiting: bool) -> None:
        """Run or suspend the deadline for the body: it counts only while the body is awaited."""
        now = self._loop.time()
        if waiting:
            self._read_deadline = now + self._patience
        elif self._reading_body:
            self._patience = self._read_deadline - now
            self._read_deadline = NEVER
        self._reading_body = waiting

    def _earn(self, size: int) -> None:
        """Extend the deadline for each byte of the body, up to that of a new body."""
        most = self._owner.timeouts.body
        earned = size / self._owner.limits.upload_rate
        if self._reading_body:
            self._read_deadline = min(self._read_deadline + earned, self._loop.time() + most)
        else:
            self._patience = min(self._patience + earned, most)

    def _take_note_of_end(self) -> None:
        if self._body is not None and self._body.is_eof():
            if self._boundaries.in_chunks and not self._upgraded:
                self._parser = self._new_parser()
            self._boundaries.begin_head()

    def _new_parser(self) -> HttpRequestParser:
        """Return a parser as RequestHandler makes one.

        A chunked body leaves its last trailer in the parser, which would make it the first header
        of the next request, and the pause that many chunks have asked for.
        """
        return HttpRequestParser(
            self,
            self._loop,
            self._read_bufsize,
            max_line_size=self.max_line_size,
            max_field_size=self.max_field_size,
            max_headers=self.max_headers,
            payload_exception=RequestPayloadError,
            auto_decompress=False,
            max_msg_queue_size=self._max_msg_queue_size,
        )

    def _take_note_of_head(self, size: int) -> None:
        """Bound the whole head: the parser bounds only each line and their number."""
        if not self._head_bytes and not self._busy:
            self._await_head()
        self._head_bytes += size
        if self._head_bytes > self._owner.limits.head:
            self._refuse_rest(HeadTooLarge("head"))

    def _refuse_rest(self, error: TrafficError) -> None:
        self._refusal = error
        self._close = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _cut_body(self) -> None:
        body = self._body
        # An error before the end is kept: it is what the client and the log shall see.
        if body is not None and not body.is_eof() and body.exception() is None:
            body.set_exception(ConnectionResetError("cut"))

    def _make_room(self) -> None:
        """Let the parser continue after a full queue, as aiohttp's own loop does."""
        if self._parser is not None:
            self._parser.message_consumed()
        if self._buffer_paused and len(self._messages) <= self._msg_queue_resume_size:
            self._resume_reading_if_drained()
            self._go_on()

    def _go_on(self) -> None:
        if self._rest:
            rest, self._rest = self._rest, b""
            self.data_received(rest)


def _framing(message: Any) -> Framing:  # noqa: ANN401 - the C parser's class has no name to import
    """Return how a body is framed; the parser has checked it and the gate will check it again."""
    length = message.headers.get("Content-Length")
    return CHUNKED if message.chunked or length is None else Framing(int(length))


def parse_error(exc: HttpProcessingError) -> TrafficError:
    """Return the error for what the parser refused, without its text: that holds client bytes."""
    if isinstance(exc, LineTooLong):
        return HeadTooLarge("line")
    if exc.message.startswith("Too many headers"):
        return HeadTooLarge("headers")
    if exc.message.startswith("Request has invalid `Transfer-Encoding`"):
        return UnsupportedTransferCoding("transfer-encoding")
    return MalformedRequest("parser")


class Outgoing(Incoming):
    """Sends bytes no faster than the client reads them."""

    __slots__ = ()

    def pause_writing(self) -> None:
        """Note that the client does not keep up."""
        super().pause_writing()
        if self._receiver is not None:
            self._receiver.writable(yes=False)

    def resume_writing(self) -> None:
        """Note that the client has caught up."""
        super().resume_writing()
        if self._receiver is not None:
            self._receiver.writable(yes=True)

    def write(self, data: bytes) -> None:
        """Send bytes; `drain` before sending more."""
        if self.transport is None:
            raise ConnectionResetError("the client is gone")
        self.transport.write(data)

    send = write

    @property
    def crowded(self) -> bool:
        """Whether the client does not keep up."""
        return self._paused

    async def drain(self) -> None:
        """Wait until the client takes more."""
        if self._paused:
            self._write_deadline = self._loop.time() + self._owner.timeouts.write
            await self._drain_helper()
            self._write_deadline = NEVER
        if self.transport is None:
            raise ConnectionResetError("the client is gone")

    def finish(self) -> None:
        """Close the connection once the client has read what was sent; it must do so soon."""
        if self.transport is not None:
            self._force_close = True
            self._write_deadline = self._loop.time() + self._owner.timeouts.write
            self.transport.close()

    def abort(self) -> None:
        """Drop the connection, so that the client sees that its response was cut."""
        self._force_close = True
        if self.transport is not None:
            reset(self.transport)

    def write_eof(self) -> None:
        """Close the sending half."""
        transport = self.transport
        if transport is None or transport.is_closing():
            return
        if transport.can_write_eof():
            self._shut = True
            transport.write_eof()
        elif self._receiver is not None:
            transport.close()  # TLS cannot close one half
