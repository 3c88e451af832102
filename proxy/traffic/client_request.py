"""One request, and the answer to it in our own bytes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Any

from aiohttp import StreamReader

from ..core.forwardable import Forwardable
from .client_connection import ClientConnection
from .event_borders import EventBorders, streams_events
from .framing import ABSENT, CHUNKED, HTTP_10, LAST_CHUNK, Framing, as_chunk
from .gate import RawRequest
from .hop import NOWHERE, Peer, Places
from .interfaces import RawConnection, UpstreamResponse
from .problem import Problem
from .request_body import CONTINUE, ClientBody
from .response_head import response_head

_ONE_WRITE = 65536


class ClientRequest:
    """A request that has arrived.

    `keep` tells, once it has been answered, whether the connection may carry another request.
    """

    __slots__ = ("_connection", "_message", "_payload", "_places", "answered", "keep", "raw")

    def __init__(
        self,
        connection: ClientConnection,
        message: Any,  # noqa: ANN401 - the C parser's class has no name to import
        payload: StreamReader,
    ) -> None:
        self._connection = connection
        self._message = message
        self._payload = payload
        self._places = NOWHERE
        self.answered = False
        self.keep = True
        version = (message.version.major, message.version.minor)
        self.raw = RawRequest(message.method, message.path, version, message.raw_headers)

    def body(self, framing: Framing, *, expects_continue: bool) -> ClientBody:
        """Return the body, once the gate has told how it is framed."""
        return ClientBody(
            self._payload,
            framing,
            invite=self._invite if expects_continue else None,
            waiting=self._connection.awaiting_body,
        )

    @property
    def peer(self) -> Peer:
        """Who sent it."""
        return self._connection.peer

    async def relay(
        self,
        message: Forwardable,
        response: UpstreamResponse,
        *,
        places: Places,
        close: bool = False,
    ) -> int:
        """Answer with a response of the upstream; return how many bytes of body were sent.

        Raises:
            TrafficError: The response broke off; if it had begun, the client sees it cut.
        """
        if not isinstance(message, Forwardable):
            raise TypeError("only a Forwardable can be sent")
        self._places = places
        if close:
            self.keep = False
        if response.bodiless:
            self._send(message, _bodiless_framing(message, response, self.raw.method))
            response.take()
            return 0
        body = message.body if message.body is not None else response.take()
        if body is None:
            return await self._stream(message, response)
        self._send(message, Framing(len(body)), body)
        await self._connection.drain()
        return len(body)

    async def refuse(self, problem: Problem, *, close: bool = False) -> None:
        """Answer with a problem of Sealyard's own; cut the answer if one has begun."""
        if self.answered:
            self._connection.abort()
            return
        self.answered = True
        if close:
            self.keep = False
        head_only = self.raw.method == "HEAD"
        connection = self._connection_header()
        self._connection.write(problem.render(connection=connection, head_only=head_only))
        await self._connection.drain()

    async def switch(self, head: bytes) -> RawConnection:
        """Answer with a 101 and return the connection."""
        self.answered = True
        self.keep = False
        self._connection.write(head)
        return self._connection

    def _invite(self) -> None:
        self._connection.write(CONTINUE)

    def _connection_header(self) -> bytes | None:
        """Decide whether the connection goes on, and return what to tell the client about it.

        With bytes of the body still to come, the connection ends: they are not a request. So it
        does behind an Upgrade that was not granted, where the parser has lost its place (B14).
        """
        message = self._message
        unread = not self._payload.is_eof()
        if message.should_close or message.upgrade or unread or self._connection.last:
            self.keep = False
        if not self.keep:
            return b"close"
        return b"keep-alive" if self.raw.version == HTTP_10 else None

    def _send(self, message: Forwardable, framing: Framing, body: bytes = b"") -> None:
        head = response_head(
            message, framing, connection=self._connection_header(), places=self._places
        )
        self.answered = True
        if len(body) <= _ONE_WRITE:
            self._connection.write(head + body)
        else:
            self._connection.write(head)
            self._connection.write(body)

    async def _stream(self, message: Forwardable, response: UpstreamResponse) -> int:
        framing = response.framing
        if framing.length is None or not framing.present:
            framing = CHUNKED
            if self.raw.version == HTTP_10:
                # RFC 9112 section 6.1: no chunks for HTTP/1.0; the end of the connection ends it.
                framing = ABSENT
                self.keep = False
        self._send(message, framing)
        chunks = response.chunks()
        if framing.length is None and streams_events(response.head.headers):
            chunks = self._until_leaving(response)
        try:
            async for data in chunks:
                self._connection.write(as_chunk(data) if framing.chunked else data)
                await self._connection.drain()
            if framing.chunked:
                self._connection.write(LAST_CHUNK)
        except BaseException:
            # Never an end that looks like one: no last chunk, and a reset rather than a close.
            self._connection.abort()
            raise
        return response.arrived

    async def _until_leaving(self, response: UpstreamResponse) -> AsyncIterator[bytes]:
        """Return a stream of events up to the end of one, once the process is about to end."""
        connection = self._connection
        borders = EventBorders()

        def leave() -> None:
            if borders.at_border:
                response.stop()

        connection.when_leaving = leave
        try:
            async for data in response.chunks():
                if connection.leaving and (size := borders.last_border(data)):
                    yield data[:size]
                    return
                borders.pass_by(data)
                yield data
        finally:
            connection.when_leaving = None


def _bodiless_framing(message: Forwardable, response: UpstreamResponse, method: str) -> Framing:
    """Return what to say of a body that is not sent: the length that a GET would have shown."""
    stays_empty = response.head.status in {HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED}
    if method != "HEAD" or message.ruled or stays_empty or response.framing.length is None:
        return ABSENT
    return response.framing
