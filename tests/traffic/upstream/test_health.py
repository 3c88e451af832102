"""The breaker towards an upstream: what opens it, whom it refuses, and how soon it closes."""

from __future__ import annotations

import asyncio
import contextlib
import random  # noqa: TID251 - a course that can be had again
import socket
import threading
import time
from collections.abc import AsyncIterator
from contextlib import nullcontext as nothing
from dataclasses import replace
from typing import Final, get_args

import pytest

from proxy.config.limits import Timeouts, TrafficLimits
from proxy.core.errors import UpstreamResting
from proxy.process.circuit_breaker import NO_TRIAL
from proxy.traffic.upstream.limit import Outcome
from proxy.traffic.upstream.permits import Claim, Permit, Permits
from tests.servers import free_port
from tests.traffic.ours import HASTY, Ours, local, proxied
from tests.traffic.wire import (
    OK,
    Origin,
    Peer,
    Response,
    connected,
    eventually,
    get,
    obliging,
    post,
    running,
    talk,
)

CANARY = b"canary-4711"
BRISK = replace(HASTY, rest=0.2, longest_rest=0.4)
COUNTING = TrafficLimits(gateway_errors=3)
UNAVAILABLE = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"


async def ask(ours: Ours, request: bytes = b"") -> Response:
    return await talk(ours.port, request or post(CANARY))


async def statuses(ours: Ours, number: int) -> list[int]:
    return [(await ask(ours)).status for _ in range(number)]


@contextlib.asynccontextmanager
async def before(
    port: int, limits: TrafficLimits | None = None, timeouts: Timeouts = BRISK
) -> AsyncIterator[Ours]:
    """Run the traffic port; in the end look for the canary in what was reported."""
    async with proxied(local(port), limits=limits, timeouts=timeouts) as ours:
        yield ours
        assert CANARY.decode() not in repr(ours.ear.heard)


async def test_five_failures_to_connect_open_it_and_the_refusal_says_for_how_long() -> None:
    async with before(free_port()) as ours:
        assert await statuses(ours, 5) == [502] * 5
        refused = await ask(ours)

        assert refused.status == 503
        assert refused.values(b"retry-after") == [b"1"]
        assert refused.values(b"sealyard-error") == [b"upstream-resting"]
        assert CANARY not in refused.raw
        assert ours.upstream.permits.health.breaker.state == "open"


async def test_while_it_is_open_nothing_is_read_of_a_body() -> None:
    asked = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 11\r\nExpect: 100-continue\r\n\r\n"
    async with before(free_port()) as ours, connected(ours.port) as client:
        await statuses(ours, 5)
        client.send(asked)
        refused = await client.response()

    assert (refused.status, refused.values(b"sealyard-error")) == (503, [b"upstream-resting"])


@pytest.mark.timing
async def test_a_backend_that_is_back_is_used_within_its_rest() -> None:
    port = free_port()
    async with before(port) as ours:
        await statuses(ours, 6)
        async with running(Origin(), port=port):
            back = time.monotonic()
            for _ in range(200):
                if (await ask(ours)).status == 200:
                    break
                await asyncio.sleep(0.01)
            took = time.monotonic() - back

            assert took <= BRISK.longest_rest + 0.5
            assert await statuses(ours, 3) == [200] * 3


async def test_after_its_rest_one_request_is_tried_and_no_other() -> None:
    port = free_port()
    async with before(port) as ours:
        await statuses(ours, 5)
        await asyncio.sleep(BRISK.rest + 0.05)
        found = await asyncio.gather(*(ask(ours) for _ in range(10)))

        assert sorted(one.status for one in found) == [502, *[503] * 9]


async def test_no_request_is_sent_twice_and_none_while_it_rests() -> None:
    port = free_port()
    async with before(port) as ours:
        await statuses(ours, 6)
        async with running(Origin(), port=port) as origin:
            answered = 0
            for number in range(40):
                body = b"number-%d" % number
                answered += (await ask(ours, post(body))).status == 200
                await asyncio.sleep(0.02)

        bodies = [one.body for one in origin.seen]
        assert answered == len(bodies) == len(set(bodies)) > 0


async def crashing(peer: Peer, origin: Origin) -> None:
    """Take a request and cut the connection."""
    origin.seen.append(await peer.request())
    peer.cut()


async def test_a_route_that_crashes_does_not_close_the_others() -> None:
    async with running(Origin(crashing)) as origin, before(origin.port) as ours:
        assert await statuses(ours, 10) == [502] * 10
        assert len(origin.seen) == 10


@pytest.mark.parametrize("script", [crashing, None])
async def test_gateway_errors_open_it_where_they_count(script: object) -> None:
    origin = Origin(crashing) if script else Origin(reply=UNAVAILABLE)
    async with running(origin), before(origin.port, COUNTING) as ours:
        assert await statuses(ours, 3) == [502 if script else 503] * 3
        assert (await ask(ours)).values(b"sealyard-error") == [b"upstream-resting"]
        assert len(origin.seen) == 3


async def test_gateway_errors_count_in_a_row_only() -> None:
    origin = Origin(reply=UNAVAILABLE)
    async with running(origin), before(origin.port, COUNTING) as ours:
        for _ in range(4):
            origin.reply = UNAVAILABLE
            await statuses(ours, 2)
            origin.reply = OK
            assert await statuses(ours, 1) == [200]


async def test_a_trial_that_meets_a_gateway_error_opens_it_again() -> None:
    origin = Origin(reply=UNAVAILABLE)
    async with running(origin), before(origin.port, COUNTING) as ours:
        await statuses(ours, 3)
        await asyncio.sleep(BRISK.rest + 0.05)
        await statuses(ours, 2)

        assert len(origin.seen) == 4
        assert ours.upstream.permits.health.breaker.opened == 2


async def test_an_upstream_that_is_silent_counts_where_gateway_errors_do() -> None:
    async def silent(peer: Peer, origin: Origin) -> None:
        origin.seen.append(await peer.request())
        await asyncio.sleep(5)

    async with running(Origin(silent)) as origin, before(origin.port, COUNTING) as ours:
        found = await asyncio.gather(*(ask(ours, get()) for _ in range(3)))
        assert [one.status for one in found] == [504] * 3
        assert (await ask(ours)).status == 503


async def test_a_client_that_leaves_while_its_request_is_tried_leaves_room_for_another() -> None:
    async def silent(peer: Peer, origin: Origin) -> None:
        origin.seen.append(await peer.request())
        await asyncio.sleep(5)

    patient = replace(BRISK, response=5.0)
    origin = Origin(reply=UNAVAILABLE.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    async with running(origin), before(origin.port, COUNTING, patient) as ours:
        await statuses(ours, 3)
        await asyncio.sleep(BRISK.rest + 0.05)
        origin.script = silent
        _, writer = await asyncio.open_connection("127.0.0.1", ours.port)
        writer.write(post(CANARY))
        await asyncio.sleep(0.1)
        writer.transport.abort()

        await eventually(ours.upstream.permits.health.breaker.admits)


async def test_a_request_from_before_that_ends_does_not_end_the_trial() -> None:
    async def silent(peer: Peer, origin: Origin) -> None:
        origin.seen.append(await peer.request())
        await asyncio.sleep(5)

    async def left_waiting(ours: Ours) -> asyncio.StreamWriter:
        _, writer = await asyncio.open_connection("127.0.0.1", ours.port)
        writer.write(post(CANARY))
        await asyncio.sleep(0.1)
        return writer

    patient = replace(BRISK, response=5.0)
    origin = Origin(silent, UNAVAILABLE.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    async with running(origin), before(origin.port, COUNTING, patient) as ours:
        early = await left_waiting(ours)
        origin.script = obliging
        await statuses(ours, 3)
        await asyncio.sleep(BRISK.rest + 0.05)
        origin.script = silent
        trial = await left_waiting(ours)
        early.transport.abort()
        await eventually(lambda: ours.upstream.permits.in_use == 1)

        assert (await ask(ours)).values(b"sealyard-error") == [b"upstream-resting"]
        trial.transport.abort()
        await eventually(ours.upstream.permits.health.breaker.admits)


class Closing(threading.Thread):
    """A backend in a thread of its own, which closes its first connection when it is told to."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.requests: list[bytes] = []
        self.close, self.closed = threading.Event(), threading.Event()

    @property
    def port(self) -> int:
        return int(self.listening.getsockname()[1])

    def run(self) -> None:
        with self.listening:
            first = self._answer()
            self.close.wait(10)
            first.close()
            self.closed.set()
            self._answer().close()

    def _answer(self) -> socket.socket:
        connection, _ = self.listening.accept()
        connection.settimeout(10)
        self.requests.append(connection.recv(65536))
        connection.sendall(OK)
        return connection


@pytest.mark.parametrize("chunked", [False, True])
async def test_b6_a_post_of_which_nothing_was_written_is_sent_on_another_connection(
    *, chunked: bool
) -> None:
    """The connection ends in the same turn of the loop in which the request takes it."""
    backend = Closing()
    backend.start()
    head = b"POST / HTTP/1.1\r\nHost: h\r\n"
    whole = head + b"Content-Length: %d\r\n\r\n" % len(CANARY) + CANARY
    in_chunks = head + b"Transfer-Encoding: chunked\r\n\r\nb\r\n" + CANARY + b"\r\n0\r\n\r\n"
    async with before(backend.port) as ours:
        with socket.create_connection(("127.0.0.1", ours.port)) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            assert await asyncio.to_thread(client.recv, 65536) == OK
            # Now, while the loop stands still, in this order:
            client.sendall(in_chunks if chunked else whole)
            backend.close.set()
            assert backend.closed.wait(5)
            answer = await asyncio.to_thread(client.recv, 65536)

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert len(backend.requests) == 2
    assert CANARY in backend.requests[1]


async def test_b6_retries_of_a_backend_that_does_not_answer_end() -> None:
    async with before(free_port()) as ours:
        health = ours.upstream.permits.health
        assert sum(health.may_retry() for _ in range(100)) == 10
        for _ in range(10):
            health.answered(200, NO_TRIAL)
        assert sum(health.may_retry() for _ in range(100)) == 2


ENDS: Final = get_args(Outcome)


@pytest.mark.parametrize("most", [None, 1, 3])
async def test_a_trial_is_always_that_of_a_permit_whose_request_is_under_way(
    most: int | None,
) -> None:
    """One that nobody ends would keep the upstream from being tried ever again."""
    draw = random.Random(48)  # noqa: S311 - a repeatable course
    limits = TrafficLimits(connections=4, failures=2, gateway_errors=most)
    permits = Permits(limits, Timeouts())
    breaker = permits.health.breaker
    now, tried_often = 0.0, 0
    breaker._clock = lambda: now
    held: list[Permit] = []
    for _ in range(20_000):
        permit = draw.choice(held) if held else None
        match draw.randrange(6):
            case 0 | 1 if permit is None or len(held) < 4:
                taken = permits.take_at_once(Claim(draw.choice("abcd"), draw.choice("xyz")))
                held += [] if taken is None else [taken]
            case 1 | 2 if permit is not None and permit._trial is None:
                rests, tries = breaker.state == "open", breaker.trial != NO_TRIAL
                with pytest.raises(UpstreamResting) if rests or tries else nothing():
                    permit.begins()
                tried_often += breaker.trial != NO_TRIAL and not tries
            case 2 if permit is not None:
                permit.answered(draw.choice((200, 503)))
            case 3 | 4 if permit is not None:
                held.remove(permit)
                permit.release(draw.choice(ENDS))
                permit.release("failed")
            case _:
                now += draw.choice((0.1, 1.0, 10.0))
        assert breaker.trial in {NO_TRIAL, *(one._trial for one in held)}
        assert permits.in_use == len(held)
    for one in held:
        one.release("unsent")
    assert (breaker.trial, permits.in_use) == (NO_TRIAL, 0)
    assert tried_often > 100
