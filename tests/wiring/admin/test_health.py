"""What the health listener shows of a loop that is late, fails, or stands still."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from proxy.wiring.admin import health
from proxy.wiring.admin.health import Latest
from proxy.wiring.policy import LOOK_SECONDS

PATIENCE_SECONDS = 20.0


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


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for the other thread for as long as a busy machine takes."""
    monkeypatch.setattr(health, "LOOK_SECONDS", PATIENCE_SECONDS)


class Counter:
    """What is looked at: it counts the looks, waits until it is `free`, and may fail."""

    def __init__(self) -> None:
        self.looks = 0
        self.free = threading.Event()
        self.free.set()
        self.fails = False

    async def look(self) -> int:
        self.looks += 1
        self.free.wait(4 * PATIENCE_SECONDS)  # the loop that is looked at is held up
        if self.fails:
            raise RuntimeError
        return self.looks


async def test_a_look_that_is_quick_is_shown_at_once(traffic: asyncio.AbstractEventLoop) -> None:
    counter = Counter()
    latest = Latest(counter.look, traffic, 0)

    assert [await latest.get() for _ in range(3)] == [1, 2, 3]


async def test_a_look_that_is_late_shows_the_last_one_and_is_shown_next(
    traffic: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    counter = Counter()
    latest = Latest(counter.look, traffic, 0)
    await latest.get()
    counter.free.clear()
    monkeypatch.setattr(health, "LOOK_SECONDS", LOOK_SECONDS)
    async with asyncio.timeout(PATIENCE_SECONDS):
        seen = [await latest.get() for _ in range(3)]
    monkeypatch.setattr(health, "LOOK_SECONDS", PATIENCE_SECONDS)
    waiting = asyncio.get_running_loop().create_task(latest.get())
    await asyncio.sleep(0)
    counter.free.set()

    assert seen == [1, 1, 1]
    assert await waiting == 2  # one look for all who ask meanwhile
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
