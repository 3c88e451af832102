"""B11, B20: the front door. A client that is not served gets an answer, and is counted."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from ipaddress import ip_network

import pytest

from proxy.config.limits import Timeouts, TrafficLimits
from proxy.process import descriptors as process_descriptors
from proxy.traffic.downstream.acceptor import RESERVED_DESCRIPTORS

from ..ours import HASTY, Ours, local, proxied
from ..wire import Client, Origin, Response, connected, eventually, get, post, running, talk

KEPT = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
LOOPBACK = (ip_network("127.0.0.0/8"),)
ONE = TrafficLimits(clients=1)
ONE_EACH = TrafficLimits(clients_per_address=1)


@contextlib.asynccontextmanager
async def first(ours: Ours) -> AsyncIterator[Client]:
    """Be a client that is served."""
    async with connected(ours.port) as client:
        client.send(KEPT)
        assert (await client.response()).status == 200
        yield client


def check(response: Response) -> None:
    """Check the answer of a client that is not served."""
    problem = json.loads(response.body)
    assert response.status == problem["status"] == 503
    assert problem["type"] == "urn:sealyard:error:busy"
    assert response.values(b"retry-after") == [b"1"]
    assert response.values(b"connection") == [b"close"]
    assert response.values(b"content-type") == [b"application/problem+json"]


@pytest.mark.parametrize(
    ("limits", "reason"), [(ONE, "clients"), (ONE_EACH, "clients-per-address")]
)
async def test_b11_a_client_beyond_a_limit_gets_503_and_is_counted(
    limits: TrafficLimits, reason: str
) -> None:
    async with running(Origin()) as origin, proxied(local(origin.port), limits=limits) as ours:
        async with first(ours):
            for _ in range(3):
                check(await talk(ours.port, get()))
        await eventually(lambda: ours.listener.connections == 0)
        assert (await talk(ours.port, get())).status == 200
        counts = ours.listener.refusals.counts
        events = ours.ear.all("clients.refused")

    assert counts == {reason: 3}
    assert events == [{"listener": "ours", "reason": reason, "number": 1}]
    assert len(origin.seen) == 2


async def test_the_answer_comes_before_the_request_is_sent() -> None:
    async with (
        running(Origin()) as origin,
        proxied(local(origin.port), limits=ONE) as ours,
        first(ours),
        connected(ours.port) as silent,
    ):
        check(await silent.response())


async def test_a_client_that_is_still_sending_reads_the_answer() -> None:
    async with (
        running(Origin()) as origin,
        proxied(local(origin.port), limits=ONE) as ours,
        first(ours),
    ):
        for _ in range(20):
            async with connected(ours.port) as client:
                client.send(post(b"x" * 1_000_000))
                check(await client.response())
    assert len(origin.seen) == 1


async def test_a_client_that_stays_is_dropped_after_a_while() -> None:
    async with (
        running(Origin()) as origin,
        proxied(local(origin.port), limits=ONE, timeouts=HASTY) as ours,
        first(ours),
        connected(ours.port) as client,
    ):
        check(await client.response())
        async with asyncio.timeout(5):
            with contextlib.suppress(ConnectionError):
                while True:
                    client.send(b"x" * 1000)
                    await client.writer.drain()
                    await asyncio.sleep(0.02)


async def test_more_clients_than_linger_are_answered_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(process_descriptors, "lingering", lambda _: 3)
    async with (
        running(Origin()) as origin,
        proxied(local(origin.port), limits=ONE) as ours,
        first(ours),
        contextlib.AsyncExitStack() as held,
    ):
        clients = [await held.enter_async_context(connected(ours.port)) for _ in range(20)]
        for client in clients:
            check(await client.response())
        assert ours.listener.refusals.counts == {"clients": 20}


async def test_a_trusted_proxy_is_not_one_client() -> None:
    async with (
        running(Origin()) as origin,
        proxied(local(origin.port), limits=ONE_EACH, trusted_proxies=LOOPBACK) as ours,
        first(ours),
        first(ours),
        first(ours),
    ):
        assert ours.listener.connections == 3
        assert not ours.listener.refusals.counts


async def test_over_tls_the_answer_comes_after_the_handshake(
    server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    async with (
        running(Origin()) as origin,
        proxied(local(origin.port), limits=ONE, tls=server_tls) as ours,
        connected(ours.port, tls=client_tls) as served,
    ):
        served.send(KEPT)
        assert (await served.response()).status == 200
        for _ in range(3):
            async with connected(ours.port, tls=client_tls) as refused:
                refused.send(get())
                check(await refused.response())
        assert ours.listener.refusals.counts == {"clients": 3}


async def test_a_handshake_that_does_not_end_takes_a_place_for_a_bounded_time(
    server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    timeouts = replace(HASTY, head=0.8)
    async with (
        running(Origin()) as origin,
        proxied(local(origin.port), limits=ONE, tls=server_tls, timeouts=timeouts) as ours,
    ):
        async with connected(ours.port):
            await eventually(lambda: ours.listener.connections == 1)
            async with connected(ours.port, tls=client_tls) as refused:
                check(await refused.response())
            await eventually(lambda: ours.listener.connections == 0)
        async with connected(ours.port) as nonsense:
            nonsense.send(get())
            await nonsense.rest()
        await eventually(lambda: ours.listener.connections == 0)
        async with connected(ours.port, tls=client_tls) as served:
            served.send(KEPT)
            assert (await served.response()).status == 200
        assert ours.listener.refusals.counts == {"clients": 1, "tls": 2}


@contextlib.contextmanager
def descriptors(spare: int) -> Iterator[None]:
    """Leave this process some file descriptors beside those that are open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.socket() as probe:
        lowest = probe.fileno()
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + spare, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def raw(port: int) -> socket.socket:
    """Connect, while descriptors are plenty."""
    made = socket.create_connection(("127.0.0.1", port), timeout=10)
    made.setblocking(False)  # noqa: FBT003 - the signature of the standard library
    return made


async def sent(client: socket.socket) -> bytes:
    """Return what a client gets until its connection ends."""
    got = b""
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(10):
            while part := await asyncio.get_running_loop().sock_recv(client, 65536):
                got += part
    return got


async def ended(client: socket.socket) -> bytes:
    """Return what comes once more; an error where the connection was reset."""
    async with asyncio.timeout(10):
        return await asyncio.get_running_loop().sock_recv(client, 1)


async def test_b20_the_last_descriptors_are_not_for_clients() -> None:
    async with (
        running(Origin()) as origin,
        proxied(local(origin.port), timeouts=Timeouts(linger=0.2)) as ours,
    ):
        assert (await talk(ours.port, get())).status == 200
        clients = [raw(ours.port) for _ in range(30)]
        with descriptors(RESERVED_DESCRIPTORS + 6):
            refused = await asyncio.gather(*map(sent, clients[-20:]))
        served = len(clients) - ours.listener.refusals.counts["descriptors"]
        for client in clients:
            client.close()
        counts = dict(ours.listener.refusals.counts)
        assert (await talk(ours.port, get())).status == 200

    for answer in refused:
        check(Response(answer))
    assert 0 < served <= 6
    assert set(counts) == {"descriptors"}


async def test_b20_with_the_last_descriptors_one_after_the_other_is_answered_and_none_reset() -> (
    None
):
    async with running(Origin()) as origin, proxied(local(origin.port)) as ours:
        assert (await talk(ours.port, get())).status == 200
        clients = [raw(ours.port) for _ in range(6)]
        for client in clients:
            client.send(post(b"x" * 5000))
        answers = []
        with descriptors(3):  # the connection to the upstream is idle
            for client in clients:
                async with asyncio.timeout(10):
                    answers.append(await asyncio.get_running_loop().sock_recv(client, 65536))
            ends = await asyncio.gather(*map(ended, clients))
        for client in clients:
            client.close()
        counts = dict(ours.listener.refusals.counts)

    assert [Response(one).status for one in answers] == [503] * 6
    assert ends == [b""] * 6
    assert counts == {"descriptors": 6}


async def test_b20_without_a_descriptor_it_rests_and_then_goes_on() -> None:
    async with running(Origin()) as origin, proxied(local(origin.port)) as ours:
        assert (await talk(ours.port, get())).status == 200
        client = raw(ours.port)
        client.send(get())
        with descriptors(0):
            before = os.times()
            await asyncio.sleep(1.5)
            after = os.times()
            counts = dict(ours.listener.refusals.counts)
        answer = Response(await sent(client))
        client.close()

    assert answer.status == 200
    assert after.user + after.system - before.user - before.system < 0.5
    assert set(counts) == {"accept"}
    assert 1 <= counts["accept"] <= 10


async def test_a_drain_serves_what_the_kernel_has_accepted() -> None:
    async with running(Origin()) as origin, proxied(local(origin.port)) as ours:
        clients = [raw(ours.port) for _ in range(50)]
        for client in clients:
            client.send(get())
        finished, *answers = await asyncio.gather(ours.server.drain(5), *map(sent, clients))
        for client in clients:
            client.close()

    assert finished
    assert [Response(answer).status for answer in answers if isinstance(answer, bytes)] == [
        200
    ] * 50


async def test_a_drain_does_not_wait_for_a_handshake(server_tls: ssl.SSLContext) -> None:
    async with (
        running(Origin()) as origin,
        proxied(local(origin.port), tls=server_tls) as ours,
        connected(ours.port),
    ):
        await eventually(lambda: ours.listener.connections == 1)
        async with asyncio.timeout(4):
            await ours.server.drain(2)
