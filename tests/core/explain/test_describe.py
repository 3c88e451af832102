"""Searches, as they are described: what the backend gets, and which of its elements stay."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from proxy.core.explain.describe import describe
from proxy.core.explain.dry_run import assumed_keys
from proxy.core.explain.explanation import Described
from proxy.core.expressions.selectors import parse_json_selector, parse_selector
from proxy.core.expressions.sources import parse_source
from proxy.core.http.message import RequestHead
from proxy.core.planning.plan import Plan
from proxy.core.rules.model import Block, Item, KeptResults, Names, Rule
from proxy.core.search.model import WordsIndex
from proxy.core.search.queries import FieldSearch
from proxy.core.transform.changed import apply
from proxy.core.transform.planner import plan_request, plan_response
from tests.factories import (
    JSON_TYPE,
    NOW,
    USUAL_PARTS,
    Trip,
    a_block,
    a_message,
    a_response,
    a_rule,
    keys_for,
    sent,
)

CANARY = "CANARY-describe"
NAMES = Names(tenant=parse_source("const:clinic"), conversation=parse_source("query:room"))
KEEP = KeptResults(parse_json_selector("$.data"), ("q",), (parse_json_selector("$.total"),))


def rule(*, keeps: bool = False) -> Rule:
    """Return a rule whose requests search, and whose answers are filtered."""
    sought = FieldSearch("q", "content", WordsIndex())
    item = Item(parse_selector("query:q"), "content", USUAL_PARTS, optional=True, sought=sought)
    response = replace(a_block(decrypt=("$.data.*.content",)), keep=KEEP, keep_unopened=keeps)
    return a_rule("GET /found", names=NAMES, request=Block(search=(item,)), response=response)


def sealed(text: str) -> str:
    seals = a_rule("POST /found", names=NAMES, request=a_block(encrypt=("$.content",)))
    body = json.dumps({"content": text})
    message = a_message(body, target="/found?room=c1", headers=JSON_TYPE)
    return str(json.loads(sent(seals, message))["content"])


def asked(query: str, *, keeps: bool = False) -> tuple[Trip, Described]:
    """Return a search on its way, and how it is described."""
    trip = Trip((rule(keeps=keeps),), a_message("", method="GET", target=f"/found?room=c1&{query}"))
    plan = plan_request(trip.exchange, b"")
    told = describe(plan, keys_for(plan.needs), NOW)
    apply(plan, keys_for(plan.needs), NOW)
    return trip, told


def answer(trip: Trip, *contents: str | None, **more: object) -> Plan:
    elements = [{"id": at, "content": one} for at, one in enumerate(contents) if one is not None]
    body = json.dumps({"data": [*elements, {"id": 9}], "total": 9, **more}).encode()
    block = trip.exchange.decision.compiled_rule
    assert block is not None
    return plan_response(trip.exchange, block.response[0], a_response(), body)


@pytest.mark.parametrize(
    ("query", "note"),
    [
        ("q=one+two", "the tag of one of its 2 words in its place"),
        ("q=one", "its tag in its place"),
    ],
)
def test_a_search_is_told_by_the_number_of_its_words(query: str, note: str) -> None:
    _, told = asked(query)
    (value,) = told.values
    assert (value.action, value.field, value.note) == ("searched", "content", note)
    assert isinstance(told.head, RequestHead)
    assert told.head.query == "room=c1&q=<content searched>"


def elements(told: Described) -> list[str]:
    return [one.action for one in told.values if one.field == "element"]


def test_what_is_dropped_of_an_answer_goes_nowhere() -> None:
    trip, _ = asked(f"q={CANARY}")
    plan = answer(trip, sealed(f"{CANARY} one"), sealed("two"))
    told = describe(plan, keys_for(plan.needs), NOW)
    assert elements(told) == ["found", "filtered", "filtered"]
    assert json.loads(told.outgoing) == {
        "data": [{"id": 0, "content": "<content opened>"}],
        "total": None,
    }
    done = apply(plan, keys_for(plan.needs), NOW)
    assert done.forwardable.body is not None
    assert json.loads(done.forwardable.body)["data"] == [{"id": 0, "content": f"{CANARY} one"}]


def test_what_is_assumed_to_open_is_taken_to_have_what_is_searched_for() -> None:
    trip, _ = asked(f"q={CANARY}")
    plan = answer(trip, sealed("two"))
    told = describe(plan, assumed_keys(plan.needs), NOW)
    assert elements(told) == ["found", "filtered"]
    assert [one.note for one in told.values if one.action == "found"] == [
        "if its text has what is searched for"
    ]
    assert json.loads(told.outgoing)["data"] == [{"id": 0, "content": "<content opened>"}]


def test_what_stays_as_it_is_is_assumed_to_hold_nothing() -> None:
    trip, _ = asked(f"q={CANARY}", keeps=True)
    plan = answer(trip, "never sealed", sealed("two"), f"plain {CANARY}")
    told = describe(plan, assumed_keys(plan.needs), NOW)
    assert elements(told) == ["filtered", "found", "found", "filtered"]


def test_of_an_answer_that_is_refused_no_element_is_told() -> None:
    trip, _ = asked(f"q={CANARY}")
    plan = answer(trip, sealed(CANARY), "never sealed")
    told = describe(plan, assumed_keys(plan.needs), NOW)
    assert elements(told) == []
    assert "refused" in {one.action for one in told.values}


def test_a_client_is_told_what_it_has_sent_where_the_backend_repeats_the_tag() -> None:
    trip, _ = asked(f"q={CANARY}")
    plan = plan_request(trip.exchange, b"")
    head = apply(plan, keys_for(plan.needs), NOW).forwardable.head
    assert isinstance(head, RequestHead)
    assert "q=~" in (head.query or "")
    plan = answer(trip, sealed(CANARY), next=f"/found?{head.query}")
    told = describe(plan, keys_for(plan.needs), NOW)
    assert json.loads(told.outgoing)["next"] == f"/found?room=c1&q={CANARY}"
