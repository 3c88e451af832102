"""Input and output of a client connection whose requests are fast (http1/fast_heads)."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Callable, Coroutine
from typing import Any, Final, Protocol

from ..bodies.buffered import FastRequest
from ..exchange.fast_exchange import FastExchange
from ..http1.fast_heads import FastHead, may_become_fast, request_head_cache
from ..interfaces import Request
from ..slices import LONG_BYTES
from ..timers import NEVER
from ..turns import Sending, WriteBuffer
from .client_lifecycle import ClientLifecycle, ConnectionOwner, reset


class FastOutput(ClientLifecycle, Sending):
    """Sends bytes no faster than the client reads them."""

    __slots__ = (
        "_asking",
        "_drained",
        "_ended",
        "_loop",
        "_owner",
        "_paused",
        "_read_deadline",
        "_task",
        "_write_deadline",
        "live",
        "peer",
        "when_leaving",
    )
    _owner: FastOwner

    def __init__(self, owner: FastOwner, loop: asyncio.AbstractEventLoop) -> None:
        Sending.__init__(self, owner.write_buffer)
        self._init_lifecycle(owner)
        self._loop = loop
        self._paused = False
        self._drained: asyncio.Future[None] | None = None

    def _client_gone(self, exc: BaseException | None) -> None:
        self._transport = None
        if self._drained is not None and not self._drained.done():
            self._drained.set_exception(exc or ConnectionResetError("the client is gone"))

    def pause_writing(self) -> None:
        """Note that the client does not keep up."""
        self._paused = True
        self._write_deadline = self._loop.time() + self._owner.timeouts.write

    def resume_writing(self) -> None:
        """Note that the client has caught up."""
        self._paused = False
        if not self._closing:  # else that of `finish`, for all that is still to be read
            self._write_deadline = NEVER
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)

    @property
    def _closing(self) -> bool:
        """Whether nothing follows on this connection."""
        return self._transport is None or self._transport.is_closing()

    def write(self, data: bytes) -> None:
        """Send bytes; `drain` before sending more."""
        if self._transport is None:
            raise ConnectionResetError("the client is gone")
        self._put(data)

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
        if self._paused and self._transport is not None:
            self._drained = self._loop.create_future()
            try:
                await self._drained
            finally:
                self._drained = None
        if self._transport is None:
            raise ConnectionResetError("the client is gone")

    def finish(self) -> None:
        """Close the connection once the client has read what was sent; it must do so soon."""
        if self._transport is not None:
            self.flush()
            self._write_deadline = self._loop.time() + self._owner.timeouts.write
            self._transport.close()

    def abort(self) -> None:
        """Drop the connection, so that the client sees that its response was cut."""
        self._forget()
        if self._transport is not None:
            reset(self._transport)


Depart = Callable[[FastExchange, FastHead, bytes], bool]

HELD_BODY: Final = LONG_BYTES
"""A body of up to so many bytes is held here until all of it has come."""
_SMALL: Final = 65536
HELD_TOGETHER: Final = 32 * 1024 * 1024
"""So many bytes are held at all connections of a listener together, small bodies aside."""
HELD_SECONDS: Final = 0.25
"""What is incomplete by then goes to the parser, with its deadlines for slow clients."""


class FastAnswerer(Protocol):
    """Responds to requests, fast ones among them."""

    @property
    def depart(self) -> Depart:
        """Send a fast request upstream without a wait, or return False and do nothing."""

    def handle(self, request: Request) -> Coroutine[Any, Any, None]:
        """Respond to one request."""


class FastOwner(ConnectionOwner, Protocol):
    """The listener, as a FastConnection sees it.

    `held` is how many bytes of large bodies are held at its connections, or are still to come.
    """

    held: int

    @property
    def answerer(self) -> FastAnswerer:
        """Who responds to requests; a reload puts another one there."""

    @property
    def write_buffer(self) -> WriteBuffer:
        """Where bytes wait for the end of the loop's iteration."""

    @property
    def redirected(self) -> bool:
        """Whether clients may have connected to another port than the listener's."""

    def connected(self, client: FastInput) -> None:
        """Learn that a connection is made."""

    def hand_over(
        self, client: FastInput, transport: asyncio.Transport, data: bytes, *, ended: bool
    ) -> bool:
        """Let a parser read `data` and what follows it; `ended` says that nothing does.

        Return whether the connection stays open for writing.
        """


class FastInput(FastOutput):
    """Reads one fast request after the other; hands the connection over when one is not."""

    __slots__ = (
        "_busy",
        "_head",
        "_heads",
        "_held",
        "_large",
        "_missing",
        "_request",
        "_rest",
    )

    def __init__(self, owner: FastOwner, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(owner, loop)
        self._heads = request_head_cache()
        self._held: list[bytes] = []  # the beginning of a request
        self._head: tuple[FastHead, int] | None = None  # its head, and how long that is
        self._missing = 0  # how many bytes of its body are still to come, at least
        self._large = 0  # what of `held` at the owner is for it
        self._rest = b""  # what came after the request in progress
        self._busy = False  # with a request in progress
        self._request: FastRequest | None = None  # that request, where a task responds to it

    @abstractmethod
    def _begin(self, head: FastHead, body: bytes) -> None:
        """Respond to a request."""

    def data_received(self, data: bytes) -> None:
        """Take bytes."""
        if self._busy or self._paused:
            self._keep_for_later(data)
        elif not self._held:
            self._take(data)
        else:
            self._held.append(data)
            self._missing -= len(data)
            if self._missing <= 0:
                self._take_held()

    def _take_held(self) -> None:
        """Take what is held: all of a request, or more of its head."""
        if self._head is None or self._missing < 0:
            self._take(self._let_go())
            return
        (head, size), held = self._head, self._held
        held[0] = held[0][size:]
        body = self._let_go()
        self._read_deadline = NEVER
        self._begin(head, body)

    def _let_go(self) -> bytes:
        """Return what is held, and hold it no longer."""
        held, self._held, self._head = self._held, [], None
        self._owner.held -= self._large
        self._large = 0
        return b"".join(held)

    def _client_gone(self, exc: BaseException | None) -> None:
        self._let_go()
        super()._client_gone(exc)

    def _take(self, data: bytes) -> None:
        """Take the beginning of a request, or all of it."""
        heads = self._heads
        found = heads.found if data.startswith(heads.whole) else heads.find(data)
        if found is None:
            if may_become_fast(data):
                self._hold(data, 1, None)
            else:
                self._hand_over(data)
            return
        head, size = found
        length = head.length or 0
        end = size + length
        limits = self._owner.limits
        if (
            size > limits.header_line
            or size > limits.head
            or head.fields > limits.headers
            or length > HELD_BODY
            or len(data) > end
        ):
            self._hand_over(data)
        elif len(data) < end:
            if length > _SMALL and not self._has_room(length):
                self._hand_over(data)
            else:
                self._hold(data, end - len(data), found)
        else:
            self._read_deadline = NEVER
            self._begin(head, data[size:])

    def _has_room(self, length: int) -> bool:
        """Return whether a large body may be held, and count it if so."""
        owner = self._owner
        if owner.held + length > HELD_TOGETHER:
            return False
        owner.held += length
        self._large = length
        return True

    def _hold(self, data: bytes, missing: int, found: tuple[FastHead, int] | None) -> None:
        self._held.append(data)
        self._head = found
        self._missing = missing
        self._read_deadline = min(self._read_deadline, self._loop.time() + HELD_SECONDS)

    def _hand_over(self, data: bytes) -> bool:
        """Hand the connection over to a parser; return whether it stays open for writing."""
        self.flush()
        transport, self._transport = self._transport, None
        if transport is None:
            return False
        if not transport.is_reading():
            transport.resume_reading()
        return self._owner.hand_over(self, transport, data, ended=self._ended)

    def _hand_over_all(self) -> bool:
        """Hand over all that waits: the beginning of a request, and the rest of it."""
        return self._hand_over(self._let_go() + self._rest)

    def _keep_for_later(self, data: bytes) -> None:
        self._rest += data
        if len(self._rest) > self._owner.limits.window and self._transport is not None:
            self._transport.pause_reading()
