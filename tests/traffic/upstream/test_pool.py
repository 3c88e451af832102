"""The pool of connections: none is given to two, and each gives its permit back."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from proxy.config.limits import TrafficLimits
from proxy.config.settings import TcpAddress
from proxy.core.errors import UpstreamFailed
from proxy.core.http.message import ResponseHead
from proxy.process.circuit_breaker import NO_TRIAL
from proxy.traffic.upstream.client import HttpUpstream
from proxy.traffic.upstream.connection import UpstreamConnection
from proxy.traffic.upstream.permits import Claim
from proxy.traffic.upstream.pool import PooledResponse

from ..ours import local, proxied
from ..wire import Origin, eventually, get, running, talk

CLAIM = Claim("192.0.2.1", "route")


@contextlib.asynccontextmanager
async def upstream_of(origin: Origin, connections: int = 1) -> AsyncIterator[HttpUpstream]:
    """Run an upstream with so many permits."""
    limits = TrafficLimits(connections=connections)
    async with running(origin), proxied(local(origin.port), limits=limits) as ours:
        yield ours.upstream


async def acquired(upstream: HttpUpstream) -> UpstreamConnection:
    """Return a connection with a permit of its own."""
    return await upstream.pool.acquire(await upstream.permits.take(CLAIM), NO_TRIAL)


async def test_a_response_that_nobody_closes_gives_its_place_back() -> None:
    async with upstream_of(Origin()) as upstream:
        connection = await acquired(upstream)
        response = PooledResponse(upstream.pool, connection, ResponseHead(200, b"OK", ()), None)
        assert (upstream.pool.size, upstream.permits.in_use) == (1, 1)
        del response

        await eventually(lambda: upstream.pool.size == upstream.permits.in_use == 0)


async def test_a_connection_that_ends_gives_its_place_back_whoever_has_it() -> None:
    async with upstream_of(Origin()) as upstream:
        (await acquired(upstream)).abort()

        await eventually(lambda: upstream.pool.size == upstream.permits.in_use == 0)


async def test_a_connection_that_is_given_back_twice_is_given_to_nobody() -> None:
    async with upstream_of(Origin()) as upstream:
        connection = await acquired(upstream)
        upstream.pool.release(connection)
        upstream.pool.release(connection)

        assert await acquired(upstream) is not connection
        assert (upstream.pool.size, upstream.permits.in_use) == (1, 1)


async def test_dropping_twice_makes_room_for_one() -> None:
    async with upstream_of(Origin()) as upstream:
        connection = await acquired(upstream)
        upstream.pool.drop(connection)
        upstream.pool.drop(connection)
        await acquired(upstream)

        assert (upstream.pool.size, upstream.permits.in_use) == (1, 1)


async def test_a_permit_that_comes_just_as_its_task_is_cancelled_goes_to_the_next() -> None:
    async with upstream_of(Origin()) as upstream:
        connection = await acquired(upstream)
        loop = asyncio.get_running_loop()
        first, second = (loop.create_task(acquired(upstream)) for _ in range(2))
        await asyncio.sleep(0)
        upstream.pool.release(connection)
        first.cancel()

        assert await asyncio.wait_for(second, 1) is connection
        assert (upstream.pool.size, upstream.permits.in_use) == (1, 1)


async def test_a_connection_that_cannot_be_made_leaves_its_permit_to_who_waits() -> None:
    nowhere = TcpAddress("127.0.0.1", 1)
    async with proxied(nowhere, limits=TrafficLimits(connections=1)) as ours:
        answers = await asyncio.gather(*[talk(ours.port, get()) for _ in range(5)])

        assert [one.status for one in answers] == [502] * 5
        assert (ours.upstream.pool.size, ours.upstream.permits.in_use) == (0, 0)
        assert {fields["error"] for _, fields in ours.ear.heard} == {UpstreamFailed.code}
