"""What the health listener shows of a loop that is late, fails, or stands still."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator

import pytest

from proxy.wiring.admin.health import LOOK_SECONDS, Latest


@pytest.fixture
def traffic() -> Iterator[asyncio.AbstractEventLoop]:
    """Run another event loop, in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


class Counter:
    """What is looked at: it counts the looks, takes its time, and may fail."""

    def __init__(self) -> None:
        self.looks = 0
        self.pause = 0.0
        self.fails = False

    async def look(self) -> int:
        self.looks += 1
        time.sleep(self.pause)  # noqa: ASYNC251 - a loop that is held up is what is tested
        if self.fails:
            raise RuntimeError
        return self.looks


async def test_a_look_that_is_quick_is_shown_at_once(traffic: asyncio.AbstractEventLoop) -> None:
    counter = Counter()
    latest = Latest(counter.look, traffic, 0)

    assert [await latest.get() for _ in range(3)] == [1, 2, 3]


async def test_a_look_that_is_late_shows_the_last_one_and_is_shown_next(
    traffic: asyncio.AbstractEventLoop,
) -> None:
    counter = Counter()
    latest = Latest(counter.look, traffic, 0)
    await latest.get()
    counter.pause = 10 * LOOK_SECONDS
    began = time.monotonic()
    seen = [await latest.get() for _ in range(3)]
    took = time.monotonic() - began
    counter.pause = 0
    await asyncio.sleep(20 * LOOK_SECONDS)

    assert seen == [1, 1, 1]
    assert took < 9 * LOOK_SECONDS
    assert counter.looks == 2  # one look for all who ask meanwhile
    assert await latest.get() == 3


async def test_a_look_that_fails_is_a_failure_only_as_long_as_it_does(
    traffic: asyncio.AbstractEventLoop,
) -> None:
    counter = Counter()
    latest = Latest(counter.look, traffic, 0)
    counter.fails = True
    with pytest.raises(RuntimeError):
        await latest.get()
    counter.fails = False

    assert await latest.get() == 2
