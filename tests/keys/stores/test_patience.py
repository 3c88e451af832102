"""A wait for the store ends in time, but not for what this process itself was held up."""

from __future__ import annotations

import asyncio
import socket
import time

import pytest

from proxy.keys.stores.store import patience

SECONDS = 0.1


async def test_a_wait_ends_in_time() -> None:
    began = time.monotonic()

    with pytest.raises(TimeoutError):
        async with patience(SECONDS):
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
        async with patience(SECONDS):
            assert await reader.readline() == b"+OK\r\n"
        writer.close()


async def test_a_process_that_was_held_up_waits_once_more_and_no_longer() -> None:
    asyncio.get_running_loop().call_soon(time.sleep, 5 * SECONDS)
    began = time.monotonic()

    with pytest.raises(TimeoutError):
        async with patience(SECONDS):
            await asyncio.Event().wait()

    assert time.monotonic() - began >= 6 * SECONDS


async def test_who_is_cancelled_is_cancelled_and_who_is_done_is_not() -> None:
    async def waits() -> None:
        async with patience(SECONDS):
            await asyncio.Event().wait()

    task = asyncio.get_running_loop().create_task(waits())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with patience(SECONDS / 10):
        pass
    await asyncio.sleep(SECONDS)
