"""A wait for the store ends in time, but not for what this process itself was held up."""

from __future__ import annotations

import asyncio
import socket
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from proxy.keys.policy import BUSY_SECONDS, OPERATOR_SECONDS, STORE_SECONDS
from proxy.keys.stores import StoreFailed
from proxy.keys.stores.guarded import GuardedStore
from proxy.keys.stores.sqlite import SqliteStore
from proxy.keys.stores.store import Patience

SECONDS = 0.1


async def test_a_wait_ends_in_time() -> None:
    began = time.monotonic()

    with pytest.raises(TimeoutError):
        async with Patience(SECONDS):
            await asyncio.Event().wait()

    assert time.monotonic() - began >= SECONDS


async def test_an_answer_that_lies_there_is_read_by_a_process_that_was_held_up() -> None:
    near, far = socket.socketpair()
    with near, far:
        reader, writer = await asyncio.open_connection(sock=near)

        def held_up() -> None:
            far.send(b"+OK\r\n")
            time.sleep(3 * SECONDS)

        asyncio.get_running_loop().call_soon(held_up)
        async with Patience(SECONDS):
            assert await reader.readline() == b"+OK\r\n"
        writer.close()


async def test_a_process_that_was_held_up_waits_once_more_and_no_longer() -> None:
    asyncio.get_running_loop().call_soon(time.sleep, 5 * SECONDS)
    began = time.monotonic()

    with pytest.raises(TimeoutError):
        async with Patience(SECONDS):
            await asyncio.Event().wait()

    assert time.monotonic() - began >= 6 * SECONDS


async def test_who_is_cancelled_is_cancelled_and_who_is_done_is_not() -> None:
    async def waits() -> None:
        async with Patience(SECONDS):
            await asyncio.Event().wait()

    task = asyncio.get_running_loop().create_task(waits())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with Patience(SECONDS / 10):
        pass
    await asyncio.sleep(SECONDS)


@pytest.mark.parametrize("operation", ["note", "erase"])
async def test_an_operator_waits_for_another_that_writes_the_file(
    tmp_path: Path, operation: str
) -> None:
    """For as long as is said, not only for as long as a message would."""
    path = tmp_path / "keys.db"
    store = SqliteStore(path, time.time)
    guarded = GuardedStore(store, OPERATOR_SECONDS, clock=time.monotonic, notice=lambda _: None)
    await guarded.note("n", b"before")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        async with asyncio.TaskGroup() as tasks:
            asked = tasks.create_task(
                guarded.note("m", b"x") if operation == "note" else guarded.erase("n", b"fence")
            )
            await asyncio.sleep(2 * BUSY_SECONDS)
            assert not asked.done()
            other.execute("COMMIT")

    assert asked.result() == {"note": b"x", "erase": {}}[operation]
    await store.close()


async def test_a_message_is_told_early_that_the_file_is_busy(tmp_path: Path) -> None:
    path = tmp_path / "keys.db"
    store = SqliteStore(path, time.time)
    told: list[str] = []
    guarded = GuardedStore(store, STORE_SECONDS, clock=time.monotonic, notice=told.append)
    await guarded.note("n", b"before")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreFailed):
            await guarded.note("m", b"x")

    await store.close()
    assert [(one, getattr(one, "errno", "")) for one in told] in (
        [("store-failed", "SQLITE_BUSY")],
        [("store-timeout", "")],  # this process was held up meanwhile
    )
