"""The faults of the obvious aiohttp proxy, each shown on it and shown to be absent in ours."""

from __future__ import annotations

import asyncio
import gzip
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from proxy.core.http.path import canonical

from .obvious_proxy import Join, by_path, by_raw_path, by_reference, obvious
from .ours import local, proxied
from .wire import (
    OK,
    Origin,
    Peer,
    Response,
    connected,
    get,
    post,
    running,
    talk,
)

Start = Callable[..., AbstractAsyncContextManager[int]]


@asynccontextmanager
async def _obvious(port: int, *, join: Join = by_path) -> AsyncIterator[int]:
    async with obvious(port, join=join) as (_, proxy_port):
        yield proxy_port


@asynccontextmanager
async def _ours(port: int, *, join: Join = by_path) -> AsyncIterator[int]:
    async with proxied(local(port)) as ours:
        yield ours.port


PROXIES: dict[str, Start] = {"obvious": _obvious, "ours": _ours}


@pytest.fixture(params=PROXIES)
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def start(kind: str) -> Start:
    return PROXIES[kind]


@pytest.fixture
def faulty(kind: str) -> bool:
    """Whether the fault is expected: on the control, and never on ours."""
    return kind == "obvious"


async def _sent(start: Start, origin: Origin, data: bytes, *, join: Join = by_path) -> Response:
    async with running(origin), start(origin.port, join=join) as port:
        return await talk(port, data)


@pytest.mark.parametrize("target", [b"/a?q=%2F", b"/a/%zz", b"//a/b", b"/a/../b"])
async def test_f1_the_target_is_forwarded_as_it_was_decided(
    start: Start, *, faulty: bool, target: bytes
) -> None:
    origin = Origin()

    response = await _sent(start, origin, get(target))

    path, mark, query = target.decode().partition("?")
    valid = path != "/a/%zz"
    decided = (canonical(path).text + mark + query).encode() if valid else None
    forwarded = origin.seen[0].target if origin.seen else None
    rewritten = target == b"/a/../b" and faulty  # what yarl does here happens to be canonical
    assert (forwarded != decided) == (faulty and not rewritten)
    assert response.status in {200, 400}


@pytest.mark.parametrize("target", [b"/x/../api/pay", b"/api/p%61y", b"/api/./pay"])
async def test_f2_the_origin_has_nothing_left_to_normalise(
    start: Start, *, faulty: bool, target: bytes
) -> None:
    origin = Origin()

    await _sent(start, origin, get(target), join=by_raw_path)

    assert (origin.seen[0].target != b"/api/pay") == faulty


@pytest.mark.parametrize("target", [b"/api/pay%00", b"/api/pay%1f"])
async def test_f3_hidden_control_characters_are_refused(
    start: Start, *, faulty: bool, target: bytes
) -> None:
    origin = Origin()

    response = await _sent(start, origin, get(target))

    assert bool(origin.seen) == faulty
    assert (response.status != 400) == faulty


async def test_f4_a_target_cannot_name_another_host(start: Start, *, faulty: bool) -> None:
    async with running(Origin()) as other:
        origin = Origin()
        target = b"//127.0.0.1:%d/x" % other.port

        await _sent(start, origin, get(target), join=by_reference)

        assert bool(other.seen) == faulty
        assert bool(origin.seen) != faulty


async def test_f5_a29_the_cookie_of_one_user_never_reaches_another(
    start: Start, *, faulty: bool
) -> None:
    origin = Origin(reply=OK.replace(b"\r\n\r\n", b"\r\nSet-Cookie: sid=ALICE\r\n\r\n"))

    async with running(origin), start(origin.port) as port:
        await talk(port, get(b"/login"))
        await talk(port, get(b"/other"))

    assert bool(origin.seen[1].values(b"cookie")) == faulty


async def test_f6_malformed_bytes_are_neither_logged_nor_echoed(
    start: Start, *, faulty: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    request = get(b"/", b"Authorization: Bearer CANARY\x00")

    response = await _sent(start, Origin(), request)

    assert response.status == 400
    assert ("CANARY" in caplog.text or b"CANARY" in response.raw) == faulty


async def test_f7_a_coded_request_stays_as_its_header_says(start: Start, *, faulty: bool) -> None:
    origin = Origin()
    coded = gzip.compress(b"plain" * 10)

    await _sent(start, origin, post(coded, b"Content-Encoding: gzip"))

    assert origin.seen[0].values(b"content-encoding") == [b"gzip"]
    assert (origin.seen[0].body != coded) == faulty


async def test_f8_a_coded_response_stays_as_its_header_says(start: Start, *, faulty: bool) -> None:
    coded = gzip.compress(b"plain" * 10)
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(coded)

    response = await _sent(start, Origin(reply=head + coded), get())

    assert response.values(b"content-encoding") == [b"gzip"]
    assert (response.body != coded) == faulty


async def test_f9_a10_expect_ends_here(start: Start, *, faulty: bool) -> None:
    origin = Origin()

    async def careful(peer: Peer, origin: Origin) -> None:
        origin.seen.append(await peer.request())
        peer.send(OK)

    origin.script = careful
    async with running(origin), start(origin.port) as port, connected(port) as client:
        client.send(get(b"/", b"Content-Length: 2", b"Expect: 100-continue", method=b"POST"))
        assert (await client.until(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 ")
        client.send(b"hi")
        if not faulty:  # the control waits for a 100 of the origin, which never comes
            assert (await client.response()).status == 200
        forwarded = origin.seen[0].values(b"expect") if origin.seen else [b"hung"]

    assert bool(forwarded) == faulty


async def test_f10_a1_hop_by_hop_headers_end_here(start: Start, *, faulty: bool) -> None:
    origin = Origin()
    hops = [b"X-Hop: 1", b"Keep-Alive: x", b"TE: gzip", b"Proxy-Authorization: x", b"Trailer: a"]
    request = get(b"/", *hops).replace(b"Connection: close", b"Connection: close, X-Hop")

    await _sent(start, origin, request)

    names = [line.partition(b":")[0] for line in hops]
    assert any(origin.seen[0].values(name) for name in names) == faulty


@pytest.mark.parametrize("direction", ["request", "response"])
async def test_f11_a26_bytes_that_are_not_utf_8_pass_unchanged(
    start: Start, *, faulty: bool, direction: str
) -> None:
    line = b"X-Bin: \xff\xfe"
    origin = Origin(reply=OK.replace(b"\r\n\r\n", b"\r\n" + line + b"\r\n\r\n"))

    response = await _sent(start, origin, get(b"/", line))

    seen = origin.seen[0] if direction == "request" else response
    assert (seen.values(b"x-bin") != [b"\xff\xfe"]) == faulty


async def test_f12_a29_every_cookie_arrives(start: Start, *, faulty: bool) -> None:
    cookies = b"\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\n\r\n"

    response = await _sent(start, Origin(reply=OK.replace(b"\r\n\r\n", cookies)), get())

    assert (response.values(b"set-cookie") != [b"a=1", b"b=2"]) == faulty


async def test_f13_nothing_is_invented(start: Start, *, faulty: bool) -> None:
    origin = Origin()

    response = await _sent(start, origin, get())

    invented = [b"accept", b"accept-encoding", b"user-agent", b"content-type", b"server", b"date"]
    found = [name for name in invented if origin.seen[0].values(name) or response.values(name)]
    assert bool(found) == faulty


@pytest.mark.parametrize("method", [b"PUT", b"DELETE", b"POST"])
async def test_f14_b6_what_may_have_acted_is_not_sent_again(
    start: Start, *, faulty: bool, method: bytes
) -> None:
    async def dying(peer: Peer, origin: Origin) -> None:
        origin.seen.append(await peer.request())

    origin = Origin(script=dying)

    response = await _sent(start, origin, get(b"/die", method=method))

    assert (len(origin.seen) > 1) == (faulty and method != b"POST")
    assert (response.status == 502) != faulty


async def test_f15_a_client_that_has_said_all_is_answered(start: Start, *, faulty: bool) -> None:
    async def slow(peer: Peer, origin: Origin) -> None:
        origin.seen.append(await peer.request())
        await asyncio.sleep(0.1)
        peer.send(OK)

    origin = Origin(script=slow)
    async with running(origin), start(origin.port) as port, connected(port) as client:
        client.send(get())
        client.writer.write_eof()
        answer = await client.rest()

    assert (answer == b"") == faulty


async def _events(peer: Peer, origin: Origin) -> None:
    origin.seen.append(await peer.request())
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n")
    peer.send(b"Transfer-Encoding: chunked\r\n\r\n4\r\n:\n\n:\r\n")
    await asyncio.sleep(60)


@pytest.mark.timing
@pytest.mark.parametrize("faulty", [True, False])
async def test_f16_a_drain_takes_its_grace_once(*, faulty: bool) -> None:
    grace = 0.5
    async with running(Origin(script=_events)) as origin:

        async def drained(port: int, stop: Callable[[], Awaitable[object]]) -> float:
            async with connected(port) as client:
                client.send(get())
                await client.until(b":\n\n:")
                began = time.monotonic()
                await stop()
                return time.monotonic() - began

        if faulty:
            async with obvious(origin.port, shutdown=grace) as (runner, port):
                seconds = await drained(port, runner.cleanup)
        else:
            async with proxied(local(origin.port)) as ours:
                seconds = await drained(ours.port, lambda: ours.server.drain(grace))

    assert seconds >= grace
    assert (seconds > 1.6 * grace) == faulty


F18 = {
    "empty host": b"GET / HTTP/1.1\r\nHost:\r\n\r\n",
    "two hosts in one": b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n",
    "path in host": b"GET / HTTP/1.1\r\nHost: h/path\r\n\r\n",
    "user in host": b"GET / HTTP/1.1\r\nHost: u@h\r\n\r\n",
    "fragment in host": b"GET / HTTP/1.1\r\nHost: h#\r\n\r\n",
    "port too high": b"GET / HTTP/1.1\r\nHost: h:99999\r\n\r\n",
    "space in host": b"GET / HTTP/1.1\r\nHost: h h\r\n\r\n",
    "empty coding": b"PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding:\r\nContent-Length: 0\r\n\r\n",
    "coding on 1.0": b"POST / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "fragment": b"GET /a#frag HTTP/1.1\r\nHost: h\r\n\r\n",
    "user in target": b"GET http://u@h/ HTTP/1.1\r\nHost: h\r\n\r\n",
    "trace": b"TRACE / HTTP/1.1\r\nHost: h\r\n\r\n",
    "underscore": b"GET / HTTP/1.1\r\nHost: h\r\nTransfer_Encoding: chunked\r\n\r\n",
}


@pytest.mark.parametrize("name", F18)
async def test_f18_a16_what_the_parser_lets_through_stops_at_the_gate(
    start: Start, *, faulty: bool, name: str
) -> None:
    origin = Origin()
    request = F18[name].replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1)

    response = await _sent(start, origin, request)

    assert bool(origin.seen) == faulty
    assert (response.status in {400, 405}) != faulty


async def test_f20_a12_trailers_never_become_headers(start: Start) -> None:
    origin = Origin()
    head = b"POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    trailer = b"X-Evil: evil\r\nAuthorization: x\r\n"

    await _sent(start, origin, head + b"2\r\nhi\r\n0\r\n" + trailer + b"\r\n")

    assert origin.seen[0].body == b"hi"
    assert b"evil" not in origin.seen[0].head
    assert origin.seen[0].values(b"authorization") == []
