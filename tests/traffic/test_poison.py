"""Poison tokens by every way of opening: one alarm, and the answer of any failed open."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from proxy.core.compiled.rule_table import RuleTable
from proxy.core.expressions.routes import parse_pattern
from proxy.core.expressions.selectors import parse_selector
from proxy.core.expressions.sources import parse_source
from proxy.core.rules.model import Block, Item, Names, Rule
from proxy.keys.keyring import poison
from proxy.keys.keyring.poison import Looks
from proxy.keys.sessions.key_events import KeyEvents
from tests.factories import Ear
from tests.keys.builders import NOW, World, a_world
from tests.keys.sessions.test_key_events import Scene
from tests.servers import sends_back, serving

from .ours import local, proxied
from .wire import Origin, Peer, Response, eventually, get, post, running, talk

JSON = b"Content-Type: application/json"
NAMES = Names(tenant=parse_source("const:t"), conversation=parse_source("const:c"))
BOUND = frozenset({"tenant", "conversation"})
_OWN = re.compile(rb'"instance":"[0-9a-f]{12}-[0-9a-f]+"|\r\n(?:Content-Length|Date): [^\r]+')


def item(selector: str) -> Item:
    return Item(parse_selector(selector), "content", BOUND)  # type: ignore[arg-type]  # words


def a_rulebook(*, shuts: bool = False) -> RuleTable:
    blocks: dict[str, dict[str, Any]] = {
        "field": {"request": (Block(decrypt=(item("$.content"),)),)},
        "keep": {"response": (Block(decrypt=(item("$.content"),), keep_unopened=True),)},
        "answer": {"response": (Block(decrypt=(item("$.content"),)),)},
        "tokens": {"response": (Block(decrypt=(item("tokens"),), statuses=((200, 200),)),)},
        "body": {"request": (Block(decrypt=(item("body"),)),)},
        "socket": {"response": (Block(decrypt=(item("$.content"),)),)},
        "kept-socket": {"response": (Block(decrypt=(item("$.content"),), keep_unopened=True),)},
        "already": {"request": (Block(encrypt=(item("$.content"),), already_sealed="keep"),)},
    }
    methods = {"socket": "WS ", "kept-socket": "WS "}
    rules = [
        Rule(
            name,
            (parse_pattern(f"{methods.get(name, '')}/{name}"),),
            NAMES,
            **block,
            shuts_on_poison=shuts,
        )
        for name, block in blocks.items()
    ]
    return RuleTable(tuple(rules), pass_unmatched=True)


async def echo(peer: Peer, origin: Origin) -> None:
    while True:
        seen = await peer.request()
        origin.seen.append(seen)
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n")
        peer.send(b"Content-Length: %d\r\n\r\n" % len(seen.body) + seen.body)


def planted(world: World) -> bytes:
    looks = Looks("jwe", 20)
    return poison.make(world.keyring, NOW - 60, looks, random=os.urandom)[0].encode()


async def sent(way: str, token: bytes, *, world: World, rules: RuleTable) -> Response:
    origin = Origin(echo)
    if way == "body":
        data = post(token, b"Content-Type: application/jose", target=b"/body")
    else:
        body = json.dumps({"content": token.decode()}).encode()
        data = post(body, JSON, target=f"/{way}".encode())
    async with (
        running(origin),
        proxied(local(origin.port), rule_table=rules, keys=world.sessions) as ours,
    ):
        return await talk(ours.port, data)


def a_watched_world() -> tuple[World, Ear]:
    world, log = a_world(), Ear()
    world.sessions._key_events = KeyEvents(log, None, world.keyring.record_key, clock=world.time)
    return world, log


@pytest.mark.parametrize("way", ["field", "keep", "answer", "tokens", "body", "already"])
async def test_every_way_of_opening_raises_one_alarm_and_tells_the_client_nothing(
    way: str,
) -> None:
    world, log = a_watched_world()
    token = planted(world)
    plain = await sent(way, b"x" * len(token), world=world, rules=a_rulebook())
    assert not any(event == "poison.opened" for event, _ in log.heard)
    before = len(log.heard)
    answer = await sent(way, token, world=world, rules=a_rulebook())
    alarms = [fields for event, fields in log.heard[before:] if event == "poison.opened"]
    assert [(one["rule"], one["shut"]) for one in alarms] == [(way, False)]
    assert answer.status == {"field": 400, "body": 400, "answer": 502}.get(way, 200)
    if way in {"field", "answer", "body"}:
        assert plain.status == answer.status
        other = await sent(way, token[:-4] + b"AAAA", world=a_world(), rules=a_rulebook())
        assert _OWN.sub(b"", other.raw) == _OWN.sub(b"", answer.raw)
    elif way != "already":
        assert token in answer.body


@pytest.mark.parametrize("way", ["socket", "kept-socket"])
async def test_a_message_of_a_socket_raises_one_alarm_before_the_socket_ends(way: str) -> None:
    world, log = a_watched_world()
    app, sent = web.Application(), json.dumps({"content": planted(world).decode()})
    app.router.add_get(f"/{way}", sends_back)
    async with (
        serving(app, shutdown=0.1) as port,
        proxied(local(port), rule_table=a_rulebook(), keys=world.sessions) as ours,
        aiohttp.ClientSession() as session,
        session.ws_connect(f"http://127.0.0.1:{ours.port}/{way}", autoclose=False) as socket,
    ):
        await socket.send_str(sent)
        told = await socket.receive(5)
        assert told.data == (1008 if way == "socket" else sent)
        await eventually(lambda: any(event == "poison.opened" for event, _ in log.heard))
    alarms = [fields for event, fields in log.heard if event == "poison.opened"]
    assert [(one["rule"], one["direction"]) for one in alarms] == [(way, "response")]


async def test_a_rule_that_shuts_refuses_all_messages_until_it_is_opened_again() -> None:
    world, log = a_watched_world()
    rules, token = a_rulebook(shuts=True), planted(world)
    assert (await sent("field", token, world=world, rules=rules)).status == 400
    assert log.heard[0][1]["shut"]
    harmless = await sent("field", b"x", world=world, rules=rules)
    assert (harmless.status, harmless.values(b"sealyard-error")) == (403, [b"rejected-by-rule"])
    assert (await sent("keep", b"x", world=world, rules=rules)).status == 200
    world.sessions.shut.clear()
    assert (await sent("field", b"x", world=world, rules=rules)).status == 400


async def test_while_nothing_can_be_written_down_nothing_is_opened(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    origin = Origin(echo)
    world = a_world()
    sealed = json.dumps({"content": planted(world).decode()}).encode()
    scene.sessions.block(blocked := True)
    async with (
        running(origin),
        proxied(local(origin.port), rule_table=a_rulebook(), keys=scene.sessions) as ours,
    ):
        for way in (b"/field", b"/answer", b"/keep"):
            answer = await talk(ours.port, post(sealed, JSON, target=way))
            assert (answer.status, answer.values(b"sealyard-error")) == (503, [b"key-unavailable"])
            assert ours.ear.last["reason"] == "audit-unavailable"
        assert (await talk(ours.port, get(b"/other"))).status == 200
        scene.sessions.block(not blocked)
        assert (await talk(ours.port, post(sealed, JSON, target=b"/field"))).status == 400
    await scene.lines()
