"""A rule that only observes tells where participants have no keys, and makes none."""

from __future__ import annotations

from dataclasses import replace

import aiohttp
import pytest

from proxy.config.settings import PinSettings
from proxy.core.compiled.rule_table import RuleTable
from proxy.core.expressions.routes import parse_pattern
from proxy.core.expressions.sources import parse_source
from proxy.core.rules.model import Block, Names, Rule
from proxy.keys.stores import StoreFailed
from tests.keys.builders import HookedStore, Time
from tests.keys.end_to_end.builders import Process, a_fleet
from tests.traffic.ours import local, proxied
from tests.traffic.wire import Origin, connected, eventually, running

from .test_ladder import CONTENT, _lines, ask, reply, would_refuse
from .test_websocket_relay import backend, message

NAMES = Names(
    tenant=parse_source("const:clinic"),
    conversation=parse_source("const:c1"),
    sender=parse_source("const:alice"),
    recipients=parse_source("const:bob"),
)
SEALS = (Block(encrypt=(replace(CONTENT, parties=frozenset({"sender", "recipients"})),)),)
RULE = Rule("r", (parse_pattern("POST /a"),), NAMES, request=SEALS, observes=True)
SOCKET = replace(RULE, patterns=(parse_pattern("WS /chat"),))


async def foretold(one: Process) -> list[tuple[str | None, str, str]]:
    """Return what is foretold of a message, which passes."""
    origin = Origin(reply=reply(b"{}"))
    async with (
        running(origin),
        proxied(
            local(origin.port), rule_table=RuleTable((RULE,), pass_unmatched=True), keys=one.keys
        ) as ours,
        connected(ours.port) as client,
    ):
        client.send(ask(b'{"content": "hi"}'))
        assert (await client.response()).status == 200
        await eventually(lambda: _lines(ours) != [])
        assert one.reports.causes() == []
        assert one.keys.cached == (0, 0)
        return would_refuse(ours)


async def test_a_message_would_be_sealed_for_those_who_have_keys() -> None:
    (one,) = await a_fleet()

    assert await foretold(one) == []


@pytest.mark.parametrize(
    ("who", "key", "reason"),
    [
        ("bob", "bob-enc", "recipient-has-no-key"),
        ("alice", "alice-sig", "sender-has-no-key"),
    ],
)
async def test_a_message_would_be_refused_without_them(who: str, key: str, reason: str) -> None:
    (one,) = await a_fleet()
    await one.revoke(who, key)

    assert await foretold(one) == [("r", "request", reason)]


async def test_a_message_would_be_refused_for_keys_that_are_not_accepted() -> None:
    (one,) = await a_fleet()
    one.keys.replace_pins(PinSettings("enforce", {"bob": frozenset({"A" * 43})}))

    assert await foretold(one) == [("r", "request", "recipient-key-not-accepted")]


class Outage(HookedStore):
    """A store that is down where a test says so."""

    down = False

    async def before(self, operation: str) -> None:
        if self.down:
            raise StoreFailed("store-failed")


async def test_an_outage_of_the_store_says_nothing_of_the_participants() -> None:
    store = Outage(Time())
    (one,) = await a_fleet(store=store)
    store.down = True

    assert await foretold(one) == []


async def test_a_message_of_a_websocket_would_be_refused_as_well() -> None:
    (one,) = await a_fleet()
    await one.revoke("bob", "bob-enc")
    async with (
        backend() as origin,
        proxied(
            local(origin.port), rule_table=RuleTable((SOCKET,), pass_unmatched=True), keys=one.keys
        ) as ours,
        aiohttp.ClientSession() as session,
        session.ws_connect(f"http://127.0.0.1:{ours.port}/chat") as socket,
    ):
        await socket.send_str(message())
        await socket.receive()
        await eventually(lambda: would_refuse(ours) != [])

        assert would_refuse(ours) == [("r", "request", "recipient-has-no-key")]
