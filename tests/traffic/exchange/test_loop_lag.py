"""Requests that the event loop has no time for, on each lane."""

from __future__ import annotations

import asyncio
import time

import pytest

from proxy.config.limits import Timeouts
from proxy.traffic.downstream.listener import HttpListener
from proxy.traffic.exchange.exchange import Handler
from proxy.traffic.slices import AT_ONCE
from proxy.traffic.turns import LoopLag
from proxy.traffic.upstream.client import HttpUpstream
from proxy.traffic.upstream.permits import Claim
from tests.factories import Ear
from tests.servers import free_port
from tests.traffic.exchange.test_exchange import BrokenKeys, a_rulebook
from tests.traffic.ours import ANY_PORT, PASSING, NoKeys, local, serving
from tests.traffic.wire import OK, Origin, connected, eventually, post, running, talk

CANARY = b"canary-4711"
WHOLE = b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 11\r\n\r\n" + CANARY
CHUNKED = (
    b"POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n"
    + CANARY
    + b"\r\n0\r\n\r\n"
)


class Lagging(LoopLag):
    """A loop that has no time for two requests, and then for all."""

    def __init__(self) -> None:
        super().__init__()
        self.left = 2
        self.asked: list[str] = []

    def refuses(self, client: str) -> bool:
        self.asked.append(client)
        self.left -= 1
        return self.left >= 0


@pytest.mark.parametrize("request_bytes", [WHOLE, CHUNKED])
async def test_they_are_refused_and_their_connection_stays(request_bytes: bytes) -> None:
    ear, lag = Ear(), Lagging()
    async with running(Origin()) as origin:
        upstream = HttpUpstream(local(origin.port))
        handler = Handler(PASSING, NoKeys(), upstream, ear, clock=time.time, lag=lag)
        listener = HttpListener(ANY_PORT, handler)
        async with serving(listener, upstream), connected(listener.port) as client:
            found = []
            for _ in range(3):
                client.send(request_bytes)
                found.append(await client.response())

    refused, again, served = found
    assert [one.status for one in found] == [503, 503, 200]
    assert served.raw == OK
    assert refused.values(b"retry-after") == again.values(b"retry-after") == [b"1"]
    assert refused.values(b"sealyard-error") == [b"busy"]
    assert [one.body for one in origin.seen] == [CANARY]
    assert lag.asked == ["127.0.0.1"] * 3
    lines = ear.all("message.refused")
    assert [line["reason"] for line in lines] == ["loop-lag"] * 2
    assert CANARY.decode() not in repr(ear.heard) + refused.raw.decode()


async def test_a_long_message_that_waits_while_the_upstream_closes_is_told_so() -> None:
    ear = Ear()
    values = b",".join(b'"%d": 1' % number for number in range(1000))
    long = b'{"content": "' + CANARY + b'", ' + values + b"}"
    upstream = HttpUpstream(local(free_port()))
    handler = Handler(a_rulebook(), BrokenKeys(), upstream, ear, clock=time.time)
    listener = HttpListener(ANY_PORT, handler)
    others = [upstream.long_requests.take_at_once(Claim("other", "")) for _ in range(AT_ONCE)]
    async with serving(listener, upstream):
        asking = asyncio.get_running_loop().create_task(
            talk(listener.port, post(long, b"Content-Type: application/json", target=b"/seal"))
        )
        await eventually(lambda: upstream.long_requests.waiting)
        await upstream.close()
        refused = await asking

    assert all(others)
    assert (refused.status, refused.values(b"sealyard-error")) == (503, [b"busy"])
    assert [line["reason"] for line in ear.all("message.refused")] == ["closing"]
    assert CANARY.decode() not in repr(ear.heard) + refused.raw.decode()


@pytest.mark.timing
async def test_long_messages_that_would_wait_too_long_are_refused_and_others_not() -> None:
    ear = Ear()
    json_type = b"Content-Type: application/json"
    values = b",".join(b'"%d": 1' % number for number in range(1000))
    long = b'{"content": "' + CANARY + b'", ' + values + b"}"
    short = b'{"content": "' + CANARY + b'"}'
    async with running(Origin()) as origin:
        upstream = HttpUpstream(local(origin.port), timeouts=Timeouts(queue=0.4))
        handler = Handler(a_rulebook(), BrokenKeys(), upstream, ear, clock=time.time)
        listener = HttpListener(ANY_PORT, handler)
        others = [upstream.long_requests.take_at_once(Claim("other", "")) for _ in range(AT_ONCE)]
        async with serving(listener, upstream):
            began = time.monotonic()
            refused = await talk(listener.port, post(long, json_type, target=b"/seal"))
            waited = time.monotonic() - began
            for permit in filter(None, others):
                permit.release("unsent")
            let_in = await talk(listener.port, post(long, json_type, target=b"/seal"))
            keyless = await talk(listener.port, post(short, json_type, target=b"/seal"))
            passed = await talk(listener.port, post(long, json_type, target=b"/other"))

    assert refused.status == 503
    assert refused.values(b"sealyard-error") == [b"busy"]
    assert refused.values(b"retry-after") == [b"1"]
    assert 0.2 <= waited < 0.4
    assert let_in.values(b"sealyard-error") == [b"key-unavailable"]
    assert upstream.long_requests.in_use == 0
    assert keyless.values(b"sealyard-error") == [b"key-unavailable"]
    assert passed.status == 200
    assert [one.body for one in origin.seen] == [long]
    assert ear.all("message.refused")[0]["reason"] == "long-messages"
    assert CANARY.decode() not in repr(ear.heard)
