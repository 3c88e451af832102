"""The way of ordinary messages finds what the general way finds, or leaves the message to it."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from dataclasses import replace
from typing import Final, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.apply.apply import apply
from proxy.core.apply.forwardable import Frame
from proxy.core.compiled.block import CompiledBlock
from proxy.core.compiled.fast_json import Facts, Found
from proxy.core.crypto.context import Context
from proxy.core.edits.edits import OpenEdit, SealEdit
from proxy.core.errors import OpenFailed, SealyardError
from proxy.core.expressions.sources import JsonSource, parse_source
from proxy.core.planning.find import needs_of
from proxy.core.planning.plan import Plan
from proxy.core.planning.planner import plan_request, plan_response
from proxy.core.rules.model import Names, Rule
from tests.core.message_texts import LONG, bodies
from tests.factories import (
    JSON_TYPE,
    NOW,
    SCOPE,
    Message,
    Trip,
    a_block,
    a_message,
    a_response,
    a_rule,
    a_session,
    a_sid,
    an_item,
    keys_for,
)

HERE: Final = Names(parse_source("const:clinic"), parse_source("$.conversationId"))
OUTSIDE: Final = Names(
    parse_source("header:x-tenant"), parse_source("query:room"), parse_source("$.id")
)
DEEP: Final = Names(parse_source("path:tenant"), parse_source("$.meta.room"))
WITH_MESSAGE: Final = ("tenant", "conversation", "message", "field")

LISTS: Final = a_rule(
    request=a_block(encrypt=["$.meta[*].content", "optional $.meta[*].subject"]),
    response=a_block(decrypt=["$.meta[*].content", "$.subject"]),
    names=HERE,
)
RULES: Final[tuple[Rule, ...]] = (
    a_rule(
        request=a_block(encrypt=["$.content", "optional $.subject"]),
        response=a_block(decrypt=["$.content", "$.meta.content"]),
        names=HERE,
    ),
    a_rule(
        request=a_block(decrypt=["$.content", "optional $.meta.content"]),
        response=a_block(encrypt=["optional $.content"], decrypt=["$.subject"]),
        names=HERE,
    ),
    a_rule(
        request=a_block(encrypt=[an_item("$.content", bind=WITH_MESSAGE), "optional $.meta.room"]),
        response=a_block(encrypt=["$.content"], names=Names(conversation=parse_source("$.id"))),
        names=OUTSIDE,
    ),
    a_rule(
        "/api/{tenant}",
        request=a_block(encrypt=[an_item("$.content", bind=())], decrypt=["$.subject"]),
        names=DEEP,
    ),
    LISTS,
    a_rule(
        request=a_block(encrypt=["optional $.meta[*][*].content"]),
        response=a_block(decrypt=["$.meta[*].meta[*].content"]),
        names=HERE,
    ),
)

_WAYS: Final[tuple[tuple[Literal["seal", "keep", "reject"], bool, float | None], ...]] = (
    ("keep", False, None),
    ("reject", True, None),
    ("seal", False, NOW + 1),
)
SINGLE: Final[tuple[Rule, ...]] = tuple(
    a_rule(
        request=replace(a_block(encrypt=["optional $.content"]), already_sealed=sealed),
        response=replace(
            a_block(decrypt=["$.content"]), keep_unopened=keep, permissive_until=until
        ),
        names=HERE,
    )
    for sealed, keep, until in _WAYS
)


def outcome(trip: Trip, compiled: CompiledBlock | None, body: bytes) -> object:
    """Return all that is planned for a message, or why it is refused."""
    try:
        if compiled is None:
            plan = plan_request(trip.exchange, body)
        else:
            plan = plan_response(trip.exchange, compiled, a_response(), body)
    except SealyardError as error:
        return type(error), error.reason
    edits = [
        replace(one, token=one.token.reason)  # type: ignore[arg-type]  # compared by its reason
        if isinstance(one, OpenEdit) and isinstance(one.token, OpenFailed)
        else one
        for one in plan.edits
    ]
    return edits, replace(plan, compiled=None, edits=(), single=False), trip.exchange.facts


def both_ways(rule: Rule, asked: Message, answered: bytes) -> tuple[list[object], list[object]]:
    """Return what becomes of a request and of a response, ordinarily and in the general way."""
    found: list[list[object]] = []
    for general in (False, True):
        trip = Trip((rule,), asked)
        compiled_rule = trip.exchange.decision.compiled_rule
        assert compiled_rule is not None
        compiled_blocks = (*compiled_rule.request, *compiled_rule.response)
        assert all(one.ordinary is not None for one in compiled_blocks)
        if general:
            for one in compiled_blocks:
                one.ordinary = None
        each = [outcome(trip, None, asked.body)]
        each += [outcome(trip, one, answered) for one in compiled_rule.response]
        found.append(each)
    return found[0], found[1]


@settings(max_examples=500)
@given(st.sampled_from(RULES), bodies, bodies)
def test_both_ways_find_the_same(rule: Rule, asked: bytes, answered: bytes) -> None:
    target = "/api/acme?room=r1" if "{tenant}" in rule.patterns[0].text else "/api/messages?room=r1"
    headers = ((b"Content-Type", b"application/json"), (b"X-Tenant", b"acme"))
    message = a_message(asked, target=target, headers=headers)

    ordinarily, generally = both_ways(rule, message, answered)

    assert generally == ordinarily


def applied(plan: Plan) -> object:
    """Return all that comes of a plan under fixed IVs, or all that its refusal tells."""
    try:
        with pytest.MonkeyPatch.context() as fixed:
            fixed.setattr("os.urandom", bytes)
            done = apply(plan, keys_for(plan.needs), NOW)
    except OpenFailed as error:
        return type(error), error.reason, error.unopened
    except SealyardError as error:
        return type(error), error.reason
    sent = [getattr(done.forwardable, name) for name in ("body", "flow", *Frame.__slots__)]
    return sent, done.counts, [one.sid for one in done.proven], done.unopened


@settings(max_examples=200)
@given(st.sampled_from(SINGLE), bodies)
def test_a_single_edit_is_carried_out_as_any_others_are(rule: Rule, body: bytes) -> None:
    trip = Trip((rule,), a_message(body))
    compiled_rule = trip.exchange.decision.compiled_rule
    assert compiled_rule is not None
    plans = []
    with suppress(SealyardError):
        plans.append(plan_request(trip.exchange, body))
    with suppress(SealyardError):
        answer = a_response(headers=(*JSON_TYPE, (b"Cache-Control", b"max-age=1")))
        plans.append(plan_response(trip.exchange, compiled_rule.response[0], answer, body))
    for plan in plans:
        assert applied(plan) == applied(replace(plan, single=False))


def first_block(rule: Rule) -> CompiledBlock:
    """Return the block that reads the requests of a rule."""
    compiled_rule = Trip((rule,), a_message()).exchange.decision.compiled_rule
    assert compiled_rule is not None
    return compiled_rule.request[0]


def found_in(rule: Rule, body: str) -> Found | None:
    """Return what the ordinary way finds in a request."""
    ordinary = first_block(rule).ordinary
    assert ordinary is not None
    return ordinary.find(body.encode(), {}, lambda _: "acme")


@pytest.mark.parametrize(
    "body",
    [
        '{"conversationId":"c1","content":"hello"}',
        ' {"content" : "é\\n\\"", "conversationId":\t"c1", "subject": ["x", 1]}\n',
        '{"meta":{"x":null},"conversationId":"é","content":{"a":1.50},"subject":null}',
    ],
)
def test_usual_messages_are_ordinary(body: str) -> None:
    found = found_in(RULES[0], body)

    assert found is not None
    assert found[0]


def test_usual_lists_are_ordinary() -> None:
    rows = [{"content": "a", "subject": "b"}, {"content": "é"}, {"content": 1, "x": "y"}]
    body = json.dumps({"conversationId": "c1", "meta": rows}, ensure_ascii=False)

    found = found_in(LISTS, body)

    assert found is not None
    contents = [
        one for one in found[0] if isinstance(one, SealEdit) and one.item.field == "content"
    ]
    assert [b"a", "é".encode(), b"1"] == [one.plaintext for one in contents]


@pytest.mark.parametrize(
    "body",
    [
        '{"conversationId":"c1","content":"a"}x',
        '{"conversationId":"c1","content":"a"',
        '{"conversationId":"c1","content":"a","Content":"b"}',
        '{"conversationId":"c1","content":"a","content":"b"}',
        '{"conversationId":17,"content":"a"}',
        '{"conversationId":"c1","content":null}',
        '{"conversationId":null,"content":"a"}',
        '{"conversationId":"c1","content":"\\u0061"}',
        '["content"]',
        '{"conversationId":"c1","content":"' + "a" * 20_000 + '"}',
    ],
)
def test_what_is_not_certain_is_left_to_the_general_way(body: str) -> None:
    assert found_in(RULES[0], body) is None


@pytest.mark.parametrize(
    ("row", "rows"), [('{"content":1}', 30_001), ('{"content":1,"subject":1}', 15_001)]
)
def test_a_list_of_more_values_than_may_be_selected_is_left_to_the_general_way(
    row: str, rows: int
) -> None:
    body = '{"conversationId":"c1","meta":[' + ",".join([row] * rows) + "]}"

    assert found_in(LISTS, body) is None


@pytest.mark.parametrize(
    "rows",
    [
        [f'{{"x":["content"],"content":"{LONG}"}}'],
        [f'{{"Content":1,"content":"{LONG}"}}'],
        [f'{{"content":"{LONG}","x":{{"content":1}}}}'],
        [f'{{"x":["content"],"y":1,"content":"{LONG}"}}'],
        [f'{{"x":{{"content":1}},"content":"{LONG}"}}'],  # what follows the first holds a name
        [f'{{"content":"{LONG}\\\\","x":{"[" * 200}"{"]" * 200}"{"]" * 200}}}'],
        ['{"content":1}'] * 100 + ['{"content":' + "[" * 140 + "]" * 140 + "}"],
        ['{"content":' + "[" * 200 + "]" * 200 + "}"],
        ["[" * 200 + "]" * 200],
        ["[" * 100_000 + "]" * 100_000],
        ['{"content":1'],
    ],
)
def test_a_list_that_is_not_certain_is_left_to_the_general_way(rows: list[str]) -> None:
    assert found_in(LISTS, '{"conversationId":"c1","meta":[' + ",".join(rows) + "]}") is None


@pytest.mark.parametrize("other", ['"meta":[]', '"Meta":[]', '"x":{"meta":1}', '"x":"meta"'])
def test_another_list_of_its_name_is_left_to_the_general_way(other: str) -> None:
    body = f'{{"conversationId":"c1",{other},"meta":[{{"content":"{LONG}"}}]}}'

    assert found_in(LISTS, body) is None
    assert found_in(LISTS, body.replace(f"{other},", "")) is not None


@pytest.mark.parametrize("text", [f'{LONG}"', f"{LONG}\\", f'"content":{LONG}', f"{LONG}[{{é"])
def test_texts_that_are_not_cut_out_are_found_like_others(text: str) -> None:
    body = json.dumps({"conversationId": "c1", "meta": [{"content": text}, {"content": LONG}]})

    found = found_in(LISTS, body.replace("\\u00e9", "é"))

    assert found is not None
    assert [len(one.plaintext) for one in found[0] if isinstance(one, SealEdit)][1] == len(LONG)


@pytest.mark.parametrize(
    "decoys", ['"content",', '"content" ,', '{"content":1},', '{"content" : "a"},']
)
def test_a_list_full_of_decoys_is_left_to_the_general_way_at_once(decoys: str) -> None:
    rows = ",".join(['{"content":1}'] * 10_000)
    space = " " * 150_000
    body = f'{{"conversationId":"c1","x":[{decoys * 10_000}1],"y":{space}1,"meta":[{rows}]}}'
    began = time.process_time()
    assert found_in(LISTS, body) is None
    assert time.process_time() - began < 1


def test_a_member_that_is_spelled_otherwise_in_its_name_is_left_to_the_general_way() -> None:
    rule = a_rule(request=a_block(encrypt=["optional $.meta[*].content"]), names=HERE)
    named = json.dumps({"conversationId": "c1", "meta": [{"content": 1}]})

    assert found_in(rule, named) is not None
    assert found_in(rule, named.replace("content", "c\\u006fntent")) is None


@pytest.mark.parametrize("count", [1, 2, 64, 150])
def test_many_rows_with_few_brackets_each_are_ordinary(count: int) -> None:
    rows = [f'{{"tags":["a"],"about":{{}},"content":"{LONG}"}}'] * count

    found = found_in(LISTS, '{"conversationId":"c1","meta":[' + ",".join(rows) + "]}")

    assert found is not None
    assert len(found[0]) == count


def test_messages_of_one_conversation_share_their_contexts() -> None:
    ordinary = first_block(RULES[0]).ordinary
    assert ordinary is not None
    body = b'{"conversationId":"c1","content":"a"}'
    first, second = (ordinary.find(body, {}, lambda _: None) for _ in range(2))
    assert first is not None
    assert second is not None

    assert first[0][0].context is second[0][0].context


def test_a_list_may_lack_what_is_optional() -> None:
    rule = a_rule(request=a_block(encrypt=["optional $.meta[*].content"]), names=HERE)
    found = found_in(rule, '{"conversationId":"c1","meta":[{"content":null},{"content":"a"},{}]}')

    assert found is not None
    assert len(found[0]) == 1


def test_contexts_of_many_conversations_are_not_kept_without_end() -> None:
    ordinary = first_block(RULES[0]).ordinary
    assert ordinary is not None
    for number in range(3000):
        ordinary.find(b'{"conversationId":"%d","content":""}' % number, {}, lambda _: None)

    assert len(ordinary._bound) <= 1024


def opened_in(rows: list[bytes]) -> tuple[Found | None, Found | None]:
    """Return what the ordinary way finds in a list of tokens, and in it once more."""
    compiled_rule = Trip((LISTS,), a_message()).exchange.decision.compiled_rule
    assert compiled_rule is not None
    ordinary = compiled_rule.response[0].ordinary
    assert ordinary is not None
    listed = [{"content": one.decode()} for one in rows]
    body = json.dumps({"conversationId": "c1", "meta": listed, "subject": listed[0]["content"]})
    source = HERE.conversation
    assert isinstance(source, JsonSource)
    facts: Facts = {source: "c1"}
    first, second = (ordinary.find(body.encode(), facts, lambda _: None) for _ in range(2))
    return first, second


def test_tokens_of_one_session_ask_for_its_key_at_a_glance() -> None:
    token = a_session(SCOPE).seal(b"hello", Context(SCOPE, "content"))

    first, second = opened_in([token, token])

    assert first is not None
    assert second is not None
    assert first[1] is second[1]
    assert first[1] == needs_of(first[0])


def test_tokens_of_two_sessions_ask_for_both_keys() -> None:
    mine, theirs = (
        a_session(SCOPE, sid=a_sid(number)).seal(b"hello", Context(SCOPE, "content"))
        for number in (1, 2)
    )

    found, _ = opened_in([mine, theirs, mine])

    assert found is not None
    assert found[1] is None
    assert len(needs_of(found[0]).opens) == 2
