"""A client connection that aiohttp's parser reads, with a loop and responses of our own.

aiohttp's loop is replaced: it makes a task, a writer and a request object for each message, logs
malformed bytes with a traceback, and echoes them to the client.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, Protocol

from aiohttp.streams import StreamReader
from aiohttp.web_protocol import RequestHandler
from aiohttp.web_server import Server

from ...core.errors import MalformedRequest, SlowRequest, TrafficError
from ..bodies.response_writer import ResponseWriter
from ..http1.forwarding_headers import Peer
from ..interfaces import Receiver
from ..timers import NEVER
from .client_lifecycle import ConnectionOwner
from .connection_io import Outgoing, parse_error


class RequestServer(ConnectionOwner, Protocol):
    """The listener, as a ClientConnection sees it."""

    def serve(
        self,
        connection: ClientConnection,
        message: Any,  # noqa: ANN401 - the C parser's class has no name to import
        payload: StreamReader,
    ) -> Awaitable[bool]:
        """Respond to one request; return whether the connection may carry another."""

    def refuse(self, connection: ClientConnection, error: TrafficError) -> Awaitable[None]:
        """Respond to what is not a valid request."""


class ClientConnection(Outgoing):
    """Requests from one client, one after the other."""

    __slots__ = ("_gone", "_resting", "present")
    _owner: RequestServer
    present: ResponseWriter | None

    def __init__(
        self, server: Server, owner: RequestServer, loop: asyncio.AbstractEventLoop
    ) -> None:
        super().__init__(server, owner, loop)
        self._gone: asyncio.Future[None] | None = None
        self.present = None
        self._resting = False

    @property
    def encrypted(self) -> bool:
        """Whether the client speaks TLS."""
        return self.peer.encrypted

    # --- called by the transport --------------------------------------------------------------

    def take_over(self, transport: asyncio.Transport, peer: Peer, *, crowded: bool) -> None:
        """Continue a connection that a FastConnection has read so far.

        The transport tells only once that the client does not keep up: `crowded` says that it has.
        """
        self.peer = peer
        transport.set_protocol(self)
        self.connection_made(transport)
        if crowded:
            self.pause_writing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._await_head()
        super().connection_made(transport)
        if self._task_handler is not None:
            self._own(self._task_handler)

    def eof_received(self) -> bool:  # type: ignore[override] # asyncio reads the result; aiohttp has none
        """Note that the client sends no more; return whether its last request is still answered."""
        if self._receiver is not None:
            self._ended = True
            self._receiver.ended()
            return not self.peer.encrypted
        awaited = super().eof_received()
        self._cut_body()
        self._wake_linger()
        return awaited

    def _client_gone(self, exc: BaseException | None) -> None:
        if self._receiver is not None:
            self._receiver.lost()
        self._cut_body()
        self._wake_linger()
        RequestHandler.connection_lost(self, exc)

    def _wake_linger(self) -> None:
        if self._gone is not None and not self._gone.done():
            self._gone.set_result(None)

    # --- the loop -----------------------------------------------------------------------------

    async def start(self) -> None:
        """Respond to requests until the last one."""
        try:
            while await self._one_request():
                if self._ended and not self._messages:
                    break
            await self._linger()
        except ConnectionError:
            self.abort()
        except Exception as error:  # noqa: BLE001 - asyncio would log it with what it holds
            self.abort()
            self._owner.failed(error)
        finally:
            self._busy = False
            self.finish()

    async def _one_request(self) -> bool:
        """Respond to the next request; return whether the connection may carry another."""
        await self._wait_for_request()
        if not self._messages:
            error = self._refusal or MalformedRequest("request")
            await self._owner.refuse(self, error)
            return False
        message, payload = self._messages.popleft()
        self._make_room()
        exc = getattr(message, "exc", None)
        if exc is not None:
            await self._owner.refuse(self, parse_error(exc))
            return False
        try:
            return await self._owner.serve(self, message, payload)
        finally:
            self.present = None
            self._busy = False

    async def _wait_for_request(self) -> None:
        """Return when there is a request, or a reason to refuse one."""
        while not self._messages and self._refusal is None:
            if self._head_bytes and self._request_count:
                self._await_head()
            elif self._request_count:
                self._await_next_request()
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        self._read_deadline = NEVER
        self._busy = True

    async def _linger(self) -> None:
        """Read on for a while if the client is still sending.

        Closing at once would reset the connection and lose the response (RFC 9112 section 9.6).
        """
        sending = self._close or (self._body is not None and not self._body.is_eof())
        if self.transport is None or self._ended or not sending:
            return
        self._discarding = True
        self._gone = self._loop.create_future()
        self.write_eof()
        self._resume_transport_reading()
        try:
            async with asyncio.timeout(self._owner.timeouts.linger):
                await self._gone
        except TimeoutError:
            pass
        finally:
            self._gone = None

    # --- what ClientLifecycle asks for --------------------------------------------------------

    def _read_timed_out(self) -> None:
        if self._reading_body:
            if self._body is not None and not self._body.is_eof():
                self._body.set_exception(SlowRequest("body"))
        elif self._head_bytes:
            self._refuse_rest(SlowRequest("head"))
        else:
            self.close_idle()

    @property
    def _answering(self) -> bool:
        return self._busy

    @property
    def _queued(self) -> bool:
        return bool(self._messages)

    @property
    def _idle(self) -> bool:
        return not self._busy and not self._messages and not self._head_bytes

    @property
    def _incomplete(self) -> bool:
        return not self._messages and self._body is not None and not self._body.is_eof()

    @property
    def _unread(self) -> bool:
        # Once both halves are closed, poll(2) cannot tell that from a lost connection.
        paused = self._reading_paused or self._buffer_paused or self._resting
        return (self._ended or paused) and not self._shut

    @property
    def _wire(self) -> asyncio.Transport | None:
        return self.transport

    def _sends_no_more(self) -> None:
        if self._receiver is None:
            super()._sends_no_more()
        elif self._stuck:
            self.abort()
        elif not self._ended:
            self._stuck = True

    # --- the raw connection after a 101 -------------------------------------------------------

    def divert(self, receiver: Receiver) -> bytes:
        """Send all bytes from now on to `receiver`; return those that came after the request."""
        self._receiver = receiver
        self.when_leaving = receiver.leaving
        self._task = (
            None  # a tunnel ends by itself, once the last bytes have reached the other side
        )
        tail, self._message_tail = self._message_tail, b""
        if self._buffer_paused:
            self._resume_reading_for_buffer()
        # Behind what came before.
        if self._ended:
            self._loop.call_soon(receiver.ended)
        if self._owner.draining:
            self._loop.call_soon(receiver.leaving)
        return tail

    def pause(self) -> None:
        """Stop reading."""
        self._resting = True
        self._pause_transport_reading()

    def resume(self) -> None:
        """Read on."""
        self._resting = False
        self._resume_transport_reading()
