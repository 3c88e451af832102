"""One connection to the upstream.

One message uses it at a time: a coroutine, and the task that uploads its body. The connection keeps
a deadline as a loop time, which the pool's timer compares.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from ...core.errors import Busy, UpstreamFailed, UpstreamTimeout
from ...core.http.message import ResponseHead
from ..byte_budget import add_piece
from ..http1.reader import ResponseReader
from ..interfaces import Receiver
from ..policy import LONG_TRANSFER_SECONDS, UNREAD_SECONDS
from ..timers import NEVER
from ..turns import WriteBuffer
from ..waits import Signal
from .permits import Permit
from .upstream_socket import UpstreamSocket


class UpstreamConnection(UpstreamSocket):
    """The messages on a connection to the upstream.

    Attributes:
        deadline: Loop time by which the present wait must have ended.
        expires: Loop time from which an idle connection is too old for another message.
        used: It has carried a message before.
        permit: That of its message.
        error: What its message has failed with.
        passes: Sends a piece of the body at once, if it can; returns whether it has. None: none is.
    """

    __slots__ = (
        "_arrived",
        "_awaiting",
        "_moved",
        "_pending",
        "_silence",
        "_size",
        "_stopped",
        "_uploading",
        "_usual_silence",
        "_window",
        "deadline",
        "error",
        "expires",
        "passes",
        "permit",
        "reader",
        "used",
    )

    def __init__(
        self, reader: ResponseReader, write_buffer: WriteBuffer, *, window: int, silence: float
    ) -> None:
        super().__init__(write_buffer)
        self.reader = reader
        self._window = window
        self._silence = self._usual_silence = silence
        self._pending: list[bytes] = []
        self._size = 0
        self._arrived = Signal()
        self._awaiting = ""
        self.error: BaseException | None = None
        self._stopped = False
        self._uploading = 0.0
        self._moved = 0.0
        self.passes: Callable[[bytes], bool] | None = None
        self.deadline = NEVER
        self.expires = NEVER
        self.used = False
        self.permit: Permit | None = None

    # --- called by the transport --------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Take bytes."""
        if self._receiver is not None:
            self._receiver.received(data)
            return
        reader = self.reader
        if not (self.wrote or reader.complete):
            # The request waits for the end of this turn: these bytes are no response to it.
            self.fail(UpstreamFailed("response-before-request"))
            return
        try:
            body = reader.feed(data)
        except UpstreamFailed as error:
            self.fail(error)
            return
        passed = bool(body) and self.passes is not None and self._pass_on(body, self.passes)
        if body and not passed:
            add_piece(self._pending, body)
            self._size += len(body)
        if self._awaiting == "stream" and self.deadline is not NEVER:
            self.deadline = self._loop.time() + self._silence
        if reader.unread:
            self._loop.call_soon(self._read_on)
        if self._size > self._window or reader.unread or reader.doubt or not self._reading:
            self._regulate()
        if not passed:
            self._arrived.set()

    def _read_on(self) -> None:
        """Read on in what has come, now that others have had a turn."""
        if self.reader.unread and self.error is None:
            self.data_received(b"")

    def _regulate(self) -> None:
        """Read only as much of a body as has room; pause before the unread, and at the last end."""
        reader = self.reader
        full = reader.doubt if reader.complete else self._size > self._window
        if full or reader.unread:
            self.pause()
        else:
            self.resume()

    def _pass_on(self, body: bytes, passes: Callable[[bytes], bool]) -> bool:
        """Let a piece of the body pass by whoever waits for it; return whether it has."""
        if self._pending or self.reader.complete or not self._arrived.has_waiter:
            return False
        try:
            passed = passes(body)
        except BaseException as error:
            self.fail(error)  # which ends the wait
            if not isinstance(error, Exception):
                raise
            return True
        if passed:
            self.moved()
        return passed

    def eof_received(self) -> bool:
        """Note that the upstream sends no more; only a tunnel may still write."""
        if self._receiver is not None:
            self._receiver.ended()
            return True
        self._end()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that the connection is lost."""
        self._open = False
        if self._receiver is not None:
            self._receiver.lost()
            return
        if self.error is None:  # else we have cut it: its end is not that of a body
            if exc is None:
                self._end()
            elif not self.reader.complete:
                self.fail(UpstreamFailed("connection-lost"))
        self.reader.doubt = True
        self._arrived.set()
        self._drain.set()

    def _end(self) -> None:
        try:
            self.reader.end()
        except UpstreamFailed as error:
            self.fail(error)
        self._arrived.set()

    # --- called by the coroutine of a message -------------------------------------------------

    @property
    def alive(self) -> bool:
        """Whether the connection can carry another message, as far as is known."""
        transport = self._transport
        return (
            self._open
            and not self.reader.doubt  # which comes with every error
            and transport is not None
            and not transport.is_closing()
        )

    def begin(self, *, head_only: bool, upgrade: bool) -> None:
        """Prepare for one message."""
        self.wrote = False
        self.passes = None
        self._silence = self._usual_silence
        self.reader.expect(head_only=head_only, upgrade=upgrade)
        self.deadline = NEVER
        self._uploading = 0.0
        self._moved = 0.0

    def write(self, data: bytes) -> None:
        """Send bytes; `drain` before sending more."""
        if self._transport is None or self.error is not None:
            return
        if self._receiver is None:
            self._put(data)
        else:
            self.send(data)

    async def drain(self) -> None:
        """Wait until the upstream takes more; raise the error of the message, if it failed."""
        self.flush()
        while self._open and not self._writable and self.error is None:
            self._await("upload", self._silence)
            await self._drain.wait()
            if self._arrived.has_waiter and self.reader.head is not None:
                self.await_body()  # the response has begun, and somebody waits for more of it
            else:
                self.deadline = NEVER
        if self.error is not None:
            raise self.error
        if not self._open:
            raise UpstreamFailed("connection-lost")

    async def head(self) -> ResponseHead:
        """Return the response head as soon as it is there."""
        reader = self.reader
        while reader.head is None:
            if self.error is not None:
                raise self.error
            await self._arrived.wait()
        self.deadline = NEVER
        return reader.head

    def begin_upload(self, seconds: float) -> None:
        """Note that the body of the request is still coming; `seconds` are for `end_upload`."""
        self._uploading = seconds
        self.moved()

    def end_upload(self) -> None:
        """Start the deadline for the response head: the rest of the body has been sent."""
        self.await_response(self._uploading)
        self._uploading = 0.0

    def moved(self) -> None:
        """Note that a piece of a body has been passed on."""
        self._moved = self._loop.time()

    def _make_room(self, permit: Permit, now: float) -> None:
        """Let a message that transfers for long count beside the permits.

        Where there is no room it keeps its permit, but only as long as it moves.
        """
        age = time.monotonic() - permit.began
        relaying = self.reader.head is not None and not self.reader.complete
        unread = relaying and not self._reading
        if age < (UNREAD_SECONDS if unread else LONG_TRANSFER_SECONDS):
            return
        if not relaying and not self._uploading:
            return  # it waits for the upstream
        try:
            permit.becomes("long-transfer")
        except Busy as error:
            if now - self._moved > LONG_TRANSFER_SECONDS:
                self.fail(error)

    def await_response(self, seconds: float) -> None:
        """Start the deadline for the response head: the request has been sent."""
        if self.reader.head is None:
            self._awaiting = "response"
            self.deadline = self._loop.time() + seconds

    def await_body(self) -> None:
        """Start the deadline for the next bytes of the body."""
        self._await("stream", self._silence)

    def wait_longer(self, seconds: float) -> None:
        """Allow silences of so many seconds in this body, if that is longer than usual."""
        self._silence = max(self._silence, seconds)

    def take(self) -> bytes:
        """Return what has come of the body; it may be empty."""
        pending = self._pending
        if not pending:
            return b""
        data = b"".join(pending)
        pending.clear()
        self._size = 0
        if not self._reading:
            self._regulate()
        return data

    async def read(self) -> bytes:
        """Return the next piece of the body, empty at its end."""
        while not self._pending:
            if self.reader.complete:
                return b""
            if self.error is not None:
                raise self.error
            if self._stopped:
                return b""
            self.await_body()
            await self._wait()
            self.deadline = NEVER
        self.moved()
        return self.take()

    def stop(self) -> None:
        """End the body here for its reader; the connection is not used again."""
        self._stopped = True
        self.reader.doubt = True
        self._arrived.set()

    def fail(self, error: BaseException) -> None:
        """End the message with `error` and drop the connection."""
        if self.error is None:
            self.error = error
        self.reader.doubt = True
        self.abort()
        self._arrived.set()
        self._drain.set()

    def check(self, now: float) -> None:
        """Fail the message if its present wait has lasted too long; see how long it transfers."""
        if now > self.deadline:
            self.deadline = NEVER
            self.fail(UpstreamTimeout(self._awaiting))
        elif self.permit is not None and self.permit.held:
            self._make_room(self.permit, now)

    def _await(self, what: str, seconds: float) -> None:
        self._awaiting = what
        self.deadline = self._loop.time() + seconds

    async def _wait(self) -> None:
        if self.error is not None:
            raise self.error
        await self._arrived.wait()
        if self.error is not None and self.reader.head is None:
            raise self.error

    # --- the raw connection after a 101 -------------------------------------------------------

    def divert(self, receiver: Receiver) -> bytes:
        """Send all bytes from now on to `receiver`; return those that came after the 101."""
        self._receiver = receiver
        self.deadline = NEVER
        return self.reader.leftover
