"""`only`: the objects that hold selected members have no others than those that are listed."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.compiled.rule_table import RuleTable
from proxy.core.errors import ForbiddenValue, MessageError
from proxy.core.expressions.selectors import parse_json_selector
from proxy.core.expressions.sources import parse_source
from proxy.core.http.message import Headers
from proxy.core.http.path import canonical
from proxy.core.rules.conditions import Condition, text_value
from proxy.core.rules.model import Block, Names, Rule
from tests.core.explained import explain_request
from tests.factories import JSON_TYPE, a_block, a_message, a_rule, items, reply, send

NDJSON = ((b"Content-Type", b"application/x-ndjson"),)
SSE = ((b"Content-Type", b"text/event-stream"),)
TEXT = ((b"Content-Type", b"text/plain"),)
NAMES = Names(tenant=parse_source("const:clinic"), conversation=parse_source("const:c1"))
CANARY = "canary-0b77de"


def rule(*encrypt: str, only: Iterable[str] = (), names: Names = NAMES, **changes: object) -> Rule:
    block: Block = replace(a_block(encrypt=items(*encrypt)), only=tuple(only), **changes)  # type: ignore[arg-type]  # names of fields
    return a_rule("POST /api/messages", request=block, names=names)


def passes(made: Rule, body: object, headers: Headers = JSON_TYPE) -> None:
    text = body if isinstance(body, str) else json.dumps(body)
    assert send(made, a_message(text, headers=headers)).forwardable.body is not None


def refused(made: Rule, body: object, headers: Headers = JSON_TYPE) -> None:
    text = body if isinstance(body, str) else json.dumps(body)
    with pytest.raises(ForbiddenValue) as caught:
        send(made, a_message(text, headers=headers))
    assert caught.value.reason in {"member-not-listed", "no-object", "pair-not-listed"}
    assert CANARY not in caught.value.detail


def test_no_other_member_stands_beside_the_selected_one() -> None:
    made = rule("$.content", only=["id"])
    passes(made, {"content": "a"})
    passes(made, {"content": "a", "id": {"anything": CANARY}})
    refused(made, {"content": "a", "contnt": CANARY})
    refused(made, {"content": "a", "id": 1, CANARY: 1})
    refused(rule("$.content"), {"content": "a", "id": 1})


@pytest.mark.parametrize("padding", [1, 40_000])
@pytest.mark.parametrize(
    "member",
    [
        '"ID":1',
        '"id ":1',
        '"i\\u0064\\u0000":1',
        '"":1',
        '"id\\n":1',
        '"ïd":1',
        '"\\u00efd":1',
        '"Id":1',
    ],
)
def test_a_listed_member_has_one_spelling(member: str, padding: int) -> None:
    made = rule("$.content", only=["id", "pad"])
    refused(made, f'{{"content":"a","pad":"{"x" * padding}",{member}}}')
    passes(made, f'{{"content":"a","pad":"{"x" * padding}","i\\u0064":1}}')


def test_names_beyond_ascii_are_names() -> None:
    made = rule("$.content", only=["größe"])
    passes(made, '{"content":"a","größe":1}')
    passes(made, '{"content":"a","gr\\u00f6\\u00dfe":1}')
    refused(made, '{"content":"a","gro\\u0308ße":1}')


@pytest.mark.parametrize(
    "body", [[{"content": "a"}], [CANARY], f'"{CANARY}"', 1, {"a": {"content": CANARY}}]
)
def test_what_is_not_such_an_object_is_refused(body: object) -> None:
    refused(rule("optional $.content", only=["id"]), body)


@pytest.mark.parametrize(
    ("headers", "record"), [(NDJSON, "%s\n"), (SSE, "data: %s\n\n"), (JSON_TYPE, None)]
)
def test_a_renamed_member_in_the_second_record_is_refused(
    headers: Headers, record: str | None
) -> None:
    good, bad = {"content": "a", "id": 1}, {"content": "a", "contnt": CANARY}
    if record is None:
        made = rule("$.items.*.content", only=["id"])
        passes(made, {"items": [good, good], "other": CANARY})
        refused(made, {"items": [good, bad]})
        refused(made, {"items": {"a": good, "b": bad}})
        refused(rule("optional $.items.*.content"), {"items": [good["content"], CANARY]})
        return
    made = rule("$.content", only=["id"], format="sse" if headers is SSE else None)
    passes(made, record % json.dumps(good) + record % json.dumps(good), headers)
    refused(made, record % json.dumps(good) + record % json.dumps(bad), headers)


def test_a_packet_of_socket_io_has_its_object() -> None:
    made = rule("$[1].content", only=["conversationId"], format="socketio")
    passes(made, '42["send",{"content":"a","conversationId":"c"}]', TEXT)
    refused(made, f'42["send",{{"content":"a","contnt":"{CANARY}"}}]', TEXT)


def test_objects_above_may_have_other_members() -> None:
    made = rule("$.data.content", "optional $.data.more.text", only=["id"])
    passes(made, {"permissions": {}, "data": {"content": "a", "id": 1}})
    passes(made, {"data": {"content": "a", "more": {"text": "b", "id": 1}}})
    refused(made, {"data": {"content": "a", "contnt": CANARY}})
    refused(made, {"data": {"content": "a", "more": {"text": "b", "txt": CANARY}}})
    refused(made, {"data": {"content": "a", "more": CANARY}})


def test_what_is_opened_or_read_may_stand_there() -> None:
    names = replace(NAMES, conversation=parse_source("$.conversationId"))
    when = (Condition(parse_json_selector("$.type"), frozenset({text_value("send")})),)
    made = rule("$.content", only=[], names=names, when=when)
    passes(made, {"type": "send", "conversationId": "c1", "content": "a"})
    refused(made, {"type": "send", "conversationId": "c1", "content": "a", "kind": CANARY})


def test_of_a_list_of_texts_the_object_above_is_meant() -> None:
    made = rule("$.tags.*", "optional $.parts[0]", only=["id"])
    passes(made, {"tags": ["a"], "id": 1, "parts": ["b"]})
    refused(made, {"tags": ["a"], "tgs": [CANARY]})


@pytest.mark.parametrize("path", ["data", "a.b"])
def test_plain_paths_are_not_searched_past_it(path: str) -> None:
    made = rule(f"$.{path}.content", only=["id"])
    body: dict[str, object] = {"content": "a", "contnt": CANARY}
    for name in reversed(path.split(".")):
        body = {name: body}
    refused(made, body)


def test_a_form_has_names_instead_of_objects() -> None:
    headers = ((b"Content-Type", b"application/x-www-form-urlencoded"),)
    passes(rule("form:content", only=["id"]), "content=a&id=c", headers)
    refused(rule("form:content", only=["id"]), "content=a&b=c", headers)


def test_values_of_the_head_stand_in_no_object() -> None:
    made = rule("$.content", "optional header:title", only=["id"])
    passes(made, {"content": "a", "id": 1}, (*JSON_TYPE, (b"Title", b"a")))
    refused(made, {"content": "a", "title": CANARY})


def test_an_answer_is_closed_as_well() -> None:
    block = replace(a_block(encrypt=items("$.content")), only=("id",))
    made = a_rule("POST /api/messages", response=block, names=NAMES)
    assert reply(made, '{"content":"a","id":1}').counts == {"sealed": 1}
    with pytest.raises(ForbiddenValue) as caught:
        reply(made, f'{{"content":"a","x":"{CANARY}"}}')
    assert caught.value.response_status == 502


def test_explain_tells_it() -> None:
    book = RuleTable((rule("$.content"),), pass_unmatched=True)
    message = a_message('{"content":"a","b":1}')
    told, _ = explain_request(book, message.head, canonical("/api/messages"), message.body)
    assert isinstance(told.refusal, ForbiddenValue)


NAMED = st.sampled_from(["content", "id", "x", "Content", "größe", "i\u0000d"])
OBJECTS = st.dictionaries(NAMED, st.integers() | st.text(max_size=3) | st.none(), max_size=4)


@given(elements=st.lists(OBJECTS | st.integers() | st.none(), max_size=4), ascii_only=st.booleans())
def test_what_passes_has_no_other_members(elements: list[object], ascii_only: bool) -> None:  # noqa: FBT001 - a parameter
    made = rule("optional $.items.*.content", only=["id", "größe"])
    text = json.dumps({"items": elements}, ensure_ascii=ascii_only)
    fits = all(
        one is None or (isinstance(one, dict) and one.keys() <= {"content", "id", "größe"})
        for one in elements
    )
    try:
        send(made, a_message(text))
    except MessageError:
        assert not fits
    else:
        assert fits
