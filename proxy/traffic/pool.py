"""The keep-alive pool of one upstream: a bounded number of connections and a bounded queue."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from ..config.limits import Timeouts, TrafficLimits
from ..core.errors import Busy
from .ticker import Ticker, interval
from .upstream_connection import UpstreamConnection

Connect = Callable[[], Awaitable[UpstreamConnection]]


@dataclass(frozen=True, slots=True)
class _Turn:
    """A place in the queue. It is given a connection, or None: room for a new one."""

    given: asyncio.Future[UpstreamConnection | None]
    deadline: float


class Pool:
    """Lends connections, the last used first, and takes back only those beyond doubt."""

    __slots__ = (
        "_busy",
        "_closed",
        "_connect",
        "_count",
        "_idle",
        "_limits",
        "_loop",
        "_queue",
        "_ticker",
        "_timeouts",
    )

    def __init__(self, connect: Connect, limits: TrafficLimits, timeouts: Timeouts) -> None:
        self._connect = connect
        self._limits = limits
        self._timeouts = timeouts
        self._loop = asyncio.get_running_loop()
        self._busy: set[UpstreamConnection] = set()
        self._idle: list[UpstreamConnection] = []
        self._queue: deque[_Turn] = deque()
        self._count = 0  # idle, busy, and those that are just being made
        self._closed = False
        self._ticker = Ticker(self._check, interval=interval(timeouts))
        self._ticker.start()

    @property
    def size(self) -> int:
        """How many connections there are, those that are just being made included."""
        return self._count

    @property
    def idle(self) -> int:
        """How many of them wait for a message."""
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
        elif (connection := self._take_idle()) is not None:
            return connection
        if self._count < self._limits.connections:
            self._count += 1
        elif (connection := await self._turn()) is not None:
            return connection
        return await self._new()

    def release(self, connection: UpstreamConnection) -> None:
        """Take back a connection whose message went through beyond doubt."""
        if self._closed or not connection.alive:
            self.drop(connection)
            return
        connection.used = True
        if (turn := self._next_turn()) is not None:
            turn.given.set_result(connection)
            return
        self._busy.discard(connection)
        connection.expires = self._loop.time() + self._timeouts.idle
        self._idle.append(connection)

    def drop(self, connection: UpstreamConnection) -> None:
        """End a connection in which there is any doubt."""
        self._busy.discard(connection)
        connection.abort()
        self._give_room()

    def close(self) -> None:
        """Drop all connections and turn away who waits."""
        self._closed = True
        self._ticker.stop()
        self._close_idle()
        while (turn := self._next_turn()) is not None:
            turn.given.set_exception(Busy("closing"))
        for connection in self._busy:
            connection.fail(Busy("closing"))

    def _take_idle(self) -> UpstreamConnection | None:
        now = self._loop.time()
        while self._idle:
            connection = self._idle.pop()
            if connection.alive and now < connection.expires:
                self._busy.add(connection)
                return connection
            connection.close()
            self._count -= 1
        return None

    async def _new(self) -> UpstreamConnection:
        try:
            connection = await self._connect()
        except BaseException:
            self._give_room()
            raise
        self._busy.add(connection)
        return connection

    async def _turn(self) -> UpstreamConnection | None:
        if len(self._queue) >= self._limits.waiting:
            raise Busy("queue-full")
        deadline = self._loop.time() + self._timeouts.queue
        turn = _Turn(self._loop.create_future(), deadline)
        self._queue.append(turn)
        try:
            return await turn.given
        except asyncio.CancelledError:
            self._leave_queue(turn)
            raise

    def _leave_queue(self, turn: _Turn) -> None:
        """Pass on what was given to a turn in the very moment in which its task was cancelled."""
        if turn in self._queue:
            self._queue.remove(turn)
        elif turn.given.done() and not turn.given.cancelled() and not turn.given.exception():
            connection = turn.given.result()
            if connection is None:
                self._give_room()
            else:
                self.release(connection)

    def _next_turn(self) -> _Turn | None:
        while self._queue:
            turn = self._queue.popleft()
            if not turn.given.done():
                return turn
        return None

    def _give_room(self) -> None:
        if (turn := self._next_turn()) is not None:
            turn.given.set_result(None)
        else:
            self._count -= 1

    def _close_idle(self) -> None:
        for connection in self._idle:
            connection.close()
        self._count -= len(self._idle)
        self._idle.clear()

    def _check(self, now: float) -> None:
        for connection in tuple(self._busy):
            connection.check(now)
        while self._queue and self._queue[0].deadline < now:
            turn = self._queue.popleft()
            if not turn.given.done():
                turn.given.set_exception(Busy("queue-timeout"))
        stale = [one for one in self._idle if now >= one.expires or not one.alive]
        for connection in stale:
            self._idle.remove(connection)
            connection.close()
            self._count -= 1
