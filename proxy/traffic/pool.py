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
    """Lends connections, the last used first, and takes back only those beyond doubt.

    A place is taken by a connection that is in one of the two collections, and by nothing else but
    the making of one: so no exception, wherever it comes, can take a place for good.
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
        self._making = 0  # being made, or promised to a turn that will make one
        self._queue: deque[_Turn] = deque()
        self._closed = False
        self._ticker = Ticker(self._check, interval=interval(timeouts))
        self._ticker.start()

    @property
    def size(self) -> int:
        """How many connections there are, those that are just being made included."""
        return len(self._busy) + len(self._idle) + self._making

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
        elif (connection := self.take_idle()) is not None:
            return connection
        if self.size >= self._limits.connections:
            connection = await self._turn()
            if connection is not None:
                return connection
        return await self._new()

    def release(self, connection: UpstreamConnection) -> None:
        """Take back a connection whose message went through beyond doubt."""
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
        """End a connection in which there is any doubt; twice is as good as once."""
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
        for connection in tuple(self._busy):
            connection.fail(Busy("closing"))

    def take_idle(self) -> UpstreamConnection | None:
        """Return a connection that rests, if there is one, for one message."""
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
        """Pass on what was given to a turn in the very moment in which its task was cancelled."""
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
        """Return the first turn that still waits, and leave it there until it has been given."""
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
        # In both only where an exception came between two steps: then nobody has it.
        self._busy.difference_update(self._idle)
        for connection in tuple(self._busy):
            connection.check(now)
            if connection.gone:
                # Whoever had it learns of that by itself, or cannot any more.
                self.drop(connection)
        while (turn := self._next_turn()) is not None and turn.deadline < now:
            turn.given.set_exception(Busy("queue-timeout"))
        stale = [one for one in self._idle if now >= one.expires or not one.alive]
        for connection in stale:
            connection.close()
            self._idle.remove(connection)
        self._give_room()
