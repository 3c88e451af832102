"""What meets in one turn of the event loop: no response is another's, cut unseen, or never sent.

Client and origin are on the loop of the proxy. So what they send before they wait is there for its
next turn, and in that order.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from proxy.config.limits import Timeouts
from proxy.core.errors import Busy
from proxy.process.circuit_breaker import NO_TRIAL
from proxy.traffic.downstream.connection import ClientConnection
from proxy.traffic.http1.reader import ResponseReader
from proxy.traffic.policy import CHUNKS_AT_ONCE
from proxy.traffic.turns import WriteBuffer
from proxy.traffic.upstream.connection import UpstreamConnection
from proxy.traffic.upstream.permits import Permit

from .exchange.test_tunnel import SHAKE
from .ours import HASTY, Ours, local, proxied
from .wire import OK, Client, Origin, Peer, Script, connected, eventually, get, running, talk

KEPT = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
BODY = b"0123456789"
POST = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n"


def known_to(peers: list[Peer], script: Script) -> Script:
    """Return a script whose connections are known."""

    async def told(peer: Peer, origin: Origin) -> None:
        peers.append(peer)
        await script(peer, origin)

    return told


async def answering(peer: Peer, origin: Origin) -> None:
    while True:
        origin.seen.append(await peer.request())
        peer.send(origin.reply)


@contextlib.asynccontextmanager
async def one_client(
    origin: Origin, timeouts: Timeouts | None = None
) -> AsyncIterator[tuple[Ours, Client]]:
    async with (
        running(origin),
        proxied(local(origin.port), timeouts=timeouts) as ours,
        connected(ours.port) as client,
    ):
        yield ours, client


def served_by(ours: Ours) -> ClientConnection:
    """Return the one connection of a client."""
    (connection,) = ours.listener._clients._clients
    assert isinstance(connection, ClientConnection)
    return connection


# --- the upstream ---------------------------------------------------------------------------------


@pytest.mark.parametrize("request_", [KEPT, POST + BODY], ids=["GET", "POST"])
async def test_a30_bytes_before_a_request_has_left_are_not_its_response(request_: bytes) -> None:
    peers: list[Peer] = []
    origin = Origin(known_to(peers, answering))
    async with one_client(origin) as (_, client):
        client.send(KEPT)
        await client.response()
        client.send(request_)
        peers[0].send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nstray")
        answer = await client.response()
        client.send(KEPT)
        after = await client.response()

    assert (answer.body, after.body) == (b"ok", b"ok")
    assert len(peers) == 2
    assert len(origin.seen) == 3


@pytest.mark.parametrize("reply", [b"HTTP/1.1 200 OK\r\n\r\nhel", b"HTTP/1.0 200 OK\r\n\r\nhel"])
async def test_b4_a_body_without_an_end_that_falls_silent_does_not_look_complete(
    reply: bytes,
) -> None:
    async def falls_silent(peer: Peer, origin: Origin) -> None:
        await peer.request()
        peer.send(reply)
        await peer.reader.read()

    async with one_client(Origin(falls_silent), HASTY) as (ours, client):
        client.send(KEPT)
        found = await client.until(b"hel")
        assert await client.was_cut()
        assert b"0\r\n\r\n" not in found
        await eventually(lambda: "upstream-timeout" in repr(ours.ear.heard))


async def test_b8_a_slow_client_is_not_held_to_the_deadline_of_the_head() -> None:
    size = 16 * 1024 * 1024  # far more than the buffers of the kernel hold

    async def large(peer: Peer, origin: Origin) -> None:
        await peer.request()
        peer.send(OK)
        await peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + bytes(size))
        await peer.reader.read()

    origin, loop, got = Origin(large), asyncio.get_running_loop(), 0
    async with (
        running(origin),
        proxied(local(origin.port), timeouts=Timeouts(response=0.3)) as ours,
    ):
        with socket.socket() as client:
            client.setblocking(False)  # noqa: FBT003 - the socket's own interface
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            await loop.sock_connect(client, ("127.0.0.1", ours.port))
            await eventually(lambda: ours.listener.connections and served_by(ours)._transport)
            served = served_by(ours)._transport
            assert served is not None
            served.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            served.set_write_buffer_limits(high=1024)  # the first piece is too much at once
            await loop.sock_sendall(client, KEPT)
            assert (await loop.sock_recv(client, 65536)).endswith(b"ok")
            await loop.sock_sendall(client, KEPT)
            await asyncio.sleep(1)
            async with asyncio.timeout(60):
                while got < size:
                    part = await loop.sock_recv(client, 65536)
                    assert part
                    got += len(part)


async def test_b8_the_end_of_an_upload_does_not_end_the_deadline_of_its_response() -> None:
    async def early(peer: Peer, origin: Origin) -> None:
        await peer.head()
        peer.send(CHUNKED + b"1\r\na\r\n")
        await peer.writer.drain()
        await asyncio.sleep(0.2)
        await peer.reader.readexactly(8 * 1024 * 1024)
        await peer.reader.read()

    async with one_client(Origin(early), replace(HASTY, stream=1.0)) as (_, client):
        client.send(POST.replace(b"10", b"%d" % (8 * 1024 * 1024)))
        client.send(bytes(8 * 1024 * 1024))
        await client.until(b"a\r\n")
        assert await client.was_cut()


async def test_a_trial_of_the_breaker_that_gets_no_place_is_given_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(_: Permit, kind: str) -> None:
        raise Busy("long-transfers")

    async with one_client(Origin()) as (ours, _):
        breaker = ours.upstream.permits.health.breaker
        for _number in range(5):
            breaker.failed(NO_TRIAL)
        monkeypatch.setattr(breaker, "_present_rest", 0.0)
        assert breaker.state == "half-open"
        with monkeypatch.context() as patched:
            patched.setattr(Permit, "becomes", full)
            async with connected(ours.port) as client:
                client.send(SHAKE)
                assert (await client.response()).status == 503

        assert ours.upstream.permits.in_use == 0
        assert (await talk(ours.port, get())).status == 200


# --- the client -----------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [10, 200_000])
async def test_a_client_lingers_only_so_long_behind_an_early_answer(length: int) -> None:
    """The upload is given up behind the exchange: its deadline is not that of the linger."""

    async def early(peer: Peer, origin: Origin) -> None:
        await peer.head()
        peer.send(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno")
        await peer.reader.read()

    unhurried = replace(HASTY, body=60.0, keepalive=60.0)  # longer than this test waits
    async with one_client(Origin(early), unhurried) as (ours, client):
        client.send(POST.replace(b"10", b"%d" % length) + bytes(length - 1))
        assert (await client.response()).status == 413
        await eventually(lambda: not ours.listener.connections)


@pytest.mark.parametrize("way", ["caught up", "late", "ended"])
async def test_b3_a_request_that_comes_in_two_parts_to_a_slow_client_stays_whole(way: str) -> None:
    origin = Origin(answering)
    async with one_client(origin) as (ours, client):
        client.send(KEPT)
        await client.response()
        connection = served_by(ours)
        client.send(POST + BODY[:4])
        await eventually(lambda: connection._body)
        connection.pause_writing()  # what is left of the response fills the transport
        client.send(BODY[4:])
        if way == "caught up":
            connection.resume_writing()
        elif way == "ended":
            client.writer.write_eof()
        answer = await client.response()
        if way != "caught up":
            assert connection.crowded
            connection.resume_writing()

    assert answer.body == b"ok"
    assert [one.body for one in origin.seen] == [b"", BODY]


@pytest.mark.parametrize("reads", [True, False])
async def test_b11_nothing_follows_the_last_response_that_is_read_slowly(*, reads: bool) -> None:
    """Neither another request nor more time, when the client has read most of it."""
    loop, due = asyncio.get_running_loop(), asyncio.Event()
    reply = b"HTTP/1.1 200 OK\r\nContent-Length: 30000\r\n\r\n" + bytes(30_000)

    async def script(peer: Peer, origin: Origin) -> None:
        origin.seen.append(await peer.request())
        peer.send(OK)
        origin.seen.append(await peer.request())
        await due.wait()
        peer.send(reply)
        await answering(peer, origin)

    async with (
        running(Origin(script)) as origin,
        proxied(local(origin.port), timeouts=HASTY) as ours,
    ):
        with socket.socket() as client:
            client.setblocking(False)  # noqa: FBT003 - the socket's own interface
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            await loop.sock_connect(client, ("127.0.0.1", ours.port))
            await eventually(lambda: ours.listener.connections and served_by(ours)._transport)
            connection = served_by(ours)
            served = connection._transport
            assert served is not None
            served.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            served.set_write_buffer_limits(high=1024)
            await loop.sock_sendall(client, KEPT)
            assert (await loop.sock_recv(client, 4096)).endswith(b"ok")
            await loop.sock_sendall(client, get())
            await eventually(lambda: len(origin.seen) == 2)
            await loop.sock_sendall(client, KEPT)
            await eventually(lambda: connection._buffer)
            due.set()
            await eventually(served.is_closing)
            assert connection.crowded
            deadline = connection._write_deadline
            connection.resume_writing()  # as the transport calls it once little is left
            assert connection._write_deadline == deadline
            got = b""
            while reads and (part := await loop.sock_recv(client, 65536)):
                got += part
            await eventually(lambda: not ours.listener.connections)

    assert len(origin.seen) == 2
    assert got.count(b"HTTP/1.1 ") == reads
    assert got.endswith(bytes(30_000)) == reads


async def test_b16_a_request_behind_a_slow_response_is_not_taken_for_an_idle_connection() -> None:
    origin = Origin(answering)
    async with one_client(origin) as (ours, client):
        client.send(KEPT)
        await client.response()
        connection = served_by(ours)
        connection.pause_writing()
        client.send(KEPT)
        await eventually(lambda: connection._buffer)
        drain = asyncio.ensure_future(ours.server.drain(2))  # noqa: TID251 - awaited below
        await asyncio.sleep(1.5)  # idle connections are closed after one second
        connection.resume_writing()
        answer = await client.response()

        assert answer.body == b"ok"
        assert await drain


async def test_b16_a_stream_that_begins_with_the_drain_ends_with_it() -> None:
    go = asyncio.Event()

    async def late(peer: Peer, origin: Origin) -> None:
        origin.seen.append(await peer.request())
        await go.wait()
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
        peer.send(head + b"Transfer-Encoding: chunked\r\n\r\n")
        await peer.reader.read()

    origin = Origin(late)
    async with one_client(origin) as (ours, client):
        client.send(KEPT)
        await eventually(lambda: origin.seen)
        drain = asyncio.ensure_future(ours.server.drain(5))  # noqa: TID251 - awaited below
        await eventually(lambda: ours.listener._clients._all_gone)  # all have been told
        go.set()
        rest = await client.rest()

        assert rest.startswith(b"HTTP/1.1 200 OK\r\n")
        assert rest.endswith(b"\r\n\r\n0\r\n\r\n")
        assert await drain


async def test_one_client_that_cannot_be_told_of_a_drain_keeps_it_from_no_other() -> None:
    def broken() -> None:
        raise RuntimeError

    origin = Origin(answering)
    async with one_client(origin) as (ours, client), connected(ours.port) as other:
        for one in (client, other):
            one.send(KEPT)
            await one.response()
        first, *_ = ours.listener._clients._clients
        first.when_leaving = broken

        assert await ours.server.drain(2)
        assert await client.rest() == await other.rest() == b""


# --- much work in one read ------------------------------------------------------------------------

TINY = b"1\r\na\r\n" * 43_690 + b"0\r\n\r\n"


async def test_b12_tiny_chunks_of_one_read_of_a_client_leave_turns_to_others() -> None:
    origin = Origin()
    async with one_client(origin) as (ours, client):
        await eventually(lambda: ours.listener._clients._clients)
        connection = served_by(ours)
        connection.data_received(
            b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        await eventually(lambda: connection._body)
        body, steps = connection._body, []
        assert body is not None
        connection.data_received(TINY + KEPT)
        while not body.complete:
            steps.append(body.arrived + body.waiting)
            assert not connection._reading
            await asyncio.sleep(0)
        answers = [await client.response() for _ in range(2)]

    assert [one.status for one in answers] == [200, 200]
    assert [len(one.body) for one in origin.seen] == [43_690, 0]
    assert max(b - a for a, b in itertools.pairwise(steps)) <= CHUNKS_AT_ONCE
    assert len(steps) >= 43_690 // CHUNKS_AT_ONCE


@pytest.mark.parametrize("ends", [False, True])
async def test_b12_tiny_chunks_of_one_read_of_a_backend_leave_turns_to_others(
    *, ends: bool
) -> None:
    loop = asyncio.get_running_loop()
    reader = ResponseReader(head_limit=999, headers_limit=9)
    connection = UpstreamConnection(reader, WriteBuffer(loop), window=1 << 20, silence=1.0)
    transport = Reading()
    connection.connection_made(transport)
    connection.begin(head_only=False, upgrade=False)
    connection.wrote = True
    connection.data_received(CHUNKED + TINY)
    if ends:
        connection.eof_received()
    steps = [connection._size]
    while not reader.complete:
        assert not transport.is_reading()
        await asyncio.sleep(0)
        steps.append(connection._size)

    assert await connection.read() == b"a" * 43_690
    assert connection.error is None
    assert (transport.is_reading(), connection.alive) == (not ends, not ends)
    assert max(b - a for a, b in itertools.pairwise([0, *steps])) <= CHUNKS_AT_ONCE


class Reading(asyncio.Transport):
    """A transport that knows whether it is read."""

    def __init__(self) -> None:
        super().__init__()
        self._reads = True

    def is_reading(self) -> bool:
        return self._reads

    def pause_reading(self) -> None:
        self._reads = False

    def resume_reading(self) -> None:
        self._reads = True

    def is_closing(self) -> bool:
        return False
