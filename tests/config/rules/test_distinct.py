"""`distinct` puts the name of an object into the fields within; `query` may name what binds."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.errors import TrafficError
from proxy.core.rules.model import Rule, field_of
from tests.config.builders import loaded, problems_of, with_rules
from tests.factories import Trip, a_message, sent

CANARY = "canary-d15"
VISIT = {"patient": {"name": CANARY, "id": "1"}, "doctor": {"name": "Dr. Who", "id": "2"}}


def rules(keys: str, defaults: str = "tenant: const:t") -> tuple[Rule, ...]:
    lines = "".join(f"        {line}\n" for line in keys.splitlines())
    rule = f"      - name: r\n        match: POST /visits/{{id}}\n{lines}"
    (listener,) = loaded(with_rules(rule, defaults=f"{{{defaults}}}")).settings.listeners
    return listener.rules


SEALS = """\
distinct: [$.patient, $.doctor]
request: {others: seal}
response: {decrypt: tokens, on_error: keep}"""
NAMED = """\
distinct: [$.patient, $.doctor]
request:
  encrypt: [$.patient.name, $.doctor.name, optional $.doctor.note as remark]
  plain: [$.patient.id, $.doctor.id]
response: {decrypt: tokens, on_error: keep}"""


def problems(keys: str) -> list[str]:
    lines = "".join(f"        {line}\n" for line in keys.splitlines())
    rule = f"      - name: r\n        match: POST /visits/{{id}}\n{lines}"
    return problems_of(with_rules(rule))


def answered(rule: Rule, stored: object, target: str = "/visits/1") -> Any:  # noqa: ANN401 - what JSON holds
    trip = Trip((rule,), a_message(json.dumps(VISIT), target=target))
    trip.request()
    applied = trip.response(json.dumps(stored))
    assert applied is not None
    return json.loads(applied.forwardable.body or b"")


@pytest.mark.parametrize("keys", [SEALS, NAMED])
def test_siblings_that_are_swapped_do_not_open(keys: str) -> None:
    (rule,) = rules(keys)
    stored = json.loads(sent(rule, a_message(json.dumps(VISIT), target="/visits/1")))
    assert answered(rule, stored)["patient"]["name"] == CANARY
    assert answered(rule, {"rows": [{"at": stored}]})["rows"][0]["at"]["patient"]["name"] == CANARY
    swapped = {"patient": stored["doctor"], "doctor": stored["patient"]}
    found = answered(rule, swapped)
    assert found["patient"]["name"] == stored["doctor"]["name"]
    assert found["doctor"]["name"] == stored["patient"]["name"]
    assert answered(rule, {"name": stored["patient"]["name"]})["name"].startswith("eyJ")
    assert answered(rule, {"patient.name": stored["patient"]["name"]})["patient.name"] != CANARY


def test_what_lies_deeper_within_is_not_swapped_either() -> None:
    (rule,) = rules(SEALS)
    homes = {one: {"home": [{"city": f"{CANARY}-{one}"}]} for one in ("patient", "doctor")}
    stored = json.loads(sent(rule, a_message(json.dumps(homes), target="/visits/1")))
    assert answered(rule, {"rows": [stored]}) == {"rows": [homes]}
    swapped = {"patient": stored["doctor"], "doctor": stored["patient"]}
    assert answered(rule, swapped) == swapped
    fields = [field_of(one, {"a"}) for one in (["a", "b", "c"], ["b", "c"], ["a.b.c"], ["a", "c"])]
    assert fields == ["a.b.c", "c", "a/b.c", "a.c"]


def test_without_it_they_open_and_answers_may_have_other_names() -> None:
    (rule,) = rules("request: {others: seal}\nresponse: {decrypt: tokens}")
    stored = json.loads(sent(rule, a_message(json.dumps(VISIT), target="/visits/1")))
    assert answered(rule, {"doctor": stored["patient"]})["doctor"]["name"] == CANARY
    renamed = SEALS.replace("tokens,", "tokens, names: {patient_data: patient, full_name: name},")
    (rule,) = rules(renamed)
    stored = json.loads(sent(rule, a_message(json.dumps(VISIT), target="/visits/1")))
    answer = {"patient_data": {"full_name": stored["patient"]["name"]}}
    assert answered(rule, answer) == {"patient_data": {"full_name": CANARY}}


def test_a_field_that_is_named_stays() -> None:
    (rule,) = rules(NAMED)
    assert [one.field for one in rule.blocks[0].encrypt] == [
        "patient.name",
        "doctor.name",
        "remark",
    ]


NAMES = st.text(st.sampled_from("ab."), min_size=1, max_size=4).filter(lambda one: one[0] != ".")


@given(st.lists(st.lists(NAMES, min_size=1, max_size=2), min_size=2, max_size=4))
def test_no_two_places_have_one_field_where_they_are_distinct(paths: list[list[str]]) -> None:
    places = {(one[-2] if len(one) > 1 and one[-2] == "a" else "", one[-1]) for one in paths}
    fields = {field_of([parent, name] if parent else [name], {"a"}) for parent, name in places}
    assert len(fields) == len(places)


@pytest.mark.parametrize("said", ["patient", "$", "$.*", "form:a"])
def test_what_makes_no_field_distinct(said: str) -> None:
    keys = f"distinct: ['{said}']\n{NAMED.partition(chr(10))[2]}"
    assert any("names no object" in one for one in problems(keys)), problems(keys)


OPEN = "request: {encrypt: $.text}\nresponse: {decrypt: $.text}"


def told(target: str, keys: str) -> str:
    """Return what becomes of a message, and whether its answer opens for the same names alone."""
    (rule,) = rules(keys)
    try:
        sent(rule, a_message('{"text":"x"}', target=target))
    except TrafficError as error:
        return error.reason
    return "sealed"


def test_a_name_of_the_query_is_compared_or_read() -> None:
    keys = f"conversation: path:id\nquery: {{visit: {{as: conversation}}}}\n{OPEN}"
    assert told("/visits/1", keys) == "sealed"
    assert told("/visits/1?visit=1", keys) == "sealed"
    assert told("/visits/1?visit=2", keys) == "name-differs"
    assert told("/visits/1?visit=1&visit=1", keys) == "name-stands-twice"
    assert told("/visits/1?VISIT=2", keys) in {"name-variant", "unlisted-query"}
    assert told("/visits/1?other=2", keys) == "unlisted-query"
    alone = f"query: {{visit: {{as: conversation}}}}\n{OPEN}"
    assert told("/visits/1?visit=2", alone) == "sealed"
    assert told("/visits/1", alone) == "missing-conversation"


@pytest.mark.parametrize(("one", "other"), [("1", "2"), ("2", "1")])
def test_what_was_read_there_binds(one: str, other: str) -> None:
    keys = f"query: {{visit: {{as: conversation}}}}\n{OPEN}\non_error: keep"
    (rule,) = rules(keys)
    message = a_message('{"text":"x"}', target=f"/visits/1?visit={one}")
    token = json.loads(sent(rule, message))["text"]
    for visit, expected in ((one, "x"), (other, token)):
        trip = Trip((rule,), a_message('{"text":"y"}', target=f"/visits/1?visit={visit}"))
        trip.request()
        applied = trip.response(json.dumps({"text": token}))
        assert applied is not None
        assert json.loads(applied.forwardable.body or b"") == {"text": expected}


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        (f"conversation: $.visit\nquery: {{v: {{as: conversation}}}}\n{OPEN}", "from a body"),
        (f"query: {{v: {{as: field}}}}\n{OPEN}", "`field`"),
        (f"query: {{v: {{as: tenant}}}}\n{OPEN}", "is chosen by the client"),
        (
            "request: {encrypt: $.text, query: {v: {as: conversation}}}",
            "names what the whole rule is about",
        ),
    ],
)
def test_what_a_name_of_the_query_cannot_be(keys: str, problem: str) -> None:
    assert any(problem in one for one in problems(keys)), problems(keys)
