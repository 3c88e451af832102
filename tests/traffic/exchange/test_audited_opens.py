"""What messages open is written down before any byte of it goes on, and what went on afterwards."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

import aiohttp
import pytest
from aiohttp import web

from proxy.core.callers import VerifiedCaller
from proxy.core.compiled.rule_table import RuleTable
from proxy.core.crypto import sealed_stream
from proxy.core.crypto.context import Context
from proxy.core.errors import KeyUnavailable
from proxy.core.expressions.routes import parse_pattern
from proxy.core.expressions.selectors import parse_selector
from proxy.core.expressions.sources import parse_source
from proxy.core.rules.model import Block, Item, Names, Part, Rule
from proxy.core.values.key_needs import Needs, Opening
from tests.keys.builders import SCOPE, World, a_world
from tests.servers import sends_back, serving

from ..ours import Ours, local, proxied
from ..wire import Client, Origin, Peer, connected, eventually, post, running

CANARY = b"canary-88d1f0"
BOUND: frozenset[Part] = frozenset({"tenant", "conversation", "field"})
NAMES = Names(parse_source("const:clinic"), parse_source("const:c1"))


def item(selector: str, named: str = "content", *, optional: bool = False) -> Item:
    return Item(parse_selector(selector), named, BOUND, optional=optional)


FIELDS = Block(decrypt=(item("$.content"), item("$.card", "card", optional=True)))
WHOLE = Block(decrypt=(item("body", "body"),))
LIST = Block(decrypt=(item("$[*].content"),))
EACH = Block(decrypt=(item("$.content", optional=True),))
RULES = RuleTable(
    (
        Rule("fields", (parse_pattern("POST /fields"),), NAMES, response=(FIELDS,)),
        Rule("list", (parse_pattern("POST /list"),), NAMES, response=(LIST,)),
        Rule("whole", (parse_pattern("POST /whole"),), NAMES, response=(WHOLE,)),
        Rule("each", (parse_pattern("POST /each"),), NAMES, response=(EACH,)),
        Rule("inward", (parse_pattern("POST /inward"),), NAMES, request=(FIELDS,)),
        Rule("socket", (parse_pattern("WS /socket"),), NAMES, response=(EACH,)),
    ),
    pass_unmatched=True,
)
TYPES = {
    "fields": b"application/json",
    "list": b"application/json",
    "inward": b"application/json",
    "whole": b"application/jose",
    "framed": b"application/vnd.sealyard.stream",
    "lines": b"application/x-ndjson",
    "events": b"text/event-stream",
}
PATHS = {"framed": "whole", "lines": "each", "events": "each"}


@dataclass
class Book:
    """Where opens are written down: it waits, or fails, where a test wants that."""

    attempts: list[Opening] = field(default_factory=list)
    overs: dict[str, bool] = field(default_factory=dict)
    fails: bool = False
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    def admit(self, caller: VerifiedCaller | None) -> None:
        assert caller is None

    async def attempt(self, one: Opening) -> None:
        self.attempts.append(one)
        await self.gate.wait()
        if self.fails:
            raise KeyUnavailable("audit-unavailable")

    def over(self, request_id: str, *, delivered: bool) -> None:
        self.overs[request_id] = delivered


async def echo(peer: Peer, origin: Origin) -> None:
    """Send back what has come, as what it has come as; a stream comes in chunks."""
    while True:
        seen = await peer.request()
        origin.seen.append(seen)
        (kind,) = seen.values(b"content-type")
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: " + kind + b"\r\n")
        if kind in {TYPES["lines"], TYPES["events"]}:
            peer.send(b"Transfer-Encoding: chunked\r\n\r\n")
            peer.send(b"%x\r\n%b\r\n0\r\n\r\n" % (len(seen.body), seen.body))
        else:
            peer.send(b"Content-Length: %d\r\n\r\n" % len(seen.body) + seen.body)


async def sealed(world: World, named: str = "content", value: bytes = CANARY) -> bytes:
    keys = await world.sessions.resolve(Needs({SCOPE: 1}))
    kind = "body" if named == "body" else None
    context = Context(SCOPE, named, kind=kind)
    return keys.sealing[SCOPE].seal(value, context, cty="text/plain" if kind else None)


async def a_body(world: World, way: str) -> bytes:
    token = (await sealed(world)).decode()
    match way:
        case "list":
            return json.dumps([{"content": token}] * 3).encode()
        case "whole":
            return await sealed(world, "body")
        case "framed":
            context = Context(SCOPE, field="body", kind="stream")
            keys = await world.sessions.resolve(Needs({SCOPE: 1}))
            head, sealer = sealed_stream.begin(keys.sealing[SCOPE], context, "text/plain")
            return head + sealer.update(CANARY) + sealer.finish()
        case "lines":
            return b'{"content":"%b"}\n' % token.encode() * 2
        case "events":
            return b'data: {"content":"%b"}\n\n' % token.encode() * 2
        case _:
            card = (await sealed(world, "card")).decode()
            return json.dumps({"content": token, "card": card}).encode()


@dataclass
class Scene:
    world: World
    book: Book
    origin: Origin
    ours: Ours
    client: Client

    async def send(self, way: str) -> None:
        body = await a_body(self.world, way)
        path = f"/{PATHS.get(way, way)}".encode()
        self.client.send(post(body, b"Content-Type: " + TYPES[way], target=path))


@asynccontextmanager
async def a_scene(*, warm: bool = True) -> AsyncIterator[Scene]:
    world, book, origin = a_world(), Book(), Origin(echo)
    if warm:
        await sealed(world)
    async with (
        running(origin),
        proxied(local(origin.port), rule_table=RULES, keys=world.sessions, opens=book) as ours,
        connected(ours.port) as client,
    ):
        yield Scene(world, book, origin, ours, client)


OPENED = {
    "fields": {("content", "opened"): 1, ("card", "opened"): 1},
    "inward": {("content", "opened"): 1, ("card", "opened"): 1},
    "list": {("content", "opened"): 3},
    "whole": {("body", "opened"): 1},
    "framed": {("body", "opened"): 1},
    "lines": {("content", "opened"): 2},
    "events": {("content", "opened"): 2},
}


@pytest.mark.parametrize("way", OPENED)
async def test_no_byte_goes_on_before_it_is_written_down(way: str) -> None:
    async with a_scene() as scene:
        await scene.send(way)
        await eventually(lambda: scene.book.attempts)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(scene.client.reader.readuntil(CANARY), 0.1)
        assert not any(CANARY in one.body for one in scene.origin.seen)
        assert not scene.book.overs
        scene.book.gate.set()
        assert CANARY in await scene.client.rest()
        (one,) = scene.book.attempts
        assert one.counts == OPENED[way]
        assert (one.rule, one.listener, one.caller) == (PATHS.get(way, way), "", None)
        assert one.direction == ("request" if way == "inward" else "response")
        assert [each.scope for each in one.sessions] == [SCOPE]
        await eventually(lambda: scene.book.overs)
        assert scene.book.overs == {one.request_id: True}


@pytest.mark.parametrize("way", OPENED)
async def test_where_it_cannot_be_written_down_nothing_goes_on(way: str) -> None:
    async with a_scene() as scene:
        scene.book.fails = True
        scene.book.gate.set()
        await scene.send(way)
        answer = await scene.client.rest()
        assert CANARY not in answer
        assert not any(CANARY in one.body for one in scene.origin.seen)
        if way in {"lines", "events"}:  # whose head has gone: they are cut
            assert not answer.endswith(b"0\r\n\r\n")
        else:
            assert answer.startswith(b"HTTP/1.1 503 ")
        assert not scene.book.overs


def reset(client: Client) -> None:
    """Leave as a client does that is killed."""
    opened = client.writer.get_extra_info("socket")
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.writer.transport.abort()


@pytest.mark.parametrize("way", OPENED)
async def test_what_did_not_arrive_whole_is_not_told_as_delivered(way: str) -> None:
    async with a_scene() as scene:
        await scene.send(way)
        await eventually(lambda: scene.book.attempts)
        reset(scene.client)
        await asyncio.sleep(0.05)
        scene.book.gate.set()
        await asyncio.sleep(0.05)
        assert not any(scene.book.overs.values())


async def test_what_is_kept_or_sealed_needs_no_line() -> None:
    async with a_scene() as scene:
        scene.client.send(post(b"{}", b"Content-Type: application/json", target=b"/each"))
        assert (await scene.client.rest()).startswith(b"HTTP/1.1 200 ")
        assert scene.book.attempts == []
        assert scene.book.overs == {}


async def test_each_message_of_a_socket_waits_for_its_line() -> None:
    world, book, app = a_world(), Book(), web.Application()
    app.router.add_get("/socket", sends_back)
    async with (
        serving(app, shutdown=0.1) as port,
        proxied(local(port), rule_table=RULES, keys=world.sessions, opens=book) as ours,
        aiohttp.ClientSession() as session,
        session.ws_connect(f"http://127.0.0.1:{ours.port}/socket") as client,
    ):
        token = (await sealed(world)).decode()
        for number in (1, 2):
            book.gate.clear()
            await client.send_str(json.dumps({"content": token}))
            await eventually(partial(lambda n: len(book.attempts) == n, number))
            with pytest.raises(TimeoutError):
                await client.receive(0.1)
            book.gate.set()
            assert CANARY.decode() in (await client.receive(5)).data
        book.fails = True
        await client.send_str(json.dumps({"content": token}))
        last = await client.receive(5)
        assert last.type is aiohttp.WSMsgType.CLOSE
    await eventually(lambda: book.overs)
    assert list(book.overs.values()) == [False]
