"""One connection of a client, as long as all that comes on it is plain.

A request that came whole goes its way without a task. One that cannot do without waits gets a task
of its own. Bytes that are not plain are handed over, with the connection, to ClientConnection and
its parser, for good.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final, Protocol, cast

from .hop import Peer
from .incoming import Bounds
from .plain_head import may_become_plain, read_plain
from .plain_request import PlainRequest
from .redirected import called_port
from .ticker import NEVER
from .trip import Station, Trip

HELD_BODY: Final = 262144
"""A body up to so many bytes waits here until all of it has come."""
HELD_SECONDS: Final = 0.25
"""What has not come whole by then is the parser's, with its deadlines for slow clients."""


class PlainOwner(Bounds, Protocol):
    """The listener, as its plain connections see it."""

    @property
    def draining(self) -> bool:
        """Whether the request under way shall be the last."""

    @property
    def redirected(self) -> bool:
        """Whether clients may have called another port than the listener's."""

    @property
    def parting(self) -> float:
        """How long a drain waits for a request that may be on its way."""

    def admits(self, connection: PlainConnection) -> bool:
        """Count a new connection in; return whether there was room for it."""

    def lost(self, connection: PlainConnection) -> None:
        """Count a connection out."""

    def began(self, task: asyncio.Task[None]) -> None:
        """Hold a task."""

    def failed(self, error: BaseException) -> None:
        """Take note of what should not have happened."""

    def depart(self, request: PlainRequest, station: Station) -> Trip | None:
        """Send a request upstream without a wait, or return None and send nothing."""

    def handle(self, request: PlainRequest) -> Coroutine[Any, Any, None]:
        """Answer a request."""

    def hand_over(
        self, connection: PlainConnection, transport: asyncio.Transport, data: bytes, *, ended: bool
    ) -> bool:
        """Let a parser read `data` and what comes behind it; `ended` says that nothing does.

        Return whether the connection stays open for writing.
        """


class PlainConnection(asyncio.Protocol):
    """Plain requests from one client, one after the other.

    The two deadlines are numbers that the listener's ticker looks at. `when_leaving` is called when
    the process is about to end.
    """

    __slots__ = (
        "_drained",
        "_ended",
        "_held",
        "_loop",
        "_missing",
        "_owner",
        "_paused",
        "_read_deadline",
        "_request",
        "_rest",
        "_task",
        "_transport",
        "_trip",
        "_write_deadline",
        "peer",
        "when_leaving",
    )

    def __init__(self, owner: PlainOwner, loop: asyncio.AbstractEventLoop) -> None:
        self._owner = owner
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._held = b""  # the beginning of a request
        self._missing = 0  # how many bytes of its body are still to come, at least
        self._rest = b""  # what came behind the request under way
        self._request: PlainRequest | None = None
        self._trip: Trip | None = None
        self._task: asyncio.Task[None] | None = None
        self._ended = False
        self._paused = False
        self._drained: asyncio.Future[None] | None = None
        self._read_deadline = NEVER
        self._write_deadline = NEVER
        self.peer = Peer()
        self.when_leaving: Callable[[], None] | None = None

    @property
    def leaving(self) -> bool:
        """Whether the process is about to end."""
        return self._owner.draining

    @property
    def last(self) -> bool:
        """Whether the request under way is the last."""
        return (self._owner.draining or self._ended) and not self._rest

    # --- called by the transport --------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, if there is room."""
        self._transport = cast("asyncio.Transport", transport)
        self.peer = peer_of(transport, redirected=self._owner.redirected)
        if not self._owner.admits(self):
            self._transport.abort()
            return
        self._read_deadline = self._loop.time() + self._owner.timeouts.head

    def data_received(self, data: bytes) -> None:
        """Take bytes."""
        if self._request is not None or self._paused:
            self._keep_for_later(data)
        elif not self._held:
            self._take(data)
        else:
            self._held += data
            self._missing -= len(data)
            if self._missing <= 0:
                held, self._held = self._held, b""
                self._take(held)

    def eof_received(self) -> bool:
        """Learn that the client sends no more: its last request is answered all the same."""
        self._ended = True
        if self._held:
            return self._hand_over(self._held)
        # TLS has no half-closed connections in asyncio.
        return self._request is not None and not self.peer.encrypted

    def connection_lost(self, exc: Exception | None) -> None:
        """Learn that the client is gone, and stop working for it."""
        self._transport = None
        self._owner.lost(self)
        if self._trip is not None:
            self._trip.abandon()
        if self._task is not None:
            self._task.cancel()
        if self._drained is not None and not self._drained.done():
            self._drained.set_exception(exc or ConnectionResetError("the client is gone"))

    def pause_writing(self) -> None:
        """Learn that the client does not keep up."""
        self._paused = True
        self._write_deadline = self._loop.time() + self._owner.timeouts.write

    def resume_writing(self) -> None:
        """Learn that the client has caught up."""
        self._paused = False
        self._write_deadline = NEVER
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        elif self._request is None:
            self._rest_or_go_on()

    # --- requests -----------------------------------------------------------------------------

    def _take(self, data: bytes) -> None:
        """Take the beginning of a request, or all of it."""
        head = read_plain(data)
        if head is None:
            if may_become_plain(data):
                self._hold(data, 1)
            else:
                self._hand_over(data)
            return
        end = head.size + (head.length or 0)
        limits = self._owner.limits
        if (
            head.size > min(limits.header_line, limits.head)
            or len(head.raw.headers) > limits.headers
            or end - head.size > HELD_BODY
            or len(data) > end
        ):
            self._hand_over(data)
        elif len(data) < end:
            self._hold(data, end - len(data))
        else:
            self._read_deadline = NEVER
            self._begin(PlainRequest(self, head, data[head.size :]))

    def _hold(self, data: bytes, missing: int) -> None:
        self._held = data
        self._missing = missing
        self._read_deadline = min(self._read_deadline, self._loop.time() + HELD_SECONDS)

    def _begin(self, request: PlainRequest) -> None:
        self._request = request
        try:
            trip = self._owner.depart(request, self)
        except BaseException as error:
            self.broke(error)
            if not isinstance(error, Exception):
                raise
            return
        if trip is None:
            self.begin_anew(request)
        elif not trip.over:
            self._trip = trip

    def _hand_over(self, data: bytes) -> bool:
        """Leave the connection to a parser; return whether it stays open for writing."""
        transport, self._transport = self._transport, None
        if transport is None:
            return False
        if not transport.is_reading():
            transport.resume_reading()
        return self._owner.hand_over(self, transport, data, ended=self._ended)

    def _keep_for_later(self, data: bytes) -> None:
        self._rest += data
        if len(self._rest) > self._owner.limits.window and self._transport is not None:
            self._transport.pause_reading()

    # --- called by trips ----------------------------------------------------------------------

    def begin_anew(self, request: PlainRequest) -> None:
        """Let the handler answer the request from its beginning."""
        self.go_on(request, self._owner.handle(request))

    def go_on(self, request: PlainRequest, way: Coroutine[Any, Any, None]) -> None:
        """Let a task walk the rest of the way."""
        self._trip = None
        self._task = self._loop.create_task(self._walk(request, way))
        self._owner.began(self._task)

    async def _walk(self, request: PlainRequest, way: Coroutine[Any, Any, None]) -> None:
        try:
            await way
        except ConnectionError:
            self.abort()
        except Exception as error:  # noqa: BLE001 - asyncio would log it with what it holds
            self.broke(error)
        except BaseException:  # cancelled: the client is gone, or time is up
            self.abort()
            raise
        finally:
            self._task = None
        self.ended(request)

    def broke(self, error: BaseException) -> None:
        """Drop the connection, for what should not have happened."""
        self.abort()
        self._owner.failed(error)

    def ended(self, request: PlainRequest) -> None:
        """Go over to the next request, if there is to be one."""
        self._request = self._trip = None
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if not request.keep or (self._ended and not self._rest):
            self._finish(transport)
        elif not self._paused:
            self._rest_or_go_on()

    def _rest_or_go_on(self) -> None:
        if self._rest:
            # A client that does not wait for its answers: the parser's queue keeps their order.
            self._hand_over(self._rest)
        else:
            owner = self._owner
            rest = owner.parting if owner.draining else owner.timeouts.keepalive
            self._read_deadline = self._loop.time() + rest

    def _finish(self, transport: asyncio.Transport) -> None:
        """Close the connection behind what the client has still to read, which it must do soon."""
        self._write_deadline = self._loop.time() + self._owner.timeouts.write
        transport.close()

    # --- called by the ticker and by the listener ---------------------------------------------

    def check(self, now: float) -> None:
        """End what has lasted too long."""
        if now > self._write_deadline:
            self.abort()
        elif now > self._read_deadline:
            self._read_deadline = NEVER
            if self._held:
                self._hand_over(self._held)
            elif self._request is None and self._transport is not None:
                self._finish(self._transport)

    def leave(self) -> None:
        """Close the connection if it rests for long; let end what would never end by itself."""
        if self.when_leaving is not None:
            self.when_leaving()
        elif self._request is None and not self._held:
            # Not at once: a request may be on its way, and would be answered by a reset.
            deadline = self._loop.time() + self._owner.parting
            self._read_deadline = min(self._read_deadline, deadline)

    # --- writing ------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Send bytes; `drain` before sending more."""
        if self._transport is None:
            raise ConnectionResetError("the client is gone")
        self._transport.write(data)

    async def drain(self) -> None:
        """Wait until the client takes more."""
        if self._paused and self._transport is not None:
            self._drained = self._loop.create_future()
            try:
                await self._drained
            finally:
                self._drained = None
        if self._transport is None:
            raise ConnectionResetError("the client is gone")

    def abort(self) -> None:
        """Drop the connection, so that the client sees that its answer was cut."""
        if self._transport is not None:
            self._transport.abort()


def peer_of(transport: asyncio.BaseTransport, *, redirected: bool) -> Peer:
    """Return who is at the other end, and of `redirected` clients which port they called."""
    name = transport.get_extra_info("peername")
    address = name[0].partition("%")[0] if isinstance(name, tuple) else ""
    encrypted = transport.get_extra_info("ssl_object") is not None
    return Peer(address, encrypted=encrypted, called=called_port(transport) if redirected else 0)
