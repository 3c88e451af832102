"""Bodies of which something is held back: it goes on when it is due, whatever comes or does not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field

import pytest

from proxy.traffic.bodies.due import until_due

DELAY = 0.05
PATIENCE = 10


@dataclass
class Held:
    delay: float | None


@dataclass
class Holding:
    """Holds each letter back until it is let go."""

    delay: float | None = DELAY
    run: Held | None = None
    letters: list[bytes] = field(default_factory=list)
    let_go: int = 0

    def feed(self, data: bytes) -> None:
        self.run = self.run or Held(self.delay)
        self.letters.append(data)

    def flush(self) -> bytes:
        self.run = None
        self.let_go += 1
        held, self.letters = b"".join(self.letters), []
        return held


async def seen(incoming: AsyncIterator[bytes], holding: Holding) -> list[bytes]:
    out = []
    async for data in until_due(incoming, holding):
        if data is None:
            out.append(holding.flush())
        else:
            holding.feed(data)
    return [*out, holding.flush()]


async def test_what_is_held_goes_on_when_it_is_due_though_nothing_more_comes() -> None:
    more = asyncio.Event()

    async def incoming() -> AsyncIterator[bytes]:
        yield b"a"
        yield b"b"
        await more.wait()
        yield b"c"

    holding = Holding()
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(PATIENCE), aclosing(until_due(incoming(), holding)) as coming:
        for _ in range(2):
            data = await anext(coming)
            assert data is not None
            holding.feed(data)
        began = loop.time()
        assert await anext(coming) is None
        assert loop.time() - began >= DELAY / 2
        assert holding.flush() == b"ab"
        more.set()
        assert await anext(coming) == b"c"


async def test_a_stream_that_never_rests_is_let_go_as_well() -> None:
    holding = Holding()

    async def incoming() -> AsyncIterator[bytes]:
        while holding.let_go < 2:
            yield b"."

    async with asyncio.timeout(PATIENCE):
        assert len(await seen(incoming(), holding)) == 3


async def test_without_a_limit_of_time_all_waits_for_the_end() -> None:
    async def incoming() -> AsyncIterator[bytes]:
        for letter in (b"a", b"b"):
            await asyncio.sleep(2 * DELAY)
            yield letter

    async with asyncio.timeout(PATIENCE):
        assert await seen(incoming(), Holding(delay=None)) == [b"ab"]


async def test_an_error_of_the_body_is_raised() -> None:
    async def incoming() -> AsyncIterator[bytes]:
        yield b"a"
        raise ConnectionError("cut")

    async with asyncio.timeout(PATIENCE):
        with pytest.raises(ConnectionError, match="cut"):
            await seen(incoming(), Holding())


@pytest.mark.parametrize("failing", [False, True])
async def test_who_stops_listening_leaves_no_task_behind(failing: bool) -> None:  # noqa: FBT001
    ended = asyncio.Event()

    async def incoming() -> AsyncIterator[bytes]:
        try:
            yield b"a"
            await asyncio.Event().wait()
        finally:
            ended.set()
            if failing:
                raise ConnectionError("late")

    before, holding = asyncio.all_tasks(), Holding()
    async with asyncio.timeout(PATIENCE), aclosing(until_due(incoming(), holding)) as coming:
        data = await anext(coming)
        assert data == b"a"
        holding.feed(data)
        assert await anext(coming) is None  # the next piece is awaited by now

    assert ended.is_set()
    assert asyncio.all_tasks() == before
