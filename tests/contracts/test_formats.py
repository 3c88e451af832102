"""What holds for every body format, whatever it is: the contract of `FORMATS`."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from itertools import chain, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.compiled.block import CompiledBlock
from proxy.core.errors import MessageError
from proxy.core.expressions.sources import parse_source
from proxy.core.formats.body_format import BodyFormat
from proxy.core.formats.table import FORMATS, RECORDS, kind_of
from proxy.core.http.message import Headers, parse_media_type
from proxy.core.planning.record_stream import RecordFlow
from proxy.core.rules.model import Block, Item, Names, Rule
from proxy.core.transform import begin_stream, plan_request
from proxy.core.values.hows import Seal
from tests.factories import (
    Trip,
    a_block,
    a_message,
    a_response,
    a_rule,
    an_item,
    replied,
    sent,
    streamed,
)

NAMES = Names(tenant=parse_source("const:clinic"), conversation=parse_source("const:c1"))
SELECTORS = {"$": "$..note", "form": "form:note", "part": "part:note", "text": "text"}

each_format = pytest.mark.parametrize("body_format", FORMATS.values(), ids=FORMATS)
each_of_answers = pytest.mark.parametrize(
    "body_format",
    [one for one in FORMATS.values() if not one.requests_only],
    ids=lambda one: one.kind,
)
each_that_streams = pytest.mark.parametrize(
    "kind", [kind for kind, one in RECORDS.items() if one.splitter is not None]
)


def the_type(body_format: BodyFormat) -> Headers:
    media = min(body_format.media_types, default=body_format.example_type)
    return ((b"Content-Type", (media + body_format.example_parameters).encode()),)


def the_selector(body_format: BodyFormat) -> str:
    return next(SELECTORS[place] for place in SELECTORS if place in body_format.places)


def bound(selector: str) -> Item:
    return an_item(selector, bind=["tenant", "conversation"])


def as_this(body_format: BodyFormat, block: Block) -> Block:
    return replace(block, format=body_format.kind)


def sealing(body_format: BodyFormat) -> Rule:
    block = as_this(body_format, a_block(encrypt=[bound(the_selector(body_format))]))
    return a_rule(request=block, names=NAMES)


def opening(body_format: BodyFormat, selector: str) -> Rule:
    return a_rule(response=as_this(body_format, a_block(decrypt=[bound(selector)])), names=NAMES)


def sealed(body_format: BodyFormat) -> bytes:
    message = a_message(body_format.example, headers=the_type(body_format))
    return sent(sealing(body_format), message)


@each_format
def test_a_format_has_an_example_and_a_place(body_format: BodyFormat) -> None:
    assert FORMATS[body_format.kind] is body_format
    assert b"secret" in body_format.example
    assert body_format.places


@each_format
def test_a_media_type_has_one_format(body_format: BodyFormat) -> None:
    suffixes = [] if body_format.suffix is None else [f"application/x+{body_format.suffix}"]
    for media in (*body_format.media_types, *suffixes):
        assert kind_of(parse_media_type(media.encode())) == body_format.kind


@each_of_answers
def test_nothing_to_open_leaves_every_byte(body_format: BodyFormat) -> None:
    rule = opening(body_format, "tokens")

    body = replied(rule, body_format.example, a_response(headers=the_type(body_format)))

    assert body == body_format.example


@each_format
def test_no_sealed_value_is_left_in_plain(body_format: BodyFormat) -> None:
    body = sealed(body_format)

    assert b"secret" not in body
    assert body != body_format.example


@each_format
def test_what_is_sealed_opens_in_requests(body_format: BodyFormat) -> None:
    block = as_this(body_format, a_block(decrypt=[bound(the_selector(body_format))]))
    message = a_message(sealed(body_format), headers=the_type(body_format))

    assert sent(a_rule(request=block, names=NAMES), message) == body_format.example


@each_of_answers
@pytest.mark.parametrize("by", ["tokens", "selector"])
def test_what_is_sealed_opens(body_format: BodyFormat, by: str) -> None:
    selector = "tokens" if by == "tokens" else the_selector(body_format)
    head = a_response(headers=the_type(body_format))

    assert replied(opening(body_format, selector), sealed(body_format), head) == (
        body_format.example
    )


@each_format
def test_spans_lie_inside_the_body_and_apart(body_format: BodyFormat) -> None:
    message = a_message(body_format.example, headers=the_type(body_format))
    plan = plan_request(Trip((sealing(body_format),), message).exchange, message.body)

    spans = sorted(
        plan.values.span(row) for row, how in enumerate(plan.values.hows) if isinstance(how, Seal)
    )

    assert spans
    assert all(end <= start for (_, end), (start, _) in pairwise(spans))
    assert all(b"secret" in message.body[start:end] for start, end in spans)


@each_format
@given(data=st.data())
def test_random_bytes_raise_only_message_errors(
    body_format: BodyFormat, data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(body_format.example)))
    end = data.draw(st.integers(at, len(body_format.example)))
    body = body_format.example[:at] + data.draw(st.binary(max_size=8)) + body_format.example[end:]
    message = a_message(body or b"x", headers=the_type(body_format))

    with suppress(MessageError):
        sent(sealing(body_format), message)
    if body_format.requests_only:
        return
    with suppress(MessageError):
        replied(opening(body_format, "tokens"), body, a_response(headers=the_type(body_format)))


@each_format
@given(body=st.binary(max_size=40))
def test_reading_fields_raises_only_message_errors(body_format: BodyFormat, body: bytes) -> None:
    facts = a_response(headers=the_type(body_format)).facts

    with suppress(MessageError):
        list(body_format.fields(facts, body))
    with suppress(MessageError):
        list(body_format.misread(body))


@each_that_streams
@given(cuts=st.lists(st.integers(0, 1000), max_size=6))
def test_streamed_records_are_those_of_the_whole_body(kind: str, cuts: list[int]) -> None:
    body_format = RECORDS[kind]
    body = sealed(body_format)
    rule = opening(body_format, the_selector(body_format))
    head = a_response(headers=the_type(body_format))
    trip = Trip((rule,), a_message())
    compiled = CompiledBlock(rule.response[0], NAMES, "response")  # type: ignore[index]  # blocks
    flow = begin_stream(trip.exchange, compiled, head, kind, len(body)).flow
    assert isinstance(flow, RecordFlow)
    borders = [0, *sorted({cut % len(body) for cut in cuts} - {0}), len(body)]

    parts = [body[start:end] for start, end in pairwise(borders)]
    steps = chain(chain.from_iterable(map(flow.feed, parts)), flow.end())

    assert b"".join(streamed(steps)) == replied(rule, body, head)
