"""The keep-alive pool of one upstream: a bounded number of connections and a bounded queue."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from ...config.limits import Timeouts, TrafficLimits
from ...core.errors import BodyTooLarge, Busy
from ...core.http.message import ResponseHead
from ..interfaces import RawConnection
from ..timers import RepeatingTimer, interval
from .connection import UpstreamConnection

Connect = Callable[[], Awaitable[UpstreamConnection]]


@dataclass(frozen=True, slots=True)
class _Turn:
    """A place in the queue. It gets a connection, or None: room for a new one."""

    given: asyncio.Future[UpstreamConnection | None]
    deadline: float


class Pool:
    """Lends connections, the last used first, and takes back only those in a known state.

    Only connections in one of the two collections, and connections being made, count towards the
    limit: so no exception, wherever it is raised, can reduce the capacity for good.
    """

    __slots__ = (
        "_busy",
        "_closed",
        "_connect",
        "_idle",
        "_limits",
        "_loop",
        "_making",
        "_queue",
        "_timeouts",
        "_timer",
    )

    def __init__(self, connect: Connect, limits: TrafficLimits, timeouts: Timeouts) -> None:
        self._connect = connect
        self._limits = limits
        self._timeouts = timeouts
        self._loop = asyncio.get_running_loop()
        self._busy: set[UpstreamConnection] = set()
        self._idle: list[UpstreamConnection] = []
        self._making = 0  # being made, or promised to a turn that will make one
        self._queue: deque[_Turn] = deque()
        self._closed = False
        self._timer = RepeatingTimer(self._check, interval=interval(timeouts))
        self._timer.start()

    @property
    def size(self) -> int:
        """How many connections there are, including those being made."""
        return len(self._busy) + len(self._idle) + self._making

    @property
    def idle(self) -> int:
        """How many of them are idle."""
        return len(self._idle)

    async def acquire(self, *, fresh: bool = False) -> UpstreamConnection:
        """Return a connection for one message; a `fresh` one has carried none before.

        Raises:
            Busy: The queue is full, or the wait in it was too long.
        """
        if self._closed:
            raise Busy("closing")
        if fresh:
            self._close_idle()
        elif (connection := self.take_idle()) is not None:
            return connection
        if self.size >= self._limits.connections:
            connection = await self._turn()
            if connection is not None:
                return connection
        return await self._new()

    def release(self, connection: UpstreamConnection) -> None:
        """Take back a connection whose message was completed in both directions."""
        if self._closed or connection not in self._busy or not connection.alive:
            self.drop(connection)
            return
        connection.used = True
        if self._queue and (turn := self._next_turn()) is not None:
            turn.given.set_result(connection)
            self._queue.popleft()
            return
        connection.expires = self._loop.time() + self._timeouts.idle
        self._idle.append(connection)
        self._busy.discard(connection)

    def drop(self, connection: UpstreamConnection) -> None:
        """Drop a connection whose state is in any doubt. It is idempotent."""
        self._busy.discard(connection)
        connection.abort()
        self._give_room()

    def close(self) -> None:
        """Drop all connections and refuse the queue."""
        self._closed = True
        self._timer.stop()
        self._close_idle()
        while (turn := self._next_turn()) is not None:
            turn.given.set_exception(Busy("closing"))
        for connection in tuple(self._busy):
            connection.fail(Busy("closing"))

    def take_idle(self) -> UpstreamConnection | None:
        """Return an idle connection, if there is one, for one message."""
        now = self._loop.time()
        while self._idle:
            connection = self._idle[-1]
            if connection.alive and now < connection.expires:
                self._busy.add(connection)
                self._idle.pop()
                return connection
            connection.close()
            self._idle.pop()
        return None

    async def _new(self) -> UpstreamConnection:
        self._making += 1
        connection: UpstreamConnection | None = None
        try:
            connection = await self._connect()
            self._busy.add(connection)
        except BaseException:
            self._making -= 1
            if connection is not None:
                connection.abort()
            self._give_room()
            raise
        self._making -= 1
        return connection

    async def _turn(self) -> UpstreamConnection | None:
        """Wait for a connection, or for the room for a new one."""
        if len(self._queue) >= self._limits.waiting:
            raise Busy("queue-full")
        deadline = self._loop.time() + self._timeouts.queue
        turn = _Turn(self._loop.create_future(), deadline)
        self._queue.append(turn)
        try:
            connection = await turn.given
        except BaseException:
            self._leave_queue(turn)
            raise
        if connection is None:
            self._making -= 1
        return connection

    def _leave_queue(self, turn: _Turn) -> None:
        """Pass on what was given to a turn just as its task was cancelled."""
        if turn in self._queue:
            self._queue.remove(turn)
        if not turn.given.done() or turn.given.cancelled() or turn.given.exception():
            return
        connection = turn.given.result()
        if connection is not None:
            self.release(connection)
            return
        self._making -= 1
        self._give_room()

    def _next_turn(self) -> _Turn | None:
        """Return the first turn that still waits; it stays in the queue until it is served."""
        while self._queue:
            turn = self._queue[0]
            if not turn.given.done():
                return turn
            self._queue.popleft()
        return None

    def _give_room(self) -> None:
        while self.size < self._limits.connections and (turn := self._next_turn()) is not None:
            turn.given.set_result(None)
            self._making += 1
            self._queue.popleft()

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
        while (turn := self._next_turn()) is not None and turn.deadline < now:
            turn.given.set_exception(Busy("queue-timeout"))
        stale = [one for one in self._idle if now >= one.expires or not one.alive]
        for connection in stale:
            connection.close()
            self._idle.remove(connection)
        self._give_room()


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

    async def read(self, limit: int) -> bytes:
        """Return the whole body; raise BodyTooLarge above `limit`."""
        if self.framing.length is not None and self.framing.length > limit and not self.bodiless:
            raise BodyTooLarge("response-length")
        parts = []
        size = 0
        async for data in self.chunks():
            size += len(data)
            if size > limit:
                raise BodyTooLarge("response-body")
            parts.append(data)
        return parts[0] if len(parts) == 1 else b"".join(parts)

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

    def wait_longer(self, seconds: float) -> None:
        """Let each silence of the body last up to so many seconds."""
        if self._connection is not None:
            self._connection.wait_longer(seconds)

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
