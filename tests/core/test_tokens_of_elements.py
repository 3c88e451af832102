"""`decrypt: tokens` with names of elements: each token opens by those of its own element."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.compiled.rule_table import RuleTable
from proxy.core.expressions.selectors import JsonSelector, parse_json_selector
from proxy.core.expressions.sources import ListSource, Source, parse_name, parse_source
from proxy.core.rules.model import Names, Rule
from tests.factories import Trip, a_block, a_message, a_rule, an_item, sent

TENANT = parse_source("const:clinic")
CANARY = "canary-77e1"
PATIENTS = ["Patient/1", "Patient/2", "Patient/3"]


def listing(
    conversation: str | Source = "$.entry.*.subject",
    *,
    fields: bool = True,
    records: JsonSelector | None = None,
) -> Rule:
    source = parse_name(conversation) if isinstance(conversation, str) else conversation
    bind = {"tenant", "conversation", *(("field",) if fields else ())}
    block = a_block(decrypt=[an_item("tokens", bind=bind)], names=Names(TENANT, source))
    block = replace(block, keep_unopened=True, records=records)
    return a_rule("GET /notes", response=block, names=Names(tenant=TENANT), name="list")


def token(conversation: str = "Patient/1", text: str = CANARY, *, fields: bool = True) -> str:
    bind = {"tenant", "conversation", *(("field",) if fields else ())}
    block = a_block(encrypt=[an_item("$.text", bind=bind)])
    made = a_rule(request=block, names=Names(TENANT, parse_source("$.subject")))
    body = json.dumps({"subject": conversation, "text": text})
    found: str = json.loads(sent(made, a_message(body)))["text"]
    return found


def answered(made: Rule, value: object) -> Any:  # noqa: ANN401 - what JSON holds
    trip = Trip((made,), a_message("", method="GET", target="/notes"))
    applied = trip.response(value if isinstance(value, str) else json.dumps(value))
    assert applied is not None
    return json.loads(applied.forwardable.body or b"")


@given(
    rows=st.lists(st.tuples(st.sampled_from(PATIENTS), st.sampled_from(PATIENTS)), max_size=6),
    deep=st.booleans(),
    fields=st.booleans(),
)
def test_a_token_opens_in_an_element_of_its_name_and_in_no_other(
    rows: list[tuple[str, str]],
    deep: bool,  # noqa: FBT001 - drawn
    fields: bool,  # noqa: FBT001 - drawn
) -> None:
    made = listing(fields=fields)
    entries = []
    for subject, sealed_for in rows:
        held: dict[str, Any] = {"text": token(sealed_for, fields=fields)}
        entries.append(
            {"more": [held], "subject": subject} if deep else {**held, "subject": subject}
        )
    found = answered(made, {"entry": entries})["entry"]
    for (subject, sealed_for), one in zip(rows, found, strict=True):
        text = one["more"][0]["text"] if deep else one["text"]
        assert (text == CANARY) == (subject == sealed_for)
        assert text == CANARY or text.startswith("eyJ")


@pytest.mark.parametrize(
    "subject",
    [
        "",
        '"subject":null,',
        '"subject":"",',
        '"subject":["Patient/1"],',
        '"subject":"Patient/1","subject":"Patient/1",',
        '"subject":"Patient/1","Subject":"Patient/2",',
        '"subject":"Patient/1","__proto__":{"subject":"Patient/2"},',
    ],
)
def test_an_element_without_one_name_stays_and_hides_no_other(subject: str) -> None:
    text = token()
    good = json.dumps({"subject": "Patient/1", "text": text})
    found = answered(listing(), f'{{"entry":[{{{subject}"text":"{text}"}},{good}]}}')["entry"]
    assert [one["text"] for one in found] == [text, CANARY]


@pytest.mark.parametrize(
    "place",
    [
        lambda one: {"text": one, "entry": [{"subject": "Patient/1"}]},
        lambda one: {"entry": [{"subject": "Patient/1"}], "text": one},
        lambda one: {"entry": [{"subject": "Patient/2", "text": one}, {"subject": "Patient/1"}]},
        lambda one: {"entry": {"subject": "Patient/1", "text": one}},
        lambda one: {"entry": [[{"subject": "Patient/1", "text": one}]]},
        lambda one: {"entry": [{"subject": "Patient/1"}, one]},
        lambda one: {"entry": [{"subject": "Patient/1"}, {one: 1, "subject": "Patient/1"}]},
        lambda one: [{"subject": "Patient/1", "text": one}],
        lambda one: [one],
    ],
)
def test_what_stands_in_no_element_of_its_name_stays(place: Callable[[str], object]) -> None:
    value = place(token())
    assert answered(listing(), value) == value


def test_the_innermost_element_of_the_selector_names_it() -> None:
    made = listing("$.ward.*.bed.*.patient")
    text = token()
    value = {
        "ward": [
            {"text": text, "bed": [{"patient": "Patient/1", "text": text}]},
            {"bed": [{"patient": "Patient/2", "text": text}, {"patient": "Patient/1"}]},
        ]
    }
    found = answered(made, value)
    assert found["ward"][0]["bed"][0]["text"] == CANARY
    assert found["ward"][0]["text"] == text
    assert found["ward"][1]["bed"][0]["text"] == text


def test_a_bundle_within_an_entry_opens_nothing_of_another_patient() -> None:
    inner = {"entry": [{"subject": "Patient/2", "text": token("Patient/2")}]}
    value = {"entry": [{"subject": "Patient/1", "text": token(), "resource": inner}]}
    found = answered(listing(), value)["entry"][0]
    assert found["text"] == CANARY
    assert found["resource"] == inner


def test_several_names_and_text_around_them() -> None:
    joined = ListSource((parse_source("$.entry.*.subject"), parse_source("$.id")))
    assert answered(
        listing(joined), {"id": "x", "entry": [{"subject": "Patient/1", "text": token()}]}
    )["entry"][0]["text"].startswith("eyJ")
    made = listing("Patient/{$.entry.*.id}")
    assert answered(made, {"entry": [{"id": "1", "text": token()}]})["entry"][0]["text"] == CANARY


def test_records_are_elements() -> None:
    made = listing("$.subject", records=parse_json_selector("$"))
    text = token()
    rows = [{"subject": "Patient/1", "text": text}, {"subject": "Patient/2", "text": text}]
    assert [one["text"] for one in answered(made, rows)] == [CANARY, text]
    assert answered(made, rows[0])["text"] == CANARY
    assert answered(made, rows[1])["text"] == text


def test_within_text_around_a_token_too() -> None:
    value = {"entry": [{"subject": "Patient/1", "text": f"see {token()}."}]}
    assert answered(listing(), value)["entry"][0]["text"] == f"see {CANARY}."


def test_names_by_members_name_tokens_within() -> None:
    made = listing("$.rooms.*~")
    text = token()
    found = answered(made, {"rooms": {"Patient/1": {"text": text}, "Patient/2": {"text": text}}})
    assert found["rooms"]["Patient/1"]["text"] == CANARY
    assert found["rooms"]["Patient/2"]["text"] == text


def test_a_long_name_costs_what_the_body_costs() -> None:
    subject = "p" * 20_000
    entries = [{"subject": subject, "text": token(subject)} for _ in range(3)]
    found = answered(listing(), {"entry": entries})["entry"]
    assert [one["text"] for one in found] == [CANARY] * 3


@pytest.mark.parametrize("subject", ["Patient/1", "Patient/2"])
def test_a_name_at_any_depth_leads_to_no_element(subject: str) -> None:
    made = listing("$..subject")
    value = {"entry": [{"subject": subject, "text": token(), "sub": {"text": token(subject)}}]}
    assert answered(made, value) == value
    assert not RuleTable((made,), pass_unmatched=True).rules[0].response[0].elements
