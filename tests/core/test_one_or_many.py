"""`records: one-or-many`: a body is one record or a list of them, and selectors are a record's."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.errors import (
    ForbiddenValue,
    InvalidBody,
    MessageError,
    MissingValue,
    OpenFailed,
    UnlistedName,
)
from proxy.core.expressions.selectors import parse_json_selector
from proxy.core.expressions.sources import parse_source
from proxy.core.rules.model import Names, Rule
from tests.factories import JSON_TYPE, Trip, a_block, a_message, a_rule, send, sent

TENANT = parse_source("const:clinic")
NAMES = Names(tenant=TENANT, conversation=parse_source("$.room"))
CANARY = "canary-3fd0"


def rule(at: str = "$", *, names: Names = NAMES) -> Rule:
    """Return a rule for records at a place, which opens answers of the same shape."""
    records = parse_json_selector(at)
    request = a_block(encrypt=["$.text"], plain=["$.id"])
    response = a_block(decrypt=["optional $.text"], names=names)
    return a_rule(
        request=replace(request, records=records),
        response=replace(response, records=records),
        names=names,
    )


def wrapped(at: str, value: object) -> str:
    return json.dumps(value if at == "$" else {"data": value})


def a_record(text: str = "hello", room: str = "c1") -> dict[str, object]:
    return {"id": 1, "room": room, "text": text}


def refused(made: Rule, value: object, error: type[Exception]) -> None:
    body = value if isinstance(value, str) else json.dumps(value)
    with pytest.raises(error):
        send(made, a_message(body))


RECORDS = st.lists(st.builds(a_record, st.text(max_size=20), st.sampled_from(["c1", "c2"])))


@pytest.mark.parametrize("at", ["$", "$.data"])
@given(records=RECORDS, lone=st.booleans())
def test_each_record_is_sealed_for_its_own_names_and_opens_as_another_shape(
    at: str,
    records: list[dict[str, Any]],
    lone: bool,  # noqa: FBT001 - drawn
) -> None:
    made = rule(at)
    value: Any = records[0] if lone and records else records
    if not records:
        return
    stored = json.loads(sent(made, a_message(wrapped(at, value))))
    stored = stored if at == "$" else stored["data"]
    rows = [stored] if isinstance(stored, dict) else stored
    assert len(rows) == (1 if lone else len(records))
    for row, record in zip(rows, records, strict=False):
        assert row["text"].startswith("eyJ")
        assert (row["id"], row["room"]) == (record["id"], record["room"])
    # A list of what was sent one by one opens, and one of what was sent as a list.
    trip = Trip((made,), a_message(wrapped(at, a_record())))
    trip.request()
    for answer in (rows, rows[0]):
        applied = trip.response(wrapped(at, answer))
        assert applied is not None
        opened = json.loads(applied.forwardable.body or b"")
        expected = records[: len(rows)] if answer is rows else records[0]
        assert opened == json.loads(wrapped(at, expected))


@pytest.mark.parametrize("many", [False, True])
def test_a_record_of_another_room_does_not_open(many: bool) -> None:  # noqa: FBT001 - drawn
    made = rule()
    token = json.loads(sent(made, a_message(json.dumps(a_record()))))["text"]
    moved = a_record(token, "c2")
    trip = Trip((made,), a_message(json.dumps(a_record())))
    trip.request()
    with pytest.raises(OpenFailed):
        trip.response(json.dumps([a_record(token), moved] if many else moved))


def test_the_shape_decides_and_nothing_passes_between_the_two() -> None:
    made = rule()
    for value in (
        [a_record(), [a_record()]],
        [[a_record()]],
        {"0": a_record()},
        [{**a_record(), "txt": CANARY}],
        {**a_record(), "data": [a_record()]},
        [a_record(), CANARY],
        [{"id": {"text": CANARY}, "room": "c1", "text": "a"}],
    ):
        refused(made, value, MessageError)
    for text in (CANARY, "1", json.dumps("[]")):
        refused(made, text, MessageError)
    refused(made, [{"id": 1, "room": "c1"}], MissingValue)
    refused(made, "\ufeff[]", InvalidBody)


def test_no_record_lacks_its_values_as_no_member_does() -> None:
    refused(rule(), " [ ] ", MissingValue)
    refused(rule("$.data"), {"data": []}, MissingValue)
    block = a_block(encrypt=["optional $.text"], plain=["$.id"])
    block = replace(block, nothing="pass", records=parse_json_selector("$"))
    assert sent(a_rule(request=block, names=NAMES), a_message(" [ ] ")) == b" [ ] "


def test_the_place_of_the_records_has_one_spelling() -> None:
    made = rule("$.data")
    refused(made, {"data": a_record(), "DATA": [a_record()]}, ForbiddenValue)
    refused(made, '{"data":[],"data":{"id":1,"room":"c1","text":"a"}}', MessageError)
    refused(made, {"dat": a_record()}, MessageError)
    refused(made, {"data": a_record(), "more": CANARY}, UnlistedName)
    refused(made, a_record(), MessageError)


def test_an_optional_value_lets_no_list_through() -> None:
    block = a_block(encrypt=["optional $.text"], plain=["$.id"])
    block = replace(block, nothing="pass", records=parse_json_selector("$"))
    made = a_rule(request=block, names=NAMES)
    passed = json.loads(sent(made, a_message(json.dumps([a_record(CANARY), {"id": 2}]))))
    assert passed[0]["text"].startswith("eyJ")
    refused(made, [[a_record(CANARY)]], MessageError)


@pytest.mark.parametrize(
    ("rooms", "opens"), [(["c1"], True), (["c1", "c1"], True), (["c1", "c2"], False)]
)
def test_an_answer_has_the_name_in_which_all_records_agree(rooms: list[str], opens: bool) -> None:  # noqa: FBT001 - drawn
    made = rule()
    answer = replace(a_block(decrypt=["$.text"]), records=parse_json_selector("$"))
    made = replace(made, response=(answer,))
    trip = Trip((made,), a_message(json.dumps([a_record(room=one) for one in rooms])))
    stored = json.loads(trip.request().forwardable.body or b"")
    answered = json.dumps([{"text": stored[0]["text"]}])
    if opens:
        applied = trip.response(answered)
        assert applied is not None
        assert json.loads(applied.forwardable.body or b"") == [{"text": "hello"}]
    else:
        with pytest.raises(MissingValue):
            trip.response(answered)


def test_records_of_a_stream_are_one_or_many_each() -> None:
    ndjson = ((b"Content-Type", b"application/x-ndjson"),)
    lines = [json.dumps(a_record()), json.dumps([a_record(), a_record()])]
    body = sent(rule(), a_message("\n".join(lines), headers=ndjson))
    one, many = map(json.loads, body.split(b"\n"))
    assert [row["text"][:3] for row in (one, *many)] == ["eyJ"] * 3


def test_an_answer_that_is_neither_stays_as_it_is() -> None:
    made = rule("$.data")
    for body in ('{"data":null}', "{}", "[]", '{"errors":[]}'):
        trip = Trip((made,), a_message(wrapped("$.data", a_record()), headers=JSON_TYPE))
        trip.request()
        applied = trip.response(body)
        assert applied is not None
        assert applied.forwardable.body == body.encode()


@pytest.mark.parametrize("at", ["$", "$.data"])
@pytest.mark.parametrize("zero", ["0", r"\u0030"])
def test_no_object_is_a_list_in_disguise(at: str, zero: str) -> None:
    made = rule(at)
    open_block = replace(a_block(encrypt=["$.text"]), records=parse_json_selector(at))
    body = wrapped(at, {**a_record(), "first": a_record(CANARY)}).replace("first", zero)
    for one in (made, replace(made, request=(open_block,))):
        refused(one, body, MessageError)
    nested = wrapped(at, {**a_record(), "counts": {"0": 1}})
    assert b'"counts": {"0": 1}' in sent(replace(made, request=(open_block,)), a_message(nested))
