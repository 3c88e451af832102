"""Messages and records of which nothing is sealed, since all that their block seals is optional."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.compiled.rule_table import RuleTable
from proxy.core.errors import ForbiddenValue, MessageError, NothingSealed, SealyardError
from proxy.core.expressions.selectors import parse_json_selector
from proxy.core.expressions.sources import parse_source
from proxy.core.formats.body_format import Kind
from proxy.core.http.message import Headers
from proxy.core.http.path import canonical
from proxy.core.planning.exchange import Messages
from proxy.core.policy import BODY_TOKEN_BYTES
from proxy.core.rules.conditions import Condition, text_value
from proxy.core.rules.model import Block, Names, Nothing, Rule
from proxy.core.transform import apply, plan_message
from tests.core.explained import explain_request
from tests.factories import (
    JSON_TYPE,
    NOW,
    Trip,
    a_block,
    a_message,
    a_rule,
    an_item,
    items,
    keys_for,
    reply,
    send,
)

FORM = ((b"Content-Type", b"application/x-www-form-urlencoded"),)
NDJSON = ((b"Content-Type", b"application/x-ndjson"),)
SEQ = ((b"Content-Type", b"application/json-seq"),)
SSE = ((b"Content-Type", b"text/event-stream"),)
PARTS = ((b"Content-Type", b"multipart/form-data; boundary=of-parts"),)
TEXT = ((b"Content-Type", b"text/plain"),)
NAMES = Names(tenant=parse_source("const:clinic"), conversation=parse_source("const:c1"))
CANARY = "canary-5d1e77"
ITEMS = ("optional $.content", "optional $.subject")


def block(
    nothing: Nothing = "refuse", *, encrypt: Iterable[str] = ITEMS, **changes: object
) -> Block:
    return replace(a_block(encrypt=items(*encrypt)), nothing=nothing, **changes)  # type: ignore[arg-type]  # names of fields


def rule(*blocks: Block, response: Block | None = None) -> Rule:
    if response is not None:
        return a_rule("POST /api/messages", response=response, names=NAMES)
    return a_rule("POST /api/messages", request=blocks, names=NAMES)


def passes(made: Rule, body: str, headers: Headers = JSON_TYPE) -> dict[str, int]:
    counts = send(made, a_message(body, headers=headers)).counts
    return {str(outcome): number for outcome, number in counts.items()}


def refused(made: Rule, body: str, headers: Headers = JSON_TYPE) -> NothingSealed:
    with pytest.raises(NothingSealed) as caught:
        send(made, a_message(body, headers=headers))
    assert (caught.value.status, caught.value.code) == (400, "nothing-sealed")
    assert CANARY not in caught.value.detail
    return caught.value


def part(name: str, filename: str = "") -> str:
    named = f'; filename="{filename}"\r\nContent-Type: image/png' if filename else ""
    return f'--of-parts\r\nContent-Disposition: form-data; name="{name}"{named}\r\n\r\n{CANARY}\r\n'


@pytest.mark.parametrize(
    "body",
    [
        f'{{"contnt":"{CANARY}"}}',
        f'{{"a":{{"content":"{CANARY}"}}}}',
        f'"{CANARY}"',
        "null",
        "{}",
        '{"content":null}',
        '{"content":null,"subject":null}',
        '{"a":"\\u0041"}',
    ],
)
def test_a_message_with_none_of_the_values_is_refused(body: str) -> None:
    error = refused(rule(block()), body)
    assert error.detail == "At least one of these is needed: content, subject."


@pytest.mark.parametrize("body", [f'[{{"content":"{CANARY}"}}]', "[]"])
def test_a_list_is_no_message_without_values(body: str) -> None:
    with pytest.raises(ForbiddenValue, match="parent-of-another-type"):
        send(rule(block()), a_message(body))


@pytest.mark.parametrize("body", ['{"content":"a"}', '{"subject":1,"a":2}', '{"content":""}'])
def test_one_of_them_is_enough(body: str) -> None:
    assert passes(rule(block()), body) == {"sealed": 1}


def test_what_has_no_body_passes() -> None:
    assert passes(rule(block()), "", ()) == {}


@pytest.mark.parametrize("body", ["{}", '{"a":1}', '{"content":null}'])
def test_where_it_passes_it_is_counted(body: str) -> None:
    assert passes(rule(block("pass")), body) == {"unsealed": 1}


def test_what_has_a_value_that_must_be_there_is_not_asked() -> None:
    """It is refused as ever where that is missing."""
    made = rule(block(encrypt=["$.content", "optional $.subject"]))
    assert passes(made, '{"content":"a"}') == {"sealed": 1}
    with pytest.raises(SealyardError) as caught:
        passes(made, '{"subject":"a"}')
    assert caught.value.code == "missing-value"


def test_what_seals_nothing_is_not_asked() -> None:
    made = rule(replace(a_block(decrypt=items("optional $.content")), nothing="refuse"))
    assert passes(made, "{}") == {}


@pytest.mark.parametrize(
    ("headers", "good", "bad", "record"),
    [
        (NDJSON, '{"content":"a"}', f'{{"contnt":"{CANARY}"}}', "%s\n"),
        (SEQ, '{"content":"a"}', f'{{"contnt":"{CANARY}"}}', "\x1e%s\n"),
        (SSE, '{"content":"a"}', f'{{"contnt":"{CANARY}"}}', "data: %s\n\n"),
    ],
)
def test_each_record_is_asked(headers: Headers, good: str, bad: str, record: str) -> None:
    def body(*records: str) -> str:
        return "".join(record % one for one in records)

    said: Kind | None = "sse" if headers == SSE else None
    assert passes(rule(block(format=said)), body(good, good), headers) == {"sealed": 2}
    refused(rule(block(format=said)), body(good, bad, good), headers)
    counts = passes(rule(block("pass", format=said)), body(good, bad, good, bad), headers)
    assert counts == {"sealed": 2, "unsealed": 2}


def test_each_packet_is_asked() -> None:
    seals = block(encrypt=["optional $[1].content"], format="socketio")
    good, bad = '42["send",{"content":"a"}]', f'42["send",{{"contnt":"{CANARY}"}}]'
    assert passes(rule(seals), f"2probe\x1e{good}", TEXT) == {"sealed": 1}
    refused(rule(seals), f"{good}\x1e{bad}", TEXT)
    lenient = replace(seals, nothing="pass")
    assert passes(rule(lenient), f"{good}\x1e{bad}", TEXT) == {"sealed": 1, "unsealed": 1}


def test_a_record_is_asked_by_its_own_block() -> None:
    when = Condition(parse_json_selector("$.a"), frozenset({text_value("x")}))
    sends = block(encrypt=["optional $.content"], when=(when,))
    others = block("pass", encrypt=["optional $.content"])
    made = rule(sends, others)
    assert passes(made, '{"a":"y"}\n{"a":"x","content":"b"}\n', NDJSON) == {
        "sealed": 1,
        "unsealed": 1,
    }
    refused(made, f'{{"a":"y"}}\n{{"a":"x","contnt":"{CANARY}"}}\n', NDJSON)


BATCH = (
    "optional $.requests.*.body.content",
    "optional $.requests.*.body.subject",
    "optional $.defaults.body.content",
)


@pytest.mark.parametrize(
    ("body", "passes_"),
    [
        ({"requests": [{"body": {"content": "a"}}, {"body": {"subject": "b"}}]}, True),
        ({"requests": [{"body": {"content": "a"}}, {"body": {"contnt": CANARY}}]}, False),
        ({"requests": [{"body": {"content": "a"}}, {"method": "GET"}]}, False),
        ({"requests": [{"body": {"content": "a"}}, CANARY]}, False),
        ({"requests": [{"body": {"content": "a"}}, None]}, True),
        (
            {"requests": [{"body": {"contnt": CANARY}}], "defaults": {"body": {"content": "a"}}},
            False,
        ),
        ({"requests": [], "defaults": {"body": {"content": "a"}}}, True),
        ({"requests": {"a": {"body": {"content": "a"}}, "b": {"body": {"x": CANARY}}}}, False),
        ({"requests": []}, False),
        ({"requests": CANARY}, False),
    ],
)
@pytest.mark.parametrize("padding", [0, 40_000])
def test_each_element_of_a_batch_is_asked(
    body: dict[str, object],
    passes_: bool,  # noqa: FBT001 - a parameter
    padding: int,
) -> None:
    made = rule(block(encrypt=BATCH))
    text = json.dumps(body | {"padding": "x" * padding})
    if passes_:
        assert "unsealed" not in passes(made, text)
    else:
        refused(made, text)
    assert passes(rule(block("pass", encrypt=BATCH)), text) is not None


def test_of_lists_in_lists_each_element_of_the_outer_one_is_asked() -> None:
    made = rule(block(encrypt=["optional $.entry.*.payload.*.text"]))
    entry = {"payload": [{"image": 1}, {"text": "a"}]}
    assert passes(made, json.dumps({"entry": [entry, entry]})) == {"sealed": 2}
    refused(made, json.dumps({"entry": [entry, {"payload": [{"image": 1}]}]}))


def test_a_list_above_any_depth_is_a_batch_all_the_same() -> None:
    made = rule(block(encrypt=["optional $.items.*..content"]))
    assert passes(made, '{"items":[{"a":{"content":"b"}},{"content":"c"}]}') == {"sealed": 2}
    refused(made, f'{{"items":[{{"content":"b"}},{{"a":{{"contnt":"{CANARY}"}}}}]}}')


def test_what_is_selected_at_any_depth_is_one_record() -> None:
    made = rule(block(encrypt=["optional $..content"]))
    assert passes(made, '{"a":[{"content":"b"},{"c":1}]}') == {"sealed": 1}
    refused(made, f'{{"a":[{{"contnt":"{CANARY}"}}]}}')


@pytest.mark.parametrize("nothing", ["refuse", "pass"])
@pytest.mark.parametrize(
    ("selector", "headers", "good", "bad"),
    [
        ("form:content", FORM, "content=a&b=c", f"contnt={CANARY}"),
        (
            "part:content",
            PARTS,
            part("content") + "--of-parts--\r\n",
            part("contnt") + "--of-parts--\r\n",
        ),
        (
            "filename:content",
            PARTS,
            part("content", "a.png") + "--of-parts--\r\n",
            part("content") + "--of-parts--\r\n",
        ),
        ("header:title", JSON_TYPE, "", f'"{CANARY}"'),
        ("query:title", JSON_TYPE, "", f'"{CANARY}"'),
    ],
)
def test_every_kind_of_selector_is_asked(
    nothing: Nothing, selector: str, headers: Headers, good: str, bad: str
) -> None:
    item = an_item(selector, optional=True, field="content", bind=["tenant"])
    made = rule(replace(a_block(encrypt=[item]), nothing=nothing))
    of_head = "title" in selector
    target = "/api/messages?title=a" if "query" in selector else "/api/messages"
    titled = (*headers, (b"Title", b"a")) if "header" in selector else headers
    message = a_message(good or bad, headers=titled, target=target)
    assert send(made, message).counts == {"sealed": 1}
    if nothing == "refuse":
        refused(made, bad, headers)
    else:
        assert passes(made, bad, headers) == {"unsealed": 1}
    if of_head:
        assert passes(made, "", ()) == {}


@pytest.mark.parametrize("selector", ["optional body", "optional text"])
def test_a_body_that_is_sealed_as_a_whole_is_always_there(selector: str) -> None:
    made = rule(block(encrypt=[selector]))
    assert passes(made, CANARY, TEXT) == {"sealed": 1}
    assert passes(made, "", ()) == {}


def test_a_body_that_becomes_a_stream_is_sealed() -> None:
    made = rule(block(encrypt=["optional body"]))
    assert passes(made, CANARY * BODY_TOKEN_BYTES, TEXT) == {"sealed": 1}


@pytest.mark.parametrize("lists", [False, True])
def test_of_a_response_it_is_the_fault_of_the_backend(lists: bool) -> None:  # noqa: FBT001 - a parameter
    selector = "optional $.*.content" if lists else "optional $.content"
    made = rule(response=block(encrypt=[selector]))
    body = f'[{{"contnt":"{CANARY}"}}]' if lists else f'{{"contnt":"{CANARY}"}}'
    with pytest.raises(NothingSealed) as caught:
        reply(made, body)
    assert caught.value.response_status == 502
    assert reply(rule(response=block("pass", encrypt=[selector])), body).counts == {"unsealed": 1}


def test_each_message_of_a_websocket_is_asked() -> None:
    made = a_rule("WS /socket", request=block(), names=NAMES)
    trip = Trip((made,), a_message("{}"))
    book = RuleTable((made,), pass_unmatched=True)
    exchange = type(trip.exchange)(
        book.decide("GET", canonical("/socket"), websocket=True), a_message().head
    )
    messages = Messages(exchange, "request")
    plan = plan_message(messages, b'{"content":"a"}')
    assert apply(plan, keys_for(plan.needs), NOW).counts == {"sealed": 1}
    with pytest.raises(NothingSealed):
        plan_message(messages, b'{"contnt":"a"}')


def test_explain_tells_it() -> None:
    for nothing, told in (("refuse", NothingSealed), ("pass", type(None))):
        book = RuleTable((rule(block(nothing)),), pass_unmatched=True)  # type: ignore[arg-type]  # one of the two
        message = a_message('{"a":1}')
        explained, _ = explain_request(book, message.head, canonical("/api/messages"), message.body)
        assert isinstance(explained.refusal, told)
        assert explained.values == ()


SHAPES = st.recursive(
    st.none() | st.just(CANARY) | st.integers(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["content", "Content", "a", "items"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(document=SHAPES)
def test_what_passes_has_sealed_something(document: object) -> None:
    made = rule(block(encrypt=["optional $.content", "optional $.items.*.content"]))
    try:
        counts = passes(made, json.dumps(document))
    except MessageError:
        return
    assert counts["sealed"] > 0
    assert isinstance(document, dict)
    elements = document.get("items")
    values = elements.values() if isinstance(elements, dict) else elements
    for one in values if isinstance(values, Iterable) and not isinstance(values, str) else ():
        assert one is None or one.get("content") is not None
