"""One connection of a client: bytes in and out, deadlines, and one exchange after the other."""

from __future__ import annotations

import asyncio
from typing import Final, Protocol, cast

from ...config.policy import SMALL_BYTES
from ...core.errors import Busy, SlowRequest, TrafficError
from ..byte_budget import Hold
from ..http1.forwarding_headers import client_name
from ..http1.framing import Framing
from ..http1.problem import Problem, problem
from ..http1.reader import RequestReader, behind_empty_lines
from ..interfaces import Answerer, Receiver, Reported, Reports
from ..timers import NEVER
from ..waits import Signal, Way
from .client_lifecycle import CONTINUE, ClientLifecycle, ConnectionOwner, reset
from .connections import peer_of
from .request import ClientBody, ClientRequest

_IN_A_ROW: Final = 32
"""So many requests of one client that need no wait are answered in one turn of the loop."""


_LATE: Final = problem(Busy("loop-lag"), "")
_AWAY: Final = _LATE.render(connection=b"close", head_only=False)
_AWAY_HEAD: Final = _LATE.render(connection=b"close", head_only=True)


class ClientOwner(ConnectionOwner, Protocol):
    """The listener, as a connection sees it."""

    @property
    def answerer(self) -> Answerer:
        """Who responds to requests; a reload puts another one there."""

    @property
    def redirected(self) -> bool:
        """Whether clients may have connected to another port than the listener's."""

    def turns_away(self, address: str) -> bool | None:
        """Return whether there is no time for a request; None: its head is to be asked."""

    def connected(self, client: ClientConnection) -> None:
        """Learn that a connection is made."""

    def refusal(self, client: ClientConnection, error: TrafficError) -> Problem:
        """Return the response to what is not a valid request."""


class ClientConnection(ClientLifecycle):
    """Requests from one client, one after the other.

    `present` is the request in progress and `_way` its exchange, which what arrives here resumes.
    What comes behind the request waits in `_buffer` from `_at` on; `_heading`: it is the beginning
    of a head. `_goes_on`: requests are begun now, or in the next turn. `_discarding`: nothing that
    comes is read any more. `_patience` is how many seconds are left for the present body, while its
    deadline is suspended. `_shut`: the sending half has been closed from here. `_stuck`: the client
    has ended its half of a WebSocket, and its last bytes wait for an upstream that takes none.
    `_queue` is what the bytes in `_buffer` take of the budget of bytes, if they are many. `_kept`
    is what an answer holds of the budget of bytes that its client has not read.
    """

    __slots__ = (
        "_at",
        "_body",
        "_buffer",
        "_discarding",
        "_drained",
        "_goes_on",
        "_heading",
        "_heads",
        "_kept",
        "_patience",
        "_paused",
        "_queue",
        "_reading",
        "_reading_body",
        "_resting",
        "_shut",
        "_stuck",
        "present",
    )
    _owner: ClientOwner

    def __init__(
        self, owner: ClientOwner, loop: asyncio.AbstractEventLoop, address: str = ""
    ) -> None:
        super().__init__(owner, loop, address)
        self._heads = RequestReader()
        self._buffer = b""
        self._at = 0
        self._heading = False
        self._goes_on = False
        self._body: ClientBody | None = None
        self._reading_body = False
        self._patience = 0.0
        self._discarding = False
        self._paused = False
        self._drained = Signal()
        self._reading = True
        self._resting = False
        self._shut = False
        self._stuck = False
        self._kept: Hold | None = None
        self._queue: Hold | None = None
        self.present: ClientRequest | None = None

    # --- called by the transport --------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)
        self.peer = peer_of(transport, self.peer.address, redirected=self._owner.redirected)
        self._await_head()
        self._owner.connected(self)

    def data_received(self, data: bytes) -> None:
        """Take bytes."""
        if self._receiver is not None:
            self._stuck = False
            self._receiver.received(data)
            return
        if self._discarding:
            return
        body = self._body
        if body is None:
            self._buffer = self._buffer + data if self._buffer else data
        else:
            self._earn(len(data))
            self._feed(body, data)
        if self._way is None:
            self._go_on()
        if len(self._buffer) > SMALL_BYTES or self._queue is not None:
            self._weigh()
        if not self._reading or len(self._buffer) > self._owner.limits.window or self._body:
            self._regulate()

    def _weigh(self) -> None:
        """Count the bytes of requests to come; where there is no memory for them, drop them."""
        queue = self._queue
        if queue is None:
            queue = self._queue = self._hold()
        left = len(self._buffer) - self._at
        queue.becomes(left if left > SMALL_BYTES else 0)
        if not (queue.size and self._owner.budget.short):
            return
        if self.present is None:
            self._refuse(Busy("memory"))
        else:
            self.present.keep = False
        self._drop()

    def _drop(self) -> None:
        """Forget what has come and is not begun."""
        self._buffer, self._at = b"", 0
        if self._queue is not None:
            self._queue.becomes(0)

    def eof_received(self) -> bool:
        """Note that the client sends no more; return whether its last request is still answered."""
        if self._receiver is not None:
            self._ended = True
            self._receiver.ended()
            return not self.peer.encrypted
        awaited = super().eof_received()
        if self._body is not None:
            self._body.cut()
        self.flush()  # what the transport does not have when it closes is lost
        return awaited and (self._way is not None or self._paused or self._goes_on)

    def pause_writing(self) -> None:
        """Note that the client does not keep up."""
        self._paused = True
        if self._receiver is not None:
            self._receiver.writable(yes=False)
        else:
            if self.present is not None and self.present.held is not None:
                self._watch(self.present.held)
            elif self.present is None and self._kept is None:  # short answers that are not read
                self._keep(self._hold())
            self._write_deadline = self._loop.time() + self._owner.timeouts.write

    def resume_writing(self) -> None:
        """Note that the client has caught up."""
        self._paused = False
        self._let_go()
        if self.present is not None and self.present.held is not None:
            self.present.held.unwatch()
        if self._receiver is not None:
            self._receiver.writable(yes=True)
            return
        if not self._closing:  # else that of `finish`, for all that is still to be read
            self._write_deadline = NEVER
        self._drained.set()
        if self._way is None and not self._closing:
            self._go_on()

    def _client_gone(self, exc: BaseException | None) -> None:
        self._transport = None
        self._let_go()
        self._drop()
        if self._queue is not None:
            self._queue.release()
        if self._receiver is not None:
            self._receiver.lost()
        if self._body is not None:
            self._body.fail(ConnectionResetError("cut"))
        self._drained.set()

    # --- one request after the other ----------------------------------------------------------

    def _go_on(self) -> None:
        """Begin the requests that have come, each once the one before is answered."""
        if self._goes_on:
            return  # an exchange that never waits ends within `_begin`
        self._goes_on, left = True, _IN_A_ROW
        try:
            while self._way is None and not (self._paused or self._closing or self._discarding):
                if not left:
                    self._loop.call_soon(self._next_turn)
                    return
                if self._at >= len(self._buffer) or not self._begin():
                    break
                left -= 1
        finally:
            self._goes_on = not left
        if self._way is None and self._ended and not (self._paused or self._discarding):
            self.finish()  # what may have come of another request has no end

    def _next_turn(self) -> None:
        self._goes_on = False
        if self._transport is not None:
            self._go_on()
            self._regulate()

    def _begin(self) -> bool:
        """Begin the next request; return whether there was one."""
        limits = self._owner.limits
        at = self._at
        if not self._heading:
            at = self._at = behind_empty_lines(self._buffer, at)
        try:
            found = self._heads.read(
                self._buffer,
                at,
                line=limits.header_line,
                head=limits.head,
                fields=limits.headers,
            )
        except TrafficError as error:
            self._refuse(error)
            return False
        if found is None:
            self._buffer, self._at = self._buffer[at:], 0
            if not self._heading and self._buffer not in {b"", b"\r"}:
                self._heading = True
                self._await_head()
            return False
        raw, end = found
        if end == len(self._buffer):
            self._buffer, self._at = b"", 0
        else:
            self._at = end
        self._heading = False
        self._read_deadline = NEVER
        away = self._owner.turns_away(self.peer.address)
        if away:
            # Before anything is made of it. How it is framed is not known, so nothing follows it.
            self.write(_AWAY_HEAD if raw.method == "HEAD" else _AWAY)
            self._end(sending=True)
            return False
        self.present = request = ClientRequest(self, raw, weighed=away is False)
        try:
            way = Way(self._owner.answerer.handle(request), self._over)
        except Exception as error:  # noqa: BLE001 - nothing of it may reach asyncio's log
            self.broke(error)
            return False
        self._way = way
        way.go()
        return True

    def _over(self, error: BaseException | None) -> None:
        """Continue once a request is answered, or has failed as none should."""
        request, self.present, self._way = self.present, None, None
        body, self._body = self._body, None
        self._reading_body = False  # an upload that is given up sees that later
        if request is not None and (request.held is not None or self._paused):
            self._keep(request.held or self._hold())
        if self._queue is not None:
            self._queue.becomes(len(self._buffer) - self._at)
        if error is None and request is not None:
            self._answered(keep=request.keep, unread=body is not None or request.incomplete)
            return
        self.abort()
        if error is None or isinstance(error, (ConnectionError, asyncio.CancelledError)):
            return
        if not isinstance(error, Exception):
            raise error
        self._owner.failed(error)

    def _hold(self) -> Hold:
        return Hold(self._owner.budget, client_name(self.peer.address))

    def _keep(self, held: Hold) -> None:
        """Hold the memory of an answer until its client has read it."""
        transport = self._transport
        if held.size:
            self.flush()
        if transport is None or not self._paused:
            held.release()
            return
        self._let_go()
        self._kept = held
        held.becomes(self.unsent())
        self._watch(held)

    def _watch(self, held: Hold) -> None:
        """Give a client up that hardly reads while others wait for memory."""
        unread = self.unsent()
        held.watch(lambda: unread - self.unsent(), self.abort)

    def _let_go(self) -> None:
        kept, self._kept = self._kept, None
        if kept is not None:
            kept.release()

    def _answered(self, *, keep: bool, unread: bool) -> None:
        if self._closing:
            return
        if self._receiver is not None:
            self.finish()
        elif not keep:
            self._end(sending=unread)
        elif self._at < len(self._buffer) or self._ended:
            self._go_on()
            if self._way is None and not self._discarding:
                self._regulate()
                if not self._heading:
                    self._await_next_request()
        else:
            self._buffer, self._at = b"", 0
            self._await_next_request()
            if not self._reading:
                self._regulate()

    def _refuse(self, error: TrafficError) -> None:
        """Respond to what is not a valid request; what follows it is not read."""
        self._read_deadline = NEVER
        self.write(self._owner.refusal(self, error).render(connection=b"close", head_only=False))
        self._end(sending=True)

    def _end(self, *, sending: bool) -> None:
        """Close the connection behind the last response.

        Where the client is still `sending`, its bytes are read and dropped for a while: closing at
        once would reset the connection and lose the response (RFC 9112 section 9.6).
        """
        self._drop()
        linger = self._owner.timeouts.linger
        if not sending or self._ended or self._closing or not linger:
            self._discarding = True
            self.finish()
            return
        self._discarding = True
        self.write_eof()
        self._regulate()
        self._read_deadline = self._loop.time() + linger

    def broke(self, error: Exception) -> None:
        """Drop the connection after an error that should not have happened."""
        self.abort()
        self._owner.failed(error)

    # --- the body of the present request ------------------------------------------------------

    def whole(self, framing: Framing) -> bytes | None:
        """Return the whole body if all of it has come, None where it has not or is in chunks."""
        length = framing.length
        if length is None:
            return None
        buffer, at = self._buffer, self._at
        end = at + length
        if len(buffer) < end:
            return None
        if len(buffer) == end:
            self._buffer, self._at = b"", 0
        else:
            self._at = end
        return buffer[at:end]

    def reads(self, body: ClientBody) -> None:
        """Let a body take what comes next."""
        self._patience = self._owner.timeouts.body
        self._body = body
        if self._at < len(self._buffer):
            data, self._buffer, self._at = self._buffer[self._at :], b"", 0
            self._feed(body, data)
        elif self._ended:
            body.cut()

    def _feed(self, body: ClientBody, data: bytes) -> None:
        rest = body.put(data)
        if body.complete:
            self._body = None
            self._buffer = rest
        elif body.broken:
            self._body = None  # what follows is not a request
            self._discarding = True
        elif body.unread:
            self._loop.call_soon(self.data_received, b"")  # which reads on
        elif self._ended:
            body.cut()
        body.wake()

    def took(self) -> None:
        """Read on, if the body had filled the window."""
        if not self._reading:
            self._regulate()

    def invite(self) -> None:
        """Let a client that waits for a 100 send its body."""
        self.send(CONTINUE)

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

    # --- how much is read ---------------------------------------------------------------------

    def _regulate(self) -> None:
        """Read only as much as has room: of a body, or of requests that wait."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        window = self._owner.limits.window
        full = self._resting
        if not full and not self._discarding and self._receiver is None:
            body = self._body
            full = len(self._buffer) - self._at > window or (
                body is not None and (body.waiting > window or body.unread)
            )
        if full and self._reading:
            self._reading = False
            transport.pause_reading()
        elif not full and not self._reading:
            self._reading = True
            transport.resume_reading()

    # --- what is sent -------------------------------------------------------------------------

    @property
    def _closing(self) -> bool:
        """Whether nothing follows on this connection."""
        return self._transport is None or self._transport.is_closing()

    def write(self, data: bytes) -> None:
        """Send bytes; `drain` before sending more."""
        if self._transport is None:
            raise ConnectionResetError("the client is gone")
        if self._receiver is None:
            self._put(data)
        else:
            super().send(data)

    def send(self, data: bytes) -> None:
        """Send bytes now, behind what waits."""
        if self._transport is None:
            raise ConnectionResetError("the client is gone")
        super().send(data)

    @property
    def crowded(self) -> bool:
        """Whether the client does not keep up."""
        return self._paused

    async def drain(self) -> None:
        """Wait until the client takes more."""
        self.flush()
        while self._paused and self._transport is not None:
            await self._drained.wait()
        if self._transport is None:
            raise ConnectionResetError("the client is gone")

    def report(self, reports: Reports, record: Reported) -> None:
        """Report a message once what has been written is sent."""
        self.write_buffer.report_behind(reports, record)

    def finish(self) -> None:
        """Close the connection once the client has read what was sent; it must do so soon."""
        if self._transport is not None:
            self.flush()
            self._read_deadline = NEVER
            self._write_deadline = self._loop.time() + self._owner.timeouts.write
            self._transport.close()

    def abort(self) -> None:
        """Drop the connection, so that the client sees that its response was cut."""
        self._forget()
        if self._transport is not None:
            reset(self._transport)

    def write_eof(self) -> None:
        """Close the sending half."""
        self.flush()
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if transport.can_write_eof():
            self._shut = True
            transport.write_eof()
        elif self._receiver is not None:
            transport.close()  # TLS cannot close one half

    # --- what ClientLifecycle asks for --------------------------------------------------------

    def _read_timed_out(self) -> None:
        if self._reading_body:
            if self._body is not None:
                self._body.fail(SlowRequest("body"))
        elif self._discarding:
            self.finish()
        elif self._heading:
            self._refuse(SlowRequest("head"))
        elif self._way is None:
            self.close_idle()

    @property
    def _answering(self) -> bool:
        return self._way is not None

    @property
    def _queued(self) -> bool:
        return self._body is None and self._at < len(self._buffer)

    @property
    def _idle(self) -> bool:
        waits = self._heading or self._at < len(self._buffer)
        return not (waits or self._discarding) and self._way is None

    @property
    def _incomplete(self) -> bool:
        return self._body is not None

    @property
    def _unread(self) -> bool:
        # Once both halves are closed, poll(2) cannot tell that from a lost connection.
        return (self._ended or not self._reading) and not self._shut

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
        tail = self._buffer[self._at :]
        self._drop()
        self._regulate()
        # Behind what came before.
        if self._ended:
            self._loop.call_soon(receiver.ended)
        if self._owner.draining:
            self._loop.call_soon(receiver.leaving)
        return tail

    def pause(self) -> None:
        """Stop reading."""
        self._resting = True
        self._regulate()

    def resume(self) -> None:
        """Read on."""
        self._resting = False
        self._regulate()
