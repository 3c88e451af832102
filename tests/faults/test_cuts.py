"""Connections that end early, rest too long, or go slowly."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from proxy.config.limits import Timeouts, TrafficLimits
from tests.fewer import some
from tests.traffic.ours import Ours, local, proxied
from tests.traffic.wire import (
    OK,
    Client,
    Origin,
    Peer,
    Response,
    connected,
    eventually,
    get,
    running,
)

from .rig import Outcome, WaitingKeys, a_rulebook, descriptors, tokens_for

KEEP = b"Host: h\r\nContent-Type: application/json\r\n"
PADDED = json.dumps({"content": "x" * 1000, "pad": "y" * 700}).encode()
AT_A_TIME = 24


def reset(writer: asyncio.StreamWriter) -> None:
    """Let a close be a reset."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def each(what: Callable[[int], Awaitable[None]], numbers: Sequence[int]) -> None:
    """Do something for each number, some at a time."""
    waiting = iter(numbers)

    async def worker() -> None:
        for at in waiting:
            await what(at)

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_A_TIME):
            group.create_task(worker())


@contextlib.asynccontextmanager
async def nothing_left(ours: Ours) -> AsyncIterator[None]:
    """See that clients, upstream connections, tasks and files are as before in the end."""
    await eventually(lambda: not ours.listener.connections)
    tasks, files = len(asyncio.all_tasks()), descriptors()
    yield
    pool = ours.upstream.pool
    await eventually(lambda: not ours.listener.connections and pool.size == pool.idle)
    pool._close_idle()
    await eventually(lambda: len(asyncio.all_tasks()) <= tasks and descriptors() <= files)


async def exchange(port: int, data: bytes) -> Outcome:
    """Send a request and return all that comes."""
    async with connected(port) as client:
        got = bytearray()
        client.send(data)
        try:
            while part := await asyncio.wait_for(client.reader.read(65536), 5):
                got += part
        except ConnectionError:
            return Outcome(bytes(got), reset=True)
        return Outcome(bytes(got), reset=False)


def upload(target: bytes, *, chunked: bool) -> bytes:
    head = b"POST " + target + b" HTTP/1.1\r\n" + KEEP
    if not chunked:
        return head + b"Content-Length: %d\r\n\r\n" % len(PADDED) + PADDED
    return head + b"Transfer-Encoding: chunked\r\n\r\n" + in_chunks(PADDED)


def in_chunks(body: bytes) -> bytes:
    pieces = [body[at : at + 300] for at in range(0, len(body), 300)]
    return b"".join(b"%x\r\n%b\r\n" % (len(one), one) for one in pieces) + b"0\r\n\r\n"


@pytest.mark.parametrize("target", [b"/pass", b"/seal"])
@pytest.mark.parametrize("chunked", [False, True])
async def test_b1_an_upload_that_was_cut_never_reaches_the_origin_whole(
    target: bytes,
    chunked: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    data = upload(target, chunked=chunked)
    origin = Origin()

    async def cut(at: int) -> None:
        async with connected(ours.port) as client:
            client.send(data[:at])
            await asyncio.sleep(0.002)
            if at % 2:
                reset(client.writer)

    async with (
        running(origin),
        proxied(local(origin.port), rule_table=a_rulebook(), keys=WaitingKeys()) as ours,
        nothing_left(ours),
    ):
        assert 1700 < len(data) < 2300
        await each(cut, some(range(len(data))))
        await eventually(lambda: not ours.listener.connections)
        assert not origin.seen
        async with connected(ours.port) as client:
            client.send(data)
            await client.response()
        assert len(origin.seen) == 1


@pytest.mark.parametrize("target", [b"/pass", b"/open"])
@pytest.mark.parametrize("chunked", [False, True])
async def test_b4_b5_a_response_that_was_cut_is_seen_to_be_cut(
    target: bytes,
    chunked: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    keys = WaitingKeys()
    (token,) = await tokens_for(keys, 1)
    body = json.dumps({"content": token, "pad": "y" * 1500}).encode()
    framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % len(body)
    reply = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n" + framing + b"\r\n\r\n"
    reply += in_chunks(body) if chunked else body

    async def cut(peer: Peer, origin: Origin) -> None:
        seen = await peer.request()
        origin.seen.append(seen)
        at = int(seen.values(b"x-cut")[0])
        peer.send(reply[:at])
        await asyncio.sleep(0.002)
        if at % 2:
            reset(peer.writer)
        if at == len(reply):
            await cut(peer, origin)

    origin = Origin(cut)
    wrong: list[tuple[int, Outcome]] = []

    async def ask(at: int) -> None:
        outcome = await exchange(ours.port, get(target, b"X-Cut: %d" % at))
        # Where a rule opens it, nothing of a message is let out before all of it has verified.
        if outcome.status < 400 and (outcome.whole or target == b"/open"):
            wrong.append((at, outcome))

    async with (
        running(origin),
        proxied(local(origin.port), rule_table=a_rulebook(), keys=keys) as ours,
        nothing_left(ours),
    ):
        assert 1700 < len(reply) < 2300
        cuts = some(range(len(reply)))
        await each(ask, cuts)
        assert not wrong
        # A GET may go out again where a connection had rested; none of these had, and none is
        # used again.
        assert origin.connections == len(origin.seen) == len(cuts)
        whole = await exchange(ours.port, get(target, b"X-Cut: %d" % len(reply)))
        assert (whole.status, whole.whole) == (200, True)


async def test_a_client_that_has_closed_its_half_is_answered() -> None:
    origin = Origin()
    async with running(origin), proxied(local(origin.port)) as ours:
        async with connected(ours.port) as client:
            client.send(upload(b"/pass", chunked=False))
            client.writer.write_eof()
            assert Response(await client.rest()).body == b"ok"
        assert len(origin.seen) == 1


async def test_a11_an_answer_before_the_end_of_the_upload_is_read_and_nothing_used_again() -> None:
    async def early(peer: Peer, origin: Origin) -> None:
        await peer.head()
        peer.send(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno")
        with contextlib.suppress(asyncio.IncompleteReadError):
            await peer.reader.readexactly(10**9)

    origin = Origin(early)
    async with running(origin), proxied(local(origin.port)) as ours:
        for number in range(1, 6):
            async with connected(ours.port) as client:
                client.send(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\nbegun")
                assert (await client.response()).status == 401
            await eventually(lambda: not ours.upstream.pool.size)
            assert origin.connections == number


# The same ratio as by default: ours 1.5 s, the hastiest backends 2 s.
HASTY_ORIGIN = 0.4
OUR_IDLE = 0.3


async def hasty(peer: Peer, origin: Origin) -> None:
    """Answer, and close what has rested for too long."""
    while True:
        try:
            async with asyncio.timeout(HASTY_ORIGIN):
                head = await peer.head()
        except TimeoutError:
            return
        seen = int(head.split(b"X-Number: ")[1].split(b"\r\n")[0])
        await peer.reader.readexactly(2)
        origin.seen.append(seen)  # type: ignore[arg-type] # the number alone is wanted
        peer.send(OK)


async def posts_at_the_border(rounds: int, lanes: int) -> tuple[int, int, int]:
    """Send POSTs each of which comes when connections are about to be closed.

    Return how many were sent, how many failed, and how many the origin saw twice.
    """
    origin = Origin(hasty)
    failed = 0

    async def lane(number: int) -> None:
        nonlocal failed
        async with connected(ours.port) as client:
            for turn in range(rounds):
                own = number * rounds + turn
                client.send(b"POST / HTTP/1.1\r\nHost: h\r\nX-Number: %d\r\n" % own)
                client.send(b"Content-Length: 2\r\n\r\nab")
                failed += (await client.response()).status != 200
                await asyncio.sleep(0.25 + 0.2 * ((own * 7) % 100) / 100)

    timeouts = Timeouts(idle=OUR_IDLE)
    async with (
        running(origin),
        proxied(local(origin.port), timeouts=timeouts) as ours,
        asyncio.TaskGroup() as group,
    ):
        for number in range(lanes):
            group.create_task(lane(number))
    numbers: list[Any] = list(origin.seen)
    return rounds * lanes, failed, len(numbers) - len(set(numbers))


@pytest.mark.parametrize("rounds", [6, pytest.param(125, marks=pytest.mark.slow)])
async def test_b7_no_post_is_lost_or_doubled_where_idle_connections_end(rounds: int) -> None:
    sent, failed, doubled = await posts_at_the_border(rounds, 80)
    assert (sent, failed, doubled) == (rounds * 80, 0, 0)


async def endless(peer: Peer, origin: Origin) -> None:
    """Send a body without an end."""
    await peer.head()
    peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        peer.send(b"4000\r\n" + b"z" * 0x4000 + b"\r\n")
        await peer.writer.drain()


@pytest.mark.parametrize("number", [1000, pytest.param(10_000, marks=pytest.mark.slow)])
async def test_b2_clients_that_go_in_mid_download_leave_nothing_behind(number: int) -> None:
    origin = Origin(endless)

    async def go(at: int) -> None:
        async with connected(ours.port) as client:
            client.send(get())
            await client.until(b"\r\n\r\n")
            await client.reader.readexactly(1 + at % 50_000)
            if at % 2:
                reset(client.writer)
            client.writer.transport.abort()

    async with running(origin), proxied(local(origin.port)) as ours:
        async with nothing_left(ours):
            await each(go, range(number))
        await eventually(lambda: not origin.open_connections)


async def beside_slow_clients(slow: int, good: int) -> tuple[int, list[float]]:
    """Return how many good requests failed beside slow connections, and how long each took."""
    origin = Origin()
    durations: list[float] = []
    failed = 0

    async def dribble(client: Client) -> None:
        client.send(b"GET / HTTP/1.1\r\n")
        while True:
            client.send(b"X")
            await asyncio.sleep(0.5)

    # All of them come from one address, whose bound would else keep the slow ones out.
    limits = TrafficLimits(clients_per_address=slow + 100)
    async with (
        running(origin),
        proxied(local(origin.port), limits=limits) as ours,
        contextlib.AsyncExitStack() as stack,
        asyncio.TaskGroup() as group,
    ):
        clients = [await stack.enter_async_context(connected(ours.port)) for _ in range(slow)]
        tasks = [group.create_task(dribble(one)) for one in clients]
        await asyncio.sleep(0.1)
        for _ in range(good):
            began = time.perf_counter()
            outcome = await exchange(ours.port, get())
            durations.append(time.perf_counter() - began)
            failed += outcome.status != 200
        for task in tasks:
            task.cancel()
    return failed, durations


@pytest.mark.parametrize(
    ("slow", "good"), [(200, 300), pytest.param(2000, 3000, marks=pytest.mark.slow)]
)
async def test_b11_good_clients_are_served_beside_slow_ones(
    slow: int, good: int, record_property: Callable[[str, object], None]
) -> None:
    failed, durations = await beside_slow_clients(slow, good)
    assert failed <= good // 1000
    slowest = sorted(durations)[len(durations) * 99 // 100]
    record_property("p99", f"{slowest * 1000:.1f} ms")


PIECE = b"w" * 0x8000


async def resident() -> int:
    """Return the bytes that this process holds in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096  # noqa: ASYNC240 - procfs


async def watch_growth(during: Awaitable[None]) -> int:
    """Return by how many bytes this process grew at most meanwhile."""
    before = highest = await resident()
    task = asyncio.ensure_future(during)  # noqa: TID251 - held and awaited below
    while not task.done():
        highest = max(highest, await resident())
        await asyncio.sleep(0.01)
    await task
    return highest - before


async def slow_download(size: int) -> int:
    """Let a client read slowly; return by how many bytes the process grew."""

    async def big(peer: Peer, origin: Origin) -> None:
        await peer.head()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        for _ in range(size // len(PIECE)):
            peer.send(PIECE)
            await peer.writer.drain()

    async def read() -> None:
        async with connected(ours.port) as client:
            client.send(get())
            await client.until(b"\r\n\r\n")
            left = size
            while left:
                left -= len(await client.reader.read(0x40000))
                await asyncio.sleep(0.001)

    origin = Origin(big)
    async with running(origin), proxied(local(origin.port)) as ours:
        return await watch_growth(read())


async def slow_upload(size: int) -> int:
    """Let an origin read slowly; return by how many bytes the process grew."""

    async def slow(peer: Peer, origin: Origin) -> None:
        await peer.head()
        left = size
        while left:
            left -= len(await peer.reader.read(0x40000))
            await asyncio.sleep(0.001)
        peer.send(OK)

    async def write() -> None:
        async with connected(ours.port) as client:
            client.send(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % size)
            for _ in range(size // len(PIECE)):
                client.send(PIECE)
                await client.writer.drain()
            assert (await client.response()).status == 200

    origin = Origin(slow)
    async with running(origin), proxied(local(origin.port)) as ours:
        return await watch_growth(write())


MEBIBYTE = 1024 * 1024


@pytest.mark.parametrize("way", [slow_download, slow_upload])
@pytest.mark.parametrize("size", [64, pytest.param(1024, marks=pytest.mark.slow)])
async def test_b9_b10_a_slow_reader_holds_up_the_writer(
    way: Callable[[int], Awaitable[int]],
    size: int,
    record_property: Callable[[str, object], None],
) -> None:
    grown = await way(size * MEBIBYTE)
    record_property("memory", f"+{grown / MEBIBYTE:.1f} MiB")
    assert grown <= 8 * MEBIBYTE
