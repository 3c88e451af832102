"""A body takes as much memory as it has bytes, however it is cut."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import AsyncIterator
from typing import cast

from proxy.traffic.byte_budget import ByteBudget, Hold, read_whole
from proxy.traffic.downstream.request import ClientBody, RequestConnection
from proxy.traffic.http1.framing import Framing
from proxy.traffic.policy import READ_TIMES

SIZE = 100_000


class _Connection:
    def awaiting_body(self, *, waiting: bool) -> None:
        """Wait for ever."""

    def took(self) -> None:
        """Read on."""


async def test_a_body_in_many_pieces_takes_what_is_reserved_for_it() -> None:
    body = ClientBody(cast("RequestConnection", _Connection()), Framing(SIZE), invites=False)
    tracemalloc.start()
    try:
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(body.read(SIZE, Hold(ByteBudget(), "a client")))
            for number in range(SIZE // 2):
                await asyncio.sleep(0)
                body.put(b"%02d" % (number % 100))
                body.wake()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert len(reading.result()) == SIZE
    assert peak < 1.5 * READ_TIMES * SIZE


async def test_so_does_one_that_nobody_takes_yet() -> None:
    body = ClientBody(cast("RequestConnection", _Connection()), Framing(SIZE), invites=False)
    tracemalloc.start()
    try:
        for number in range(SIZE // 2):
            body.put(b"%02d" % (number % 100))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert len(body.take() or b"") == SIZE
    assert peak < 1.5 * READ_TIMES * SIZE


async def test_so_does_an_answer() -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for number in range(SIZE // 2):
            yield b"%02d" % (number % 100)

    tracemalloc.start()
    try:
        whole = await read_whole(chunks(), SIZE, Hold(ByteBudget(), "a client"), answer=True)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert len(whole) == SIZE
    assert peak < 1.5 * READ_TIMES * SIZE
