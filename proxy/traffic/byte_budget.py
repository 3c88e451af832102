"""One budget of bytes for what messages hold in memory: bodies, what is made of them, and windows.

A message reserves before it reads. Where there is no room it waits, and its sender is not read:
a request for five seconds, after which it is refused; an answer for as long as it takes, since the
backend has acted. Answers go first, then the client that holds least, then who has waited longest.
One client leaves a quarter to others.

Those who hold a part and wait for more could wait for each other. So a part of the memory is kept
aside, enough for one message of any size: the oldest of those who hold something gets all it needs
from there, one at a time. A client that then sends, or reads, more slowly than SLOWEST_BYTES a
second while others wait is given up.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Final, Protocol

from ..config.policy import SMALL_BYTES, WORK_TIMES
from ..core.errors import BodyTooLarge, Busy
from ..core.http.content_coding import most_decoded
from .policy import (
    CLIENT_SHARE,
    LOOK_SECONDS,
    MEMORY_SECONDS,
    MOST_HELD_UP,
    PIECE_BYTES,
    READ_STEP_BYTES,
    READ_TIMES,
    SLOWEST_BYTES,
)


class Holding(Protocol):
    """What has a hold, and releases it in the end."""

    held: Hold | None


ENDLESS: Final = math.inf


def passes_much(length: int | None) -> bool:
    """Return whether a body of a length, None where it is not known, is counted as it passes."""
    return length is None or length > SMALL_BYTES


def add_piece(pieces: list[bytes], piece: bytes) -> None:
    """Add a piece of a body to a list; small ones are joined, as each takes more than its bytes."""
    if pieces and len(pieces[-1]) + len(piece) <= PIECE_BYTES:
        pieces[-1] += piece
    else:
        pieces.append(piece)


async def read_whole(
    chunks: AsyncIterator[bytes], limit: int, hold: Hold, *, answer: bool = False
) -> bytes:
    """Return a whole body, as `hold` has room; raise BodyTooLarge above `limit` bytes."""
    pieces: list[bytes] = []
    size = 0
    async for piece in chunks:
        size += len(piece)
        if size > limit:
            raise BodyTooLarge("response-body" if answer else "request-body")
        await hold.reads(size, answer=answer)
        add_piece(pieces, piece)
    return b"".join(pieces)


@dataclass(slots=True, eq=False)
class _Waiter:
    """A message that waits until it may hold `size` bytes."""

    hold: Hold
    size: int
    since: float
    answer: bool
    passes: bool
    given: asyncio.Future[bool]
    """Whether it may; it is not refused by an error, which nobody would take once it has gone."""


class Hold:
    """What one message holds of a budget, until `release`.

    Attributes:
        client: Whose message it is.
        size: How many bytes it holds.
        over: It is released, and never holds anything again.
    """

    __slots__ = ("_began", "_budget", "_watch", "client", "over", "size")

    def __init__(self, budget: ByteBudget, client: str) -> None:
        self._budget = budget
        self.client: Final = client
        self.size = 0
        self.over = False
        self._began = 0.0
        self._watch: tuple[Callable[[], int], Callable[[], None]] | None = None

    async def reach(self, size: int, *, answer: bool = False, passes: bool = False) -> None:
        """Hold so many bytes in all, if that is more than now, as soon as there is room.

        A body that only `passes` may take hours, and gets nothing of what is kept aside.

        Raises:
            Busy: There was none in time, or too many wait. Never for an `answer`.
        """
        if self.over or size <= self.size:
            return
        if not self._budget.takes(self, size, answer=answer):
            await self._budget.turn(self, size, answer=answer, passes=passes)
            self._began = self._budget.time()  # nothing was read of its client meanwhile

    async def works_at(self, body: bytes, *, limit: int, coded: bool, answer: bool = False) -> None:
        """Hold what it takes to find, seal or open values in a body, which may be compressed."""
        size = most_decoded(len(body), limit) if coded else len(body)
        if size > SMALL_BYTES:
            await self.reach(WORK_TIMES * size, answer=answer)

    async def reads(self, size: int, *, answer: bool = False) -> None:
        """Hold what it takes to read so many bytes of a body whole."""
        if size > SMALL_BYTES:
            stepped = -(-size // READ_STEP_BYTES) * READ_STEP_BYTES
            await self.reach(READ_TIMES * stepped, answer=answer)

    def becomes(self, size: int) -> None:
        """Hold so many bytes from now on, whether there is room for more or not."""
        if size != self.size and not self.over:
            self._budget.count(self, size)

    def made(self, body: bytes | None) -> None:
        """Hold what has come of the work at a body, unless it is short; None is no body."""
        self.becomes(0 if body is None or len(body) <= SMALL_BYTES else len(body))

    def grows(self, size: int, *, answer: bool = False) -> None:
        """Hold so many bytes of what has come uncalled, for which nobody can wait.

        Raises:
            Busy: There is no room, or its client leaves too little to others. No `answer` gets it.
        """
        self.becomes(size)
        if size and not (answer or self._budget.leaves_enough(self)):
            raise Busy("memory")

    def release(self) -> None:
        """Hold nothing any more, whatever comes. It is idempotent."""
        self.over = True
        if self._watch is not None:
            self.unwatch()
        self._budget.drop(self)

    def watch(self, moved: Callable[[], int], cut: Callable[[], None]) -> None:
        """Let a client be given up by `cut` if it is slow; `moved` returns the bytes until now."""
        if not self.over:
            self._began, self._watch = self._budget.time(), (moved, cut)
            self._budget.watched[self] = None

    def unwatch(self) -> None:
        """Wait for the client no more."""
        self._watch = None
        self._budget.watched.pop(self, None)

    def check(self, now: float) -> None:
        """Give the client up if it is too slow, and something is held for it."""
        lasted = now - self._began
        if not self.size or self._watch is None or lasted < MEMORY_SECONDS:
            return
        moved, cut = self._watch
        if moved() < lasted * SLOWEST_BYTES:
            self.unwatch()
            cut()


class ByteBudget:
    """The bytes that all messages of a process may hold.

    What is kept aside for one message at a time is beside `total`.

    Attributes:
        total: How many bytes there are; infinite where there is no limit.
        used: How many of them are held.
        beside: Returns how many of them clients and caches take, as long as a quarter is left.
        watched: Those whose client is waited for.
        refused: How many requests found no room.
    """

    __slots__ = (
        "_clients",
        "_loop",
        "_most_of_a_client",
        "_rescued",
        "_timer",
        "_waiting",
        "beside",
        "refused",
        "total",
        "used",
        "watched",
    )

    def __init__(self, total: float = ENDLESS) -> None:
        self._loop = asyncio.get_running_loop()
        self._clients: dict[str, int] = {}
        self._rescued: Hold | None = None
        self._waiting: dict[_Waiter, None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self.watched: dict[Hold, None] = {}
        self.beside: Callable[[], int] = int
        self.used = 0
        self.refused = 0
        self.resize(total)

    def resize(self, total: float) -> None:
        """Divide so many bytes from now on."""
        self.total = total
        self._most_of_a_client = total * CLIENT_SHARE
        self._give()

    def of(self, request: Holding, client: str) -> Hold:
        """Return what a request holds; nothing to begin with."""
        if request.held is None:
            request.held = Hold(self, client)
        return request.held

    @property
    def waiting(self) -> int:
        """How many messages wait."""
        return len(self._waiting)

    @property
    def short(self) -> bool:
        """Whether there is no room for bytes that have come uncalled."""
        return self.used > self._room

    def leaves_enough(self, hold: Hold) -> bool:
        """Return whether there is room for what a hold has, and its client leaves it to others."""
        return not self.short and self._may_have(hold, hold.size, answer=False)

    def time(self) -> float:
        """Return the time of the loop."""
        return self._loop.time()

    # --- called by holds ----------------------------------------------------------------------

    def takes(self, hold: Hold, size: int, *, answer: bool) -> bool:
        """Let a hold have `size` bytes if there is room and nobody waits; return whether."""
        if hold is not self._rescued and (self._waiting or not self._fits(hold, size, answer)):
            return False
        self.count(hold, size)
        return True

    async def turn(self, hold: Hold, size: int, *, answer: bool, passes: bool) -> None:
        """Wait until a hold may have `size` bytes."""
        if not answer and len(self._waiting) >= MOST_HELD_UP:
            self.refused += 1
            raise Busy("memory")
        waiter = _Waiter(hold, size, self.time(), answer, passes, self._loop.create_future())
        self._waiting[waiter] = None
        self._give()
        if self._timer is None and self._waiting:
            self._timer = self._loop.call_later(LOOK_SECONDS, self._look)
        try:
            if not await waiter.given:
                raise Busy("memory")
        finally:
            self._waiting.pop(waiter, None)

    def count(self, hold: Hold, size: int) -> None:
        """Count what a hold has from now on; what the rescued one has is not of the total.

        Once it needs less, and that fits, what is kept aside is for the next.
        """
        before, hold.size = hold.size, size
        if hold is not self._rescued:
            self._add(hold.client, size - before)
        elif not size or (size < before and self.used + size <= self._room):
            self._rescued = None
            self._add(hold.client, size)
        if size < before and self._waiting:
            self._give()

    def drop(self, hold: Hold) -> None:
        """Take back all that a hold has, and let it wait for nothing more.

        What it gives back must not go to a message of its own, which nobody would give back again.
        """
        if self._waiting:
            for waiter in [one for one in self._waiting if one.hold is hold]:
                del self._waiting[waiter]
                if not waiter.given.done():
                    waiter.given.set_result(False)
        if hold is self._rescued:
            hold.size, self._rescued = 0, None
            self._give()
        elif hold.size:
            self.count(hold, 0)

    # ------------------------------------------------------------------------------------------

    def _add(self, client: str, size: int) -> None:
        self.used += size
        left = self._clients.pop(client, 0) + size
        if left:
            self._clients[client] = left

    def _fits(self, hold: Hold, size: int, answer: bool) -> bool:  # noqa: FBT001 - as a waiter has it
        room = self.used + size - hold.size <= self._room
        return room and self._may_have(hold, size, answer)

    @property
    def _room(self) -> float:
        return max(self.total - self.beside(), self.total / 4)

    def _may_have(self, hold: Hold, size: int, answer: bool) -> bool:  # noqa: FBT001 - as a waiter has it
        """Return whether a client leaves enough to others, or this is all that it holds.

        The backend has acted for an answer, so nothing but memory keeps it back.
        """
        held = self._clients.get(hold.client, 0) - hold.size
        return answer or held + size <= self._most_of_a_client or not held

    def _give(self) -> None:
        while self._waiting:
            waiter = self._next() or self._rescue()
            if waiter is None:
                return
            del self._waiting[waiter]
            if not waiter.given.done():  # else it has gone, or is refused
                self.count(waiter.hold, waiter.size)
                waiter.given.set_result(True)

    def _next(self) -> _Waiter | None:
        """Return the first of those who wait and may have more, if there is room for it."""
        for waiter in self._in_turn():
            hold = waiter.hold
            if (
                waiter.given.done()
                or hold is self._rescued
                or self._fits(hold, waiter.size, waiter.answer)
            ):
                return waiter
            if self._may_have(hold, waiter.size, waiter.answer):
                return None  # others do not overtake it for ever
        return None

    def _in_turn(self) -> Iterator[_Waiter]:
        """Yield answers as they came, of which any number may wait, then the few requests."""
        yield from (one for one in self._waiting if one.answer)
        requests = [one for one in self._waiting if not one.answer]
        yield from sorted(requests, key=lambda one: self._clients.get(one.hold.client, 0))

    def _rescue(self) -> _Waiter | None:
        """Give what is kept aside to an answer, to who holds a part, or to who never fits."""
        if self._rescued is not None:
            return None
        needy = [
            one
            for one in self._waiting
            if one.hold.size or one.size > self._room or (one.answer and not one.passes)
        ]
        if not needy:
            return None
        found = min(needy, key=lambda one: (not one.answer, one.since))
        size = found.hold.size
        self._add(found.hold.client, -size)
        self._rescued = found.hold
        return found

    def _look(self) -> None:
        """Refuse the requests that have waited too long, and give up clients that are slow."""
        now, self._timer = self.time(), None
        for waiter in tuple(self._waiting):
            if not waiter.answer and now - waiter.since > MEMORY_SECONDS:
                self.refused += 1
                if not waiter.given.done():
                    waiter.given.set_result(False)
                self._waiting.pop(waiter, None)
        for hold in tuple(self.watched.keys() - {one.hold for one in self._waiting}):
            hold.check(now)
        if self._waiting:
            self._give()
            self._timer = self._loop.call_later(LOOK_SECONDS, self._look)
