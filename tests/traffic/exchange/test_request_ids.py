"""Which ids of a client name its messages, in lines and in refusals, on every lane."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.compiled.rule_table import RuleTable
from proxy.core.expressions.selectors import parse_selector
from proxy.core.expressions.sources import parse_source
from proxy.core.rules.model import Block, Item, Names
from proxy.traffic.exchange.request_ids import RequestIds
from proxy.traffic.message_record import MessageRecord
from tests.factories import a_rule
from tests.keys.builders import a_world
from tests.lanes.both_ways import nothing_is_prepared
from tests.lanes.test_same_bytes import a_rulebook
from tests.traffic.ours import PASSING, Ours, local, proxied
from tests.traffic.wire import Origin, Peer, Response, connected, eventually, running
from tools.raw_requests import raw_request

CANARY = b"canary-4711"
JSON = b"Content-Type: application/json"
TRACE = b"4bf92f3577b34da6a3ce929d0e0e4736"
OWN = re.compile(r"[0-9a-f]{12}-[0-9a-f]+")
FIT = [
    b"1",
    b"7c1a6e0e-5f0e-4d0a-9a3b-0c7e0f3b9d11",
    b"01HZX3M7Y8Q9",
    b"ingress:abc_1.2+3/4=",
    b"x" * 64,
]
UNFIT = [
    b"x" * 65,
    b"a b",
    b"a,b",
    b'"a"',
    b"<script>",
    b"anna@example.org",
    b"a%0d%0aSet-Cookie",
    b"a\tb",
    b"\xc3\xa9",
    b"sy1.AAAA",
    b"eyJ0eXAiOiJzeTEi",
    b"${jndi:ldap}",
]
UNFIT_TRACES = [
    b"00-" + b"0" * 32 + b"-00f067aa0ba902b7-01",
    b"00-" + TRACE + b"-" + b"0" * 16 + b"-01",
    b"ff-" + TRACE + b"-00f067aa0ba902b7-01",
    b"00-" + TRACE.upper() + b"-00f067aa0ba902b7-01",
    b"00-" + TRACE[1:] + b"-00f067aa0ba902b7-01",
    b"00-" + TRACE + b"-00f067aa0ba902b7",
    CANARY,
]


async def _echo(peer: Peer, origin: Origin) -> None:
    while True:
        seen = await peer.request()
        origin.seen.append(seen)
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n")
        peer.send(b"Content-Length: %d\r\n\r\n" % len(seen.body) + seen.body)


def _request(*lines: bytes, body: bytes = b'{"content": "%b"}' % CANARY) -> bytes:
    head = [b"POST /c/1 HTTP/1.1", b"Host: h", JSON, b"Content-Length: %d" % len(body), *lines]
    return b"\r\n".join([*head, b"", body])


async def _told(
    messages: list[bytes], monkeypatch: pytest.MonkeyPatch, *, rules: RuleTable, at_once: bool
) -> tuple[list[dict[str, Any]], list[bytes], Origin]:
    """Return the lines of messages, their answers, and what the origin got."""
    async with running(Origin(_echo)) as origin:
        async with proxied(local(origin.port), rule_table=rules, keys=a_world().sessions) as ours:
            if at_once:
                answers = await _sent(ours, messages)
            else:
                with nothing_is_prepared(monkeypatch):
                    answers = await _sent(ours, messages)
            await eventually(lambda: len(ours.ear.heard) == len(messages))
        return [fields for _, fields in ours.ear.heard], answers, origin


async def _sent(ours: Ours, messages: list[bytes]) -> list[bytes]:
    answers = []
    async with connected(ours.port) as client:
        for message in messages:
            client.send(message)
            answers.append((await client.response()).raw)
    return answers


@pytest.mark.parametrize("at_once", [True, False], ids=["at once", "planned"])
@pytest.mark.parametrize("rules", [a_rulebook(), PASSING], ids=["sealed", "passing"])
async def test_a_message_is_named_by_its_client_however_it_is_changed(
    at_once: bool,  # noqa: FBT001 - a parameter of the test
    rules: RuleTable,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ids = [*FIT, *(b"turn-%d" % turn for turn in range(6))]  # the head comes again: it is known
    messages = [_request(b"X-Request-Id: " + one) for one in ids]
    lines, answers, origin = await _told(messages, monkeypatch, rules=rules, at_once=at_once)

    assert [line["request_id"] for line in lines] == [one.decode() for one in ids]
    assert [seen.values(b"x-request-id") for seen in origin.seen] == [[one] for one in ids]
    assert all(b"x-request-id" not in answer.lower() for answer in answers)
    assert CANARY.decode() not in str(lines)


@pytest.mark.parametrize("at_once", [True, False], ids=["at once", "planned"])
async def test_what_is_not_fit_is_forwarded_and_told_nowhere(
    at_once: bool,  # noqa: FBT001 - a parameter of the test
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sent = [*UNFIT, CANARY + b"!", b"good"]
    messages = [_request(b"X-Request-Id: " + one) for one in sent]
    lines, _, origin = await _told(messages, monkeypatch, rules=PASSING, at_once=at_once)

    named = [line["request_id"] for line in lines]
    assert named[-1] == "good"
    assert all(OWN.fullmatch(str(one)) for one in named[:-1])
    assert len(set(named)) == len(named)
    assert [seen.values(b"x-request-id") for seen in origin.seen] == [[one] for one in sent]


@pytest.mark.parametrize("at_once", [True, False], ids=["at once", "planned"])
async def test_a_line_has_the_trace_that_its_message_belongs_to(
    at_once: bool,  # noqa: FBT001 - a parameter of the test
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    traces = [b"%032x" % number for number in range(1, 6)]
    parents = [b"00-%b-00f067aa0ba902b7-01" % one for one in traces] + UNFIT_TRACES
    messages = [_request(b"traceparent: " + one) for one in parents]
    lines, _, origin = await _told(messages, monkeypatch, rules=a_rulebook(), at_once=at_once)

    wanted = [one.decode() for one in traces] + [None] * len(UNFIT_TRACES)
    assert [line.get("trace_id") for line in lines] == wanted
    assert [seen.values(b"traceparent") for seen in origin.seen] == [[one] for one in parents]


async def test_of_two_ids_none_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    twice = _request(b"X-Request-Id: a", b"x-request-id: b")
    (line,), _, _ = await _told([twice], monkeypatch, rules=PASSING, at_once=True)

    assert OWN.fullmatch(line["request_id"])


@pytest.mark.parametrize("at_once", [True, False], ids=["at once", "planned"])
async def test_a_refusal_has_the_ids_of_its_request(
    at_once: bool,  # noqa: FBT001 - a parameter of the test
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bad = b'{"content": "%b", "content": 1}' % CANARY
    parent = b"traceparent: 00-%b-00f067aa0ba902b7-00" % TRACE
    named = _request(b"X-Request-Id: gateway-7", parent, body=bad)
    unfit = _request(b"X-Request-Id: <b>%b</b>" % CANARY, body=bad)
    lines, answers, _ = await _told(
        [named, unfit], monkeypatch, rules=a_rulebook(), at_once=at_once
    )

    problems = [json.loads(answer.partition(b"\r\n\r\n")[2]) for answer in answers]
    assert (problems[0]["instance"], problems[0]["trace_id"]) == ("gateway-7", TRACE.decode())
    assert b"\r\nX-Request-Id: gateway-7\r\n" in answers[0]
    assert problems[1]["instance"] == lines[1]["request_id"]
    assert OWN.fullmatch(problems[1]["instance"])
    assert "trace_id" not in problems[1]
    assert b"x-request-id" not in answers[1].lower()
    assert CANARY not in b"".join(answers) + str(lines).encode()


def _binding(source: str) -> RuleTable:
    names = Names(tenant=parse_source("const:t"), conversation=parse_source(source))
    content = Item(parse_selector("$.content"), "content", frozenset({"tenant", "conversation"}))
    return RuleTable(
        (a_rule("POST /c/{id}", request=Block(encrypt=(content,)), names=names),),
        pass_unmatched=True,
    )


def _changing(**blocks: tuple[Any, ...]) -> RuleTable:
    names = Names(tenant=parse_source("const:t"), conversation=parse_source("const:c"))
    block = Block(**blocks)  # type: ignore[arg-type]  # which one is a parameter
    return RuleTable((a_rule("POST /c/{id}", request=block, names=names),), pass_unmatched=True)


def _of_header(name: str) -> Item:
    bind = frozenset({"tenant", "conversation"})
    return Item(parse_selector(f"header:{name}"), "content", bind)  # type: ignore[arg-type]  # words


@pytest.mark.parametrize(
    ("rules", "taken"),
    [
        (_binding("header:x-request-id"), False),
        (_binding("header:x_request_id"), False),
        (_binding("header:x-other"), True),
        (_changing(encrypt=(_of_header("x-request-id"),)), False),
    ],
)
@pytest.mark.parametrize("at_once", [True, False], ids=["at once", "planned"])
async def test_an_id_that_a_rule_reads_as_a_value_is_not_told(
    rules: RuleTable,
    taken: bool,  # noqa: FBT001 - a parameter of the test
    at_once: bool,  # noqa: FBT001 - see above
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    message = _request(b"X-Request-Id: " + CANARY, b"X-Other: c1")
    lines, answers, _ = await _told([message] * 4, monkeypatch, rules=rules, at_once=at_once)

    told = str(lines).encode() + b"".join(
        answer for answer in answers if not answer.startswith(b"HTTP/1.1 200")
    )
    assert (CANARY in told) is taken


@given(st.binary(max_size=80))
def test_an_id_is_short_and_safe_in_a_line_a_header_and_a_terminal(value: bytes) -> None:
    record = MessageRecord("own-1", "api")
    headers = ((b"X-Request-Id", value), (b"traceparent", value))
    RequestIds(RuleTable((), pass_unmatched=True)).take(
        record, raw_request("GET", "/", (1, 1), headers)
    )

    shown = record.request_id
    assert re.fullmatch(r"[A-Za-z0-9_.:+/=-]{1,64}", shown)
    assert json.dumps(shown) == f'"{shown}"'
    assert shown == "own-1" or shown.encode() == value
    assert record.key == "own-1"
    assert record.trace_id == ""


async def _added(
    sent: list[bytes], monkeypatch: pytest.MonkeyPatch, *, named: bool, at_once: bool
) -> tuple[list[dict[str, Any]], list[list[bytes]], list[list[bytes]]]:
    """Return the lines, and the ids in requests and responses, of a listener that adds them."""

    async def echo(peer: Peer, origin: Origin) -> None:
        while True:
            seen = await peer.request()
            origin.seen.append(seen)
            line = b"x-request-id: theirs\r\n" if named else b""
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n" + line)
            peer.send(b"Content-Length: %d\r\n\r\n" % len(seen.body) + seen.body)

    async with running(Origin(echo)) as origin:
        async with proxied(
            local(origin.port),
            rule_table=a_rulebook(),
            keys=a_world().sessions,
            add_request_id=True,
        ) as ours:
            if at_once:
                answers = await _sent(ours, sent)
            else:
                with nothing_is_prepared(monkeypatch):
                    answers = await _sent(ours, sent)
            await eventually(lambda: len(ours.ear.heard) == len(sent))
        lines = [fields for _, fields in ours.ear.heard]
    assert all(CANARY in Response(answer).body for answer in answers)
    upward = [seen.values(b"x-request-id") for seen in origin.seen]
    return lines, upward, [Response(answer).values(b"x-request-id") for answer in answers]


@pytest.mark.parametrize("at_once", [True, False], ids=["at once", "planned"])
@pytest.mark.parametrize("named", [True, False], ids=["named", "nameless"])
async def test_a_listener_adds_ids_to_what_has_none_and_to_nothing_else(
    named: bool,  # noqa: FBT001 - a parameter of the test
    at_once: bool,  # noqa: FBT001 - see above
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    long = b'{"content": "%b", "x": "%b"}' % (CANARY, b"y" * 300_000)
    sent = [_request() for _ in range(6)]
    sent += [_request(b"X-Request-Id: mine-%d" % turn) for turn in range(4)]
    sent += [_request(b"X-Request-Id: no good"), _request(body=long), _request()]
    lines, upward, downward = await _added(sent, monkeypatch, named=named, at_once=at_once)

    told = [[str(line["request_id"]).encode()] for line in lines]
    assert len({one[0] for one in told}) == len(sent)
    assert upward == [*told[:10], [b"no good"], *told[11:]]
    assert downward == ([[b"theirs"]] * len(sent) if named else told)


async def test_a_refusal_has_the_id_that_was_added() -> None:
    async with (
        running(Origin(_echo)) as origin,
        proxied(local(origin.port), rule_table=a_rulebook(), add_request_id=True) as ours,
    ):
        (answer,) = await _sent(ours, [_request(body=b"[")])
        await eventually(lambda: ours.ear.heard)

    shown = Response(answer)
    assert shown.values(b"x-request-id") == [str(ours.ear.last["request_id"]).encode()]
    assert shown.values(b"x-request-id") == [json.loads(shown.body)["instance"].encode()]
