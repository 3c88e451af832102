"""One connection of a client: a loop and answers of our own.

aiohttp's loop is replaced: it makes a task, a writer and a request object for each message, logs
malformed bytes with a traceback, and echoes them to the client.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from aiohttp import web
from aiohttp.streams import StreamReader

from ...core.errors import MalformedRequest, SlowRequest, TrafficError
from ..http1.forwarding_headers import Peer
from ..interfaces import Receiver
from ..timers import NEVER
from .connection_io import Bounds, Outgoing, parse_error


class Owner(Bounds, Protocol):
    """The listener, as its connections see it."""

    @property
    def draining(self) -> bool:
        """Whether the request under way shall be the last."""

    @property
    def parting(self) -> float:
        """How long a drain waits for a request that may be on its way."""

    def began(self, task: asyncio.Task[None]) -> None:
        """Hold the task of a connection."""

    def lost(self, guest: ClientConnection) -> None:
        """Count a connection out."""

    def serve(
        self,
        connection: ClientConnection,
        message: Any,  # noqa: ANN401 - the C parser's class has no name to import
        payload: StreamReader,
    ) -> Awaitable[bool]:
        """Answer one request; return whether the connection may carry another."""

    def failed(self, error: Exception) -> None:
        """Take note of what should not have happened."""

    def refuse(self, connection: ClientConnection, error: TrafficError) -> Awaitable[None]:
        """Answer what never came to be a request."""


class ClientConnection(Outgoing):
    """Requests from one client, one after the other.

    The two deadlines are numbers that the listener's ticker looks at. `when_leaving` is called when
    the process is about to end. `live` says that the answer under way is a stream without an end,
    so that a client that sends no more has left it.
    """

    __slots__ = (
        "_ended",
        "_gone",
        "_owner",
        "live",
        "peer",
        "when_leaving",
    )

    def __init__(self, server: web.Server, owner: Owner, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(server, owner, loop)
        self._owner = owner
        self._ended = False
        self._gone: asyncio.Future[None] | None = None
        self.peer = Peer()
        self.when_leaving: Callable[[], None] | None = None
        self.live = False

    @property
    def encrypted(self) -> bool:
        """Whether the client speaks TLS."""
        return self.peer.encrypted

    @property
    def leaving(self) -> bool:
        """Whether the process is about to end."""
        return self._owner.draining

    @property
    def last(self) -> bool:
        """Whether the request under way is the last."""
        return (self._owner.draining or self._ended) and not self._messages

    # --- called by the transport --------------------------------------------------------------

    def take_over(self, transport: asyncio.Transport, peer: Peer) -> None:
        """Begin on a connection that has been admitted and has carried plain requests."""
        self.peer = peer
        transport.set_protocol(self)
        self.connection_made(transport)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._read_deadline = self._loop.time() + self._owner.timeouts.head
        super().connection_made(transport)
        if self._task_handler is not None:
            self._owner.began(self._task_handler)

    def eof_received(self) -> bool:  # type: ignore[override] # asyncio takes the answer, aiohttp has none
        """Learn that the client sends no more: its last request is answered all the same."""
        self._ended = True
        if self._receiver is not None:
            self._receiver.ended()
            return not self.encrypted
        self._cut_body()
        self._wake_linger()
        # TLS has no half-closed connections in asyncio.
        awaited = (self._busy and not self.live) or bool(self._messages)
        return awaited and not self.encrypted

    def connection_lost(self, exc: BaseException | None) -> None:
        """Learn that the client is gone, and stop working for it."""
        self._owner.lost(self)
        task = self._task_handler
        if self._receiver is not None:
            self._receiver.lost()
        self._cut_body()
        self._wake_linger()
        super().connection_lost(exc)
        # A tunnel ends by itself, once the last bytes have reached the other side.
        if task is not None and self._receiver is None:
            task.cancel()

    def _wake_linger(self) -> None:
        if self._gone is not None and not self._gone.done():
            self._gone.set_result(None)

    # --- the loop -----------------------------------------------------------------------------

    async def start(self) -> None:
        """Answer requests until there shall be no more."""
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
        """Answer the next request; return whether the connection may carry another."""
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
        keep = await self._owner.serve(self, message, payload)
        self._busy = False
        return keep

    async def _wait_for_request(self) -> None:
        """Return when there is a request to answer, or a reason to refuse one."""
        while not self._messages and self._refusal is None:
            if self._request_count:
                self._read_deadline = self._loop.time() + self._rest_at_most()
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        self._read_deadline = NEVER
        self._busy = True

    def _rest_at_most(self) -> float:
        """Return how long the next request may take to come."""
        owner = self._owner
        if self._head_bytes:
            return owner.timeouts.head
        return owner.parting if owner.draining else owner.timeouts.keepalive

    async def _linger(self) -> None:
        """Read on for a while if the client is still sending.

        Closing at once would reset the connection, and the answer with it (RFC 9112 section 9.6).
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

    # --- called by the ticker and by the listener ---------------------------------------------

    def check(self, now: float) -> None:
        """End what has lasted too long."""
        if now > self._write_deadline:
            self.abort()
        if now <= self._read_deadline:
            return
        self._read_deadline = NEVER
        if self._reading_body:
            if self._body is not None and not self._body.is_eof():
                self._body.set_exception(SlowRequest("body"))
        elif self._head_bytes:
            self._refuse_rest(SlowRequest("head"))
        else:
            self.close_idle()

    def close_idle(self) -> None:
        """Close the connection unless it has a request under way."""
        if self._idle:
            self.finish()

    @property
    def _idle(self) -> bool:
        return not self._busy and not self._messages and not self._head_bytes

    def leave(self) -> None:
        """Close the connection if it rests for long; let end what would never end by itself.

        Not at once: a request may be on its way, and would be answered by a reset.
        """
        if self._receiver is not None:
            self._receiver.leaving()
        elif self.when_leaving is not None:
            self.when_leaving()
        elif self._idle:
            deadline = self._loop.time() + self._owner.parting
            self._read_deadline = min(self._read_deadline, deadline)

    # --- the raw connection after a 101 -------------------------------------------------------

    def divert(self, receiver: Receiver) -> bytes:
        """Send all bytes from now on to `receiver`; return those that came behind the request."""
        self._receiver = receiver
        tail, self._message_tail = self._message_tail, b""
        if self._buffer_paused:
            self._resume_reading_for_buffer()
        if self._ended:
            receiver.ended()
        return tail

    def pause(self) -> None:
        """Stop reading."""
        self._pause_transport_reading()

    def resume(self) -> None:
        """Read on."""
        self._resume_transport_reading()
