"""B16: a process that is about to end loses nothing that it has been sent."""

from __future__ import annotations

import asyncio
import socket

import pytest

from .ours import local, proxied
from .wire import OK, Client, Origin, Peer, connected, eventually, get, running

KEPT = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"


async def test_b16_a_drain_lets_the_last_answer_out_and_closes_what_is_idle() -> None:
    go = asyncio.Event()

    async def waiting(peer: Peer, origin: Origin) -> None:
        while True:
            seen = await peer.request()
            if seen.target == b"/slow":
                await go.wait()
            peer.send(OK)

    async with (
        running(Origin(waiting)) as origin,
        proxied(local(origin.port)) as ours,
        connected(ours.port) as idle,
        connected(ours.port) as busy,
    ):
        await _warm(idle)
        busy.send(KEPT.replace(b"/", b"/slow", 1))
        await asyncio.sleep(0.05)
        drain = asyncio.ensure_future(ours.server.drain(5))  # noqa: TID251 - awaited below
        assert await idle.rest() == b""
        with pytest.raises(ConnectionError):
            await asyncio.open_connection("127.0.0.1", ours.port or 1)
        go.set()
        last = await busy.response()

        assert last.status == 200
        assert last.values(b"connection") == [b"close"]
        assert await drain


async def _warm(client: Client) -> None:
    client.send(KEPT)
    await client.response()


async def _ticking(peer: Peer, origin: Origin) -> None:
    await peer.request()
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
    peer.send(head + b"Transfer-Encoding: chunked\r\n\r\n")
    peer.send(b"9\r\ndata: 1\n\n\r\n")
    await peer.writer.drain()
    if origin.reply != OK:
        peer.send(b"6\r\ndata: \r\n")
        await asyncio.sleep(0.1)
        peer.send(b"8\r\n2\n\ndata:\r\n")
    await peer.reader.read()


@pytest.mark.parametrize("reply", [OK, b""], ids=["between events", "within an event"])
async def test_b16_a_drain_ends_event_streams_between_two_events(reply: bytes) -> None:
    async with (
        running(Origin(_ticking, reply=reply)) as origin,
        proxied(local(origin.port)) as ours,
        connected(ours.port) as client,
    ):
        client.send(KEPT)
        head = await client.until(b"\r\n\r\n")
        await client.until(b"data: 1\n\n\r\n" if reply else b"data: \r\n")
        drain = asyncio.ensure_future(ours.server.drain(5))  # noqa: TID251 - awaited below
        rest = await client.rest()

        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        assert rest == (b"0\r\n\r\n" if reply else b"3\r\n2\n\n\r\n0\r\n\r\n")
        assert await drain


@pytest.mark.parametrize(
    ("late", "carried"),
    [(b"data: ", b""), (b"data: 2\n\ndata: ", b"9\r\ndata: 2\n\n\r\n")],
    ids=["a begun event", "an event and a begun one"],
)
async def test_b16_bytes_that_come_with_the_drain_do_not_cut_an_event(
    late: bytes, carried: bytes
) -> None:
    upstream: list[Peer] = []

    async def told(peer: Peer, origin: Origin) -> None:
        upstream.append(peer)
        await _ticking(peer, origin)

    async with (
        running(Origin(told)) as origin,
        proxied(local(origin.port)) as ours,
        connected(ours.port) as client,
    ):
        client.send(KEPT)
        await client.until(b"data: 1\n\n\r\n")
        # Both are due in the next turn of the loop, the drain first.
        upstream[0].send(b"%x\r\n%b\r\n" % (len(late), late))
        drain = asyncio.ensure_future(ours.server.drain(5))  # noqa: TID251 - awaited below

        assert await client.rest() == carried + b"0\r\n\r\n"
        assert await drain


async def test_b16_a_kept_connection_may_carry_one_more_request() -> None:
    async with (
        running(Origin()) as origin,
        proxied(local(origin.port)) as ours,
        connected(ours.port) as kept,
    ):
        await _warm(kept)
        drain = asyncio.ensure_future(ours.server.drain(5))  # noqa: TID251 - awaited below
        await asyncio.sleep(1)
        kept.send(KEPT)
        last = await kept.response()

        assert last.status == 200
        assert last.values(b"connection") == [b"close"]
        assert await kept.rest() == b""
        assert await drain


async def test_b16_what_was_pipelined_before_the_drain_is_answered() -> None:
    go = asyncio.Event()

    async def waiting(peer: Peer, origin: Origin) -> None:
        while True:
            origin.seen.append(await peer.request())
            await go.wait()
            peer.send(OK)

    async with (
        running(Origin(waiting)) as origin,
        proxied(local(origin.port)) as ours,
        connected(ours.port) as client,
    ):
        client.send(KEPT * 3)
        await eventually(lambda: origin.seen)
        drain = asyncio.ensure_future(ours.server.drain(5))  # noqa: TID251 - awaited below
        await asyncio.sleep(0.05)
        go.set()
        answers = [await client.response() for _ in range(3)]

        assert [one.values(b"connection") for one in answers] == [[], [], [b"close"]]
        assert await drain


async def test_b16_a_connection_that_nobody_has_accepted_yet_is_served() -> None:
    async with running(Origin()) as origin, proxied(local(origin.port)) as ours:
        early = socket.create_connection(("127.0.0.1", ours.port))  # the loop does not run here
        early.sendall(get())
        ours.listener.stop_accepting()
        early.setblocking(False)  # noqa: FBT003 - the signature of the standard library
        reader, writer = await asyncio.open_connection(sock=early)
        answer = await asyncio.wait_for(reader.read(), 5)
        writer.close()

        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert await ours.server.drain(5)


async def test_b16_clients_that_just_rest_do_not_use_up_the_grace() -> None:
    async with (
        running(Origin()) as origin,
        proxied(local(origin.port)) as ours,
        connected(ours.port) as kept,
        connected(ours.port),
    ):
        await _warm(kept)
        loop = asyncio.get_running_loop()
        began = loop.time()

        assert await ours.server.drain(20)
        assert loop.time() - began < 6


async def test_b16_a_short_grace_is_kept_where_clients_rest() -> None:
    async with (
        running(Origin()) as origin,
        proxied(local(origin.port)) as ours,
        connected(ours.port) as kept,
    ):
        await _warm(kept)

        assert await ours.server.drain(1.2)


async def test_b16_a_connection_whose_answer_did_not_say_close_may_carry_one_more() -> None:
    go = asyncio.Event()

    async def pausing(peer: Peer, origin: Origin) -> None:
        while True:
            await peer.request()
            peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
            await go.wait()
            peer.send(b"0\r\n\r\n")

    async with (
        running(Origin(pausing)) as origin,
        proxied(local(origin.port)) as ours,
        connected(ours.port) as kept,
    ):
        kept.send(KEPT)
        await kept.until(b"a\r\n")
        drain = asyncio.ensure_future(ours.server.drain(5))  # noqa: TID251 - awaited below
        await asyncio.sleep(0.05)
        go.set()
        await kept.until(b"0\r\n\r\n")
        await asyncio.sleep(0.1)
        kept.send(KEPT)
        last = await kept.response()

        assert last.status == 200
        assert last.values(b"connection") == [b"close"]
        assert await drain
