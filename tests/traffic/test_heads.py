"""Rows of section A as bytes, by the head that goes in and the head that comes out."""

from __future__ import annotations

import json

import pytest

from tests.keys.builders import a_world

from .exchange.test_exchange import CANARY, JSON, a_rulebook, mirror
from .ours import local, proxied
from .wire import OK, Client, Origin, connected, get, post, running, talk

HOP_BY_HOP = (
    b"Keep-Alive: timeout=5",
    b"Proxy-Connection: keep-alive",
    b"Proxy-Authenticate: Basic",
    b"Proxy-Authorization: Basic x",
    b"TE: trailers",
    b"Trailer: X-Sum",
    b"Upgrade: h2c",
    b"HTTP2-Settings: AAMAAABk",
    b"X-Listed: 1",
)


async def test_a1_a2_no_header_of_one_hop_gets_to_the_next() -> None:
    listed = b"Connection: close, X-Listed"
    reply = OK.replace(b"\r\n\r\n", b"\r\n" + b"\r\n".join((listed, *HOP_BY_HOP)) + b"\r\n\r\n")
    request = get(b"/", *HOP_BY_HOP).replace(b"Connection: close", listed)
    async with running(Origin(reply=reply)) as origin, proxied(local(origin.port)) as ours:
        response = await talk(ours.port, request)

    names = [line.partition(b":")[0] for line in HOP_BY_HOP]
    assert response.status == 200
    assert [name for name in names if origin.seen[0].values(name)] == []
    assert [name for name in names if response.values(name)] == []
    assert origin.seen[0].values(b"connection") == []
    assert response.values(b"connection") == [b"close"]


LENGTHS = (b"4,4", b"4, 4", b"+4", b"-4", b"0x4", b"4_0", b"", b"18446744073709551616", b"4 4")


@pytest.mark.parametrize("length", LENGTHS)
async def test_a4_a_length_is_digits_and_nothing_else(length: bytes) -> None:
    request = get(b"/", b"Content-Length: " + length, method=b"POST") + b"body"
    async with running(Origin()) as origin, proxied(local(origin.port)) as ours:
        response = await talk(ours.port, request)

    assert response.status == 400
    assert origin.seen == []


SIZES = (0, 1, 2, 15, 16, 1000, 65_530, 65_536, 65_537, 200_000)


async def test_a6_the_length_is_always_that_of_what_is_sent() -> None:
    async with (
        running(Origin(mirror)) as origin,
        proxied(local(origin.port), rule_table=a_rulebook(), keys=a_world().sessions) as ours,
        connected(ours.port) as client,
    ):
        for size in SIZES:
            body = json.dumps({"content": "x" * size, "pad": "y" * size}).encode()
            for lines in (b"Content-Length: %d" % len(body), b"Transfer-Encoding: chunked"):
                chunks = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
                client.send(b"POST /seal HTTP/1.1\r\nHost: h\r\n" + JSON + b"\r\n" + lines)
                client.send(b"\r\n\r\n" + (chunks if b"chunked" in lines else body))
                response = await client.response()

                # Both sides have read just as many bytes as they were told.
                assert response.body == body
                assert origin.seen[-1].values(b"transfer-encoding") == []
                assert json.loads(origin.seen[-1].body)["pad"] == "y" * size


FORMS = {
    "a18 connect": (b"CONNECT other:443", 405),
    "a18 connect to a path": (b"CONNECT /", 405),
    "a18 asterisk": (b"OPTIONS *", 400),
    "a18 asterisk of a get": (b"GET *", 400),
    "a17 other scheme": (b"GET ftp://other/x", 400),
    "a17 user": (b"GET http://u:p@other/x", 400),
    "a17 no host": (b"GET http:///x", 400),
    "a19 trace": (b"TRACE /", 405),
    "a19 lower case": (b"get /", 400),
    "a19 mixed case": (b"Post /", 400),
    "a19 unknown to the parser": (b"BREW /", 405),
    "a19 no token": (b"G@T /", 400),
}


@pytest.mark.parametrize("name", FORMS)
async def test_a17_a18_a19_what_is_no_request_of_ours_goes_nowhere(name: str) -> None:
    start, status = FORMS[name]
    async with running(Origin()) as origin, proxied(local(origin.port)) as ours:
        response = await talk(ours.port, start + b" HTTP/1.1\r\nHost: h\r\n\r\n")

    assert response.status == status
    assert origin.connections == 0


@pytest.mark.parametrize("method", [b"PROPFIND", b"M-SEARCH", b"PURGE"])
async def test_a19_a_method_that_no_rule_names_passes_where_no_rule_looks(method: bytes) -> None:
    async with running(Origin()) as origin, proxied(local(origin.port)) as ours:
        response = await talk(ours.port, get(b"/", method=method))

    assert response.status == 200
    assert origin.seen[0].head.startswith(method + b" / HTTP/1.1\r\n")


@pytest.mark.parametrize(
    "line", [b"GET /", b"GET / HTTP/0.9", b"GET / HTTP/2.0", b"GET / HTTP/1.2", b"GET / HTTP/11"]
)
async def test_a21_other_versions_are_refused(line: bytes) -> None:
    async with running(Origin()) as origin, proxied(local(origin.port)) as ours:
        response = await talk(ours.port, line + b"\r\nHost: h\r\n\r\n")

    assert response.status == 400
    assert origin.connections == 0


def _message(number: int, *lines: bytes) -> bytes:
    body = b'{"content": "%b-%d"}' % (CANARY, number)
    return post(body, JSON, *lines, target=b"/seal").replace(b"Connection: close\r\n", b"", 1)


async def _bodies(client: Client, count: int) -> list[bytes]:
    return [(await client.response()).body for _ in range(count)]


async def test_a22_pipelined_messages_are_sealed_one_by_one_and_in_order() -> None:
    async with (
        running(Origin(mirror)) as origin,
        proxied(local(origin.port), rule_table=a_rulebook(), keys=a_world().sessions) as ours,
        connected(ours.port) as client,
    ):
        client.send(b"".join(_message(number) for number in range(100)))
        bodies = await _bodies(client, 100)

    assert bodies == [b'{"content": "%b-%d"}' % (CANARY, number) for number in range(100)]
    assert len({seen.body for seen in origin.seen}) == 100
    assert not [seen for seen in origin.seen if CANARY in seen.body]


async def test_a22_what_stands_behind_a_close_is_no_request() -> None:
    async with (
        running(Origin(mirror)) as origin,
        proxied(local(origin.port), rule_table=a_rulebook(), keys=a_world().sessions) as ours,
        connected(ours.port) as client,
    ):
        closing = _message(2, b"Connection: close")
        client.send(_message(0) + _message(1) + closing + _message(3))
        await _bodies(client, 3)

        assert await client.rest() == b""
    assert len(origin.seen) == 3


@pytest.mark.parametrize(
    "name", [b"Content_Length", b"X_Forwarded_For", b"_", b"Transfer_Encoding"]
)
async def test_a25_a_name_with_an_underscore_is_refused(name: bytes) -> None:
    async with running(Origin()) as origin, proxied(local(origin.port)) as ours:
        response = await talk(ours.port, get(b"/", name + b": 4"))

    assert response.status == 400
    assert origin.connections == 0


@pytest.mark.parametrize("line", [b"X-caf\xe9: y", b"X\x80: y"])
async def test_a26_a_name_that_is_not_ascii_is_refused(line: bytes) -> None:
    async with running(Origin()) as origin, proxied(local(origin.port)) as ours:
        response = await talk(ours.port, get(b"/", line))

    assert response.status == 400
    assert origin.connections == 0
