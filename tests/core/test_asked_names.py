"""Messages bound to a name that the backend was asked for, and answers that have it again."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.errors import AmbiguousRequest, MissingValue, OpenFailed
from proxy.core.expressions.selectors import parse_json_selector
from proxy.core.expressions.sources import (
    AskSource,
    FirstSource,
    JsonSource,
    SameSource,
    Source,
    parse_ask,
    parse_source,
)
from proxy.core.planning.asked import question
from proxy.core.planning.exchange import Exchange
from proxy.core.rules.model import Block, Names, Rule
from proxy.core.transform import ask_backend
from tests.factories import Trip, a_block, a_message, a_response, a_rule, an_item

ROOM = parse_json_selector("$.room")
ASK = parse_ask("GET /notes/{id}", ROOM)
NAMED = SameSource(ASK, also=(JsonSource(ROOM),))
OPENS = a_block(decrypt=["optional $.text"])
SEALS = a_block(encrypt=["$.text"])
CANARY = "canary-77d2"


def rule(
    conversation: Source = NAMED,
    *,
    request: Block = SEALS,
    response: Block = OPENS,
) -> Rule:
    names = Names(tenant=parse_source("const:clinic"), conversation=conversation)
    return a_rule("PATCH /notes/{id}", request=request, response=response, names=names)


def a_trip(made: Rule, name: str | None = "c1", body: object = None, target: str = "n0") -> Trip:
    """Return the way of a change, with the name that the backend has told if it told one."""
    text = json.dumps({"text": CANARY} if body is None else body)
    trip = Trip((made,), a_message(text, method="PATCH", target=f"/notes/{target}"))
    if name is not None:
        trip.exchange.asked.update(dict.fromkeys(trip.exchange.asks, name))
    return trip


def token(name: str = "c1", made: Rule | None = None) -> str:
    text: str = json.loads(a_trip(made or rule(), name).request().forwardable.body or b"")["text"]
    assert CANARY not in text
    return text


def answered(made: Rule, answer: object, name: str = "c1", kind: str = "application/json") -> bytes:
    """Return what becomes of an answer to a change."""
    trip = a_trip(made, name)
    trip.request()
    text = answer if isinstance(answer, str) else json.dumps(answer)
    applied = trip.response(text, a_response(headers=((b"Content-Type", kind.encode()),)))
    assert applied is not None
    assert applied.forwardable.body is not None
    return applied.forwardable.body


def test_a_rule_asks_for_the_names_that_bind_something() -> None:
    assert dict(a_trip(rule(), None).exchange.asks) == {ASK: "conversation"}
    unbound = a_block(encrypt=[an_item("$.text", bind=["tenant", "field"])])
    opens = a_block(decrypt=[an_item("$.text", bind=["tenant", "field"], optional=True)])
    assert not a_trip(rule(request=unbound, response=opens), None).exchange.asks
    assert dict(a_trip(rule(request=unbound), None).exchange.asks) == {ASK: "conversation"}
    unruled = Trip((rule(),), a_message(method="GET", target="/other")).exchange
    assert not unruled.asks


def test_a_question_is_asked_as_the_request_came() -> None:
    headers = ((b"Authorization", b"a"), (b"Content-Type", b"application/json"))
    message = a_message(
        json.dumps({"text": CANARY}), method="PATCH", target="/notes/n%201", headers=headers
    )
    exchange = Trip((rule(),), message).exchange
    forwardable, head = ask_backend(exchange, ASK)
    asked = question(exchange, ASK)
    assert forwardable.frame.head is head
    assert (head.method, head.path, head.query) == ("GET", "/notes/n%201", None)
    assert (head.headers, forwardable.body) == (asked.headers, b"")
    # What answers must come as it can be read: whole, and in no coding that is not known.
    assert (forwardable.frame.ruled, forwardable.frame.changed) == (True, False)
    assert not forwardable.frame.added_headers


def test_no_label_that_leads_elsewhere_is_asked_for() -> None:
    exchange = Exchange(a_trip(rule(), None, target="a;b").exchange.decision, a_message().head)
    with pytest.raises(AmbiguousRequest):
        ask_backend(exchange, ASK)


def test_nothing_is_sealed_without_the_name() -> None:
    with pytest.raises(MissingValue, match="missing-conversation"):
        a_trip(rule(), None).request()


NAMES = st.text(min_size=1, max_size=4)


@given(one=NAMES, other=NAMES | st.none())
def test_what_is_sealed_opens_for_the_same_name_alone(one: str, other: str | None) -> None:
    name = one if other is None else other
    made = rule(SameSource(ASK))
    answer = json.dumps({"text": token(one, made)})
    if name == one:
        assert json.loads(answered(made, answer, name)) == {"text": CANARY}
        return
    with pytest.raises(OpenFailed):
        answered(made, answer, name)


def test_a_name_that_was_asked_for_is_the_one_that_others_give() -> None:
    given_by_body = rule(parse_source("$.room"))
    trip = Trip(
        (given_by_body,),
        a_message(json.dumps({"room": "c1", "text": CANARY}), method="PATCH", target="/notes/n0"),
    )
    text = json.loads(trip.request().forwardable.body or b"")["text"]
    assert json.loads(answered(rule(), {"text": text})) == {"text": CANARY}


def test_a_request_that_names_another_is_refused() -> None:
    a_trip(rule(), "c1", {"room": "c1", "text": "a"}).request()
    for room in ("c2", "C1", "", 1, ["c1"]):
        with pytest.raises((AmbiguousRequest, MissingValue)):
            a_trip(rule(), "c1", {"room": room, "text": "a"}).request()


def test_it_may_be_the_last_of_several() -> None:
    made = rule(FirstSource((parse_source("$.own"), ASK)))
    asked = token("c1", made)
    named = a_trip(made, "c2", {"own": "c1", "text": CANARY}).request().forwardable.body or b""
    for one in (asked, json.loads(named)["text"]):
        assert json.loads(answered(made, {"text": one})) == {"text": CANARY}


SAME = [{}, {"room": "c1"}, {"room": None}, {"rooms": "c2"}, {"data": {"room": "c2"}}]
OTHER = [
    {"room": "c2"},
    {"room": ["c1"]},
    {"room": {"room": "c1"}},
    {"room": True},
    {"room": ""},
    {"room": "c1", "Room": "c2"},
    {"ROOM": "c2"},
]


@pytest.mark.parametrize("more", SAME)
def test_an_answer_of_the_same_name_opens(more: dict[str, object]) -> None:
    found = answered(rule(), {**more, "text": token()})
    assert json.loads(found) == {**more, "text": CANARY}


@pytest.mark.parametrize("more", OTHER)
def test_an_answer_of_another_name_opens_nothing(more: dict[str, object]) -> None:
    with pytest.raises(MissingValue, match="asked-differs"):
        answered(rule(), {**more, "text": token()})
    keeping = rule(response=replace(OPENS, keep_unopened=True))
    text = token()
    assert json.loads(answered(keeping, {**more, "text": text})) == {**more, "text": text}


def test_an_answer_that_has_the_name_twice_opens_nothing() -> None:
    for room in ("c1", "c2"):
        with pytest.raises(MissingValue, match="asked-differs"):
            answered(rule(), f'{{"room":"c1","room":"{room}","text":"{token()}"}}')


def test_a_number_in_an_answer_is_the_name_of_its_digits() -> None:
    assert json.loads(answered(rule(), {"room": 7, "text": token("7")}, "7"))["text"] == CANARY
    with pytest.raises(MissingValue, match="asked-differs"):
        answered(rule(), {"room": 8, "text": token("7")}, "7")


def test_an_answer_that_is_no_json_has_no_other_name() -> None:
    block = a_block(decrypt=[an_item("text", field="text")], types=("text/plain",))
    made = rule(response=block)
    assert answered(made, token(), kind="text/plain") == CANARY.encode()
    with pytest.raises(OpenFailed):
        answered(made, token("c2"), kind="text/plain")


def listing(at: str, select: str = "") -> Rule:
    """Return a rule whose answers are one record at a place, or many."""
    records = parse_json_selector(at)
    ask = parse_ask("GET /notes/{id}", parse_json_selector(select or f"{at}.room"))
    return rule(SameSource(ask), response=replace(OPENS, records=records))


@pytest.mark.parametrize("at", ["$", "$.data", "$.a.data"])
@pytest.mark.parametrize("many", [False, True])
def test_every_record_of_an_answer_is_of_the_name(at: str, many: bool) -> None:  # noqa: FBT001 - drawn
    made = listing(at)

    def wrapped(*records: dict[str, object]) -> object:
        value: object = [*records] if many else records[-1]
        for name in reversed(at.split(".")[1:]):
            value = {name: value, "room": "c2"}
        return value

    same: dict[str, object] = {"room": "c1", "text": token("c1", made)}
    opened = {**same, "text": CANARY}
    assert json.loads(answered(made, wrapped(same, same))) == wrapped(opened, opened)
    with pytest.raises(MissingValue, match="asked-differs"):
        answered(made, wrapped(same, {**same, "room": "c2"}))
    with pytest.raises(MissingValue, match="asked-differs"):
        answered(made, wrapped(same, {**same, "Room": "c2"}))


@pytest.mark.parametrize("select", ["$.room", "$.meta.room"])
@pytest.mark.parametrize("many", [False, True])
def test_a_name_beside_the_records_is_found_there(select: str, many: bool) -> None:  # noqa: FBT001 - drawn
    made = listing("$.data", select)

    def around(room: str) -> dict[str, object]:
        record = {"room": "c2", "text": token("c1", made)}
        names = {"room": room} if select == "$.room" else {"meta": {"room": room}}
        return {"data": [record, record] if many else record, **names}

    found = json.loads(answered(made, around("c1")))["data"]
    assert [one["text"] for one in (found if many else [found])] == [CANARY] * (1 + many)
    with pytest.raises(MissingValue, match="asked-differs"):
        answered(made, around("c2"))


def test_sources_that_ask_are_told_apart_by_where_they_are_written() -> None:
    one, two = (parse_ask("GET /notes/{id}", ROOM) for _ in range(2))
    made = rule(FirstSource((one, two)))
    trip = a_trip(made, None)
    assert list[AskSource](trip.exchange.asks) == [one, two]
    trip.exchange.asked[two] = "c1"
    stored = json.loads(trip.request().forwardable.body or b"")
    assert json.loads(answered(rule(), {"text": stored["text"]})) == {"text": CANARY}
