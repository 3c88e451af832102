"""The life of one client connection: its deadlines, the drain, and how the client leaves."""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket
import struct
from abc import abstractmethod
from collections.abc import Callable
from enum import IntEnum
from typing import Final, Protocol

from ...config.limits import Timeouts, TrafficLimits
from ...config.settings import ClientClose
from ..bodies.response_writer import ResponseWriter
from ..byte_budget import ByteBudget
from ..http1.forwarding_headers import Peer
from ..http1.framing import HTTP_10
from ..interfaces import Receiver
from ..policy import GONE_SECONDS, RESET_SECONDS
from ..timers import NEVER
from ..turns import Sending, WriteBuffer
from ..waits import Way


class ConnectionOwner(Protocol):
    """The listener, as its connections see it. A reload may change limits and timeouts."""

    @property
    def limits(self) -> TrafficLimits:
        """Sizes and numbers."""

    @property
    def timeouts(self) -> Timeouts:
        """Waits."""

    @property
    def on_client_close(self) -> ClientClose:
        """What a client that closes its sending half is taken for."""

    @property
    def budget(self) -> ByteBudget:
        """The memory of messages."""

    @property
    def draining(self) -> bool:
        """Whether the request in progress is to be the last."""

    @property
    def idle_grace(self) -> float:
        """For how many seconds a drain keeps an idle connection: a request may be on its way."""

    @property
    def write_buffer(self) -> WriteBuffer:
        """Where bytes wait for the end of the loop's iteration."""

    def outlived(self, end: asyncio.Future[None]) -> None:
        """Wait for the end of an exchange whose client has gone, before all is closed."""

    def lost(self, client: ClientLifecycle) -> None:
        """Count a connection out."""

    def failed(self, error: BaseException) -> None:
        """Log an error that should not have happened."""


CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"

_ENDED: Final = getattr(select, "POLLRDHUP", 0)  # Linux alone can tell it from a lost connection
_LOST: Final = select.POLLERR | select.POLLHUP


def end_of(transport: asyncio.BaseTransport) -> int:
    """Return whether the peer of a connection that is not read has ended it, as poll(2) says.

    Neither asyncio nor uvloop notices it then: they wait for an end only while they read.
    """
    connection = transport.get_extra_info("socket")
    if connection is None or not _ENDED or (file := connection.fileno()) < 0:
        return 0
    poll = select.poll()
    poll.register(file, _ENDED)
    return sum(events for _, events in poll.poll(0))


class Asking(IntEnum):
    """How far the question is whether a client that sends no more still reads."""

    UNASKED = 0
    NOTICED = 1
    DUE = 2
    ASKED = 3


class ClientLifecycle(Sending):
    """The life of one client connection: its deadlines, the drain, and how the client leaves.

    A reset ends the request in progress at once, a FIN before the end of the request soon. Behind a
    complete request a FIN may be a half-close (RFC 9293 section 3.6), after which the client reads
    its response, or a close. Only a write can tell: the system of a client that has closed replies
    with a reset. Under `on_client_close: probe` that is one `100 Continue`, which any client takes
    (RFC 9110 section 15.2), or the response, if it has begun.

    ClientConnection reads the bytes, and says what is in progress.

    Attributes:
        peer: Who is at the other end.
        when_leaving: Called when the drain begins, by what would not end by itself.
        live: The response in progress has no end of its own. A client that has closed its sending
            half has left such a response.
        _ended: The client has closed its sending half, and all that it sent has been read.
        _asking: Whether the client has been asked by a `100 Continue` if it still reads.
        _read_deadline: Time of the loop by which the client must have sent what is awaited, or
            NEVER. The listener's timer compares it.
        _write_deadline: The same for what the client must have read.
        _way: The exchange to cancel when the client is gone.
    """

    __slots__ = (
        "_asking",
        "_ended",
        "_loop",
        "_owner",
        "_read_deadline",
        "_receiver",
        "_way",
        "_write_deadline",
        "live",
        "peer",
        "when_leaving",
    )

    def __init__(
        self, owner: ConnectionOwner, loop: asyncio.AbstractEventLoop, address: str
    ) -> None:
        """Begin with a client at an `address`, which has sent nothing."""
        super().__init__(owner.write_buffer)
        self._owner = owner
        self._loop = loop
        self._asking = Asking.UNASKED
        self._ended = False
        self._read_deadline = NEVER
        self._write_deadline = NEVER
        self._receiver: Receiver | None = None
        self._way: Way | None = None
        self.live = False
        self.peer = Peer(address)
        self.when_leaving: Callable[[], None] | None = None

    # --- what the reading class says ----------------------------------------------------------

    @property
    @abstractmethod
    def _answering(self) -> bool:
        """Whether a request is in progress."""

    @property
    @abstractmethod
    def _queued(self) -> bool:
        """Whether bytes of another request have come behind the one in progress."""

    @property
    @abstractmethod
    def _idle(self) -> bool:
        """Whether no request is in progress, and none has begun to come."""

    @property
    @abstractmethod
    def present(self) -> ResponseWriter | None:
        """The request in progress, if its head has been read."""

    @property
    @abstractmethod
    def _incomplete(self) -> bool:
        """Whether the request in progress lacks a part of its body."""

    @property
    @abstractmethod
    def _unread(self) -> bool:
        """Whether the transport does not read, so that it does not notice the client's end."""

    @abstractmethod
    def write(self, data: bytes) -> None:
        """Send bytes; raise ConnectionError where the client is gone."""

    @abstractmethod
    def _read_timed_out(self) -> None:
        """End what the client should have sent by now."""

    @abstractmethod
    def _client_gone(self, exc: BaseException | None) -> None:
        """Wake what waits for the client."""

    @abstractmethod
    def finish(self) -> None:
        """Close the connection once the client has read what was sent; it must do so soon."""

    @abstractmethod
    def abort(self) -> None:
        """Drop the connection, so that the client sees that its response was cut."""

    # --- the drain, as a response sees it -----------------------------------------------------

    @property
    def leaving(self) -> bool:
        """Whether the process is about to end."""
        return self._owner.draining

    @property
    def last(self) -> bool:
        """Whether the request in progress is the last."""
        return (self._owner.draining or self._ended) and not self._queued

    # --- called by the transport --------------------------------------------------------------

    def eof_received(self) -> bool:
        """Note that the client sends no more; return whether its last request is still answered."""
        self._ended = True
        if self._answering and self._leaves_by_closing:
            self.abort()
            return False
        awaited = (self._answering or self._queued) and not self.peer.encrypted
        if awaited and self._asking == Asking.UNASKED:
            self._notice_end()
        return awaited

    def connection_lost(self, exc: BaseException | None) -> None:
        """Count the client out, and stop working for it."""
        self._owner.lost(self)
        way = self._way
        self._client_gone(exc)
        # A tunnel ends by itself, once the last bytes have reached the other side.
        if way is not None and self._receiver is None:
            self._stop(way)

    def _stop(self, way: Way) -> None:
        way.cancel()
        if not way.ended:
            self._owner.outlived(way.end())

    def stop(self) -> None:
        """Drop the connection, and stop working for its client."""
        self.abort()
        way, self._way = self._way, None  # else it is cancelled again where the connection is lost
        if way is not None:
            self._stop(way)

    # --- a client that leaves -----------------------------------------------------------------

    @property
    def _leaves_by_closing(self) -> bool:
        """Whether a client that sends no more has left, whatever it may still read."""
        # TLS has no half-closed connections in asyncio, and records without end have no last one.
        return self.live or self.peer.encrypted or self._owner.on_client_close == "abort"

    def _look_for_end(self) -> None:
        """Find out whether a client whose connection is not read has left."""
        wire = self._transport
        if wire is None or wire.is_closing() or not self._unread:
            return
        end = end_of(wire)
        if end & _LOST:
            self.abort()
        elif end and self._answering:
            self._sends_no_more()

    def _sends_no_more(self) -> None:
        """Decide about the request in progress of a client that has closed its sending half."""
        if self._leaves_by_closing:
            self.abort()
        elif self._asking == Asking.UNASKED:
            self._notice_end()
        elif self._asking >= Asking.DUE:
            if self._ended and self._incomplete:
                self.abort()
            elif self._asking == Asking.DUE and self._owner.on_client_close == "probe":
                self._ask()

    def _notice_end(self) -> None:
        """Decide a little later: what is answered soon needs no question.

        By two timers in a row: a loop that was held up runs its timers before it polls its sockets,
        so that an answer may be there when the first of them is late.
        """
        self._asking = Asking.NOTICED
        self._loop.call_later(GONE_SECONDS, self._loop.call_later, GONE_SECONDS, self._decide)

    def _decide(self) -> None:
        self._asking = Asking.DUE
        self._look_for_end()

    def _ask(self) -> None:
        """Ask a client if it still reads, unless a response has begun, which asks as well."""
        present = self.present
        if present is None or present.answered:
            return
        if present.raw.version == HTTP_10:  # it has no interim responses
            self.abort()
            return
        self._asking = Asking.ASKED
        self.write(CONTINUE)
        self._loop.call_later(RESET_SECONDS, self._look_for_end)

    # --- deadlines ----------------------------------------------------------------------------

    def _await_head(self) -> None:
        """Give the client the time for one request head."""
        self._read_deadline = self._loop.time() + self._owner.timeouts.head

    def _await_next_request(self) -> None:
        """Give the client the time between two requests."""
        owner = self._owner
        seconds = owner.idle_grace if owner.draining else owner.timeouts.keepalive
        self._read_deadline = self._loop.time() + seconds

    # --- called by the listener and its timer -------------------------------------------------

    def check(self, now: float) -> None:
        """End what has passed its deadline, or is for a client that has left."""
        if now > self._write_deadline:
            self.abort()
        elif now > self._read_deadline:
            self._read_deadline = NEVER
            self._read_timed_out()
        elif self._unread:
            self._look_for_end()

    def leave(self) -> None:
        """Begin the drain: let end what would not end by itself, and soon close what is idle.

        Not at once: a request may be on its way, and a reset would be its response.
        """
        if self.when_leaving is not None:
            try:
                self.when_leaving()
            except Exception as error:  # noqa: BLE001 - the other clients must hear of the drain
                self.abort()
                self._owner.failed(error)
        elif self._idle:
            deadline = self._loop.time() + self._owner.idle_grace
            self._read_deadline = min(self._read_deadline, deadline)

    def close_idle(self) -> None:
        """Close the connection unless a request is in progress or has begun to come."""
        if self._idle:
            self.finish()


_AT_ONCE: Final = struct.pack("ii", 1, 0)


def reset(transport: asyncio.Transport) -> None:
    """Drop a connection by a reset rather than a close, where its kind knows the difference.

    A response without a length or chunks ends with its connection (RFC 9112 section 6.3), so after
    a close, a response that was cut would pass for a complete one.
    """
    sock = transport.get_extra_info("socket")
    if sock is not None:
        with contextlib.suppress(OSError):  # it is gone already
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
    transport.abort()
