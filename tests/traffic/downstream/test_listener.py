"""The listener: limits, deadlines, connections and bodies as clients meet them."""

from __future__ import annotations

import asyncio
import hashlib
import os
import socket
import ssl
import stat
import tracemalloc
from pathlib import Path
from typing import NoReturn

import pytest

from proxy.config.settings import TcpAddress, UnixAddress
from proxy.core.errors import TrafficError, UnfitEnvironment
from proxy.traffic.downstream.listener import HttpListener
from proxy.traffic.http1.problem import Problem, problem
from proxy.traffic.interfaces import Request
from proxy.traffic.waits import Signal

from ..ours import local, proxied
from ..wire import Origin, Peer, Response, connected, eventually, get, post, running, talk

NOWHERE = TcpAddress("127.0.0.1", 1)
KEPT = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"


async def test_a22_pipelined_requests_are_answered_in_order() -> None:
    async def echo(peer: Peer, origin: Origin) -> None:
        while True:
            seen = await peer.request()
            body = seen.target
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

    async with (
        running(Origin(echo)) as origin,
        proxied(local(origin.port)) as ours,
        connected(ours.port) as client,
    ):
        client.send(b"".join(KEPT.replace(b"/", b"/%d" % i, 1) for i in range(100)))
        answers = [(await client.response()).body for _ in range(100)]

    assert answers == [b"/%d" % i for i in range(100)]


BAD_TAILS = {
    "malformed": b"GET / HTTP/1.1\r\nHost : h\r\n\r\n",
    "other protocol": b"OPTIONS / RTSP/1.0\r\nHost: h\r\n\r\n",
    "two framings": b"POST / HTTP/1.1\r\nHost: h\r\n"
    b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "noise": b"\x16\x03\x01\x02\x00",
}
GOOD_HEADS = [
    KEPT,
    b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\n\r\n\r\n",
    b"PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n\r\n\r\n\r\n0\r\n\r\n",
]


@pytest.mark.parametrize("name", BAD_TAILS)
@pytest.mark.parametrize("count", [1, 3, 40])
async def test_a22_a23_what_stands_before_a_malformed_request_is_answered(
    name: str, count: int
) -> None:
    good = [GOOD_HEADS[number % 3] for number in range(count)]
    async with (
        running(Origin()) as origin,
        proxied(local(origin.port)) as ours,
        connected(ours.port) as client,
    ):
        client.send(b"".join(good) + BAD_TAILS[name] + KEPT)
        statuses = [(await client.response()).status for _ in range(count + 1)]

        assert statuses == [200] * count + [400]
        assert await client.rest() == b""
    assert len(origin.seen) == count


@pytest.mark.parametrize("line", [b"GET / RTSP/1.0", b"SOURCE / ICE/1.0", b"POST / RTSP/1.0"])
async def test_a21_other_protocols_are_refused(line: bytes) -> None:
    for cut in range(1, len(line) + 2):
        async with (
            running(Origin()) as origin,
            proxied(local(origin.port)) as ours,
            connected(ours.port) as client,
        ):
            client.send(line[:cut])
            await asyncio.sleep(0)
            client.send(line[cut:] + b"\r\nHost: h\r\n\r\n")

            assert Response(await client.rest()).status == 400
        assert origin.seen == []


async def test_a22_a_pipeline_of_large_bodies_is_read_as_it_is_answered() -> None:
    body = b"\r\n\r\nx" * 100_000
    head = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % len(body)
    chunked = b"PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunks = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    async with (
        running(Origin()) as origin,
        proxied(local(origin.port)) as ours,
        connected(ours.port) as client,
    ):
        client.send((head + body + chunked + chunks) * 3)
        statuses = [(await client.response()).status for _ in range(6)]

    assert statuses == [200] * 6
    assert [one.body for one in origin.seen] == [body] * 6


async def test_nothing_is_read_behind_the_last_request() -> None:
    async with (
        running(Origin()) as origin,
        proxied(local(origin.port)) as ours,
        connected(ours.port) as client,
    ):
        client.send(KEPT + get())
        await client.until(b"ok")
        await client.until(b"ok")
        client.send(KEPT)

        assert await client.rest() == b""
        assert len(origin.seen) == 2


MALFORMED = {
    "length and coding": b"Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG",
    "two lengths": b"Content-Length: 4\r\nContent-Length: 4\r\n\r\nbody",
    "length list": b"Content-Length: 4,4\r\n\r\nbody",
    "length with sign": b"Content-Length: +4\r\n\r\nbody",
    "hexadecimal length": b"Content-Length: 0x4\r\n\r\nbody",
    "length too high": b"Content-Length: 18446744073709551616\r\n\r\nbody",
    "length above the gate's": b"Content-Length: 9300000000000000000\r\n\r\nbody",
    "space before colon": b"X : y\r\n\r\n",
    "folded": b"X: y\r\n z\r\n\r\n",
    "bare cr": b"X: y\rz\r\n\r\n",
    "nul": b"X: y\x00\r\n\r\n",
    "two hosts": b"Host: other\r\n\r\n",
    "bad chunk": b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    "bad second chunk": b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\nzz\r\n",
}


@pytest.mark.parametrize("name", MALFORMED)
async def test_a3_a4_a5_a23_malformed_requests_end_the_connection(name: str) -> None:
    request = b"POST / HTTP/1.1\r\nHost: h\r\n" + MALFORMED[name] + KEPT
    async with running(Origin()) as origin, proxied(local(origin.port)) as ours:
        response = await talk(ours.port, request)

    assert response.status == 400
    assert response.values(b"sealyard-error") == [b"malformed-request"]
    assert response.values(b"content-type") == [b"application/problem+json"]
    assert response.raw.count(b"HTTP/1.1") == 1
    assert origin.seen == []


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (b"Transfer-Encoding: gzip\r\n", 501),
        (b"Transfer-Encoding: gzip, chunked\r\n", 501),
        (b"Expect: fireworks\r\n", 417),
        (b"X: y\r\n" * 200, 431),
        (b"X: " + b"y" * 9000 + b"\r\n", 431),
        ((b"X: " + b"y" * 8000 + b"\r\n") * 9, 431),
    ],
)
async def test_a5_a10_a24_what_is_not_done_has_its_own_status(lines: bytes, status: int) -> None:
    async with running(Origin()) as origin, proxied(local(origin.port)) as ours:
        response = await talk(ours.port, b"POST / HTTP/1.1\r\nHost: h\r\n" + lines + b"\r\n")

    assert response.status == status
    assert origin.seen == []


async def test_a24_an_unfinished_head_is_bounded_in_size() -> None:
    async with (
        running(Origin()) as origin,
        proxied(local(origin.port)) as ours,
        connected(ours.port) as client,
    ):
        client.send(b"GET / HTTP/1.1\r\nHost: h\r\n")
        for _ in range(20):
            client.send(b"X: " + b"y" * 8000 + b"\r\n")
            await asyncio.sleep(0)
        response = Response(await client.rest())

    assert response.status == 431


async def test_a20_http_1_0_is_never_answered_in_chunks() -> None:
    reply = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

    async def chunked(peer: Peer, origin: Origin) -> None:
        origin.seen.append(await peer.request())
        peer.send(reply)
        for part in (b"3\r\nabc\r\n", b"3\r\ndef\r\n0\r\n\r\n"):
            await asyncio.sleep(0.01)
            peer.send(part)

    async with running(Origin(chunked)) as origin, proxied(local(origin.port)) as ours:
        response = await talk(ours.port, b"GET / HTTP/1.0\r\n\r\n")

    assert response.values(b"transfer-encoding") == []
    assert response.body == b"abcdef"
    assert origin.seen[0].values(b"host") == [b"127.0.0.1:%d" % origin.port]


async def test_a20_http_1_0_keeps_its_connection_on_demand() -> None:
    async with (
        running(Origin()) as origin,
        proxied(local(origin.port)) as ours,
        connected(ours.port) as client,
    ):
        for _ in range(2):
            client.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            response = await client.response()
            assert response.values(b"connection") == [b"keep-alive"]


async def test_a17_absolute_form_goes_on_in_origin_form() -> None:
    async with running(Origin()) as origin, proxied(local(origin.port)) as ours:
        await talk(ours.port, get(b"http://real.test:81/a?b"))

    assert origin.seen[0].target == b"/a?b"
    assert origin.seen[0].values(b"host") == [b"real.test:81"]


async def test_a13_other_upgrades_are_answered_as_plain_requests() -> None:
    request = get(b"/", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk").replace(
        b"Connection: close", b"Connection: Upgrade, HTTP2-Settings"
    )
    async with running(Origin()) as origin, proxied(local(origin.port)) as ours:
        response = await talk(ours.port, request)

    assert response.status == 200
    assert origin.seen[0].values(b"upgrade") == origin.seen[0].values(b"http2-settings") == []


async def _large(peer: Peer, origin: Origin) -> None:
    """Digest an upload of any length, then send as much back."""
    head = await peer.head()
    length = int(next(line for line in head.split(b"\r\n") if b"ength" in line).split(b":")[1])
    digest = hashlib.sha256()
    for _ in range(length // 65536):
        digest.update(await peer.reader.readexactly(65536))
    peer.send(b"HTTP/1.1 200 OK\r\nX-Digest: %b\r\n" % digest.hexdigest().encode())
    peer.send(b"Content-Length: %d\r\n\r\n" % length)
    for _ in range(length // 65536):
        peer.send(b"y" * 65536)
        await peer.writer.drain()


async def test_b9_b10_large_bodies_stream_in_bounded_memory() -> None:
    blocks = 1024  # 64 MiB each way
    async with running(Origin(_large)) as origin, proxied(local(origin.port)) as ours:
        tracemalloc.start()
        async with connected(ours.port) as client:
            client.send(get(b"/", b"Content-Length: %d" % (blocks * 65536), method=b"PUT"))
            for _ in range(blocks):
                client.send(b"x" * 65536)
                await client.writer.drain()
            head = await client.until(b"\r\n\r\n")
            received = hashlib.sha256()
            for _ in range(blocks):
                received.update(await client.reader.readexactly(65536))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()

    assert hashlib.sha256(b"x" * 65536 * blocks).hexdigest().encode() in head
    assert received.digest() == hashlib.sha256(b"y" * 65536 * blocks).digest()
    assert peak < 16 * 1024 * 1024


async def test_b15_events_are_not_held_back() -> None:
    async def events(peer: Peer, origin: Origin) -> None:
        await peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            peer.send(b"7\r\ndata: x\r\n")
            await peer.reader.readexactly(1)  # the next one only when it has been seen

    async with (
        running(Origin(events)) as origin,
        proxied(local(origin.port)) as ours,
        connected(ours.port) as client,
    ):
        client.send(get())
        await client.until(b"data: x\r\n")


async def test_tls_on_both_sides(server_tls: ssl.SSLContext, client_tls: ssl.SSLContext) -> None:
    async with running(Origin(), tls=server_tls) as origin:
        to = local(origin.port)
        async with (
            proxied(to, tls=server_tls, upstream_tls=client_tls) as ours,
            connected(ours.port, tls=client_tls) as client,
        ):
            client.send(KEPT)
            assert (await client.response()).body == b"ok"
            client.send(post(b"x" * 100_000))
            assert (await client.response()).body == b"ok"

    assert origin.seen[1].body == b"x" * 100_000


async def test_an_upstream_that_nobody_vouches_for_is_refused(server_tls: ssl.SSLContext) -> None:
    async with running(Origin(), tls=server_tls) as origin:
        stranger = ssl.create_default_context()
        async with proxied(local(origin.port), upstream_tls=stranger) as ours:
            response = await talk(ours.port, get())

    assert response.status == 502
    assert origin.seen == []


async def test_unix_sockets_on_both_sides(tmp_path: Path) -> None:
    front, back = str(tmp_path / "front"), str(tmp_path / "back")
    async with (
        running(Origin(), path=back) as origin,
        proxied(UnixAddress(Path(back)), listen=UnixAddress(Path(front))),
    ):
        mode = stat.S_IMODE(os.stat(front).st_mode)  # noqa: PTH116 - one call
        async with connected(path=front) as client:
            client.send(KEPT)
            assert (await client.response()).body == b"ok"

    assert mode == 0o660
    assert tmp_path / "front" not in list(tmp_path.iterdir())  # noqa: ASYNC240 - one call
    assert origin.seen[0].values(b"host") == [b"h"]


async def test_a_stale_socket_is_removed(tmp_path: Path) -> None:
    front = UnixAddress(tmp_path / "front")
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(front.path))

    async with proxied(NOWHERE, listen=front), connected(path=str(front.path)):
        pass


async def test_a_live_socket_is_not_removed(tmp_path: Path) -> None:
    front = UnixAddress(tmp_path / "front")
    async with proxied(NOWHERE, listen=front):
        with pytest.raises(UnfitEnvironment):
            async with proxied(NOWHERE, listen=front):
                pass
        async with connected(path=str(front.path)):
            pass


async def test_a_file_is_not_taken_for_a_socket(tmp_path: Path) -> None:
    file = tmp_path / "front"
    file.write_text("mine")

    with pytest.raises(UnfitEnvironment):
        async with proxied(NOWHERE, listen=UnixAddress(file)):
            pass
    assert file.read_text() == "mine"


class Broken:
    """An answerer with a fault."""

    def __init__(self) -> None:
        self.told: list[TrafficError] = []

    async def handle(self, request: Request) -> None:
        raise ZeroDivisionError("canary")

    def reject(self, error: TrafficError) -> Problem:
        self.told.append(error)
        return problem(error, "id")


class BrokenAtOnce(Broken):
    """One whose fault comes before anything is waited for."""

    def handle(self, request: Request) -> NoReturn:
        raise ZeroDivisionError("canary")


@pytest.mark.parametrize("kind", [Broken, BrokenAtOnce])
async def test_a_fault_ends_the_connection_and_is_told_by_its_name(
    kind: type[Broken], caplog: pytest.LogCaptureFixture
) -> None:
    broken = kind()
    listener = HttpListener(TcpAddress("127.0.0.1", 0), broken)
    await listener.start()
    response = await talk(listener.port, get())
    await listener.close()

    assert response.raw == b""
    assert [error.reason for error in broken.told] == ["ZeroDivisionError"]
    assert caplog.text == ""


class Concluding(Broken):
    """Needs some time behind a cancellation."""

    def __init__(self) -> None:
        self.begun = self.concluded = False

    async def handle(self, request: Request) -> None:
        self.begun = True
        try:
            await Signal().wait()
        finally:
            await asyncio.sleep(0.05)
            self.concluded = True


async def test_what_is_concluded_where_a_listener_closes_is_cancelled_once() -> None:
    concluding = Concluding()
    listener = HttpListener(TcpAddress("127.0.0.1", 0), concluding)
    await listener.start()
    async with connected(listener.port) as client:
        client.send(KEPT)
        await eventually(lambda: concluding.begun)
        await listener.close()
    assert concluding.concluded


async def test_b12_tiny_chunks_arrive_whole() -> None:
    body = b"abcdefgh" * 4096
    head = get(b"/", b"Transfer-Encoding: chunked", method=b"POST")
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body)
    async with running(Origin()) as origin, proxied(local(origin.port)) as ours:
        response = await talk(ours.port, head + chunks + b"0\r\n\r\n")

    assert response.status == 200
    assert origin.seen[0].body == body
