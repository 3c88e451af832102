"""Files are watched for as long as the process runs, whatever one look at them meets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from proxy.wiring.reload.config_files import Watch

UNABLE = RuntimeError("can't start new thread")


@pytest.fixture
def heard() -> list[dict[str, Any]]:
    return []


@asynccontextmanager
async def watching(
    file: Path, changed: Callable[[], Awaitable[object]], heard: list[dict[str, Any]]
) -> AsyncIterator[None]:
    """Watch a file that is not there yet every 10 ms; `heard` gets what the event loop is told."""
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: heard.append(context))
    watch = Watch(lambda: (file,), changed, interval=0.01)
    running = loop.create_task(watch.run())
    try:
        yield
    finally:
        running.cancel()
        await asyncio.wait((running,))


async def test_a_look_for_which_there_is_no_thread_is_made_up_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, heard: list[dict[str, Any]]
) -> None:
    changed = asyncio.Event()
    in_thread, failures = asyncio.to_thread, 3

    async def unable(work: Callable[[], object]) -> object:
        nonlocal failures
        failures -= 1
        if failures >= 0:
            raise UNABLE
        return await in_thread(work)

    async def note() -> None:
        changed.set()

    monkeypatch.setattr(asyncio, "to_thread", unable)
    async with watching(tmp_path / "file", note, heard):
        (tmp_path / "file").write_text("made")
        async with asyncio.timeout(20):
            await changed.wait()
    assert [one["exception"] for one in heard] == [UNABLE]  # once in a row


async def test_a_change_that_could_not_be_followed_is_followed_at_the_next_look(
    tmp_path: Path, heard: list[dict[str, Any]]
) -> None:
    done, calls = asyncio.Event(), 0

    async def fails_once() -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise UNABLE
        done.set()

    async with watching(tmp_path / "file", fails_once, heard):
        (tmp_path / "file").write_text("made")
        async with asyncio.timeout(20):
            await done.wait()
        await asyncio.sleep(0.1)
    assert (calls, [one["exception"] for one in heard]) == (2, [UNABLE])
