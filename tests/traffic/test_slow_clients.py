"""B11: clients that send or read slowly, or not at all."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import uvloop

from proxy.config.limits import TrafficLimits
from proxy.core.compiled.rule_table import RuleTable
from proxy.core.expressions.routes import parse_pattern
from proxy.core.expressions.selectors import parse_selector
from proxy.core.expressions.sources import parse_source
from proxy.core.rules.model import Block as RuleBlock
from proxy.core.rules.model import Item, Names, Rule

from .ours import HASTY, PASSING, local, proxied
from .wire import OK, Client, Origin, Peer, Response, connected, eventually, get, running

KEPT = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"


async def test_b11_a_head_that_drips_is_refused_in_time() -> None:
    async with (
        running(Origin()) as origin,
        proxied(local(origin.port), timeouts=HASTY) as ours,
        connected(ours.port) as client,
    ):
        answer = asyncio.ensure_future(client.rest())  # noqa: TID251 - awaited below
        for byte in b"GET / HTTP/1.1\r\nHost: h\r\nX: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy":
            client.send(bytes([byte]))
            await asyncio.sleep(0.02)
            if answer.done():
                break
        response = Response(await answer)

    assert response.status == 408


async def test_b11_a_body_that_stops_is_refused_in_time() -> None:
    async with (
        running(Origin()) as origin,
        proxied(local(origin.port), timeouts=HASTY) as ours,
        connected(ours.port) as client,
    ):
        client.send(get(b"/", b"Content-Length: 10", method=b"POST") + b"abc")
        response = Response(await client.rest())

    assert response.status == 408
    assert origin.seen == []


async def test_b11_a_silent_connection_is_closed_without_a_word() -> None:
    async with (
        running(Origin()) as origin,
        proxied(local(origin.port), timeouts=HASTY) as ours,
        connected(ours.port) as client,
    ):
        assert await client.rest() == b""


async def test_b11_a_client_that_does_not_read_is_dropped() -> None:
    async def endless(peer: Peer, origin: Origin) -> None:
        await peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        while True:
            peer.send(b"x" * 65536)
            await peer.writer.drain()

    async with (
        running(Origin(endless)) as origin,
        proxied(local(origin.port), timeouts=HASTY) as ours,
    ):
        async with connected(ours.port) as client:
            client.send(get())
            await eventually(lambda: not (ours.listener.connections))
        assert ours.upstream.pool.size == 0


class _Holding(asyncio.Protocol):
    """Holds the loop up for longer than a connection may rest."""

    def data_received(self, data: bytes) -> None:
        time.sleep(0.7)


async def _held_up() -> list[bytes]:
    """Return the answers to requests that came in time while the loop was held up beyond it."""
    loop = asyncio.get_running_loop()
    holding = await loop.create_server(_Holding, "127.0.0.1", 0)
    async with running(Origin()) as origin:
        hasty = replace(HASTY, keepalive=0.4)
        async with holding, proxied(local(origin.port), timeouts=hasty) as ours:
            port = holding.sockets[0].getsockname()[1]
            return await asyncio.to_thread(_ask_meanwhile, port, ours.port)


def _ask_meanwhile(holding: int, ours: int) -> list[bytes]:
    with (
        socket.create_connection(("127.0.0.1", holding)) as holder,
        socket.create_connection(("127.0.0.1", ours)) as client,
    ):
        client.sendall(KEPT)
        answers = [client.recv(4096)]
        for _ in range(5):
            holder.sendall(b"x")
            time.sleep(0.2)
            client.sendall(KEPT)
            answers.append(client.recv(4096))
        return answers


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_b11_what_came_in_time_is_in_time_though_nobody_looked(
    loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    with asyncio.Runner(loop_factory=loop) as runner:
        assert runner.run(_held_up()) == [OK] * 6


async def _drip(client: Client, piece: bytes, seconds: float) -> Response:
    """Send a piece each hundredth of a second, until there is an answer, and return it."""
    loop = asyncio.get_running_loop()
    answer = loop.create_task(client.rest())
    end = loop.time() + seconds
    while loop.time() < end and not answer.done():
        client.send(piece)
        await asyncio.sleep(0.01)
    assert answer.done()
    return Response(await answer)


FRAMINGS = {
    "length": (b"Content-Length: 1000000", b"x"),
    "chunks": (b"Transfer-Encoding: chunked", b"1\r\nx\r\n"),
}
RULED = RuleTable(
    (
        Rule(
            "ruled",
            (parse_pattern("/"),),
            Names(tenant=parse_source("const:t"), conversation=parse_source("const:c")),
            (RuleBlock(encrypt=(Item(parse_selector("$.a"), "a", frozenset()),)),),
        ),
    ),
    pass_unmatched=True,
)


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("rule_table", [PASSING, RULED], ids=["passing", "ruled"])
async def test_b11_a_body_that_drips_is_refused_though_it_never_falls_silent(
    framing: str, rule_table: RuleTable
) -> None:
    line, piece = FRAMINGS[framing]
    whole: list[bytes] = []

    async def recording(peer: Peer, origin: Origin) -> None:
        whole.append((await peer.request()).body)

    limits = TrafficLimits(upload_rate=10_000)
    async with (
        running(Origin(recording)) as origin,
        proxied(
            local(origin.port),
            rule_table=rule_table,
            timeouts=replace(HASTY, stream=5),
            limits=limits,
        ) as ours,
        connected(ours.port) as client,
    ):
        client.send(get(b"/", line, b"Content-Type: application/json", method=b"POST"))
        response = await _drip(client, piece, 3)

        assert response.status == 408
        assert ours.ear.last["error"] == "slow-request"
        await eventually(lambda: ours.upstream.pool.size == 0)
    assert whole == []


async def test_b11_a_body_that_keeps_the_rate_may_take_as_long_as_it_likes() -> None:
    limits = TrafficLimits(upload_rate=1000)
    async with (
        running(Origin()) as origin,
        proxied(local(origin.port), timeouts=replace(HASTY, stream=5), limits=limits) as ours,
        connected(ours.port) as client,
    ):
        client.send(get(b"/", b"Content-Length: 10000", method=b"POST"))
        for _ in range(100):  # longer than three times what is left to a silence
            client.send(b"x" * 100)
            await asyncio.sleep(0.013)
        response = Response(await client.rest())

    assert response.status == 200
    assert origin.seen[0].body == b"x" * 10_000


async def test_b11_a_slow_backend_does_not_use_up_the_time_of_its_client() -> None:
    async def slow(peer: Peer, origin: Origin) -> None:
        await peer.head()
        await asyncio.sleep(1.5)
        await peer.reader.readexactly(20_000_000)
        peer.send(OK)

    limits = TrafficLimits(upload_rate=1_000_000)
    async with (
        running(Origin(slow)) as origin,
        proxied(local(origin.port), timeouts=replace(HASTY, stream=5), limits=limits) as ours,
        connected(ours.port) as client,
    ):
        client.send(get(b"/", b"Content-Length: 20000000", method=b"POST") + b"x" * 20_000_000)
        response = await client.response()

    assert response.status == 200


async def test_b11_an_answer_that_nobody_reads_does_not_outlast_a_kept_connection() -> None:
    reply = b"HTTP/1.1 200 OK\r\nContent-Length: 20000\r\n\r\n" + b"x" * 20_000
    hasty = replace(HASTY, keepalive=0.4)
    async with (
        running(Origin(reply=reply)) as origin,
        proxied(local(origin.port), timeouts=hasty) as ours,
        connected(ours.port) as client,
    ):
        client.reader._transport.pause_reading()  # type: ignore[attr-defined] # not in its stubs
        client.send(KEPT)
        await eventually(lambda: origin.seen)
        connection: Any = next(iter(ours.listener._clients._clients))
        transport = getattr(connection, "transport", None) or connection._transport
        while not transport.get_write_buffer_size():
            client.send(KEPT)
            await asyncio.sleep(0.001)
        await eventually(lambda: not ours.listener.connections)
