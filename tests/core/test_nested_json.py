"""JSON within texts: sealed and opened there, strict there, and not a byte beside it changes."""

from __future__ import annotations

import json
from dataclasses import replace
from urllib.parse import parse_qsl, quote_plus

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.core.compiled.block import CompiledBlock
from proxy.core.errors import (
    BodyTooLarge,
    ForbiddenValue,
    InvalidBody,
    InvalidExpression,
    MissingValue,
    OpenFailed,
    UnsupportedBody,
)
from proxy.core.expressions.selectors import NamedSelector, parse_selector
from proxy.core.expressions.sources import parse_source
from proxy.core.formats.json import Selection, nested
from proxy.core.formats.json.lexer import Findings, FoundValue
from proxy.core.http.message import ResponseHead
from proxy.core.policy import SELECTED_NESTING
from proxy.core.rules.conditions import Condition
from proxy.core.rules.model import Names, Rule, Verdict
from tests.factories import (
    a_block,
    a_message,
    a_response,
    a_rule,
    an_item,
    replied,
    sent,
)

CANARY = "CANARY-penicillin"
FORM = ((b"Content-Type", b"application/x-www-form-urlencoded"),)
PARTS = ((b"Content-Type", b"multipart/form-data; boundary=of-parts"),)
LINES = ((b"Content-Type", b"application/x-ndjson"),)
EVENTS = ((b"Content-Type", b"text/event-stream"),)


def names_of(conversation: str) -> Names:
    return Names(tenant=parse_source("const:t"), conversation=parse_source(conversation))


C1 = names_of("const:c1")
BESIDE = '{"z":"\\u0041\\/ \\ud83d\\ude00", "n":1e2 ,"note":'
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


def rule_of(*selectors: str, names: Names = C1, optional: bool = False) -> Rule:
    found = [an_item(one, field="note", optional=optional) for one in selectors]
    own = Names() if names is C1 else names
    opening = a_block(decrypt=found, names=own)
    return a_rule(request=a_block(encrypt=found), response=opening, names=names)


def opened(rule: Rule, body: bytes | str, head: ResponseHead | None = None) -> bytes:
    return replied(replace(rule, request=Verdict.PASS), body, head)


def wrapped(text: str, depth: int, *, plain: bool) -> str:
    for _ in range(depth):
        text = f'{{ "a":"\\u00e9", "p" :{json.dumps(text, ensure_ascii=plain)}}}'
    return text


def unwrapped(body: bytes, depth: int) -> str:
    found = body.decode()
    for _ in range(depth):
        found = json.loads(found)["p"]
    return found


def path(depth: int) -> str:
    return "$.p" + " json:$.p" * (depth - 1) + " json:$.note"


@pytest.mark.no_cover
@given(value=texts, depth=st.integers(1, SELECTED_NESTING), plain=st.booleans())
def test_a_value_comes_back_from_any_depth_and_nothing_beside_it_changes(
    value: str, depth: int, *, plain: bool
) -> None:
    inner = f'{BESIDE}{json.dumps(value, ensure_ascii=False)}, "t":"\\n\\"" }}'
    body = wrapped(inner, depth, plain=plain).encode()
    rule = rule_of(path(depth))
    sealed = sent(rule, a_message(body))
    token = json.loads(unwrapped(sealed, depth))["note"]
    assert token.startswith("eyJ0eXAiOiJzeTEi")
    before = f'{BESIDE}"{token}", "t":"\\n\\"" }}'
    assert before in {unwrapped(sealed, depth), inner}
    begin, end = sealed.split(token.encode())
    assert body.startswith(begin)
    assert body.endswith(end)
    assert json.loads(unwrapped(opened(rule, sealed), depth)) == json.loads(inner)
    if not plain or value.isascii():
        assert opened(rule, sealed) == body


@given(value=st.text(max_size=30).filter(lambda one: one.isprintable()), plain=st.booleans())
@example(value="😀/é\\", plain=True)
def test_each_place_of_a_text_leads_to_its_spelling(value: str, *, plain: bool) -> None:
    literal = json.dumps(value, ensure_ascii=plain).replace("/", "\\/").encode()
    one = nested.in_string(b" " + literal, FoundValue((), 1, 1 + len(literal)))
    assert one.text == value.encode()
    at = 0
    for character in value:
        start, end = one.layer.places[at], one.layer.places[at + len(character.encode())]
        spelled = (b" " + literal)[start:end]
        assert json.loads(b'"' + spelled + b'"') == character
        at += len(character.encode())


@pytest.mark.parametrize("value", ["12.50", "[1, 2]", '{"a":null}', "true"])
def test_a_value_that_is_no_string_comes_back_as_it_was(value: str) -> None:
    body = wrapped(f'{{"note":{value} }}', 2, plain=True).encode()
    rule = rule_of(path(2))
    sealed = sent(rule, a_message(body))
    assert json.loads(unwrapped(sealed, 2))["note"].startswith("eyJ0eXAi")
    assert opened(rule, sealed) == body


def test_elements_of_lists_in_texts_are_sealed_each() -> None:
    body = json.dumps({"jobs": [{"d": json.dumps({"m": [{"note": CANARY}, {"note": "b"}]})}] * 2})
    rule = rule_of("$.jobs.*.d json:$.m.*.note")
    sealed = sent(rule, a_message(body))
    assert CANARY.encode() not in sealed
    assert sealed.count(b"eyJ0eXAi") == 4
    assert opened(rule, sealed) == body.encode()


def test_a_body_that_is_a_string_of_json_is_read_as_that() -> None:
    body = json.dumps(json.dumps({"note": CANARY}))
    rule = rule_of("$ json:$.note")
    sealed = sent(rule, a_message(body))
    assert CANARY.encode() not in sealed
    assert opened(rule, sealed) == body.encode()


def test_names_in_a_text_bind_what_is_beside_them() -> None:
    names = Names(
        tenant=parse_source("const:t"), conversation=parse_source("$.jobs.*.d json:$.room")
    )
    rule = rule_of("$.jobs.*.d json:$.note", names=names)
    jobs = [{"d": json.dumps({"room": one, "note": CANARY})} for one in ("r1", "r2")]
    sealed = sent(rule, a_message(json.dumps({"jobs": jobs})))
    assert opened(rule, sealed) == json.dumps({"jobs": jobs}).encode()
    swapped = sealed.replace(b"r1", b"r3")
    with pytest.raises(OpenFailed):
        opened(rule, swapped)


def test_a_name_in_a_text_binds_what_is_outside_it_and_one_outside_what_is_in_it() -> None:
    body = json.dumps({"room": "r1", "note": CANARY, "p": json.dumps({"room": "r2", "note": "n"})})
    inwards = Names(tenant=parse_source("const:t"), conversation=parse_source("$.p json:$.room"))
    outwards = Names(tenant=parse_source("const:t"), conversation=parse_source("$.room"))
    for names, selector, name in ((inwards, "$.note", b"r2"), (outwards, "$.p json:$.note", b"r1")):
        rule = rule_of(selector, names=names)
        sealed = sent(rule, a_message(body))
        assert opened(rule, sealed) == body.encode()
        with pytest.raises(OpenFailed):
            opened(rule, sealed.replace(name, b"r9"))


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"p": '{"note":"a"'}, InvalidBody),
        ({"p": "{'note':'a'}"}, InvalidBody),
        ({"p": '{"note":"a"} x'}, InvalidBody),
        ({"p": '{"note":"a","note":"b"}'}, InvalidBody),
        ({"p": '\ufeff{"note":"a"}'}, InvalidBody),
        ({"p": {"note": "a"}}, InvalidBody),
        ({"p": ['{"note":"a"}']}, InvalidBody),
        ({"p": ""}, InvalidBody),
        ({"p": '{"Note":"a","note":"b"}'}, ForbiddenValue),
        ({"p": '{"__proto__":{"note":"a"},"note":"b"}'}, ForbiddenValue),
        ({"P": '{"note":"a"}', "p": '{"note":"b"}'}, ForbiddenValue),
        ({"p": None}, MissingValue),
        ({}, MissingValue),
        ({"p": "{}"}, MissingValue),
    ],
)
def test_what_has_no_one_reading_is_refused(body: object, error: type[Exception]) -> None:
    with pytest.raises(error):
        sent(rule_of("$.p json:$.note"), a_message(json.dumps(body)))


@pytest.mark.parametrize("text", [{"note": CANARY}, "not json", '{"Note":"x","note":"y"}', '"'])
def test_an_optional_value_does_not_let_an_odd_text_pass(text: object) -> None:
    with pytest.raises((InvalidBody, ForbiddenValue)):
        sent(rule_of("$.p json:$.note", optional=True), a_message(json.dumps({"p": text})))


def test_one_stored_text_is_not_the_end_of_all_others() -> None:
    rule = rule_of("$.*.p json:$.note")
    body = json.dumps([{"p": json.dumps({"note": CANARY})}]).encode()
    sealed = sent(rule, a_message(body))
    stored = b'[{"p":"broken"}, {"p":7},' + sealed[1:]
    assert opened(rule, stored) == b'[{"p":"broken"}, {"p":7},' + body[1:]


def test_a_text_with_twins_stays_sealed_in_a_response() -> None:
    rule = rule_of("$.*.p json:$.note")
    sealed = json.loads(sent(rule, a_message(json.dumps([{"p": '{"note":"one"}'}]))))
    inner = sealed[0]["p"]
    stored = [{"p": f'{{"Note":1,{inner[1:]}'}, {"p": inner}]
    found = json.loads(opened(rule, json.dumps(stored)))
    assert found == [stored[0], {"p": '{"note":"one"}'}]


def test_conditions_may_be_in_texts() -> None:
    when = (Condition(parse_selector("$.p json:$.kind"), frozenset({b'"chat"'})),)  # type: ignore[arg-type]
    block = replace(a_block(encrypt=[an_item("$.p json:$.note")]), when=when)
    rule = a_rule(request=(block,), names=C1)
    sealed = sent(rule, a_message(json.dumps({"p": json.dumps({"kind": "chat", "note": CANARY})})))
    assert CANARY.encode() not in sealed
    for other in ('{"kind":"chat","note":"x"', {"kind": "chat"}):
        with pytest.raises(ForbiddenValue):
            sent(rule, a_message(json.dumps({"p": other})))


@pytest.mark.parametrize("headers", [LINES, EVENTS])
def test_texts_in_records_are_read_as_well(headers: tuple[tuple[bytes, bytes], ...]) -> None:
    line = json.dumps({"p": json.dumps({"note": CANARY})})
    body = f"{line}\n{line}\n" if headers is LINES else f"data: {line}\n\ndata: {line}\n\n"
    item = an_item("$.p json:$.note")
    kind = "sse" if headers is EVENTS else None
    block = replace(a_block(encrypt=[item]), format=kind) if kind else a_block(encrypt=[item])
    rule = a_rule(request=block, response=a_block(decrypt=[item]), names=C1)
    sealed = sent(rule, a_message(body, headers=headers))
    assert CANARY.encode() not in sealed
    assert sealed.count(b"eyJ0eXAi") == 2
    assert opened(rule, sealed, a_response(headers=headers)) == body.encode()


def test_a_text_of_a_form_is_read() -> None:
    inner = '{"room":"r1", "note":"CANARY-penicillin", "e":"\\u00e9"}'
    body = f"id=1&payload={quote_plus(inner)}&x=%7e"
    names = Names(tenant=parse_source("const:t"), conversation=parse_source("form:payload $.room"))
    rule = rule_of("form:payload $.note", names=names)
    sealed = sent(rule, a_message(body, headers=FORM))
    read = dict(parse_qsl(sealed.decode()))
    token = json.loads(read["payload"])["note"]
    assert token.startswith("eyJ0eXAi")
    assert read["payload"] == inner.replace(CANARY, token)
    assert sealed.startswith(b"id=1&payload=%7B%22room%22%3A")
    assert sealed.endswith(b"&x=%7e")
    assert opened(rule, sealed, a_response(headers=FORM)) == body.encode()


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("payload=%7B", InvalidBody),
        ("payload", MissingValue),
        ("x=1", MissingValue),
        ("payload=%7B%22note%22:1%7D&payload=%7B%22note%22:1%7D", InvalidBody),
        ("Payload=1&payload=%7B%22note%22:1%7D", ForbiddenValue),
        ("payload[]=1&payload=%7B%22note%22:1%7D", ForbiddenValue),
        ("payload=%7B%22note%22:1,%22NOTE%22:2%7D", ForbiddenValue),
    ],
)
def test_a_form_without_one_reading_is_refused(body: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        sent(rule_of("form:payload $.note"), a_message(body, headers=FORM))


def parts(*found: tuple[str, str]) -> str:
    lines = [f'--of-parts\r\nContent-Disposition: form-data; name="{a}"{b}\r\n' for a, b in found]
    return "".join(lines) + "--of-parts--\r\n"


def operations(text: str, head: str = "") -> tuple[str, str]:
    return "operations", f"{head}\r\n\r\n{text}"


QUERY = '{"query":"mutation","variables":{"room":"r1","text":"CANARY-penicillin","file":null}}'
FILE = ("0", '; filename="a.txt"\r\nContent-Type: text/plain\r\n\r\nCANARY-file')
UPLOAD = Names(
    tenant=parse_source("const:t"), conversation=parse_source("part:operations $.variables.room")
)


def test_a_graphql_upload_is_sealed_with_its_file_and_bound_to_its_operation() -> None:
    items = [an_item("part:operations $.variables.text"), an_item("part:0", field="file")]
    rule = a_rule(
        request=a_block(encrypt=items), response=a_block(decrypt=items, names=UPLOAD), names=UPLOAD
    )
    body = parts(operations(QUERY), ("map", '\r\n\r\n{"0":["variables.file"]}'), FILE)
    sealed = sent(rule, a_message(body, headers=PARTS))
    assert b"CANARY" not in sealed
    assert b'{"query":"mutation","variables":{"room":"r1","text":"eyJ0eXAi' in sealed
    assert opened(rule, sealed, a_response(headers=PARTS)) == body.encode()
    with pytest.raises(OpenFailed):
        opened(rule, sealed.replace(b"r1", b"r2"), a_response(headers=PARTS))


def test_a_part_that_tells_its_length_does_not_once_it_has_another() -> None:
    head = f"\r\nContent-Type: application/json\r\nContent-Length: {len(QUERY)}"
    rule = rule_of("part:operations $.variables.text")
    sealed = sent(rule, a_message(parts(operations(QUERY, head)), headers=PARTS))
    assert b"Content-Length" not in sealed
    assert b"Content-Type: application/json\r\n\r\n{" in sealed


@pytest.mark.parametrize(
    ("found", "error"),
    [
        ([operations("{")], InvalidBody),
        ([operations(QUERY), operations(QUERY)], InvalidBody),
        (
            [operations(QUERY, "\r\nContent-Type: application/json; charset=utf-16")],
            UnsupportedBody,
        ),
        ([operations(QUERY, "\r\nContent-Digest: sha-256=:aa:")], UnsupportedBody),
        ([operations(QUERY.replace("text", "Text"))], ForbiddenValue),
        ([("Operations", "\r\n\r\n{}"), operations(QUERY)], ForbiddenValue),
        ([("other", "\r\n\r\n{}")], MissingValue),
        ([operations("{}")], MissingValue),
    ],
)
def test_a_part_without_one_reading_is_refused(
    found: list[tuple[str, str]], error: type[Exception]
) -> None:
    rule = rule_of("part:operations $.variables.text")
    with pytest.raises(error):
        sent(rule, a_message(parts(*found), headers=PARTS))


def test_a_delimiter_in_an_opened_value_is_refused() -> None:
    rule = rule_of("part:operations $.variables.text")
    other = rule_of("$.text")
    token = json.loads(sent(other, a_message('{"text":"a\\r\\n--of-parts\\r\\n"}')))["text"]
    body = parts(operations(QUERY.replace(CANARY, token)))
    with pytest.raises(OpenFailed):
        opened(rule, body, a_response(headers=PARTS))


def test_a_selector_goes_into_so_many_texts_and_no_more() -> None:
    parse_selector("$.p" + " json:$.p" * SELECTED_NESTING)
    with pytest.raises(InvalidExpression):
        parse_selector("$.p" + " json:$.p" * (SELECTED_NESTING + 1))
    with pytest.raises(InvalidExpression):
        parse_selector("$.p json: x")
    with pytest.raises(InvalidExpression):
        parse_source("part:p")
    written = "part:a b $.c json:$.d"
    selector = parse_selector(written)
    assert isinstance(selector, NamedSelector)
    assert (selector.text, selector.name, selector.field) == (written, "a b", "d")


def test_a_name_of_a_form_is_not_read_from_json() -> None:
    block = a_block(encrypt=["$.note"])
    with pytest.raises(InvalidExpression):
        CompiledBlock(block, UPLOAD, "request")


def test_texts_have_no_more_values_than_a_body() -> None:
    found = Findings(1)
    found.found[0] = [FoundValue((), 0, 1)] * 30_000
    inner = Selection((parse_selector("$.a"),))  # type: ignore[arg-type]  # a path
    text = nested.in_string(b'"{\\"a\\":1}"', FoundValue((), 0, 11))
    with pytest.raises(BodyTooLarge):
        nested.look_within(inner, (0,), text, found, lenient=False)


def test_what_is_opened_into_a_text_must_be_text() -> None:
    with pytest.raises(OpenFailed):
        nested.spell_in_string(b"\xff")


def test_what_opens_has_no_tag_in_an_answer_that_browsers_may_read_as_a_page() -> None:
    rule = rule_of("$.p json:$.note")
    body = json.dumps({"p": json.dumps({"note": "<script>"})})
    sealed = sent(rule, a_message(body))
    block = replace(a_block(decrypt=[an_item("$.p json:$.note")]), format="json")
    page = a_rule(response=block, names=C1)
    found = opened(page, sealed, a_response(headers=((b"Content-Type", b"text/html"),)))
    assert b"<" not in found
    assert json.loads(json.loads(found)["p"])["note"] == "<script>"
