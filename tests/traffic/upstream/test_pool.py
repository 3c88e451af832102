"""The pool of connections: none is given to two, and each gives its permit back."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from proxy.config.limits import TrafficLimits
from proxy.config.settings import TcpAddress
from proxy.core.errors import UpstreamFailed
from proxy.core.http.message import ResponseHead
from proxy.traffic.byte_budget import ByteBudget, Hold
from proxy.traffic.upstream import permits
from proxy.traffic.upstream.client import HttpUpstream
from proxy.traffic.upstream.connection import UpstreamConnection
from proxy.traffic.upstream.limit import FixedLimit, Outcome
from proxy.traffic.upstream.permits import Claim
from proxy.traffic.upstream.pool import PooledResponse

from ..ours import local, proxied
from ..wire import OK, Origin, Peer, connected, eventually, get, obliging, running, talk

CLAIM = Claim("192.0.2.1", "route")


@contextlib.asynccontextmanager
async def upstream_of(origin: Origin, connections: int = 1) -> AsyncIterator[HttpUpstream]:
    """Run an upstream with so many permits."""
    limits = TrafficLimits(connections=connections)
    async with running(origin), proxied(local(origin.port), limits=limits) as ours:
        yield ours.upstream


async def acquired(upstream: HttpUpstream) -> UpstreamConnection:
    """Return a connection with a permit of its own."""
    return await upstream.pool.acquire(await upstream.permits.take(CLAIM))


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


# --- how a message ended, which decides how many places the upstream keeps ------------------------


class Noting(FixedLimit):
    """A limit that remembers how the messages ended of which something was sent."""

    def __init__(self, value: int) -> None:
        super().__init__(value)
        self.outcomes: list[Outcome] = []

    def ended(self, seconds: float, outcome: Outcome, *, full: bool) -> None:
        if outcome != "unsent":
            self.outcomes.append(outcome)


@pytest.fixture
def noting(monkeypatch: pytest.MonkeyPatch) -> Noting:
    """The limit of every upstream of a test."""
    limit = Noting(1)
    monkeypatch.setattr(permits, "ConcurrencyLimit", lambda _: limit)
    return limit


CLOSED = b"HTTP/1.1 200 OK\r\nConnection: close\r\n"
REPLIES = {
    "kept": OK,
    "a length": CLOSED + b"Content-Length: 2\r\n\r\nok",
    "chunks": CLOSED + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "no body": b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n",
    "no end but the connection's": CLOSED + b"\r\nok",
    "1.0": b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "no length in 1.0": b"HTTP/1.0 200 OK\r\n\r\nok",
    "large": CLOSED + b"Content-Length: 1000000\r\n\r\n" + bytes(1_000_000),
}


@pytest.mark.parametrize("kept", [0, 1], ids=["new", "used"])
@pytest.mark.parametrize("reply", REPLIES.values(), ids=REPLIES)
async def test_b8_an_upstream_that_closes_its_connections_answers_as_one_that_keeps_them(
    reply: bytes, kept: int, noting: Noting
) -> None:
    async def script(peer: Peer, origin: Origin) -> None:
        for _ in range(kept):
            await peer.request()
            peer.send(OK)
        await peer.request()
        peer.send(reply)
        if reply is OK:
            await obliging(peer, origin)

    async with (
        running(Origin(script)) as origin,
        proxied(local(origin.port)) as ours,
        connected(ours.port) as client,
    ):
        for _ in range(4):
            client.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            assert (await client.response()).status in {200, 204}
        await eventually(lambda: not ours.upstream.permits.in_use)

    assert noting.outcomes == ["answered"] * 4


async def test_b8_an_upstream_that_closes_behind_what_is_still_to_be_read_has_answered(
    noting: Noting,
) -> None:
    async def script(peer: Peer, origin: Origin) -> None:
        await peer.request()
        peer.send(CLOSED + b"\r\nok")

    async with upstream_of(Origin(script)) as upstream:
        connection = await acquired(upstream)
        connection.begin(head_only=False, upgrade=False)
        connection.write(get())
        head = await connection.head()
        await eventually(lambda: connection.gone and not upstream.permits.in_use)

        assert noting.outcomes == ["answered"]
        response = PooledResponse(upstream.pool, connection, head, None)
        assert await response.read(2, Hold(ByteBudget(), "")) == b"ok"


async def test_a11_b8_a_response_before_the_end_of_its_upload_is_an_answer(noting: Noting) -> None:
    async def script(peer: Peer, origin: Origin) -> None:
        await peer.head()
        peer.send(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n")
        await peer.reader.read()

    async with (
        running(Origin(script)) as origin,
        proxied(local(origin.port), limits=TrafficLimits(window=1024)) as ours,
        connected(ours.port) as client,
    ):
        # More than a window of it, so that it does not count beside the permits.
        head = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9000\r\n\r\n"
        client.send(head + bytes(2000))
        assert (await client.response()).status == 413
        await eventually(lambda: not ours.upstream.pool.size)

    assert noting.outcomes == ["answered"]


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [(CLOSED + b"Content-Length: 9\r\n\r\nok", "failed"), (CLOSED + b"\r\nok", "abandoned")],
    ids=["cut", "left"],
)
async def test_b8_half_a_response_is_no_answer(
    reply: bytes, outcome: Outcome, noting: Noting
) -> None:
    async def script(peer: Peer, origin: Origin) -> None:
        await peer.request()
        peer.send(reply)
        while outcome == "abandoned":
            await asyncio.sleep(0.01)
            peer.send(b"and more")
            await peer.writer.drain()

    async with running(Origin(script)) as origin, proxied(local(origin.port)) as ours:
        async with connected(ours.port) as client:
            client.send(get())
            await client.until(b"ok")
        await eventually(lambda: not ours.upstream.pool.size)

    assert noting.outcomes == [outcome]
