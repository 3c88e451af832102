"""Names with fixed text around one part: `Patient/{path:id}`."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.errors import InvalidExpression, MissingValue, OpenFailed, TrafficError
from proxy.core.expressions.sources import (
    ComposedSource,
    FirstSource,
    JsonSource,
    ListSource,
    NameSource,
    SameSource,
    parse_name,
    parse_source,
)
from proxy.core.rules.model import Names, Rule
from tests.factories import Trip, a_block, a_message, a_rule, sent

TENANT = parse_source("const:clinic")
NOTE = json.dumps({"text": "hello"})
LABEL = parse_name("Patient/{path:id}")
REFERENCE = parse_source("$.subject.reference")


def note(conversation: object = LABEL) -> Rule:
    """Return a rule for a note about a patient, of a list of which another rule opens each."""
    block = a_block(encrypt=["$.text"])
    names = Names(tenant=TENANT, conversation=conversation)  # type: ignore[arg-type]  # a source
    return a_rule("POST /Patient/{id}/notes", request=block, names=names, name="note")


def listing(conversation: str = "$.entry.*.subject.reference") -> Rule:
    names = Names(tenant=TENANT, conversation=parse_name(conversation))
    block = replace(a_block(decrypt=["$.entry.*.text"], names=names), keep_unopened=True)
    return a_rule("GET /notes", response=block, names=Names(tenant=TENANT), name="list")


def token(patient: str = "5", made: Rule | None = None, body: str = NOTE) -> str:
    message = a_message(body, target=f"/Patient/{patient}/notes")
    text: str = json.loads(sent(made or note(), message))["text"]
    return text


def opened(rule: Rule, *entries: dict[str, object]) -> list[str]:
    trip = Trip((rule,), a_message("", method="GET", target="/notes"))
    applied = trip.response(json.dumps({"entry": entries}))
    assert applied is not None
    return [one["text"] for one in json.loads(applied.forwardable.body or b"")["entry"]]


def entry(text: str, patient: str) -> dict[str, object]:
    return {"text": text, "subject": {"reference": patient}}


def test_a_label_becomes_the_name_that_answers_have() -> None:
    one, two = token(), token("6")
    found = opened(
        listing(), entry(one, "Patient/5"), entry(two, "Patient/6"), entry(one, "Patient/6")
    )
    assert found == ["hello", "hello", one]


def test_a_member_becomes_it_too() -> None:
    made = listing("Patient/{$.entry.*.subject.reference}")
    assert opened(made, entry(token(), "5")) == ["hello"]


TEXTS = st.text(st.sampled_from("ab/{}$. P"), min_size=1, max_size=4)


@given(one=TEXTS, other=TEXTS)
def test_no_two_names_make_one_text(one: str, other: str) -> None:
    made = note(ComposedSource("a/", parse_source("$.id"), "/b"))
    block = a_block(encrypt=["$.text"])
    made = replace(made, request=(block,), response=(a_block(decrypt=["$.text"]),))
    try:
        text = token(made=made, body=json.dumps({"text": "hello", "id": one}))
        other_body = json.dumps({"text": "x", "id": other})
        trip = Trip((made,), a_message(other_body, target="/Patient/5/notes"))
        trip.request()
    except MissingValue:
        assert "/" in one + other
        return
    try:
        trip.response(json.dumps({"text": text}))
    except OpenFailed:
        assert one != other
    else:
        assert one == other


@pytest.mark.parametrize("patient", ["5%2F..%2F6", "5%2F6"])
def test_no_label_with_a_slash_is_part_of_a_name(patient: str) -> None:
    with pytest.raises(TrafficError):
        token(patient)


def test_a_list_is_no_part_of_a_name() -> None:
    made = note(ComposedSource("a/", parse_source("$.ids.*"), ""))
    with pytest.raises(MissingValue):
        token(made=made, body=json.dumps({"text": "hello", "ids": ["1", "2"]}))


def test_fixed_text_alone_is_no_name() -> None:
    composed = ComposedSource("a/", parse_source("$.id"), "")
    with pytest.raises(MissingValue, match="missing-conversation"):
        token(made=note(composed))
    instead = note(FirstSource((composed, LABEL)))
    assert opened(listing(), entry(token(made=instead), "Patient/5")) == ["hello"]


def test_other_places_are_compared_with_the_whole_name() -> None:
    assert isinstance(LABEL, ComposedSource)
    made = note(SameSource(LABEL, also=(JsonSource(REFERENCE.selector),)))  # type: ignore[union-attr]  # it is one of JSON
    same = json.dumps({"text": "hello", "subject": {"reference": "Patient/5"}})
    assert opened(listing(), entry(token(made=made, body=same), "Patient/5")) == ["hello"]
    with pytest.raises(Exception, match="name-differs"):
        token(made=made, body=same.replace("/5", "/6"))


def test_it_is_one_of_several() -> None:
    made = note(ListSource((parse_source("const:x"), LABEL)))
    assert opened(listing(), entry(token(made=made), "Patient/5"))[0].startswith("eyJ")


@pytest.mark.parametrize(
    ("text", "before", "after"), [("Patient/{path:id}", "Patient/", ""), ("{path:id}:x", "", ":x")]
)
def test_how_it_is_written(text: str, before: str, after: str) -> None:
    assert parse_name(text) == ComposedSource(before, NameSource("path", "id"), after)


@pytest.mark.parametrize(
    "text", ["{path:id}", "a/{path:id}/{path:b}", "a/{}", "a/{id}", "a/{path:id", "a}b{path:id}"]
)
def test_what_it_is_not(text: str) -> None:
    with pytest.raises(InvalidExpression):
        parse_name(text)
