"""B1, B2: a client that leaves, on every lane, in every way, at every stage of its request.

All of it on uvloop, which `serve` runs on. Each test leaves in many cases at once, since each of
them takes up to a second.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
import struct
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Final

import pytest
import uvloop

from proxy.config.limits import TrafficLimits
from proxy.config.settings import ClientClose, UnixAddress
from proxy.core.values.key_needs import Keys, Needs
from proxy.traffic.downstream.connection import ClientConnection
from proxy.traffic.upstream.permits import KINDS
from tests.faults.rig import CANARY, WaitingKeys, a_rulebook, descriptors, tokens_for

from ..leaving import GONE, INTERIM, SOON, WAYS, Case, Client, Hanging, Way, request, soon
from ..ours import Ours, local, proxied
from ..wire import PATIENCE, Origin, Peer, Response, eventually, running

_SWITCH: Final = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Accept: ICX+Yqv66kxgM0FcWaLWlFLwTAI=\r\n\r\n"
)


@contextlib.asynccontextmanager
async def hanging(hang: Hanging, **options: Any) -> AsyncIterator[Ours]:  # noqa: ANN401 - those of `proxied`
    """Run a proxy in front of a hanging origin; see that nothing is left of it in the end."""
    options.setdefault("rule_table", a_rulebook())
    options.setdefault("keys", WaitingKeys())
    async with (
        running(Origin(hang.serve)) as origin,
        proxied(local(origin.port), **options) as ours,
    ):
        tasks = len(asyncio.all_tasks())
        yield ours
        pool = ours.upstream.pool
        await eventually(lambda: not ours.listener.connections and not pool.size - pool.idle)
        await eventually(lambda: len(asyncio.all_tasks()) <= tasks)
        permits = ours.upstream.permits
        assert not permits.in_use + permits.waiting + sum(permits.beside(kind) for kind in KINDS)
        assert CANARY not in repr(ours.ear.heard)


JSON: Final = b"Content-Type: application/json"
LINES: Final = b"Content-Type: application/x-ndjson"
BODY: Final = json.dumps({"n": 1, "content": CANARY}).encode()
LINE: Final = BODY + b"\n"


@dataclass(frozen=True)
class Lane:
    """One way through the proxy, by the request that takes it."""

    start: bytes
    body: bytes = b""
    kind: bytes = JSON
    chunked: bool = False
    lines: tuple[bytes, ...] = ()

    def request(self, case: Case) -> bytes:
        return request(case, self.start, self.body, self.kind, *self.lines, chunked=self.chunked)


LANES: Final = {
    "plain": Lane(b"GET /pass"),
    "plain, parsed": Lane(b"GET /pass", lines=(b"Expect: 100-continue",)),
    "plain with a body": Lane(b"POST /pass", BODY),
    "plain in chunks": Lane(b"POST /pass", BODY, chunked=True),
    "plain after an invitation": Lane(b"POST /pass", BODY, lines=(b"Expect: 100-continue",)),
    "buffered": Lane(b"POST /seal", BODY),
    "buffered in chunks": Lane(b"POST /seal", BODY, chunked=True),
    "records": Lane(b"POST /lines", LINE * 3, LINES, chunked=True),
    "sealed stream": Lane(b"POST /store", BODY + bytes(100_000), chunked=True),
    "opened list": Lane(b"GET /list"),
    "opened": Lane(b"GET /open"),
    "dry run": Lane(b"POST /tried", BODY),
    "dry run in chunks": Lane(b"POST /tried", BODY, chunked=True),
}


def on_uvloop(way: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(asyncio.wait_for(way, 24 * PATIENCE))


async def each(cases: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Let all cases run side by side."""
    async with asyncio.TaskGroup() as group:
        for one in cases:
            group.create_task(one)


async def got(client: Client, text: bytes) -> None:
    """Read until a text has come."""
    seen = b""
    while text not in seen:
        part = await client.loop.sock_recv(client.sock, 65536)
        assert part, seen
        seen += part


def statuses(ours: Ours) -> list[int]:
    return [fields["status"] for event, fields in ours.ear.heard if event == "message.handled"]


# --- while the response is awaited ----------------------------------------------------------------


def test_b2_a_client_that_leaves_while_its_response_is_awaited_ends_the_upstream_request() -> None:
    async def one(hang: Hanging, ours: Ours, lane: Lane, way: Way) -> None:
        case = hang.case()
        async with Client.connected(ours.port) as client:
            await client.send(lane.request(case))
            await case.whole.wait()
            client.leave(way)
            if way == "half-close":
                await asyncio.sleep(SOON)
                assert not case.over.is_set()
                case.go.set()
                answer = (await client.rest()).replace(INTERIM, b"")
                assert Response(answer).status == 200
            else:
                await soon(case.over)
        assert case.arrivals == 1

    async def run() -> None:
        hang = Hanging()
        async with hanging(hang) as ours:
            await each(one(hang, ours, lane, way) for lane in LANES.values() for way in WAYS * 3)
        assert sorted(statuses(ours)) == sorted(([200] * 3 + [499] * 6) * len(LANES))

    on_uvloop(run())


@pytest.mark.parametrize("on_close", ["abort", "finish"])
def test_b2_a_listener_may_take_a_fin_for_a_client_that_has_left_or_that_reads_on(
    on_close: ClientClose,
) -> None:
    async def one(hang: Hanging, ours: Ours, lane: str, way: Way) -> None:
        case = hang.case()
        async with Client.connected(ours.port) as client:
            await client.send(LANES[lane].request(case))
            await case.whole.wait()
            client.leave(way)
            if on_close == "abort" or way == "reset":
                await soon(case.over)
                return
            await asyncio.sleep(SOON)
            assert not case.over.is_set()
            case.go.set()
            if way == "half-close":
                assert Response((await client.rest()).removeprefix(INTERIM)).status == 200

    async def run() -> None:
        hang = Hanging()
        lanes = ("plain", "plain in chunks", "buffered", "dry run")
        async with hanging(hang, on_client_close=on_close) as ours:
            await each(one(hang, ours, lane, way) for lane, way in product(lanes, WAYS))

    on_uvloop(run())


def test_b2_a_response_that_comes_soon_is_not_preceded_by_a_question() -> None:
    async def run() -> None:
        hang = Hanging()
        async with hanging(hang) as ours, Client.connected(ours.port) as client:
            case = hang.case()
            case.go.set()
            await client.send(LANES["plain"].request(case))
            client.leave("half-close")
            answer = await client.rest()
            assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
            assert answer.endswith(b"\r\n\r\n{}")

    on_uvloop(run())


@pytest.mark.parametrize("way", WAYS)
def test_b2_a_client_of_http_10_that_closes_its_half_has_left(way: Way) -> None:
    async def run() -> None:
        hang = Hanging()
        async with hanging(hang) as ours, Client.connected(ours.port) as client:
            case = hang.case()
            data = LANES["plain with a body"].request(case)
            await client.send(data.replace(b"HTTP/1.1", b"HTTP/1.0", 1))
            await case.whole.wait()
            client.leave(way)
            await soon(case.over)
        assert statuses(ours) == [499]

    on_uvloop(run())


@pytest.mark.parametrize("lane", ["plain", "buffered"])
def test_b2_whoever_pipelines_and_leaves_ends_the_request_in_progress_and_begins_no_other(
    lane: str,
) -> None:
    async def one(hang: Hanging, ours: Ours, way: Way, number: int) -> None:
        cases = [hang.case() for _ in range(number)]
        async with Client.connected(ours.port) as client:
            await client.send(b"".join(LANES[lane].request(case) for case in cases))
            await cases[0].whole.wait()
            client.leave(way)
            if way == "half-close":
                await asyncio.sleep(SOON)
                for case in cases:
                    case.go.set()
                assert (await client.rest()).count(b"HTTP/1.1 200 OK") == number
            else:
                await soon(cases[0].over)
                assert not any(case.arrivals for case in cases[1:])

    async def run() -> None:
        hang = Hanging()
        async with hanging(hang) as ours:
            # 400 of them are more than what is read while a response is awaited.
            await each(one(hang, ours, way, size) for way in WAYS for size in (2, 5))
            await each(one(hang, ours, way, 400) for way in GONE)

    on_uvloop(run())


@pytest.mark.parametrize("lane", ["plain", "plain in chunks", "buffered"])
def test_b2_a_client_that_leaves_over_tls_ends_the_upstream_request(
    lane: str, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    async def one(hang: Hanging, ours: Ours, way: Way) -> None:
        case = hang.case()
        _, writer = await asyncio.open_connection("127.0.0.1", ours.port, ssl=client_tls)
        writer.write(LANES[lane].request(case))
        await case.whole.wait()
        sock = writer.get_extra_info("socket")
        if way == "close":
            writer.close()  # with a close_notify
        else:
            with socket.fromfd(sock.fileno(), socket.AF_INET, socket.SOCK_STREAM) as raw:
                if way == "reset":
                    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                else:
                    raw.shutdown(socket.SHUT_WR)  # without one
            if way == "reset":
                writer.transport.abort()
        await soon(case.over)
        writer.transport.abort()

    async def run() -> None:
        hang = Hanging()
        async with hanging(hang, tls=server_tls) as ours:
            await each(one(hang, ours, way) for way in WAYS)
        assert statuses(ours) == [499] * 3

    on_uvloop(run())


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
@pytest.mark.parametrize("way", ["close", "half-close"])
def test_b2_a_client_that_leaves_a_unix_socket_ends_the_upstream_request(
    loop: Callable[[], asyncio.AbstractEventLoop], way: Way, tmp_path: Path
) -> None:
    path = tmp_path / "socket"

    async def run() -> None:
        hang = Hanging()
        async with hanging(hang, listen=UnixAddress(path)) as ours:
            with socket.socket(socket.AF_UNIX) as sock:
                sock.setblocking(False)  # noqa: FBT003 - the signature of the standard library
                await asyncio.get_running_loop().sock_connect(sock, str(path))
                case, client = hang.case(), Client(sock)
                await client.send(LANES["plain with a body"].request(case))
                await case.whole.wait()
                client.leave(way)
                if way == "half-close":
                    await asyncio.sleep(SOON)
                    case.go.set()
                    assert (await client.rest()).startswith(INTERIM + b"HTTP/1.1 200 OK\r\n")
                else:
                    await soon(case.over)
        assert statuses(ours) == [200 if way == "half-close" else 499]

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(run())


# --- before anything has been sent to the upstream ------------------------------------------------


class NoKeysYet(WaitingKeys):
    """Keys that are waited for until they are let go."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self.go = asyncio.Event()

    async def resolve(self, needs: Needs) -> Keys:
        self.asked += 1
        await self.go.wait()
        return await super().resolve(needs)


def test_b2_a_client_that_leaves_while_keys_are_waited_for_sends_nothing_upstream() -> None:
    async def one(hang: Hanging, ours: Ours, keys: NoKeysYet, way: Way) -> None:
        case = hang.case()
        case.go.set()
        async with Client.connected(ours.port) as client:
            await client.send(LANES["buffered"].request(case))
            await eventually(lambda: keys.asked >= len(WAYS))
            client.leave(way)
            await asyncio.sleep(SOON)
            await eventually(lambda: ours.listener.connections <= 1)
            keys.go.set()
            if way == "half-close":
                assert (await client.rest()).startswith(INTERIM + b"HTTP/1.1 200 OK\r\n")
        assert case.arrivals == (way == "half-close")

    async def run() -> None:
        hang, keys = Hanging(), NoKeysYet()
        async with hanging(hang, keys=keys) as ours:
            await each(one(hang, ours, keys, way) for way in WAYS)
        assert sorted(statuses(ours)) == [200, 499, 499]

    on_uvloop(run())


def test_b2_a_client_that_leaves_while_its_list_waits_for_keys_gets_nothing_opened() -> None:
    async def one(hang: Hanging, ours: Ours, keys: NoKeysYet, way: Way) -> None:
        case = hang.case()
        async with Client.connected(ours.port) as client:
            await client.send(LANES["opened list"].request(case))
            await eventually(lambda: keys.asked >= len(WAYS))
            client.leave(way)
            await asyncio.sleep(SOON)
            await eventually(lambda: ours.listener.connections <= 1)
            keys.go.set()
            if way == "half-close":
                assert CANARY.encode() in await client.rest()

    async def run() -> None:
        keys = NoKeysYet()
        keys.go.set()
        items = [{"content": token} for token in await tokens_for(keys, 3)]
        keys.go.clear()
        keys.asked = 0
        body = json.dumps({"items": items}).encode()
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        hang = Hanging(head % len(body) + body)
        async with hanging(hang, keys=keys) as ours:
            await each(one(hang, ours, keys, way) for way in WAYS)
        assert sorted(statuses(ours)) == [200, 499, 499]

    on_uvloop(run())


@pytest.mark.parametrize("way", GONE)
def test_b2_long_lists_whose_clients_leave_are_opened_no_further(way: Way) -> None:
    number = 12

    async def one(hang: Hanging, ours: Ours) -> None:
        case = hang.case()
        async with Client.connected(ours.port) as client:
            await client.send(LANES["opened list"].request(case))
            await eventually(lambda: len(hang.cases) == number and _opening(ours))
            client.leave(way)
            await eventually(lambda: not ours.listener.connections)

    async def run() -> None:
        keys = WaitingKeys()
        items = [{"content": token} for token in await tokens_for(keys, 20)] * 1000
        body = json.dumps({"items": items}).encode()
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        hang = Hanging(head % len(body) + body)
        async with hanging(hang, keys=keys) as ours:
            await each(one(hang, ours) for _ in range(number))
            assert not _opening(ours)
        assert not [live.name for live in threading.enumerate() if "(_work)" in live.name]
        # Some may be opened before the question is due.
        assert statuses(ours).count(499) >= (number - 1 if way == "reset" else 1)

    on_uvloop(run())


def _opening(ours: Ours) -> int:
    """Return how many long messages are worked at."""
    answerer: Any = ours.listener.answerer
    return int(answerer.steps.slices._under_way)


@pytest.mark.parametrize("way", GONE)
def test_b2_a_client_that_leaves_with_its_response_has_been_answered_while_a_rule_is_tried(
    way: Way,
) -> None:
    async def run() -> None:
        hang, keys = Hanging(), NoKeysYet()
        async with hanging(hang, keys=keys, on_client_close="abort") as ours:
            case = hang.case()
            case.go.set()
            async with Client.connected(ours.port) as client:
                await client.send(LANES["dry run"].request(case))
                assert (await client.loop.sock_recv(client.sock, 65536)).endswith(b"{}")
                await eventually(lambda: keys.asked)
                client.leave(way)
                await eventually(lambda: not ours.listener.connections)
            keys.go.set()
        assert statuses(ours) == [200]

    on_uvloop(run())


@pytest.mark.parametrize("lane", ["plain", "plain in chunks", "buffered"])
def test_b2_a_client_that_leaves_the_queue_for_the_upstream_sends_nothing(lane: str) -> None:
    async def one(hang: Hanging, ours: Ours, way: Way, left: asyncio.Event) -> None:
        case = hang.case()
        case.go.set()
        async with Client.connected(ours.port) as client:
            await client.send(LANES[lane].request(case))
            await asyncio.sleep(0.3)
            client.leave(way)
            await left.wait()
            if way == "half-close":
                assert b"HTTP/1.1 200 OK\r\n" in await client.rest()
        assert case.arrivals == (way == "half-close")

    async def run() -> None:
        hang, left = Hanging(), asyncio.Event()
        async with (
            hanging(hang, limits=TrafficLimits(connections=1)) as ours,
            Client.connected(ours.port) as first,
        ):
            case = hang.case()
            await first.send(LANES["plain"].request(case))
            await case.whole.wait()
            async with asyncio.TaskGroup() as group:
                for way in WAYS:
                    group.create_task(one(hang, ours, way, left))
                await eventually(lambda: statuses(ours) == [499, 499])
                case.go.set()
                left.set()
        assert sorted(statuses(ours)) == [200, 200, 499, 499]

    on_uvloop(run())


# --- in the middle of an upload -------------------------------------------------------------------

UPLOADS: Final = ("plain with a body", "plain in chunks", "buffered", "buffered in chunks")
STREAMED: Final = ("records", "sealed stream", "dry run in chunks")


def test_b1_whoever_leaves_in_an_upload_leaves_nothing_whole_at_the_upstream() -> None:
    async def one(hang: Hanging, ours: Ours, lane: str, way: Way, share: float) -> None:
        case = hang.case()
        data = LANES[lane].request(case)
        head = data.index(b"\r\n\r\n") + 4
        async with Client.connected(ours.port) as client:
            await client.send(data[: head + int((len(data) - head) * share)])
            await asyncio.sleep(1.0)  # above what the fast path holds back, and its timer's tick
            client.leave(way)
            await asyncio.sleep(SOON)
            assert not case.begun.is_set() or case.over.is_set()
            if lane.startswith("buffered"):
                assert not case.begun.is_set()
            if lane not in {"plain with a body", "plain in chunks", "dry run in chunks"}:
                assert CANARY.encode() not in case.bytes
        assert not case.whole.is_set()

    async def run() -> None:
        hang = Hanging()
        async with hanging(hang) as ours:
            cases = list(product((*UPLOADS, *STREAMED), WAYS, (0.3, 0.6, 0.95)))
            await each(one(hang, ours, *case) for case in cases)
        assert statuses(ours) == [499] * len(cases)

    on_uvloop(run())


@pytest.mark.parametrize("framing", ["length", "chunks"])
@pytest.mark.parametrize("way", GONE)
def test_b1_a_client_that_leaves_while_the_upstream_does_not_read_is_noticed(
    framing: str, way: Way
) -> None:
    """Its bytes fill the window, so that it is not read, and neither is its end."""

    async def run() -> None:
        with socket.socket() as silent:
            silent.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            silent.bind(("127.0.0.1", 0))
            silent.listen()  # it accepts and never reads
            async with proxied(local(silent.getsockname()[1])) as ours:
                await _stall(ours, framing == "chunks", way)
                async with asyncio.timeout(3 * SOON):
                    while ours.listener.connections or ours.upstream.pool.size:  # noqa: ASYNC110 - nothing tells
                        await asyncio.sleep(0.01)
        assert statuses(ours) == [499]

    on_uvloop(run())


async def _stall(ours: Ours, chunked: bool, way: Way) -> None:  # noqa: FBT001 - of one call
    """Upload until nothing is read any more, and leave."""
    body = bytes(20_000)  # what is under way when reading stops must have room, and the FIN
    piece = b"%x\r\n%b\r\n" % (len(body), body) if chunked else body
    line = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: 100000000"
    async with Client.connected(ours.port) as client:
        await client.send(b"POST /pass HTTP/1.1\r\nHost: h\r\n" + line + b"\r\n\r\n")
        await eventually(lambda: len(ours.listener._clients) == 1)
        for _ in range(1000):
            await client.send(piece)
            await asyncio.sleep(0.005)
            (connection,) = ours.listener._clients._clients
            if connection._unread:
                break
        assert connection._unread
        client.leave(way)


# --- once the response has begun ------------------------------------------------------------------

CHUNKS: Final = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
RESPONSES: Final = {
    "in chunks": CHUNKS + b"\r\n",
    "of a length": b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n",
    "until the connection ends": b"HTTP/1.1 200 OK\r\n\r\n",
    "events": CHUNKS + b"Content-Type: text/event-stream\r\n\r\n",
}
EVENT: Final = b"data: 1\n\n"


@pytest.mark.parametrize("kind", RESPONSES)
@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
def test_b2_b15_a_client_that_leaves_a_response_ends_it_with_the_next_write(
    kind: str, version: bytes
) -> None:
    chunked = b"chunked" in RESPONSES[kind]
    piece = b"%x\r\n%b\r\n" % (len(EVENT), EVENT) if chunked else EVENT

    async def one(hang: Hanging, ours: Ours, lane: str, way: Way) -> None:
        case = hang.case()
        async with Client.connected(ours.port) as client:
            data = LANES[lane].request(case)
            await client.send(data.replace(b"HTTP/1.1", b"HTTP/" + version, 1))
            await got(client, EVENT)
            client.leave(way)
            await soon(case.over)

    async def run() -> None:
        hang = Hanging(RESPONSES[kind] + piece, more=piece)
        ways = WAYS if kind == "events" else GONE
        async with hanging(hang) as ours:
            lanes = ("plain", "plain with a body")
            await each(one(hang, ours, lane, way) for lane, way in product(lanes, ways))
        assert statuses(ours) == [499] * 2 * len(ways)

    on_uvloop(run())


@pytest.mark.parametrize("way", WAYS)
def test_b15_a_silent_stream_of_events_ends_with_its_client(way: Way) -> None:
    async def run() -> None:
        hang = Hanging(RESPONSES["events"] + b"9\r\n" + EVENT + b"\r\n")
        async with hanging(hang) as ours, Client.connected(ours.port) as client:
            case = hang.case()
            await client.send(LANES["plain"].request(case))
            await got(client, EVENT)
            client.leave(way)
            await soon(case.over)
        assert statuses(ours) == [499]

    on_uvloop(run())


# --- WebSockets -----------------------------------------------------------------------------------


def _shake(case: Case, target: bytes) -> bytes:
    return request(
        case,
        b"GET " + target,
        b"",
        b"Connection: Upgrade",
        b"Upgrade: websocket",
        b"Sec-WebSocket-Version: 13",
        b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
    )


@pytest.mark.parametrize("target", [b"/tunnel", b"/chat", b"/overheard"])
@pytest.mark.parametrize("way", WAYS)
def test_b13_a_client_that_leaves_a_websocket_ends_it(target: bytes, way: Way) -> None:
    async def run() -> None:
        hang = Hanging(_SWITCH)
        async with hanging(hang) as ours, Client.connected(ours.port) as client:
            case = hang.case()
            await client.send(_shake(case, target))
            head = await client.loop.sock_recv(client.sock, 65536)
            assert head.startswith(b"HTTP/1.1 101 ")
            client.leave(way)
            await soon(case.over)
            await asyncio.sleep(0.6)
            assert not ours.upstream.pool.size
        assert statuses(ours) == [499]

    on_uvloop(run())


@pytest.mark.parametrize("target", [b"/tunnel", b"/chat"])
@pytest.mark.parametrize("way", WAYS)
def test_b13_a_client_that_leaves_while_its_websocket_is_not_read_is_noticed(
    target: bytes, way: Way
) -> None:
    async def run() -> None:
        hang = Hanging(_SWITCH)
        async with hanging(hang) as ours, Client.connected(ours.port) as client:
            case = hang.case()
            await client.send(_shake(case, target))
            await client.loop.sock_recv(client.sock, 65536)
            (connection,) = ours.listener._clients._clients
            assert isinstance(connection, ClientConnection)
            connection.pause()  # as for an upstream that does not keep up
            await client.send(b"\x81\x80....")
            client.leave(way)
            await soon(case.over)
        assert statuses(ours) == [499]

    on_uvloop(run())


async def test_b13_what_a_client_said_before_it_left_reaches_an_upstream_that_is_slow() -> None:
    taken: list[int] = []
    frame = b"\x82\xff" + (3_000_000).to_bytes(8, "big") + bytes(4 + 3_000_000)

    async def switching(peer: Peer, _: Origin) -> None:
        await peer.request()
        peer.send(_SWITCH)
        while part := await peer.reader.read(1 << 20):
            taken.append(len(part))

    async with (
        running(Origin(switching)) as origin,
        proxied(local(origin.port)) as ours,
        Client.connected(ours.port) as client,
    ):
        await client.send(_shake(Case(1), b"/tunnel"))
        await client.loop.sock_recv(client.sock, 65536)
        (connection,) = ours.listener._clients._clients
        assert isinstance(connection, ClientConnection)
        connection.pause()
        sending = client.loop.create_task(client.send(frame))
        async with asyncio.timeout(6 * PATIENCE):
            while not connection._ended:
                for _ in range(20):  # up to the first tick of the timer behind its FIN
                    await asyncio.sleep(0.01)
                    if connection._stuck:
                        break
                connection.resume()
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                if sending.done() and client.sock.fileno() >= 0:
                    client.leave("close")
                if not connection._ended:
                    connection.pause()
        await eventually(lambda: not ours.listener.connections)

    assert sum(taken) == len(frame)


# --- what is left ---------------------------------------------------------------------------------


@pytest.mark.parametrize("way", GONE)
def test_b2_b16_a_thousand_slow_requests_that_are_abandoned_leave_nothing(way: Way) -> None:
    number, at_a_time = 1000, 50

    async def one(hang: Hanging, ours: Ours, lane: Lane) -> None:
        case = hang.case()
        async with Client.connected(ours.port) as client:
            await client.send(lane.request(case))
            await case.whole.wait()
            client.leave(way)
            await case.over.wait()
        assert case.arrivals == 1

    async def run() -> None:
        hang = Hanging()
        lanes = [lane for lane in LANES.values() if len(lane.body) < 1000]
        async with hanging(hang) as ours:
            files = descriptors()
            for start in range(0, number, at_a_time):
                numbers = range(start, start + at_a_time)
                async with asyncio.timeout(60):
                    await each(one(hang, ours, lanes[at % len(lanes)]) for at in numbers)
            await eventually(lambda: not ours.listener.connections and not ours.upstream.pool.size)
            await eventually(lambda: descriptors() <= files)
            assert ours.listener._outlived == set()
            loop = asyncio.get_running_loop()
            began = loop.time()
            assert await ours.server.drain(20)
            assert loop.time() - began < 2
        assert statuses(ours) == [499] * number

    on_uvloop(run())


def test_b16_a_drain_does_not_wait_for_clients_that_have_left() -> None:
    async def one(hang: Hanging, ours: Ours, way: Way, stop: asyncio.Event) -> None:
        case = hang.case()
        async with Client.connected(ours.port) as client:
            await client.send(LANES["plain with a body"].request(case))
            await case.whole.wait()
            client.leave(way)
            await stop.wait()

    async def run() -> None:
        hang, stop = Hanging(), asyncio.Event()
        async with hanging(hang) as ours, asyncio.TaskGroup() as group:
            for way in GONE * 10:
                group.create_task(one(hang, ours, way, stop))
            await eventually(lambda: sum(case.whole.is_set() for case in hang.cases.values()) == 20)
            loop = asyncio.get_running_loop()
            began = loop.time()
            assert await ours.server.drain(20)
            assert loop.time() - began < SOON
            stop.set()

    on_uvloop(run())
