"""WebSockets under a rule that only observes: every byte passes, and what would be is told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import aiohttp
import pytest

from proxy.core.compiled.rule_table import Decision, RuleTable
from proxy.core.explain.dry_run import DryRunResult
from proxy.core.http.message import Direction, RequestHead, ResponseHead
from proxy.core.http.path import canonical
from proxy.core.planning.exchange import Exchange, Messages
from proxy.core.rules.model import Block, Names, Rule, Verdict
from proxy.core.values.key_needs import Keys
from proxy.traffic.exchange.dry_run import UNOBSERVED
from proxy.traffic.exchange.websocket_dry_run import TeeSocket, overhearing
from proxy.traffic.message_record import MessageRecord
from proxy.traffic.policy import TRIED_BYTES
from proxy.traffic.websocket.frames import TEXT, frame
from tests.factories import an_item
from tests.keys.builders import a_world
from tests.traffic.ours import HASTY, Ours, local, proxied
from tests.traffic.wire import eventually

from .test_websocket_relay import CANARY, RULES, Backend, backend, message

OBSERVING = tuple(replace(one, observes=True) for one in RULES)
CLOSED = Rule("closed", RULES[0].patterns, request=Verdict.REJECT, observes=True)


@asynccontextmanager
async def observed(
    *rules: Rule, compress: bool = True, passes: bool = True
) -> AsyncIterator[tuple[Ours, Backend, aiohttp.ClientSession]]:
    async with (
        backend(compress=compress) as origin,
        proxied(
            local(origin.port),
            rule_table=RuleTable(rules or OBSERVING, pass_unmatched=passes),
            keys=a_world().sessions,
            timeouts=HASTY,
        ) as ours,
        aiohttp.ClientSession() as session,
    ):
        yield ours, origin, session


def told(ours: Ours) -> list[dict[str, object]]:
    """Return what was told of each message, less what is told of all."""
    usual = {"request_id", "listener", "method", "rule"}
    return [
        {key: value for key, value in fields.items() if key not in usual}
        for name, fields in ours.ear.heard
        if name == "message.observed"
    ]


def sealed_up() -> dict[str, object]:
    return {"observed": "request", "would_be_sealed": 1}


@pytest.mark.parametrize("compress", [0, 15])
async def test_messages_pass_as_they_are_and_each_is_told(compress: int) -> None:
    sent = [message(cid=cid) for cid in ("c1", "c2")] * 3 + ['{"cid": "c1"}', "no json"]
    async with observed() as (ours, origin, session):
        url = f"http://127.0.0.1:{ours.port}/chat"
        async with session.ws_connect(url, compress=compress) as socket:
            assert bool(socket.compress) == bool(compress)
            for one in sent:
                await socket.send_str(one)
                assert (await socket.receive()).data == one
            await eventually(lambda: len(told(ours)) == 16)
            live = told(ours)
        await eventually(lambda: ours.ear.heard[-1][0] == "message.handled")

    assert origin.got == sent
    up = [one for one in live if one["observed"] == "request"]
    assert up == [
        *[sealed_up()] * 6,
        {"observed": "request", "would_be_unsealed": 1},
        {"observed": "request", "would_fail": "not-json"},
    ]
    down = [one.get("response_would_fail") for one in live if one["observed"] == "response"]
    assert down == [*["not-a-token"] * 6, None, "not-json"]
    assert ours.ear.heard[-1][1]["rule"] == "chat"
    assert CANARY not in repr(ours.ear.heard)


async def test_a_message_that_is_too_long_is_told_once_and_all_pass() -> None:
    long = message("x" * TRIED_BYTES)
    async with observed() as (ours, origin, session):
        async with session.ws_connect(f"http://127.0.0.1:{ours.port}/stored") as socket:
            for one in (message(), long, message()):
                await socket.send_str(one)
                assert (await socket.receive()).data == one
        await eventually(lambda: len(told(ours)) == 2)
    assert told(ours) == [sealed_up(), {"observed": "request", "would_fail": UNOBSERVED}]
    assert len(origin.got) == 3


@dataclass
class Slow:
    """What a socket takes of a steps, with keys that come when they may."""

    heard: list[tuple[str, dict[str, object]]] = field(default_factory=list)
    go: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def ladder(self) -> Slow:
        return self

    def tried_message(
        self, record: MessageRecord, direction: Direction, result: DryRunResult, operations: str
    ) -> None:
        record.observed_message(self, direction, result, operations)  # type: ignore[arg-type]  # stands in for one

    @property
    def keys(self) -> Slow:
        return self

    def report(self, event: str, **fields: object) -> None:
        self.heard.append((event, fields))

    def body_limit(self, _: Decision) -> int:
        return 16 * TRIED_BYTES

    def messages(self, exchange: Exchange, direction: Direction) -> Messages:
        return Messages(exchange, direction)

    def clock(self) -> float:
        return 0.0

    async def resolve(self, _: object) -> Keys:
        await self.go.wait()
        return Keys({}, {})


def hearing(steps: Slow) -> TeeSocket:
    decision = RuleTable(RULES, pass_unmatched=True).decide(
        "GET", canonical("/stored"), websocket=True
    )
    exchange = Exchange(decision, RequestHead("GET", "/stored", None, ()))
    return TeeSocket(
        steps,  # type: ignore[arg-type]  # stands in for one
        exchange,
        MessageRecord("r", "api"),
        ResponseHead(101, b"", ()),
    )


@pytest.mark.parametrize("times", [1, 2])
async def test_what_was_heard_is_told_although_the_client_has_gone(times: int) -> None:
    steps = Slow()
    socket = hearing(steps)

    async def converse() -> None:
        async with overhearing(socket):
            for _ in range(2):
                socket.ears[0](frame(TEXT, message().encode(), masked=True))
            await asyncio.Event().wait()

    async with asyncio.TaskGroup() as group:
        task = group.create_task(converse())
        for _ in range(times):
            await asyncio.sleep(0.01)
            task.cancel()
        await asyncio.sleep(0.01)
        assert task.done() is (times == 2)
        steps.go.set()

    observed = {"observed": "request"}
    told = [fields.items() for _, fields in steps.heard]
    if times == 1:
        assert [{**observed, "would_be_sealed": 1}.items() <= one for one in told] == [True] * 2
    else:
        assert [{**observed, "would_fail": UNOBSERVED}.items() <= one for one in told] == [True]


async def test_messages_that_come_faster_than_they_are_tried_do_not_pile_up() -> None:
    steps = Slow()
    socket = hearing(steps)
    async with asyncio.timeout(30), overhearing(socket, longer=0.1):
        for _ in range(12):
            await asyncio.sleep(0)
            socket.ears[0](frame(TEXT, message("x" * (TRIED_BYTES // 10)).encode(), masked=True))
            socket.ears[1](frame(TEXT, b"not heard", masked=False))
        assert [fields["would_fail"] for _, fields in steps.heard] == [UNOBSERVED]


async def test_what_would_be_refused_in_the_handshake_is_told() -> None:
    async with (
        observed() as (ours, _, session),
        session.ws_connect(f"http://127.0.0.1:{ours.port}/guarded?token=1") as socket,
    ):
        await socket.send_str("x")
        assert (await socket.receive()).data == "x"
        await eventually(lambda: len(told(ours)) == 2)
    assert told(ours)[0] == {"observed": "request", "would_fail": "unlisted-query"}


async def test_a_rule_that_would_shut_a_route_is_told_and_hears_no_message() -> None:
    async with (
        observed(CLOSED) as (ours, _, session),
        session.ws_connect(f"http://127.0.0.1:{ours.port}/chat") as socket,
    ):
        await socket.send_str("x")
        assert (await socket.receive()).data == "x"
    assert told(ours) == [{"observed": "request", "would_fail": "rule-rejects"}]


async def test_a_websocket_that_no_rule_covers_is_told_by_its_path() -> None:
    async with observed() as (ours, _, session):
        for path in ("/rooms/4711", "/chat"):
            async with session.ws_connect(f"http://127.0.0.1:{ours.port}{path}") as socket:
                await socket.send_str("x")
                await socket.receive()
    rows = [fields for name, fields in ours.ear.heard if name == "message.observed"]
    (uncovered,) = [one for one in rows if "shape" in one]
    assert (uncovered["method"], uncovered["shape"]) == ("WS", "/rooms/*")
    assert (uncovered["request_type"], uncovered["response_type"]) == ("websocket", "websocket")


async def test_where_no_rule_observes_nothing_is_told() -> None:
    async with (
        observed(*RULES) as (ours, _, session),
        session.ws_connect(f"http://127.0.0.1:{ours.port}/rooms/1") as socket,
    ):
        await socket.send_str("x")
        await socket.receive()
    assert told(ours) == []


async def test_a_breach_of_the_protocol_passes_and_is_told() -> None:
    async with observed() as (ours, _, session):
        async with session.ws_connect(f"http://127.0.0.1:{ours.port}/stored") as socket:
            connection = socket._response.connection
            assert connection is not None
            assert connection.transport is not None
            connection.transport.write(b"\x83\x80\x00\x00\x00\x00")
            await socket.receive()
        await eventually(lambda: bool(told(ours)))
    assert told(ours) == [{"observed": "request", "would_fail": "websocket-opcode"}]


async def test_operations_of_graphql_are_named() -> None:
    block = Block(encrypt=(an_item("$.fields.send.text", bind=("tenant",)),), format="graphql")
    names = Names(tenant=RULES[0].names.tenant)
    rule = replace(RULES[0], request=(block,), observes=True, names=names)
    payload = {"query": "mutation Ada($t:String!){note(text:$t){id}}", "variables": {"t": CANARY}}
    sent = json.dumps({"type": "subscribe", "id": "1", "payload": payload})
    async with (
        observed(rule) as (ours, _, session),
        session.ws_connect(f"http://127.0.0.1:{ours.port}/chat") as socket,
    ):
        await socket.send_str(sent)
        await socket.receive()
        await eventually(lambda: told(ours) != [])

    assert [one["operations"] for one in told(ours) if one["observed"] == "request"] == [
        "mutation note"
    ]
    assert CANARY not in str(ours.ear.heard)
