"""Messages of WebSockets and records of streams: a way does what the plan does, or leaves them."""

from __future__ import annotations

import gc
import json
from dataclasses import fields, replace
from types import FunctionType, ModuleType
from typing import Final, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.compiled.block import CompiledBlock
from proxy.core.compiled.rule_table import RuleTable
from proxy.core.crypto.context import Context
from proxy.core.errors import KeyUnavailable, SealyardError
from proxy.core.expressions.selectors import parse_json_selector
from proxy.core.expressions.sources import parse_source
from proxy.core.formats.table import RECORDS
from proxy.core.http.message import DIRECTIONS, Direction, Headers, RequestHead, ResponseHead
from proxy.core.http.path import canonical
from proxy.core.planning.exchange import Exchange, Messages
from proxy.core.planning.plan import Plan
from proxy.core.planning.record_stream import Records
from proxy.core.rules.conditions import Condition, text_value
from proxy.core.rules.model import Batching, Block, Names, Rule, Verdict
from proxy.core.transform import apply, begin_stream, plan_message
from proxy.core.transform.planner import plan_records
from proxy.core.transform.prepared import MOST_RECORDS, MOST_VALUES
from proxy.core.values.key_needs import Keys, Needs
from tests.core.message_texts import bodies
from tests.core.transform.preparing import Changing, Preparing
from tests.core.transform.test_prepared import ALL, HERE, Warm, asked_for, proven, sent, target_of
from tests.factories import (
    NOW,
    SCOPE,
    Trip,
    a_block,
    a_message,
    a_response,
    a_rule,
    a_session,
    an_item,
    keys_for,
)

Kind = Literal["sse", "ndjson", "json-seq"]
TYPES: Final[dict[Kind, bytes]] = {
    "sse": b"text/event-stream",
    "ndjson": b"application/x-ndjson",
    "json-seq": b"application/json-seq",
}
CONST: Final = Names(parse_source("const:clinic"), parse_source("const:c1"))
TOKEN: Final = a_session(SCOPE).seal(b"hello", Context(SCOPE, "content")).decode()
SPLIT: Final = a_session(SCOPE).seal(b"[1,\n2]", Context(SCOPE, "content"), cty="json").decode()
WS: Final = a_rule("WS /api/{tenant}")
OPENS: Final = a_rule(response=a_block(decrypt=["$.content"]), names=CONST)
LISTED: Final = a_rule(response=a_block(encrypt=["$.list.*.v"]), names=CONST)
SEALS: Final = a_rule(
    request=a_block(encrypt=["$.content"]), response=a_block(encrypt=["$.content"]), names=CONST
)


# --- messages of WebSockets ---------------------------------------------------------------------


def socket(rule: Rule, direction: Direction) -> Messages:
    """Return the messages of a WebSocket in a direction, with the blocks of a rule of the tests.

    Their names are those of the rule, and are read from each message.
    """
    path, _, query = target_of(rule).partition("?")
    head = RequestHead("GET", path, query or None, ((b"X-Tenant", b"acme"),))
    blocks = rule.request if direction == "request" else rule.response
    taken = (
        tuple(replace(one, names=_own_names(rule.names, one.names)) for one in blocks)
        if isinstance(blocks, tuple)
        else blocks
    )
    asked = Verdict.PASS if direction == "response" else taken
    answered = Verdict.PASS if direction == "request" else taken
    made = replace(rule, patterns=WS.patterns, request=asked, response=answered)
    table = RuleTable((made,), pass_unmatched=True)
    return Messages(Exchange(table.decide("GET", canonical(path), websocket=True), head), direction)


def _own_names(inherited: Names, own: Names) -> Names:
    parts = (field.name for field in fields(Names))
    return Names(**{one: getattr(own, one) or getattr(inherited, one) for one in parts})


def planned(one: Messages, body: bytes, *, binary: bool) -> object:
    """Return all that comes of a message by its plan, or None where it is refused."""
    for block in one.compiled_blocks:
        if block.selection is not None:
            block.selection.finder = None  # type: ignore[attr-defined]  # a way finds what a walk finds
    try:
        plan = plan_message(one, body, binary=binary)
        with pytest.MonkeyPatch.context() as fixed:
            fixed.setattr("os.urandom", bytes)
            done = apply(plan, keys_for(plan.needs), NOW)
    except SealyardError:
        return None
    return (
        sent(done.forwardable),
        dict(done.counts),
        proven(done.proven),
        asked_for(plan.needs),
    )


def by_way(one: Messages, body: bytes, *, binary: bool) -> object:
    """Return all that comes of a message by a way, or None where it is left."""
    keys = Warm()
    way = Preparing(keys).messages(one, binary=binary)
    if way is None:
        return None
    with pytest.MonkeyPatch.context() as fixed:
        fixed.setattr("os.urandom", bytes)
        changed, again = way.change(body, NOW), way.change(body, NOW)
    if changed is None or again is None:
        assert changed is again
        return None
    assert (again.counts, again.frame) == (changed.counts, changed.frame)
    asked = asked_for(keys.needs[0]) if keys.needs else ({}, frozenset())
    used = proven(keys.remembered[0]) if keys.remembered else {}
    return sent(changed), dict(changed.counts), used, asked


@settings(max_examples=600)
@given(st.sampled_from(ALL), st.sampled_from(DIRECTIONS), bodies, st.booleans())
def test_a_way_of_messages_does_what_the_plan_does_or_nothing(
    rule: Rule,
    direction: Direction,
    body: bytes,
    binary: bool,  # noqa: FBT001 - one of two kinds
) -> None:
    one, other = socket(rule, direction), socket(rule, direction)
    if one.compiled_blocks:
        done = by_way(other, body, binary=binary)
        assert done in (None, planned(one, body, binary=binary))


@pytest.mark.parametrize("binary", [False, True])
def test_usual_messages_go_the_way(*, binary: bool) -> None:
    rule = a_rule(
        request=a_block(encrypt=["$.content"]), response=a_block(decrypt=["$.content"]), names=HERE
    )
    for direction, value in zip(DIRECTIONS, ("hello", TOKEN), strict=True):
        body = json.dumps({"conversationId": "c1", "content": value}).encode()
        done = by_way(socket(rule, direction), body, binary=binary)
        assert done is not None
        assert done == planned(socket(rule, direction), body, binary=binary)


def test_sentinels_pass_unread_and_go_no_way() -> None:
    block = replace(a_block(encrypt=["optional $.content"]), sentinels=('{"type":"ping"}',))
    one = socket(a_rule(request=block, names=CONST), "request")
    for body, goes in ((b' {"type":"ping"}\n', False), (b'{"content":"a"}', True)):
        assert (by_way(one, body, binary=False) is not None) == goes


@pytest.mark.parametrize(
    "block",
    [
        replace(a_block(encrypt=["$[1].content"]), format="socketio"),
        a_block(encrypt=[an_item("body")]),
    ],
)
def test_what_is_not_plain_json_is_not_prepared(block: Block) -> None:
    one = socket(a_rule(request=block, names=CONST), "request")
    assert Preparing(Warm()).messages(one, binary=False) is None


def test_packets_beside_plain_messages_and_directions_without_rules_have_no_way() -> None:
    packets = replace(a_block(encrypt=["$[1].content"]), format="socketio", types=("text/plain",))
    rule = replace(SEALS, request=(packets, a_block(encrypt=["$.content"])))
    assert Preparing(Warm()).messages(socket(rule, "request"), binary=True) is None
    assert Preparing(Warm()).messages(socket(OPENS, "request"), binary=False) is None


def test_messages_whose_names_are_missing_or_that_are_only_observed_have_no_way() -> None:
    names = Names(parse_source("const:clinic"), parse_source("query:room"))
    block = a_block(encrypt=["$.content"])
    for rule in (a_rule(request=block, names=names), replace(SEALS, observes=True)):
        one = socket(rule, "request")
        assert Preparing(Warm()).messages(one, binary=False) is None


# --- records of streams -------------------------------------------------------------------------


def head_of(kind: Kind, more: Headers = (), parameters: bytes = b"") -> ResponseHead:
    return a_response(headers=((b"Content-Type", TYPES[kind] + parameters), *more))


def begun(rule: Rule) -> tuple[Exchange, CompiledBlock]:
    trip = Trip((rule,), a_message(target=target_of(rule), headers=((b"X-Tenant", b"acme"),)))
    compiled_rule = trip.exchange.decision.compiled_rule
    assert compiled_rule is not None
    trip.exchange.facts = dict.fromkeys(trip.exchange.keeps, "c1")
    return trip.exchange, compiled_rule.response[0]


def records_by_way(rule: Rule, head: ResponseHead, kind: Kind, records: bytes) -> object:
    """Return what comes of records by a way, or None where they are left."""
    keys = Warm()
    way = Preparing(keys).records(*begun(rule), head, kind)
    if way is None:
        return None
    with pytest.MonkeyPatch.context() as fixed:
        fixed.setattr("os.urandom", bytes)
        changed = way.change(records, NOW)
    if changed is None:
        assert not keys.remembered
        return None
    used: dict[object, int] = {}
    for one in keys.remembered:
        for session, count in proven(one).items():
            used[session] = used.get(session, 0) + count
    sealing = sum(sum(one.seals.values()) for one in keys.needs)
    opening = frozenset().union(*(one.opens for one in keys.needs))
    return changed.body, dict(changed.counts), used, sealing, opening


def records_planned(rule: Rule, head: ResponseHead, records: bytes) -> object:
    """Return what comes of records by their plan, or None where they are refused."""
    exchange, compiled = begun(rule)
    compiled.selection.finder = None  # type: ignore[union-attr]  # a way finds what a walk finds
    try:
        plan = plan_records(exchange, compiled, head, records)
        with pytest.MonkeyPatch.context() as fixed:
            fixed.setattr("os.urandom", bytes)
            done = apply(plan, keys_for(plan.needs), NOW)
    except SealyardError:
        return None
    sealing = sum(plan.needs.seals.values())
    body = done.forwardable.body
    return body, dict(done.counts), proven(done.proven), sealing, plan.needs.opens


_EVENTS: Final = (
    b"data: %b\n\n",
    b"data:%b\n\n",
    b"data:  %b\n\n",
    b"event: delta\nid: 7\ndata: %b\nretry: 5\n: c\n\n",
    b": x\n\ndata: %b\n\n",
    b"data: %b\r\n\r\n",
    b"data: %b\ndata: 1\n\n",
    b"data: %b\nDATA: 1\n\n",
    b"\xef\xbb\xbfdata: %b\n\n",
    b"own: 1\ndata: %b\n\n",
    b"data: %b\n",
)
_LINES: Final = (b"%b\n", b" %b\t\n", b"%b\r\n", b"%b\n\n", b"%b", b"\n%b\n")
_FORMS: Final = {"sse": _EVENTS, "ndjson": _LINES, "json-seq": (b"\x1e%b\n",)}


@st.composite
def pieces(draw: st.DrawFn, kind: Kind) -> bytes:
    forms = st.sampled_from(_FORMS[kind])
    texts = st.one_of(
        bodies,
        st.sampled_from([b"[DONE]", b'{"content":"a"}', b'{"subject":"b","content":"c"}']),
        st.sampled_from([TOKEN, SPLIT]).map(lambda one: json.dumps({"content": one}).encode()),
    )
    usual = draw(st.booleans())
    made = st.tuples(st.just(_FORMS[kind][0]) if usual else forms, texts)
    return b"".join(form % text for form, text in draw(st.lists(made, max_size=3)))


@settings(max_examples=500)
@given(st.data(), st.sampled_from([OPENS, SEALS, *ALL]), st.sampled_from([*TYPES]))
def test_a_way_of_records_does_what_the_plan_does_or_nothing(
    data: st.DataObject, rule: Rule, kind: Kind
) -> None:
    if rule.response in (Verdict.PASS, ()):
        return
    records, head = data.draw(pieces(kind)), head_of(kind)
    done = records_by_way(rule, head, kind, records)
    assert done in (None, records_planned(rule, head, records))


@pytest.mark.parametrize("kind", ["sse", "ndjson"])
@given(st.data())
def test_what_matches_as_a_usual_record_is_one(kind: Kind, data: st.DataObject) -> None:
    usual, records = RECORDS[kind].usual, data.draw(pieces(kind))
    at, texts = 0, []
    while at < len(records) and (lying := usual(records, at)):
        start, end, at = lying
        texts.append((records[start:end], start))
    found = RECORDS[kind].records(records[:at], strict=True, awaited=0)

    read = [(one.text, one[0]) for one in found]

    assert read == [one for one in texts if kind == "sse" or one[0].strip(b" \t\r\n")]


@pytest.mark.parametrize(
    ("kind", "records"),
    [
        ("sse", b"event: a\nid: 1\ndata: %b\n\n" * 3),
        ("sse", b"data:%b\n\n"),
        ("ndjson", b"%b\n" * 2),
    ],
)
def test_usual_records_go_the_way(kind: Kind, records: bytes) -> None:
    for rule, value in ((OPENS, TOKEN), (SEALS, "hello")):
        body = records.replace(b"%b", json.dumps({"content": value}).encode())
        done = records_by_way(rule, head_of(kind), kind, body)
        assert done is not None
        assert done == records_planned(rule, head_of(kind), body)


@pytest.mark.parametrize(
    ("value", "sentinel"), [(SPLIT, None), ("plain", None), ({"type": "end"}, '{"content": 1}')]
)
def test_a_piece_goes_the_way_whole_or_not_at_all(value: object, sentinel: str | None) -> None:
    rule = OPENS
    texts = [json.dumps({"content": one}) for one in (TOKEN, value)]
    if sentinel is not None:
        block = replace(a_block(decrypt=["$.content"]), sentinels=(sentinel,))
        rule, texts[1] = replace(OPENS, response=(block,)), sentinel
    body = "".join(f"data: {one}\n\n" for one in texts).encode()
    assert records_by_way(rule, head_of("sse"), "sse", body) is None


@pytest.mark.parametrize(("more", "goes"), [(0, True), (1, False)])
def test_many_records_at_once_go_no_way(more: int, *, goes: bool) -> None:
    body = b'{"content":"a"}\n' * (MOST_RECORDS + more)
    assert (records_by_way(SEALS, head_of("ndjson"), "ndjson", body) is not None) == goes


@pytest.mark.parametrize(("more", "goes"), [(0, True), (1, False)])
def test_records_of_many_values_go_no_way(more: int, *, goes: bool) -> None:
    line = b'{"list":[%b]}\n'
    hundreds, rest = divmod(MOST_VALUES, 100)
    full = b"".join(line % b",".join([b'{"v":"a"}'] * one) for one in [100] * hundreds + [rest])
    body = full + line % b'{"v":"b"}' + (line % b'{"v":"c"}') * more
    assert (records_by_way(LISTED, head_of("ndjson"), "ndjson", body) is not None) == goes


def way_of(rule: Rule, head: ResponseHead, kind: Kind = "sse") -> Changing | None:
    return Preparing(Warm()).records(*begun(rule), head, kind)


def test_keys_that_cannot_be_had_leave_records_to_the_plan() -> None:
    class Blocked(Warm):
        def resolve_warm(self, needs: Needs) -> Keys | None:
            raise KeyUnavailable("audit-log-blocks")

    way = Preparing(Blocked()).records(*begun(SEALS), head_of("sse"), "sse")
    assert way is not None
    assert way.change(b'data: {"content":"a"}\n\n', NOW) is None


def test_nothing_stays_of_what_is_sealed_by_its_plan_later() -> None:
    """A socket or a stream may be open for days behind a message whose keys were not there."""

    class Cold(Warm):
        def resolve_warm(self, needs: Needs) -> Keys | None:
            return None

    for way, before, behind in (
        (Preparing(Cold()).messages(socket(SEALS, "request"), binary=False), b"", b""),
        (Preparing(Cold()).records(*begun(SEALS), head_of("sse"), "sse"), b"data: ", b"\n\n"),
    ):
        assert way is not None
        assert way.change(before + b'{"content":"canary-7316"}' + behind, NOW) is None
        assert not any(b"canary-7316" in one for one in texts_held_by(way.prepared))


def texts_held_by(root: object) -> list[bytes]:
    """Return each text of bytes that an object leads to, by values of it and of what it holds."""
    found: dict[int, object] = {id(root): root}
    left = [root]
    while left:
        for one in gc.get_referents(left.pop()):
            if id(one) not in found and not isinstance(one, type | ModuleType | FunctionType):
                found[id(one)] = one
                left.append(one)
    return [one for one in found.values() if isinstance(one, bytes)]


def test_streams_of_which_more_is_looked_at_have_no_way() -> None:
    usual = head_of("sse")
    block = a_block(decrypt=["$.content"])
    assert way_of(OPENS, usual) is not None
    assert way_of(OPENS, head_of("sse", parameters=b"; charset=latin1")) is None
    assert way_of(OPENS, a_response(headers=())) is None
    assert way_of(OPENS, usual.read_as(TYPES["sse"], as_page=True)) is None
    unescaped = replace(OPENS, response=(replace(block, escape="none"),))
    assert way_of(unescaped, usual.read_as(TYPES["sse"], as_page=True)) is not None
    assert way_of(OPENS, head_of("json-seq"), "json-seq") is None
    assert RECORDS["json-seq"].usual(b"\x1e1\n", 0) is None
    asked = (Condition(parse_json_selector("$.type"), frozenset({text_value("a")})),)
    for other in (
        replace(block, when=asked),
        replace(block, decrypt=(an_item("tokens", bind=["tenant", "conversation"]),)),
        replace(a_block(encrypt=["$.content"]), batch=Batching(None)),
    ):
        assert way_of(replace(OPENS, response=(other,)), usual) is None
    missing = Names(parse_source("const:clinic"), parse_source("header:x-room"))
    assert way_of(replace(OPENS, names=missing), usual) is None


def test_a_request_whose_names_are_kept_or_may_be_elsewhere_has_no_way() -> None:
    kinds = ((b"Content-Type", TYPES["ndjson"]),)
    block = a_block(encrypt=["$.content"])
    for names, response, goes in (
        (CONST, Verdict.PASS, True),
        (Names(parse_source("const:clinic"), parse_source("query:room")), Verdict.PASS, False),
        (HERE, (a_block(decrypt=["$.content"]),), False),
    ):
        rule = replace(a_rule(request=block, names=names), response=response)
        trip = Trip((rule,), a_message(target="/api/messages?room=c1", headers=kinds))
        compiled_rule = trip.exchange.decision.compiled_rule
        assert compiled_rule is not None
        found = Preparing(Warm()).records(
            trip.exchange, compiled_rule.request[0], trip.message.head, "ndjson"
        )
        assert (found is not None) == goes


def test_a_stream_takes_its_way_and_plans_what_that_leaves() -> None:
    exchange, compiled = begun(OPENS)
    head = head_of("sse")
    way = Preparing(Warm()).records(exchange, compiled, head, "sse")
    assert way is not None
    message = begin_stream(
        exchange, compiled, head, "sse", 1000, way=lambda records: way.change(records, NOW)
    )
    assert message.flow is not None
    event = b"data: %b\n\n" % json.dumps({"content": TOKEN}).encode()
    (opened,) = message.flow.feed(event)
    assert opened == event.replace(TOKEN.encode(), b"hello")
    (left,) = message.flow.feed(b"data: [DONE]\n\n")
    assert isinstance(left, Records)
    assert isinstance(left.plan(), Plan)


def test_nothing_but_what_was_changed_at_once_goes_on_without_a_plan() -> None:
    exchange, compiled = begun(OPENS)
    head = head_of("sse")
    for forged in (b"data: 1\n\n", begin_stream(exchange, compiled, head, "sse", 10)):
        message = begin_stream(
            exchange,
            compiled,
            head,
            "sse",
            1000,
            way=lambda _, made=forged: made,  # type: ignore[misc]  # what must not be
        )
        assert message.flow is not None
        with pytest.raises(TypeError, match="only what is prepared"):
            list(message.flow.feed(b"data: 1\n\n"))
