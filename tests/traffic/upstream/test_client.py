"""The upstream client against an origin that misbehaves, seen through the whole traffic port."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from proxy.config.limits import TrafficLimits

from ..ours import HASTY, local, proxied
from ..wire import OK, Origin, Peer, Script, connected, eventually, get, post, running, talk

HEAD = b"HTTP/1.1 200 OK\r\n"


def saying(reply: bytes, *, then_close: bool = False) -> Script:
    """Return a script that gives one reply to each request."""

    async def script(peer: Peer, origin: Origin) -> None:
        while True:
            origin.seen.append(await peer.request())
            peer.send(reply)
            if then_close:
                return

    return script


REFUSED = {
    "two lengths": HEAD + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nok",
    "two different lengths": HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nok!",
    "length list": HEAD + b"Content-Length: 2, 2\r\n\r\nok",
    "length and coding": HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "other coding": HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "last coding not chunked": HEAD + b"Transfer-Encoding: gzip\r\n\r\nabc",
    "coding on 1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "nul": HEAD + b"X: a\x00\r\nContent-Length: 0\r\n\r\n",
    "control": HEAD + b"X: a\x01\r\nContent-Length: 0\r\n\r\n",
    "bare cr": HEAD + b"X: a\rb\r\nContent-Length: 0\r\n\r\n",
    "bare lf": b"HTTP/1.1 200 OK\nX: a\r\nContent-Length: 0\r\n\r\n",
    "folded": HEAD + b"X: a\r\n b\r\nContent-Length: 0\r\n\r\n",
    "control in reason": b"HTTP/1.1 200 O\x01K\r\nContent-Length: 0\r\n\r\n",
    "other protocol": b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    "status below 100": b"HTTP/1.1 099 No\r\nContent-Length: 0\r\n\r\n",
    "unasked 101": b"HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    "too many headers": HEAD + b"X: a\r\n" * 129 + b"Content-Length: 0\r\n\r\n",
    "head too large": HEAD + (b"X: " + b"a" * 8000 + b"\r\n") * 9 + b"Content-Length: 0\r\n\r\n",
    "endless interim": b"HTTP/1.1 103 Early\r\nLink: <a>\r\n\r\n" * 5000,
    "no http": b"SSH-2.0-OpenSSH_9.2\r\n",
    "nothing": b"",
}


@pytest.mark.parametrize("name", REFUSED)
async def test_a27_a_response_that_breaks_http_becomes_a_502(name: str) -> None:
    script = saying(REFUSED[name], then_close=name == "nothing")
    async with running(Origin(script)) as origin, proxied(local(origin.port)) as ours:
        response = await talk(ours.port, get())

        assert response.status == 502
        assert response.values(b"sealyard-error") == [b"upstream-failed"]
        assert ours.upstream.pool.size == 0


@pytest.mark.parametrize("status", [102, 103])
async def test_a9_interim_responses_are_dropped(status: int) -> None:
    interim = b"HTTP/1.1 %d Wait\r\nLink: <a>\r\n\r\n" % status
    async with (
        running(Origin(saying(interim * 2 + OK))) as origin,
        proxied(local(origin.port)) as ours,
    ):
        response = await talk(ours.port, get())

    assert response.raw.startswith(b"HTTP/1.1 200 OK\r\n")
    assert response.values(b"link") == []


CUT = {
    "in a length": HEAD + b"Content-Length: 10\r\n\r\nabc",
    "in a chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\na\r\nabc",
    "between chunks": HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
}


@pytest.mark.parametrize("name", CUT)
async def test_b4_a_cut_response_is_seen_to_be_cut(name: str) -> None:
    async with (
        running(Origin(saying(CUT[name], then_close=True))) as origin,
        proxied(local(origin.port)) as ours,
        connected(ours.port) as client,
    ):
        client.send(get())
        received = await client.rest()

        assert b"\r\n0\r\n" not in received
        assert (
            received == b""
            or received.endswith((b"abc", b"abc\r\n", b"close\r\n\r\n"))
            or (received.startswith(b"HTTP/1.1 502"))
        )
        assert ours.ear.last["error"] == "upstream-failed"


@pytest.mark.parametrize("extra", [b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", b"x"])
async def test_a30_bytes_behind_a_response_reach_nobody(extra: bytes) -> None:
    async with running(Origin(saying(OK + extra))) as origin, proxied(local(origin.port)) as ours:
        first = await talk(ours.port, get())
        second = await talk(ours.port, get())

    assert first.body == second.body == b"ok"
    assert origin.connections == 2


async def test_a30_late_bytes_on_an_idle_connection_end_it() -> None:
    async def script(peer: Peer, origin: Origin) -> None:
        origin.seen.append(await peer.request())
        peer.send(OK)
        await peer.writer.drain()
        await asyncio.sleep(0.05)
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
        await peer.reader.read()

    async with running(Origin(script)) as origin, proxied(local(origin.port)) as ours:
        await talk(ours.port, get())
        await asyncio.sleep(0.1)
        second = await talk(ours.port, get())

    assert second.body == b"ok"
    assert origin.connections == 2


async def test_connections_are_used_again() -> None:
    async with running(Origin()) as origin, proxied(local(origin.port)) as ours:
        for _ in range(5):
            await talk(ours.port, post(b"x"))

        assert origin.connections == 1
        assert ours.upstream.pool.idle == 1


async def test_b7_an_idle_connection_is_closed_before_the_backend_would() -> None:
    async with running(Origin()) as origin, proxied(local(origin.port), timeouts=HASTY) as ours:
        await talk(ours.port, get())
        await asyncio.sleep(HASTY.idle + 0.3)

        assert ours.upstream.pool.size == 0
        assert origin.open_connections == 0


async def _stale(peer: Peer, origin: Origin) -> None:
    """Answer once; vanish when the second request on the connection has come."""
    origin.seen.append(await peer.request())
    peer.send(OK)
    if origin.connections == 1:
        origin.seen.append(await peer.request())
        return
    origin.seen.append(await peer.request())


@pytest.mark.parametrize(("method", "status", "sent"), [(b"GET", 200, 3), (b"POST", 502, 2)])
async def test_b6_only_what_is_safe_is_sent_again(method: bytes, status: int, sent: int) -> None:
    async with running(Origin(_stale)) as origin, proxied(local(origin.port)) as ours:
        await talk(ours.port, get())
        response = await talk(ours.port, get(method=method))

        assert response.status == status
        assert len(origin.seen) == sent


async def test_b7_a_dead_idle_connection_is_not_used() -> None:
    async with (
        running(Origin(saying(OK, then_close=True))) as origin,
        proxied(local(origin.port)) as ours,
    ):
        for _ in range(5):
            response = await talk(ours.port, post(b"x"))
            assert response.status == 200

    assert len(origin.seen) == 5


async def _silent(peer: Peer, origin: Origin) -> None:
    origin.seen.append(await peer.request())
    await asyncio.sleep(60)


async def test_b3_a_silent_backend_becomes_a_504() -> None:
    async with (
        running(Origin(_silent)) as origin,
        proxied(local(origin.port), timeouts=HASTY) as ours,
    ):
        response = await talk(ours.port, get())

        assert response.status == 504
        assert ours.ear.last["reason"] == "response"
        assert ours.upstream.pool.size == 0


async def test_b4_a_backend_that_falls_silent_in_a_body_is_cut() -> None:
    async with (
        running(Origin(saying(HEAD + b"Content-Length: 10\r\n\r\nabc"))) as origin,
        proxied(local(origin.port), timeouts=HASTY) as ours,
    ):
        await talk(ours.port, get())

        assert ours.ear.last["error"] == "upstream-timeout"
        assert ours.ear.last["reason"] == "stream"


async def test_b3_a_refused_connection_becomes_a_502() -> None:
    async with running(Origin()) as origin:
        port = origin.port
    async with proxied(local(port)) as ours:
        response = await talk(ours.port, get())

    assert response.status == 502
    assert ours.ear.last["reason"] == "connect"


async def test_b8_the_pool_and_its_queue_are_bounded() -> None:
    limits = TrafficLimits(connections=1, waiting=1)
    async with (
        running(Origin(_silent)) as origin,
        proxied(local(origin.port), limits=limits, timeouts=HASTY) as ours,
    ):
        answers = await asyncio.gather(*[talk(ours.port, post(b"x")) for _ in range(3)])

    reasons = sorted(str(fields["reason"]) for _, fields in ours.ear.heard)
    assert sorted(one.status for one in answers) == [503, 503, 504]
    assert reasons == ["queue-full", "queue-timeout", "response"]
    busy = [one for one in answers if one.status == 503]
    assert all(one.values(b"retry-after") for one in busy)


async def test_who_waits_gets_the_connection_that_is_given_back() -> None:
    limits = TrafficLimits(connections=2)
    async with running(Origin()) as origin, proxied(local(origin.port), limits=limits) as ours:
        answers = await asyncio.gather(*[talk(ours.port, post(b"x")) for _ in range(20)])

        assert {one.status for one in answers} == {200}
        assert origin.connections <= 2


async def test_b2_a_client_that_leaves_frees_the_connection() -> None:
    async def endless(peer: Peer, origin: Origin) -> None:
        await peer.request()
        peer.send(HEAD + b"Content-Length: 1000000000\r\n\r\n")
        while True:
            peer.send(b"x" * 65536)
            await peer.writer.drain()

    async with running(Origin(endless)) as origin, proxied(local(origin.port)) as ours:
        async with connected(ours.port) as client:
            client.send(get())
            await client.until(b"xxx")
        await eventually(lambda: not (ours.upstream.pool.size))


BODILESS = {
    "204": b"HTTP/1.1 204 No Content\r\nX: y\r\n\r\n",
    "304": b'HTTP/1.1 304 Not Modified\r\nETag: "x"\r\n\r\n',
}


@pytest.mark.parametrize("name", BODILESS)
async def test_a8_a_response_without_a_body_has_none(name: str) -> None:
    async with (
        running(Origin(saying(BODILESS[name]))) as origin,
        proxied(local(origin.port)) as ours,
        connected(ours.port) as client,
    ):
        for _ in range(2):
            client.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            response = await client.response()
            assert response.status == int(name)
            assert response.values(b"content-length") == []

    assert origin.connections == 1


async def test_a7_head_shows_the_length_that_get_would_show() -> None:
    reply = HEAD + b"Content-Length: 1000\r\n\r\n"
    async with running(Origin(saying(reply))) as origin, proxied(local(origin.port)) as ours:
        for _ in range(3):
            response = await talk(ours.port, get(method=b"HEAD"))

            assert response.values(b"content-length") == [b"1000"]
            assert response.body == b""

    assert origin.connections == 1


async def test_a_body_that_ends_with_its_connection_passes() -> None:
    async with (
        running(Origin(saying(b"HTTP/1.0 200 OK\r\n\r\nhello", then_close=True))) as origin,
        proxied(local(origin.port)) as ours,
        connected(ours.port) as client,
    ):
        client.send(get())
        response = await client.response()

    assert response.body == b"hello"


async def test_a11_an_early_response_is_relayed_and_nothing_is_used_again() -> None:
    async def hasty(peer: Peer, origin: Origin) -> None:
        await peer.head()
        peer.send(b"HTTP/1.1 401 No\r\nContent-Length: 2\r\n\r\nno")
        await peer.writer.drain()
        await asyncio.sleep(60)

    async with (
        running(Origin(hasty)) as origin,
        proxied(local(origin.port), timeouts=HASTY) as ours,
    ):
        async with connected(ours.port) as client:
            head = get(b"/", b"Content-Length: 100000000", method=b"POST")
            client.send(head.replace(b"Connection: close\r\n", b"") + b"x" * 100_000)
            response = await client.response()

            assert response.status == 401
            assert response.values(b"connection") == [b"close"]
            assert await client.rest() == b""
        assert ours.upstream.pool.size == 0


async def test_b1_a_cut_upload_never_looks_whole() -> None:
    ends: list[bytes] = []

    async def recording(peer: Peer, origin: Origin) -> None:
        ends.append(await peer.reader.read(-1))

    async with running(Origin(recording)) as origin, proxied(local(origin.port)) as ours:
        async with connected(ours.port) as client:
            head = get(b"/", b"Transfer-Encoding: chunked", method=b"POST")
            client.send(head + b"3\r\nabc\r\n")
            await asyncio.sleep(0.7)  # longer than the beginning of an upload is waited for
        await eventually(lambda: ends)

    assert ends[0].endswith(b"3\r\nabc\r\n")


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize(
    ("told", "given"), [(5, [b"abc", b"defGET /evil HTTP/1.1"]), (5, [b"abc"]), (5, [])]
)
async def test_b1_no_body_is_longer_or_shorter_than_the_backend_was_told(
    told: int, given: list[bytes], *, late: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    got: list[bytes] = []

    async def recording(peer: Peer, _: Origin) -> None:
        await peer.head()
        with contextlib.suppress(ConnectionError):
            got.append(await peer.reader.read(-1))
        got.append(b"over")

    async def chunks(_: object) -> AsyncIterator[bytes]:
        if late:
            await asyncio.sleep(0.7)  # the upstream has been asked by then
        for piece in given:
            yield piece

    # Whatever goes wrong before it: what the parser lets through is never of another length.
    monkeypatch.setattr("proxy.traffic.downstream.request.ClientBody.chunks", chunks)
    async with running(Origin(recording)) as origin, proxied(local(origin.port)) as ours:
        async with connected(ours.port) as client:
            client.send(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % told)
            assert b"502 Bad Gateway" in await client.rest()
        await eventually(lambda: not late or (got and got[-1] == b"over"))

        assert origin.connections == late
        assert ours.upstream.pool.size == ours.upstream.permits.in_use == 0
    assert len(b"".join(got[:-1])) < told


@pytest.mark.parametrize("line", [b"", b"X: \r\n"], ids=["fast", "not fast"])
@pytest.mark.parametrize("first", [4000, 4097, 10_000])
async def test_b9_b10_a_response_longer_than_the_window_comes_to_its_end(
    first: int, line: bytes
) -> None:
    body = b"x" * 20_000

    async def script(peer: Peer, origin: Origin) -> None:
        while True:
            await peer.request()
            peer.send(HEAD + line + b"Content-Length: 20000\r\n\r\n" + body[:first])
            await peer.writer.drain()
            await asyncio.sleep(0.05)
            peer.send(body[first:])

    async with (
        running(Origin(script)) as origin,
        proxied(local(origin.port), limits=TrafficLimits(window=4096), timeouts=HASTY) as ours,
        connected(ours.port) as client,
    ):
        for _ in range(2):  # on a new connection, and on an idle one
            client.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            response = await client.response()
            assert (response.status, response.body) == (200, body)

    assert origin.connections == 1
