"""The pool of connections: no place is lost, and none is given to two."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from proxy.config.limits import TrafficLimits
from proxy.config.settings import TcpAddress
from proxy.core.errors import UpstreamFailed
from proxy.core.http.message import ResponseHead
from proxy.traffic.upstream.pool import Pool, PooledResponse

from ..ours import local, proxied
from ..wire import Origin, eventually, running


@contextlib.asynccontextmanager
async def pooled(origin: Origin, connections: int = 1) -> AsyncIterator[Pool]:
    """Run an upstream with room for so many connections, and give its pool."""
    limits = TrafficLimits(connections=connections)
    async with running(origin), proxied(local(origin.port), limits=limits) as ours:
        yield ours.upstream.pool


async def test_a_response_that_nobody_closes_gives_its_place_back() -> None:
    async with pooled(Origin()) as pool:
        connection = await pool.acquire()
        response = PooledResponse(pool, connection, ResponseHead(200, b"OK", ()), None)
        assert pool.size == 1
        del response

        await eventually(lambda: pool.size == 0)


async def test_a_connection_that_ends_gives_its_place_back_whoever_has_it() -> None:
    async with pooled(Origin()) as pool:
        (await pool.acquire()).abort()

        await eventually(lambda: pool.size == 0)


async def test_a_connection_that_is_given_back_twice_is_given_to_nobody() -> None:
    async with pooled(Origin()) as pool:
        connection = await pool.acquire()
        pool.release(connection)
        pool.release(connection)

        assert await pool.acquire() is not connection
        assert pool.size == 1


async def test_dropping_twice_makes_room_for_one() -> None:
    async with pooled(Origin()) as pool:
        connection = await pool.acquire()
        pool.drop(connection)
        pool.drop(connection)
        await pool.acquire()

        assert pool.size == 1


@pytest.mark.parametrize("gone", [False, True], ids=["a connection", "room for one"])
async def test_what_is_given_to_a_turn_that_is_cancelled_goes_to_the_next(*, gone: bool) -> None:
    async with pooled(Origin()) as pool:
        connection = await pool.acquire()
        loop = asyncio.get_running_loop()
        first, second = (loop.create_task(pool.acquire()) for _ in range(2))
        await asyncio.sleep(0)
        if gone:
            pool.drop(connection)
        else:
            pool.release(connection)
        first.cancel()

        got = await asyncio.wait_for(second, 1)
        assert (got is connection) is not gone
        assert pool.size == 1


async def test_a_connection_that_cannot_be_made_leaves_room_for_who_waits() -> None:
    nowhere = TcpAddress("127.0.0.1", 1)
    async with proxied(nowhere, limits=TrafficLimits(connections=1)) as ours:
        pool = ours.upstream.pool
        waits = [pool.acquire() for _ in range(5)]
        answers = await asyncio.gather(*waits, return_exceptions=True)

        assert [type(one) for one in answers] == [UpstreamFailed] * 5
        assert pool.size == 0
