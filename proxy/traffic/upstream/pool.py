"""The keep-alive pool of one upstream: its connections, each with the permit of its message."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

from ...config.limits import Timeouts, TrafficLimits
from ...core.errors import BodyTooLarge, Busy, UpstreamFailed, UpstreamTimeout
from ...core.http.message import ResponseHead
from ..byte_budget import Hold, read_whole
from ..interfaces import Change, Outlet, RawConnection
from ..timers import RepeatingTimer, interval
from .connection import UpstreamConnection
from .limit import Outcome
from .permits import Permit

Connect = Callable[[], Awaitable[UpstreamConnection]]
_CUT: Final = frozenset({"connection-lost", "no-response"})


class Pool:
    """Lends connections, the last used first, and takes back only those in a known state.

    Whoever has a permit gets a connection, and with it the permit is given back.
    """

    __slots__ = (
        "_busy",
        "_closed",
        "_connect",
        "_idle",
        "_loop",
        "_making",
        "_most",
        "_patience",
        "_timer",
    )

    def __init__(
        self,
        connect: Connect,
        limits: TrafficLimits,
        timeouts: Timeouts,
    ) -> None:
        self._connect = connect
        self._most = limits.connections
        self._patience = timeouts.idle
        self._loop = asyncio.get_running_loop()
        self._busy: set[UpstreamConnection] = set()
        self._idle: list[UpstreamConnection] = []
        self._making = 0
        self._closed = False
        self._timer = RepeatingTimer(
            self._check, interval=interval(timeouts), rests=lambda: not self.size
        )

    @property
    def size(self) -> int:
        """How many connections there are, including those being made."""
        return len(self._busy) + len(self._idle) + self._making

    @property
    def idle(self) -> int:
        """How many of them are idle."""
        return len(self._idle)

    async def acquire(self, permit: Permit, *, fresh: bool = False) -> UpstreamConnection:
        """Return a connection for one message; a `fresh` one has carried none before.

        Raises:
            Busy: The pool is closed.
        """
        if self._closed:
            raise Busy("closing")
        if fresh:
            self._close_idle()
        elif (connection := self.take_idle(permit)) is not None:
            return connection
        return await self._new(permit)

    def release(self, connection: UpstreamConnection) -> None:
        """Take back a connection whose message was completed in both directions."""
        busy = self._busy
        if self._closed or connection not in busy or not connection.alive:
            self.drop(connection)
            return
        # Taken off first: an idle connection has none, whatever happens in between.
        permit, connection.permit = connection.permit, None
        connection.used = True
        if len(self._idle) < self._most:
            connection.expires = self._loop.time() + self._patience
            self._idle.append(connection)
        else:
            connection.close()
        busy.discard(connection)
        if permit is not None:
            permit.release("answered")

    def drop(self, connection: UpstreamConnection) -> None:
        """Drop a connection whose state is in any doubt. It is idempotent."""
        permit, connection.permit = connection.permit, None  # first, as above
        self._busy.discard(connection)
        connection.abort()
        if permit is not None:
            permit.release(_outcome(connection))

    def close(self) -> None:
        """Drop all connections."""
        self._closed = True
        self._timer.stop()
        self._close_idle()
        for connection in tuple(self._busy):
            connection.fail(Busy("closing"))

    def take_idle(self, permit: Permit) -> UpstreamConnection | None:
        """Return an idle connection, if there is one, for the message that has `permit`."""
        now = self._loop.time()
        while self._idle:
            connection = self._idle[-1]
            if connection.alive and now < connection.expires:
                self._busy.add(connection)
                self._idle.pop()
                connection.permit = permit
                return connection
            connection.close()
            self._idle.pop()
        return None

    async def _new(self, permit: Permit) -> UpstreamConnection:
        self._making += 1
        connection: UpstreamConnection | None = None
        try:
            self._timer.start()
            connection = await self._connect()
            self._busy.add(connection)
            connection.permit = permit
        except BaseException as error:
            self._making -= 1
            if connection is not None:
                connection.abort()
            lost = isinstance(error, UpstreamFailed | UpstreamTimeout)
            permit.release("unconnected" if lost else "unsent")
            raise
        self._making -= 1
        return connection

    def _close_idle(self) -> None:
        while self._idle:
            self._idle[-1].close()
            self._idle.pop()

    def _check(self, now: float) -> None:
        # In both only after an exception between two steps: then no message uses it.
        self._busy.difference_update(self._idle)
        for connection in tuple(self._busy):
            connection.check(now)
            if connection.gone:
                # Its message, if there is still one, sees the error by itself.
                self.drop(connection)
        stale = [one for one in self._idle if now >= one.expires or not one.alive]
        for connection in stale:
            connection.close()
            self._idle.remove(connection)


def _outcome(connection: UpstreamConnection) -> Outcome:
    """Return how a message ended whose connection is dropped."""
    error, reader = connection.error, connection.reader
    if isinstance(error, UpstreamTimeout):
        return "timeout"
    if isinstance(error, UpstreamFailed):
        # One that was used before may have been closed for being idle.
        cut = error.reason in _CUT and reader.head is None and not connection.used
        return "cut" if cut else "failed"
    # The upstream may close a connection behind each response, or respond before it has been sent
    # all of a request: that is no sign that a client had waited too long.
    answered = error is None and reader.head is not None and reader.complete
    return "answered" if answered else "abandoned"


class PooledResponse:
    """A response, and the connection it comes on, until `close`."""

    __slots__ = (
        "_connection",
        "_pool",
        "_upload",
        "arrived",
        "bodiless",
        "delimited",
        "framing",
        "head",
    )

    def __init__(
        self,
        pool: Pool,
        connection: UpstreamConnection,
        head: ResponseHead,
        upload: asyncio.Task[None] | None,
    ) -> None:
        self._pool = pool
        self._connection: UpstreamConnection | None = connection
        self._upload = upload
        self.head = head
        self.framing = connection.reader.framing
        self.bodiless = connection.reader.bodiless
        self.delimited = connection.reader.delimited
        self.arrived = 0

    def take(self) -> bytes | None:
        """Return the whole body and give the connection back, if all of the body is there."""
        connection = self._connection
        if connection is None:
            return b""
        if not connection.reader.complete:
            return None
        data = connection.take()
        self.arrived += len(data)
        self.close()
        return data

    async def read(self, limit: int, hold: Hold) -> bytes:
        """Return the whole body, as `hold` has room; raise BodyTooLarge above `limit`."""
        if self.framing.length is not None and self.framing.length > limit and not self.bodiless:
            raise BodyTooLarge("response-length")
        whole = self.take()
        if whole is not None:
            if len(whole) > limit:
                raise BodyTooLarge("response-body")
            return whole
        await hold.reads(self.framing.length or 0, answer=True)
        return await read_whole(self.chunks(), limit, hold, answer=True)

    async def chunks(self) -> AsyncIterator[bytes]:
        """Return the body piece by piece, as it comes."""
        while self._connection is not None:
            data = await self._connection.read()
            if not data:
                self.close()
                return
            self.arrived += len(data)
            yield data

    def divert(self) -> RawConnection:
        """Return the connection after a 101; the pool drops it on `close`."""
        if self._connection is None:
            raise ValueError("the response has been closed")
        return self._connection

    def lasts(self, silence: float) -> None:
        """Let each silence of the body last up to so many seconds, beside the permits.

        Raises:
            Busy: There is no room for another stream of records.
        """
        connection = self._connection
        if connection is not None and not connection.reader.complete:
            if connection.permit is not None:
                connection.permit.becomes("event-stream")
            connection.wait_longer(silence)

    def offer(self, outlet: Outlet, change: Change | None = None) -> None:
        """Let pieces that come while `chunks` waits for one go at once, those that can."""

        def passes(data: bytes) -> bool:
            changed = None
            if outlet.ready:
                changed = data if change is None else change(data)
            if not changed:
                return False
            self.arrived += len(data)
            outlet.send(changed)
            return True

        if self._connection is not None:
            self._connection.passes = passes

    def stop(self) -> None:
        """Let `chunks` end here, although more would come; the connection is dropped."""
        if self._connection is not None:
            self._connection.stop()

    def close(self) -> None:
        """Release the connection if the message is complete in both directions, else drop it."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        try:
            connection.passes = None
            uploaded = self._upload is None or self._upload.done()
            if connection.reader.complete and uploaded:
                connection.take()  # what was not read
                self._pool.release(connection)
                return
            if self._upload is not None:
                self._upload.cancel()
        except BaseException:
            self._pool.drop(connection)
            raise
        self._pool.drop(connection)

    def __del__(self) -> None:
        """Drop the connection where an exception kept the response from being closed."""
        if self._connection is not None:
            self._connection.abandon()
