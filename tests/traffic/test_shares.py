"""L2, L3b: what one client or one route holds, everyone else is answered as usual.

Real sockets on both sides. The clients that misbehave are at 127.0.0.2, everyone else at 127.0.0.1.
`./dev scorecard --long --only 36` writes the figures down.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import statistics
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace

import pytest

from proxy.config.limits import Timeouts, TrafficLimits
from proxy.core.compiled.rule_table import RuleTable
from proxy.core.expressions.routes import parse_pattern
from proxy.core.expressions.selectors import parse_selector
from proxy.core.expressions.sources import parse_source
from proxy.core.rules.model import Block, Item, Names, Rule
from proxy.demo.screen import search
from proxy.traffic.upstream.permits import KINDS, Permits
from tests.keys.builders import a_world
from tools.soak.watch import waited as waited_by

from .ours import Ours, local, proxied
from .wire import OK, Client, Origin, Peer, eventually, running

CANARY = "canary-5h4r35"
SWITCHED = b"HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
EVENTS = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
WEBSOCKET = (
    b"GET /ws HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
BIG = 64 * 1024 * 1024
SMALL_BUFFER = 65536
"""For sockets: else unread downloads fill the kernel's buffers of megabytes first."""
SEALED = json.dumps({"content": CANARY}).encode()
POST = b"POST %b HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
PATIENT = Timeouts(body=300.0, write=300.0, response=300.0, stream=300.0)

KINDS_OF_HARM = {
    "half-sent, length": POST % b"/pass" + b"Content-Length: 1000\r\n\r\n{",
    "half-sent, chunked": POST % b"/pass" + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n",
    "half-sent, length, sealed": POST % b"/sealed" + b"Content-Length: 1000\r\n\r\n" + SEALED[:-1],
    "half-sent, chunked, sealed": POST % b"/sealed"
    + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n" % (len(SEALED), SEALED),
    "stalled behind the window": POST % b"/pass"
    + b"Content-Length: 1000000\r\n\r\n"
    + b"x" * 100_000,
    "unread downloads": b"GET /big HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
    "idle WebSockets": WEBSOCKET,
    "idle event streams": b"GET /events HTTP/1.1\r\nHost: h\r\n\r\n",
    "abandoned slow requests": b"GET /slow HTTP/1.1\r\nHost: h\r\n\r\n",
}


def rules() -> RuleTable:
    sealing = Block(encrypt=(Item(parse_selector("$.content"), "content", frozenset({"tenant"})),))
    names = Names(tenant=parse_source("const:t"), conversation=parse_source("const:c"))
    narrow = Rule("narrow", (parse_pattern("/narrow"),), names, connections=2)
    rule = Rule("sealed", (parse_pattern("POST /sealed"),), names, request=(sealing,))
    return RuleTable((rule, narrow), pass_unmatched=True)


async def backend(peer: Peer, origin: Origin) -> None:
    """Answer each path in its way."""
    while True:
        head = await peer.head()
        path = head.split(b" ", 2)[1]
        if path == b"/ws":
            peer.send(SWITCHED)
            await peer.reader.read()
            return
        if path == b"/events":
            peer.send(EVENTS + b"6\r\ndata:\n\r\n")
            await peer.reader.read()
            return
        if path in {b"/slow", b"/hang", b"/narrow"}:
            await peer.reader.read()
            return
        if path == b"/big":
            peer.writer.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL_BUFFER
            )
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % BIG)
            for _ in range(BIG // 65536):
                peer.send(bytes(65536))
                await peer.writer.drain()
            continue
        if path == b"/echo":
            peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            async for chunk in peer.chunks():
                peer.send(b"%x\r\n%b\r\n" % (len(chunk), chunk))
            peer.send(b"0\r\n\r\n")
            continue
        await body_of(peer, head, origin)
        if path == b"/work":
            await asyncio.sleep(0.02)
        peer.send(OK)


async def body_of(peer: Peer, head: bytes, origin: Origin) -> None:
    low = head.lower()
    if b"content-length: " in low:
        size = int(low.partition(b"content-length: ")[2].partition(b"\r")[0])
        origin.reply += await peer.reader.readexactly(size)
    elif b"chunked" in low:
        async for chunk in peer.chunks():
            origin.reply += chunk


@dataclass
class House:
    """The traffic port, and all its clients, who are gone in the end."""

    ours: Ours
    clients: list[Client]

    @property
    def permits(self) -> Permits:
        return self.ours.upstream.permits

    async def connect(self, at: str) -> Client:
        one = socket.socket()
        one.setblocking(False)  # noqa: FBT003 - the socket's own interface
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # else first requests take 40 ms
        one.bind((at, 0))
        await asyncio.get_running_loop().sock_connect(one, ("127.0.0.1", self.ours.port))
        client = Client(*await asyncio.open_connection(sock=one))
        self.clients.append(client)
        return client

    async def leave(self, clients: list[Client]) -> None:
        """Let clients go."""
        for client in clients:
            client.close()
            self.clients.remove(client)
        for client in clients:
            with contextlib.suppress(ConnectionError):
                await client.writer.wait_closed()

    def refused(self) -> Counter[object]:
        """Return for which reasons how many messages were refused."""
        return Counter(fields.get("reason") for _, fields in self.ours.ear.heard)


@contextlib.asynccontextmanager
async def a_house(limits: TrafficLimits, timeouts: Timeouts = PATIENT) -> AsyncIterator[House]:
    """Run the traffic port before the backend; look for the canary in the end."""
    world = a_world()
    origin = Origin(backend, reply=b"")
    async with (
        running(origin),
        proxied(
            local(origin.port),
            rule_table=rules(),
            keys=world.sessions,
            limits=limits,
            timeouts=timeouts,
        ) as ours,
    ):
        house = House(ours, [])
        try:
            yield house
        finally:
            for client in house.clients:
                client.writer.transport.abort()
            await house.leave(list(house.clients))
        told = repr(ours.ear.heard).encode()
        assert not search(CANARY, {"origin": origin.reply, "log": told})


@dataclass
class Figures:
    """What everyone else got: statuses, and seconds.

    What this process waited for a processor is not in the seconds: it is the machine's. Where one
    stop of the machine hits all that are under way, it is one in a hundred.
    """

    statuses: Counter[int]
    seconds: list[float]

    @property
    def p99(self) -> float:
        return statistics.quantiles(self.seconds, n=100)[98]

    @property
    def served(self) -> str:
        """The share that was answered with 200."""
        return f"{self.statuses[200] / self.statuses.total():.1%}"


async def everyone_else(house: House, requests: int, at: str = "127.0.0.1") -> Figures:
    """Send requests one after the other on four connections, of which each fourth is sealed."""
    found = Figures(Counter(), [])

    async def one() -> None:
        client = await house.connect(at)
        for number in range(requests // 4):
            began, waited = time.perf_counter(), waited_by(os.getpid())
            if number % 4:
                client.send(b"GET /fine HTTP/1.1\r\nHost: h\r\n\r\n")
            else:
                client.send(POST % b"/sealed" + b"Content-Length: %d\r\n\r\n" % len(SEALED))
                client.send(SEALED)
            response = await client.response()
            took = time.perf_counter() - began - (waited_by(os.getpid()) - waited)
            found.seconds.append(max(took, 0.0))
            found.statuses[response.status] += 1
        await house.leave([client])

    async with asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(one())
    return found


async def harm(house: House, kind: str, number: int, at: str) -> list[Client]:
    """Open so many connections that do one kind of harm; return those that are still open."""
    clients = [await house.connect(at) for _ in range(number)]
    for client in clients:
        client.send(KINDS_OF_HARM[kind])
    if kind == "abandoned slow requests":
        await asyncio.sleep(0.1)
        await house.leave(clients)
        return []
    return clients


@dataclass(frozen=True)
class Size:
    """How much a trial does, and how long it waits between harm and measurement.

    `noise` are the seconds that the machine may add to a p99 by itself: a busy one is slower.
    """

    harmful: int
    requests: int
    wait: float
    noise: float


SHORT = Size(100, 400, wait=0.2, noise=0.25)
LONG = Size(100, 10_000, wait=5.0, noise=0.01)
Note = Callable[[str, object], None]
"""Writes a figure down, by its name."""


async def trial(kinds: list[str], size: Size) -> tuple[Figures, Figures]:
    """Return what everyone else usually gets, and what beside harm of these kinds."""
    async with a_house(TrafficLimits()) as house:
        await everyone_else(house, 100)
        usual = await everyone_else(house, size.requests)
        clients = [
            one for kind in kinds for one in await harm(house, kind, size.harmful, "127.0.0.2")
        ]
        await asyncio.sleep(size.wait)
        beside = await everyone_else(house, size.requests)
        permits = house.permits
        assert set(beside.statuses) == {200}
        assert beside.p99 <= 2 * usual.p99 + size.noise
        await house.leave(clients)
        await eventually(lambda: not (permits.in_use or any(map(permits.beside, KINDS))))
    return usual, beside


@pytest.mark.timing
@pytest.mark.parametrize("kind", KINDS_OF_HARM)
async def test_l2_harm_of_one_kind_does_not_reach_everyone_else(kind: str) -> None:
    # Downloads take the processor's time until the buffers of the kernel are full.
    await trial([kind], replace(SHORT, wait=4.0) if kind == "unread downloads" else SHORT)


@pytest.mark.timing
async def test_l2_harm_of_all_kinds_at_once_does_not_reach_everyone_else() -> None:
    await trial(list(KINDS_OF_HARM), replace(SHORT, wait=3.0))


@pytest.mark.timing
@pytest.mark.slow
@pytest.mark.parametrize("kinds", [[one] for one in KINDS_OF_HARM] + [list(KINDS_OF_HARM)])
async def test_l2_in_figures(kinds: list[str], record_property: Note) -> None:
    usual, beside = await trial(kinds, LONG)
    record_property("usual p99", f"{usual.p99 * 1000:.1f} ms")
    of = "one kind" if len(kinds) == 1 else "each kind"
    record_property(f"p99 beside {LONG.harmful} of {of}", f"{beside.p99 * 1000:.1f} ms")


HARMLESS = [kind for kind in KINDS_OF_HARM if kind != "unread downloads"]


@pytest.mark.parametrize("kind", HARMLESS)
async def test_l2_what_waits_for_its_client_holds_no_permit(kind: str) -> None:
    """So even those at the same address, as behind a load balancer, are answered."""
    limits = TrafficLimits(connections=20, websockets=50, event_streams=50, long_transfers=50)
    async with a_house(limits) as house:
        await harm(house, kind, 10, "127.0.0.1")
        wait = 4.0 if kind == "stalled behind the window" else 1.0
        async with asyncio.timeout(wait + 2):
            while house.permits.in_use:  # noqa: ASYNC110 - there is no event to wait for
                await asyncio.sleep(0.05)
        assert set((await everyone_else(house, 40)).statuses) == {200}


async def test_l2_an_unread_download_leaves_its_permit_soon() -> None:
    async with a_house(TrafficLimits(connections=4)) as house:
        await harm(house, "unread downloads", 3, "127.0.0.1")
        permits = house.permits
        await eventually(lambda: permits.beside("long-transfer") == 3)
        assert permits.in_use == 0


async def test_a_download_that_stands_still_ends_where_there_is_no_room_for_it() -> None:
    limits = TrafficLimits(connections=4, long_transfers=1)
    async with a_house(limits) as house:
        clients = await harm(house, "unread downloads", 3, "127.0.0.1")
        permits = house.permits
        async with asyncio.timeout(10):
            while permits.in_use or not permits.beside("long-transfer"):  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.05)
        cut = [await client.was_cut() for client in clients]
        assert permits.beside("long-transfer") <= 1
        assert cut.count(True) == 2


async def test_a_slow_download_goes_on_where_there_is_no_room_for_it() -> None:
    limits = TrafficLimits(connections=4, long_transfers=1)
    async with a_house(limits) as house:
        await harm(house, "unread downloads", 1, "127.0.0.2")
        await eventually(lambda: house.permits.beside("long-transfer") == 1)
        slow = await house.connect("127.0.0.1")
        slow.send(KINDS_OF_HARM["unread downloads"])
        began, size = time.monotonic(), 0
        while data := await slow.reader.read(262_144):
            size += len(data)
            if size > BIG:
                break
            if time.monotonic() - began < 5:
                await asyncio.sleep(0.05)
        assert size > BIG
        assert time.monotonic() - began > 4


@pytest.mark.parametrize(
    ("kind", "reason"),
    [("idle WebSockets", "websockets"), ("idle event streams", "event-streams")],
)
async def test_what_lasts_is_refused_beyond_its_limit(kind: str, reason: str) -> None:
    limits = TrafficLimits(websockets=2, event_streams=2)
    async with a_house(limits) as house:
        clients = await harm(house, kind, 5, "127.0.0.1")
        heads = [await client.until(b"\r\n\r\n") for client in clients]
        refused = [head for head in heads if b" 503 " in head.partition(b"\r\n")[0]]
        assert len(refused) == 3
        assert all(b"Retry-After: " in head for head in refused)
        assert house.refused()[reason] == 3


async def test_a_full_house_of_websockets_asks_the_upstream_for_no_other() -> None:
    async with a_house(TrafficLimits(websockets=1)) as house:
        first = await harm(house, "idle WebSockets", 1, "127.0.0.1")
        await first[0].until(b"\r\n\r\n")
        before = house.ours.upstream.pool.size
        other = await harm(house, "idle WebSockets", 1, "127.0.0.1")
        assert b" 503 " in await other[0].until(b"\r\n")
        assert house.ours.upstream.pool.size == before
        await house.leave(first)
        await eventually(lambda: house.permits.beside("websocket") == 0)
        (third,) = await harm(house, "idle WebSockets", 1, "127.0.0.1")
        assert b" 101 " in await third.until(b"\r\n")


async def test_a_slow_upload_is_read_first_where_there_is_no_room_for_it() -> None:
    async with a_house(TrafficLimits(long_transfers=1)) as house:
        await harm(house, "half-sent, length", 1, "127.0.0.1")
        permits = house.permits
        await eventually(lambda: permits.beside("long-transfer") == 1)
        second = await house.connect("127.0.0.1")
        second.send(POST % b"/pass" + b"Content-Length: 4\r\n\r\nab")
        await asyncio.sleep(0.8)
        assert (permits.in_use, house.ours.upstream.pool.size) == (0, 1)
        second.send(b"cd")
        assert (await second.response()).status == 200


async def test_an_upload_in_dialogue_goes_out_as_it_comes() -> None:
    """A client that waits for the response to the beginning of its upload is not kept waiting."""
    async with a_house(TrafficLimits()) as house:
        client = await house.connect("127.0.0.1")
        client.send(POST % b"/echo" + b"Transfer-Encoding: chunked\r\n\r\n")
        for word in (b"one", b"two", b"three"):
            client.send(b"%x\r\n%b\r\n" % (len(word), word))
            await client.until(word + b"\r\n")
        client.send(b"0\r\n\r\n")
        await client.until(b"0\r\n\r\n")


# --- one route is not the house -------------------------------------------------------------------


async def steady(
    house: House, path: bytes, rate: float, seconds: float, patience: float = 1.0
) -> Figures:
    """Send requests at a rate, whatever happens to those before; 0 is no answer in time."""
    found = Figures(Counter(), [])

    async def one() -> None:
        client = await house.connect("127.0.0.1")
        client.send(asking(path))
        began = time.perf_counter()
        try:
            async with asyncio.timeout(patience):
                head = await client.reader.readuntil(b"\r\n\r\n")
                found.statuses[int(head.split(b" ", 2)[1])] += 1
        except (TimeoutError, asyncio.IncompleteReadError, ConnectionError):
            found.statuses[0] += 1
        found.seconds.append(time.perf_counter() - began)
        await house.leave([client])

    async with asyncio.TaskGroup() as group:
        began = time.perf_counter()
        for number in range(int(rate * seconds)):
            await asyncio.sleep(max(0.0, began + number / rate - time.perf_counter()))
            group.create_task(one())
    return found


def asking(path: bytes) -> bytes:
    return b"GET %b HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n" % path


async def hanging_route(limits: TrafficLimits, seconds: float) -> Figures:
    """Return what 40 requests a second get while 20 a second go to a route that hangs."""
    async with a_house(limits) as house:
        hanging = asyncio.get_running_loop().create_task(
            steady(house, b"/hang", 20, 2 * seconds, 300.0)
        )
        await asyncio.sleep(seconds)
        found = await steady(house, b"/fine", 40, seconds)
        hanging.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await hanging
    return found


@pytest.mark.timing
async def test_l3b_a_route_that_hangs_leaves_the_others_their_answers() -> None:
    found = await hanging_route(TrafficLimits(connections=20), 2.0)
    assert found.statuses[200] >= 0.99 * found.statuses.total()


@pytest.mark.timing
@pytest.mark.slow
async def test_l3b_a_route_that_hangs_in_figures(record_property: Note) -> None:
    found = await hanging_route(TrafficLimits(), 20.0)
    record_property("served beside a route that hangs", found.served)
    assert found.statuses[200] >= 0.99 * found.statuses.total()


async def test_a_rule_bounds_its_own_route() -> None:
    async with a_house(TrafficLimits(), replace(PATIENT, queue=0.3)) as house:
        clients = [await house.connect("127.0.0.1") for _ in range(5)]
        for client in clients:
            client.send(asking(b"/narrow"))
        await eventually(lambda: house.refused()["queue-timeout"] == 3)
        assert (house.permits.in_use, house.permits.waiting) == (2, 0)


async def flooded(limits: TrafficLimits, timeouts: Timeouts, seconds: float) -> Figures:
    """Return what a client at 10 requests a second gets beside one with 300 at a time."""
    async with a_house(limits, timeouts) as house:
        over = asyncio.Event()

        async def flood() -> None:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                client = await house.connect("127.0.0.2")
                while not over.is_set():
                    client.send(b"GET /work HTTP/1.1\r\nHost: h\r\n\r\n")
                    await client.response()
                client.close()

        async with asyncio.TaskGroup() as group:
            for _ in range(300):
                group.create_task(flood())
            await asyncio.sleep(0.5)
            found = await steady(house, b"/work", 10, seconds)
            over.set()
    return found


@pytest.mark.timing
async def test_l3b_a_flood_of_one_client_does_not_drown_another() -> None:
    # A busy machine stops for longer than a request waits in an overload by default.
    found = await flooded(TrafficLimits(connections=10), replace(PATIENT, queue=5.0), 2.0)
    assert found.statuses[200] >= 0.95 * found.statuses.total()


@pytest.mark.timing
@pytest.mark.slow
async def test_l3b_a_flood_in_figures(record_property: Note) -> None:
    found = await flooded(TrafficLimits(connections=10), PATIENT, 30.0)
    record_property("served beside a flood", found.served)
    assert found.statuses[200] >= 0.95 * found.statuses.total()
