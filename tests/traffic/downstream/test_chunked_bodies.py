"""What the parser holds at the end of a chunked body is not there for the next request."""

from __future__ import annotations

import asyncio

import pytest

from tests.keys.builders import a_world

from ..exchange.test_exchange import JSON, a_rulebook
from ..ours import local, proxied
from ..wire import Origin, Seen, connected, running

GET = b"GET /me HTTP/1.1\r\nHost: h\r\nX-Own: 1\r\n\r\n"
HEAD = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
HI = b"2\r\nhi\r\n"
SEALED = b"POST /seal HTTP/1.1\r\nHost: h\r\n%b\r\nContent-Length: 13\r\n\r\n" % JSON
PIECES = 4096
"""aiohttp stops the parser at a body that holds more unread chunks than these, with our window."""

TRAILERS = {
    "another's session": b"X-A: 1\r\nCookie: session=attacker\r\n",
    "alone": b"Cookie: session=attacker\r\n",
    "empty": b"Cookie:\r\n",
    "host": b"Host: other\r\n",
    "content coding": b"Content-Encoding: gzip\r\n",
}
FRAMING = [b"Content-Length: 40\r\n", b"Transfer-Encoding: chunked\r\n"]


async def _sent(data: list[bytes], count: int = 2) -> tuple[list[int], list[Seen]]:
    """Send parts over one connection; return the responses' statuses and what the origin saw."""
    async with (
        running(Origin()) as origin,
        proxied(local(origin.port), rule_table=a_rulebook(), keys=a_world().sessions) as ours,
        connected(ours.port) as client,
    ):
        for part in data:
            client.send(part)
            await asyncio.sleep(0.05)
        statuses = [(await client.response()).status for _ in range(count)]
    return statuses, origin.seen


def _lines(seen: Seen) -> list[bytes]:
    """Return the lines of a head without Via, whose name is each proxy's own."""
    return [line for line in seen.head.split(b"\r\n") if not line.lower().startswith(b"via:")]


@pytest.mark.parametrize("apart", [False, True], ids=["pipelined", "one by one"])
@pytest.mark.parametrize("name", TRAILERS)
async def test_a12_trailers_never_become_headers_of_the_next_request(
    name: str, *, apart: bool
) -> None:
    chunked = HEAD + HI + b"0\r\n" + TRAILERS[name] + b"\r\n"
    none = HEAD + HI + b"0\r\n\r\n"

    statuses, seen = await _sent([chunked, GET] if apart else [chunked + GET])
    _, expected = await _sent([none + GET])

    assert statuses == [200, 200]
    assert seen[0].body == b"hi"
    assert _lines(seen[1]) == _lines(expected[1])


@pytest.mark.parametrize("trailer", FRAMING)
async def test_a12_nothing_is_read_behind_a_trailer_that_frames(trailer: bytes) -> None:
    async with (
        running(Origin()) as origin,
        proxied(local(origin.port)) as ours,
        connected(ours.port) as client,
    ):
        client.send(HEAD + HI + b"0\r\n" + trailer + b"\r\n" + GET)

        assert b" 200 " not in await client.rest()
    assert origin.seen == []


async def test_a12_trailers_that_come_at_once_have_a_bound() -> None:
    trailers = b"X-A: canary\r\n" * 20_000
    async with (
        running(Origin()) as origin,
        proxied(local(origin.port)) as ours,
        connected(ours.port) as client,
    ):
        client.send(HEAD + HI + b"0\r\n" + trailers + b"\r\n" + GET)

        answer = await client.rest()
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"canary" not in answer
    assert origin.seen == []


async def test_a12_a22_no_trailer_of_a_long_pipeline_becomes_a_header() -> None:
    chunked = HEAD + HI + b"0\r\nCookie: session=attacker\r\n\r\n"

    statuses, seen = await _sent([(chunked + GET) * 40], 80)

    assert statuses == [200] * 80
    assert b"attacker" not in b"".join(one.head for one in seen)
    assert [one.body for one in seen] == [b"hi", b""] * 40


async def test_a12_a_trailer_in_pieces_is_dropped() -> None:
    chunked = HEAD + HI + b"0\r\nCookie: session=attacker\r\n\r\n"

    statuses, seen = await _sent([chunked[:-9], chunked[-9:-1], chunked[-1:] + GET[:1], GET[1:]])

    assert statuses == [200, 200]
    assert seen[1].values(b"cookie") == []


@pytest.mark.parametrize("count", [PIECES, PIECES + 1, PIECES + 2])
async def test_b12_a_request_behind_tiny_chunks_is_answered(count: int) -> None:
    chunked = HEAD + b"1\r\na\r\n" * count + b"0\r\n\r\n"

    statuses, seen = await _sent([chunked, SEALED + b'{"content":1}'])

    assert statuses == [200, 200]
    assert len(seen[0].body) == count


@pytest.mark.parametrize("count", [PIECES, PIECES + 1, PIECES + 2])
async def test_b12_the_end_of_a_body_of_tiny_chunks_is_read(count: int) -> None:
    beginning = HEAD + b"1\r\na\r\n" * count

    statuses, seen = await _sent([beginning, b"1\r\na\r\n0\r\n\r\n"], 1)

    assert statuses == [200]
    assert [len(one.body) for one in seen] == [count + 1]
