"""Blocks that are chosen by what stands in the body."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.compiled.block import CompiledBlock
from proxy.core.compiled.rule_table import RuleTable
from proxy.core.errors import ForbiddenValue, InvalidBody, InvalidExpression, UnsupportedBody
from proxy.core.expressions.name_readings import fold_value
from proxy.core.expressions.selectors import parse_json_selector
from proxy.core.expressions.sources import parse_source
from proxy.core.formats.body_format import Kind
from proxy.core.http.message import Headers
from proxy.core.http.path import canonical
from proxy.core.rules.conditions import Condition, Conditions, text_value
from proxy.core.rules.model import Block, Names
from proxy.core.transform import apply, plan_request
from tests.core.explained import explain_request
from tests.factories import (
    JSON_TYPE,
    NOW,
    Trip,
    a_block,
    a_message,
    a_response,
    a_rule,
    an_item,
    keys_for,
    send,
    sent,
)

CONST = Names(parse_source("const:clinic"), parse_source("const:c1"))
TOKENS = an_item("tokens", bind=["tenant", "conversation"])
TEXT: Headers = ((b"Content-Type", b"text/plain"),)
NDJSON: Headers = ((b"Content-Type", b"application/x-ndjson"),)


def when(selector: str, *values: bytes) -> tuple[Condition, ...]:
    return (Condition(parse_json_selector(selector), frozenset(values)),)


def only(block: Block, *values: str) -> Block:
    return replace(block, when=when("$.type", *map(text_value, values)))


SECRET = only(a_block(encrypt=["$.content"]), "secret")
OPEN = only(a_block(encrypt=["optional $.title"]), "open")
BOTH = a_rule(request=(SECRET, OPEN), names=CONST)


@pytest.mark.parametrize(
    ("body", "values", "met"),
    [
        (b'{"type":"a"}', [b'"a"'], True),
        (b'{"type":"\\u0061"}', [b'"a"'], True),
        (b'{"type":"a"}', [b'"b"', b'"a"'], True),
        (b'{"type":"a"}', [b'"b"'], False),
        (b'{"type":null}', [b"null"], False),
        (b'{"type":1}', [b"1"], True),
        (b'{"type":1.0}', [b"1"], True),
        (b'{"type":10e-1}', [b"1"], True),
        (b'{"type":0.1E+1}', [b"1"], True),
        (b'{"type":-0}', [b"0"], True),
        (b'{"type":1.5}', [b"1"], False),
        (b'{"type":1e999}', [b"1"], False),
        (b'{"type":9007199254740993}', [b"9007199254740993"], True),
        (b'{"type":true}', [b"true"], True),
        (b'{"type":"\xc3\xa9"}', [b'"\xc3\xa9"'], True),
        (b"{}", [b'"a"'], False),
    ],
)
def test_a_condition_is_met_by_one_of_its_values(
    body: bytes, values: list[bytes], *, met: bool
) -> None:
    assert Conditions(when("$.type", *values), variants_allowed=False).met(body) is met


@given(st.text("abcXY é"), st.text("abcXY é"))
def test_a_text_is_met_however_json_spells_it(text: str, other: str) -> None:
    conditions = Conditions(when("$.type", text_value(text)), variants_allowed=False)
    for ascii_only in (True, False):
        body = json.dumps({"type": text}, ensure_ascii=ascii_only)
        assert conditions.met(body.encode())
        if text == other or fold_value(text) != fold_value(other):
            assert conditions.met(json.dumps({"type": other}).encode()) is (text == other)


def test_all_conditions_must_be_met() -> None:
    both = Conditions((*when("$.a", b"1"), *when("$.b", b"2")), variants_allowed=False)

    assert both.met(b'{"a":1,"b":2}')
    assert not both.met(b'{"a":1,"b":1}')


@pytest.mark.parametrize("step", ["[*]", "[0]"])
@pytest.mark.parametrize(("inner", "item"), [("", b'"a"'), (".type", b'{"type":"a"}')])
def test_what_decides_in_a_list_is_in_no_value_that_may_stand_for_one(
    step: str, inner: str, item: bytes
) -> None:
    condition = Conditions(when(f"$.items{step}{inner}", b'"a"'), variants_allowed=False)

    with pytest.raises(ForbiddenValue):
        condition.met(b'{"items":%s}' % item)
    assert not condition.met(b'{"items":null}')
    assert condition.met(b'{"items":[%s]}' % item)


def test_what_decides_has_one_spelling() -> None:
    strict = Conditions(when("$.type", b'"a"'), variants_allowed=False)

    for body, error in [
        (b'{"type":"b","Type":"a"}', ForbiddenValue),
        (b'{"type":"b","type":"a"}', ForbiddenValue),
        (b'{"type":"b","ty_pe":"a"}', ForbiddenValue),
        (b'{"type":"b","__proto__":{"type":"a"}}', ForbiddenValue),
        (b"no", InvalidBody),
    ]:
        with pytest.raises(error):
            strict.met(body)
    assert not Conditions(when("$.type", b'"a"'), variants_allowed=True).met(b'{"Type":"a"}')


@pytest.mark.parametrize(
    ("wanted", "given"),
    [
        (b'"send"', '"Send"'),
        (b'"send"', '" send"'),
        (b'"send"', '"send\\u0000x"'),
        (b'"send"', '"\\uff53end"'),
        (b'"send"', '["send"]'),
        (b'"send"', '[ ["SEND"] ]'),
        (b"1", '"1"'),
        (b"1", "true"),
        (b"1", '"01"'),
        (b"1", '"1.0"'),
        (b"1", "[1]"),
        (b'"1"', "1"),
        (b'"1"', "1.0"),
        (b"true", '"true"'),
        (b"true", '"TRUE"'),
        (b"true", "1"),
        (b"false", "0"),
        (b"0", "-0.0e1"),
    ],
)
def test_a_value_that_some_take_for_the_one_that_decides_is_refused(
    wanted: bytes, given: str
) -> None:
    conditions = Conditions(when("$.type", wanted), variants_allowed=True)
    body = f'{{"type":{given}}}'.encode()
    if given == "-0.0e1":
        assert conditions.met(body)
        return
    with pytest.raises(ForbiddenValue, match="value-variant"):
        conditions.met(body)


@pytest.mark.parametrize(
    "given",
    [
        '[[[["send"]]]]',
        '["se\\u006ed","x"]',
        '"sent"',
        '["send","x"]',
        "[]",
        "{}",
        "null",
        '"sends"',
        "2",
        '"' + "x" * 5000 + '"',
    ],
)
def test_other_values_decide_otherwise(given: str) -> None:
    conditions = Conditions(when("$.type", b'"send"', b"1"), variants_allowed=False)
    assert not conditions.met(f'{{"type":{given}}}'.encode())


def test_one_that_is_met_decides_whatever_stands_beside_it() -> None:
    conditions = Conditions(when("$.types.*", b'"send"'), variants_allowed=False)
    assert conditions.met(b'{"types":["SEND","send"]}')


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("type=open", "name-differs"),
        ("type[]=secret", "name-differs"),
        ("Type=secret", "name-differs"),
        ("type=secret", None),
        ("page=1", None),
    ],
)
def test_what_decides_is_the_same_in_the_query(query: str, reason: str | None) -> None:
    body = '{"type":"secret","content":"CANARY","title":"seen"}'
    message = a_message(body, target=f"/api/messages?{query}")
    if reason is None:
        assert b"CANARY" not in sent(BOTH, message)
    else:
        with pytest.raises(ForbiddenValue, match=reason):
            sent(BOTH, message)


def test_what_decides_may_be_allowed_elsewhere() -> None:
    assert isinstance(BOTH.request, tuple)
    rule = replace(
        BOTH, request=tuple(replace(one, elsewhere_allowed=True) for one in BOTH.request)
    )
    body = '{"type":"secret","content":"CANARY","title":"seen"}'
    assert b"CANARY" not in sent(rule, a_message(body, target="/api/messages?type=open"))


def test_the_first_block_whose_conditions_are_met_is_taken() -> None:
    secret = sent(BOTH, a_message('{"type":"secret","content":"CANARY","title":"seen"}'))
    titled = sent(BOTH, a_message('{"type":"open","content":"seen","title":"CANARY"}'))

    assert b"CANARY" not in secret + titled
    assert b'"title":"seen"' in secret
    assert b'"content":"seen"' in titled


def test_a_request_that_meets_no_conditions_is_refused() -> None:
    with pytest.raises(UnsupportedBody, match="message-fits-no-block"):
        send(BOTH, a_message('{"type":"other","content":"CANARY"}'))


@pytest.mark.parametrize("action", ["encrypt", "decrypt"])
def test_a_response_that_meets_none_passes_only_where_nothing_is_sealed(action: str) -> None:
    block = only(a_block(**{action: ["$.content"]}), "secret")  # type: ignore[arg-type]  # a table
    trip = Trip((a_rule(response=block, names=CONST),), a_message())
    body = b'{"type":"other","content":"seen"}'

    if action == "encrypt":
        with pytest.raises(UnsupportedBody):
            trip.response(body)
        return
    applied = trip.response(body)
    assert applied is not None
    assert applied.forwardable.body == body
    assert not applied.forwardable.frame.changed


def test_a_response_takes_the_block_behind_one_that_does_not_fit() -> None:
    blocks = (only(a_block(encrypt=["$.title"]), "titled"), a_block(encrypt=["$.content"]))
    trip = Trip((a_rule(response=blocks, names=CONST),), a_message())

    for body in (b'{"type":"titled","title":"CANARY"}', b'{"type":"x","content":"CANARY"}'):
        applied = trip.response(body)
        assert applied is not None
        assert applied.counts == {"sealed": 1}
        assert b"CANARY" not in (applied.forwardable.body or b"")


def test_a_request_without_a_body_meets_no_condition() -> None:
    assert send(BOTH, a_message(b"")).forwardable.body == b""

    fallback = a_rule(request=(SECRET, a_block(encrypt=["optional $.content"])), names=CONST)
    assert send(fallback, a_message(b"")).forwardable.body == b""


def test_each_record_takes_a_block_of_its_own() -> None:
    titled = replace(OPEN, already_sealed="reject")
    rule = a_rule(request=(SECRET, titled), names=CONST)
    lines = '{"type":"secret","content":"CANARY"}\n{"type":"open","content":"x","title":"CANARY"}\n'

    applied = send(rule, a_message(lines, headers=NDJSON))

    assert applied.counts == {"sealed": 2}
    body = applied.forwardable.body
    assert body is not None
    assert b"CANARY" not in body
    assert json.loads(body.splitlines()[1])["content"] == "x"
    again = json.dumps({"type": "open", "title": json.loads(body.splitlines()[1])["title"]})
    with pytest.raises(ForbiddenValue, match="already-sealed"):
        send(rule, a_message('{"type":"secret","content":"x"}\n' + again, headers=NDJSON))
    with pytest.raises(UnsupportedBody):
        send(rule, a_message(lines + '{"type":"x"}', headers=NDJSON))


def test_records_of_a_response_that_meet_nothing_pass() -> None:
    block = replace(
        only(a_block(decrypt=[TOKENS]), "secret"), types=("application/x-ndjson",), format=None
    )
    sealed = sent(
        a_rule(request=a_block(encrypt=[an_item("$.content", bind=TOKENS.bind)]), names=CONST),
        a_message('{"content":"hello"}'),
    )
    token = json.loads(sealed)["content"].encode()
    trip = Trip((a_rule(response=block, names=CONST),), a_message())
    body = b'{"type":"secret","content":"%b"}\n{"type":"x","content":"%b"}\n' % (token, token)

    applied = trip.response(body, a_response(headers=NDJSON))

    assert applied is not None
    assert applied.forwardable.body is not None
    first, second = applied.forwardable.body.splitlines()
    assert json.loads(first)["content"] == "hello"
    assert json.loads(second)["content"].encode() == token


def test_a_format_reads_a_body_whatever_its_type_says() -> None:
    block = replace(a_block(encrypt=["$.content"]), format="json")
    body = sent(a_rule(request=block, names=CONST), a_message('{"content":"CANARY"}', headers=TEXT))

    assert b"CANARY" not in body
    records = replace(a_block(encrypt=["$.content"]), format="ndjson")
    body = sent(
        a_rule(request=records, names=CONST),
        a_message('{"content":"CANARY"}\n{"content":"CANARY"}', headers=TEXT),
    )
    assert b"CANARY" not in body
    pairs = replace(a_block(encrypt=[an_item("form:content", field="content")]), format="form")
    rule = a_rule(request=pairs, names=CONST)
    assert b"CANARY" not in sent(rule, a_message("content=CANARY", headers=JSON_TYPE))


def test_tokens_are_opened_in_any_text_where_the_format_is_text() -> None:
    item = an_item("$.content", bind=TOKENS.bind)
    sealed = sent(
        a_rule(request=a_block(encrypt=[item]), names=CONST), a_message('{"content":"a\\"b"}')
    )
    token = json.loads(sealed)["content"]
    block = replace(a_block(decrypt=[TOKENS]), format="text")
    trip = Trip((a_rule(response=block, names=CONST),), a_message())

    applied = trip.response(f"Re: {token}!", a_response(headers=TEXT))

    assert applied is not None
    assert applied.forwardable.body == b'Re: a"b!'


@pytest.mark.parametrize(
    ("kind", "selector"),
    [
        ("form", "$.a"),
        ("text", "$.a"),
        ("text", "form:a"),
        ("json", "form:a"),
        ("socketio", "form:a"),
        ("socketio", "body"),
        ("ndjson", "text"),
    ],
)
def test_a_format_has_the_selectors_of_its_kind(kind: Kind, selector: str) -> None:
    block = replace(a_block(encrypt=[an_item(selector, field="a")]), format=kind)
    with pytest.raises(InvalidExpression, match="no selector of the block"):
        CompiledBlock(block, Names(), "request")


def test_conditions_are_for_json() -> None:
    form = only(a_block(encrypt=[an_item("form:a", field="a")]), "x")
    for block in (form, replace(form, format="form")):
        with pytest.raises(InvalidExpression):
            CompiledBlock(block, Names(), "request")
    in_head = only(a_block(encrypt=[an_item("header:title", field="t")]), "x")
    with pytest.raises(InvalidExpression, match="only block"):
        RuleTable((a_rule(request=in_head, names=CONST),), pass_unmatched=True)
    text = replace(only(a_block(decrypt=[TOKENS]), "x"), format="text")
    with pytest.raises(InvalidExpression):
        CompiledBlock(text, Names(), "request")


def test_a_whole_body_may_have_conditions_as_well() -> None:
    block = only(a_block(encrypt=[an_item("body", field="body")]), "secret")
    rule = a_rule(request=block, names=CONST)

    assert b"CANARY" not in sent(rule, a_message('{"type":"secret","content":"CANARY"}'))
    with pytest.raises(UnsupportedBody):
        send(rule, a_message("CANARY", headers=TEXT))


def test_the_keys_of_each_block_are_asked_for() -> None:
    body = b'{"type":"secret","content":"x"}\n{"type":"open","title":"x"}'
    trip = Trip((BOTH,), a_message(body, headers=NDJSON))

    plan = plan_request(trip.exchange, body)

    assert sum(plan.needs.seals.values()) == 2
    assert apply(plan, keys_for(plan.needs), NOW).counts == {"sealed": 2}


def test_records_of_several_blocks_are_explained() -> None:
    body = b'{"type":"secret","content":"CANARY"}\n{"type":"open","title":"CANARY"}'
    message = a_message(body, headers=NDJSON)

    told, _ = explain_request(
        RuleTable((BOTH,), pass_unmatched=True), message.head, canonical("/api/messages"), body
    )

    assert [one.field for one in told.values] == ["content", "title"]
    assert b"CANARY" not in (told.outgoing or b"")


def test_events_that_are_no_json_meet_nothing_where_they_are_only_opened() -> None:
    stream: Headers = ((b"Content-Type", b"text/event-stream"),)
    block = replace(only(a_block(decrypt=[TOKENS]), "secret"), types=("text/event-stream",))
    trip = Trip((a_rule(response=block, names=CONST),), a_message())

    applied = trip.response(b"data: ping\n\n", a_response(headers=stream))

    assert applied is not None
    assert applied.forwardable.body == b"data: ping\n\n"


def test_a_block_behind_that_fits_no_type_is_not_taken() -> None:
    text = replace(a_block(encrypt=["$.title"]), types=("text/plain",))
    rule = a_rule(request=(SECRET, text, a_block(encrypt=["$.content"])), names=CONST)

    assert b"CANARY" not in sent(rule, a_message('{"type":"x","content":"CANARY","title":"y"}'))


def test_what_is_no_json_meets_nothing() -> None:
    with pytest.raises(InvalidBody):
        send(BOTH, a_message("no json"))
