"""WebSockets on routes without rules, with aiohttp at both ends and with raw bytes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
import pytest
from aiohttp import web

from proxy.config.limits import Timeouts
from proxy.core.compiled.rule_table import RuleTable
from proxy.core.expressions.routes import parse_pattern
from proxy.core.rules.model import Block, Rule
from tests.servers import serving

from ..ours import HASTY, Ours, local, proxied
from ..wire import OK, Client, Origin, Peer, Response, connected, eventually, get, running, talk

SHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"Sec-WebSocket-Protocol: chat\r\n\r\n"
)
SWITCH = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: chat\r\n\r\n"
)


@contextlib.asynccontextmanager
async def tunnelled(
    script: Callable[[Peer], Awaitable[object]], *, timeouts: Timeouts | None = None
) -> AsyncIterator[tuple[Ours, Client]]:
    """Shake hands with an origin that then plays `script`; yield the proxy and the client."""

    async def switching(peer: Peer, origin: Origin) -> None:
        await peer.request()
        peer.send(SWITCH)
        await script(peer)

    async with (
        running(Origin(switching)) as origin,
        proxied(local(origin.port), timeouts=timeouts) as ours,
        connected(ours.port) as client,
    ):
        client.send(SHAKE)
        await client.until(b"\r\n\r\n")
        yield ours, client


async def nothing(peer: Peer) -> None:
    """Wait for the end."""
    await peer.reader.read()


@contextlib.asynccontextmanager
async def echoing() -> AsyncIterator[int]:
    async def echo(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            if message.type is aiohttp.WSMsgType.TEXT:
                await socket.send_str(message.data)
            else:
                await socket.send_bytes(message.data)
        return socket

    app = web.Application()
    app.router.add_get("/ws", echo)
    async with serving(app, shutdown=0.1) as port:
        yield port


async def test_b13_messages_go_both_ways_and_the_close_code_arrives() -> None:
    async with echoing() as port, proxied(local(port)) as ours:
        async with aiohttp.ClientSession() as session:
            async with session.ws_connect(f"http://127.0.0.1:{ours.port}/ws") as socket:
                for size in (0, 1, 70_000, 1_000_000):
                    await socket.send_bytes(b"x" * size)
                    assert await socket.receive_bytes() == b"x" * size
                await socket.send_str("hé")
                assert await socket.receive_str() == "hé"
            assert socket.close_code == 1000
        await eventually(lambda: not (ours.listener.connections or ours.upstream.pool.size))

    assert ours.ear.last["status"] == 101


async def test_b14_bytes_behind_both_handshakes_are_not_lost() -> None:
    async def early(peer: Peer, origin: Origin) -> None:
        origin.seen.append(await peer.request())
        peer.send(SWITCH + b"late")
        peer.send(await peer.reader.readexactly(5))
        await peer.reader.read()

    async with (
        running(Origin(early)) as origin,
        proxied(local(origin.port)) as ours,
        connected(ours.port) as client,
    ):
        client.send(SHAKE + b"early")
        received = await client.until(b"lateearly")

    assert received.startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
    assert Response(received).values(b"sec-websocket-protocol") == [b"chat"]
    assert origin.seen[0].values(b"upgrade") == [b"websocket"]
    assert origin.seen[0].values(b"connection") == [b"Upgrade"]


async def test_b13_a_half_closed_side_still_receives() -> None:
    async def last_word(peer: Peer) -> None:
        peer.send(b"you said " + await peer.reader.read(-1))

    async with tunnelled(last_word) as (_, client):
        client.send(b"all")
        client.writer.write_eof()

        assert await client.rest() == b"you said all"


async def test_b14_a_declined_handshake_is_a_plain_answer_and_the_end() -> None:
    async with (
        running(Origin()) as origin,
        proxied(local(origin.port)) as ours,
        connected(ours.port) as client,
    ):
        client.send(SHAKE + get(b"/smuggled"))
        response = Response(await client.rest())

    assert response.status == 200
    assert response.body == b"ok"
    assert [seen.target for seen in origin.seen] == [b"/ws"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"GET", b"POST"),
        (b"Version: 13", b"Version: 8"),
        (b"websocket\r\n", b"h2c\r\n"),
        (b"keep-alive, Upgrade", b"keep-alive"),
    ],
)
async def test_b14_anything_less_than_a_handshake_is_a_plain_request(
    old: bytes, new: bytes
) -> None:
    async with running(Origin()) as origin, proxied(local(origin.port)) as ours:
        response = await talk(
            ours.port, SHAKE.replace(old, new, 1).replace(b"keep-alive", b"close")
        )

    assert response.status == 200
    assert origin.seen[0].values(b"upgrade") == []


async def test_b13_a_route_with_rules_has_no_tunnel() -> None:
    rule = Rule("ruled", (parse_pattern("/ws"),), request=(Block(),))
    rule_table = RuleTable((rule,), pass_unmatched=True)
    async with (
        running(Origin()) as origin,
        proxied(local(origin.port), rule_table=rule_table) as ours,
    ):
        response = await talk(ours.port, SHAKE.replace(b"keep-alive", b"close"))

    assert response.status == 403
    assert ours.ear.last["reason"] == "upgrade-on-ruled-route"
    assert origin.seen == []


async def test_b13_a_silent_tunnel_ends() -> None:
    async with tunnelled(nothing, timeouts=HASTY) as (_, client):
        assert await client.rest() == b""


async def test_b16_a_drain_says_going_away_to_both_sides() -> None:
    heard: list[bytes] = []

    async def listening(peer: Peer) -> None:
        heard.append(await peer.reader.readexactly(8))
        peer.send(b"\x88\x02\x03\xe9")
        await peer.reader.read()

    async with tunnelled(listening) as (ours, client):
        drain = asyncio.ensure_future(ours.server.drain(5))  # noqa: TID251 - awaited below
        told = await client.until(b"\xe9")
        client.send(b"\x88\x82abcd" + bytes((0x03 ^ ord("a"), 0xE9 ^ ord("b"))))

        assert await drain
        assert await client.rest() == b""
    assert told == b"\x88\x02\x03\xe9"
    mask, hidden = heard[0][2:6], heard[0][6:]
    assert heard[0][:2] == b"\x88\x82"
    assert bytes(one ^ key for one, key in zip(hidden, mask, strict=False)) == b"\x03\xe9"


async def test_b16_a_goodbye_waits_for_the_end_of_a_frame() -> None:
    async def slow(peer: Peer) -> None:
        peer.send(b"\x82\x04ab")
        await asyncio.sleep(0.1)
        peer.send(b"cd\x82\x01x")
        await peer.reader.read()

    async with tunnelled(slow, timeouts=HASTY) as (ours, client):
        await client.until(b"ab")
        drain = asyncio.ensure_future(ours.server.drain(5))  # noqa: TID251 - awaited below

        assert await client.rest() == b"cd\x88\x02\x03\xe9"
        assert await drain


async def test_b16_a_drain_ends_tunnels_inside_its_grace() -> None:
    async with (
        echoing() as port,
        proxied(local(port)) as ours,
        aiohttp.ClientSession() as session,
    ):
        url = f"http://127.0.0.1:{ours.port}/ws"
        sockets = [await session.ws_connect(url) for _ in range(20)]
        drain = asyncio.ensure_future(ours.server.drain(5))  # noqa: TID251 - awaited below
        for socket in sockets:
            await socket.receive()

        assert [socket.close_code for socket in sockets] == [1001] * 20
        assert await drain


async def test_b13_a_slow_reader_holds_the_sender_back() -> None:
    sent = 0

    async def eager(peer: Peer) -> None:
        nonlocal sent
        while True:
            peer.send(b"x" * 65536)
            await peer.writer.drain()
            sent += 65536

    async with tunnelled(eager):
        await asyncio.sleep(0.3)
        held = sent
        await asyncio.sleep(0.2)

        assert sent == held


async def test_b14_the_answer_of_the_origin_decides() -> None:
    async with running(Origin(reply=OK)) as origin, proxied(local(origin.port)) as ours:
        response = await talk(ours.port, SHAKE)

    assert response.values(b"connection") == [b"close"]
