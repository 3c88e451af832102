"""No message holds the event loop for long, whatever its format and its values.

What is measured is the processor time from one pause of the core to the next. The bounds leave room
for a busy machine: most messages pause far more often.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import chain

import pytest

from proxy.config.limits import MEBIBYTE, TrafficLimits
from proxy.core import slices
from proxy.core.errors import MessageError
from proxy.core.expressions.sources import parse_source
from proxy.core.formats.body_format import Kind
from proxy.core.http.message import RequestHead, ResponseHead
from proxy.core.planning.block_choice import choose_response
from proxy.core.planning.plan import Plan
from proxy.core.planning.record_stream import RecordFlow, Records, streamed_response
from proxy.core.policy import PIECE_BYTES
from proxy.core.rules.model import Names
from proxy.core.transform import apply, begin_stream, plan_request, plan_response
from proxy.traffic.slices import is_long
from tests.factories import (
    NOW,
    Trip,
    a_block,
    a_message,
    a_response,
    a_rule,
    keys_for,
    streaming_request,
)
from tests.linear.works import EVENTS, GROWTHS, NDJSON, Growth

LARGEST = TrafficLimits().body
BODIES = [one for one in GROWTHS if len(one.body(20)) > len(one.body(10))]
CARDS = a_rule(
    request=a_block(encrypt=["$.items[*].card"]), names=Names(conversation=parse_source("const:c"))
)
SEQUENCE = ((b"Content-Type", b"application/json-seq"),)
STREAMS = (
    *(one for one in BODIES if one.headers in {NDJSON, EVENTS}),
    Growth(
        "a list on one line",
        CARDS,
        lambda n: b'{"items":[%b]}\n' % b",".join([b'{"card":"4"}'] * n),
        headers=NDJSON,
    ),
    Growth(
        "lists on one line",
        CARDS,
        lambda n: b'{"items":[],"n":[%b]}\n' % b",".join([b'[1,{"a":2}]'] * n),
        headers=NDJSON,
    ),
)
BRACKETS = Growth("brackets", CARDS, lambda n: b"\x1e" + b"[[[[[[[[[" * n, headers=SEQUENCE)
MOST_SECONDS = 0.05
MOST_SECONDS_LARGEST = 0.05
MANY = 29_000
"""Fewer values than a message may have: then they are all sealed or opened."""
_SMALL, _MORE = 100, 200


@dataclass
class Holds:
    """How long the loop is held between two pauses, in seconds of the processor."""

    longest: float = 0.0
    began: float = 0.0

    def pause(self) -> None:
        now = time.thread_time()
        self.longest = max(self.longest, now - self.began)
        self.began = time.thread_time()

    @contextmanager
    def measured(self) -> Iterator[None]:
        with slices.pausing(self.pause), self.unbroken():
            yield

    @contextmanager
    def unbroken(self) -> Iterator[None]:
        self.began = time.thread_time()
        try:
            yield
        finally:
            self.pause()


def size_for(growth: Growth, size: int) -> int:
    """Return how many of what a message has a body of at most `size` bytes has."""
    small, more = len(growth.body(_SMALL)), len(growth.body(_MORE))
    number = max(1, (size - small) * (_MORE - _SMALL) // (more - small))
    while len(growth.body(number)) > size:
        number = number * 9 // 10
    return number


@contextmanager
def without_cycles() -> Iterator[None]:
    """Collect no garbage, as `Slices` does for the oldest generation."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def longest_hold(growth: Growth, number: int) -> float:
    body, holds = growth.body(number), Holds()
    trip = Trip(
        (growth.rule,), a_message(b"{}", headers=growth.headers, target=growth.target(number))
    )
    with without_cycles(), suppress(MessageError):
        with holds.measured():
            plan = _plan(growth, trip, body)
        if plan is not None:
            keys = keys_for(plan.needs)
            with holds.measured():
                apply(plan, keys, trip.now)
    return holds.longest


def longest_hold_of_stream(growth: Growth, number: int) -> float:
    """Return the same for a stream: steps are taken in the loop, and long ones planned in turns."""
    body, holds = growth.body(number), Holds()
    flow = _begun(growth)
    pieces = (body[at : at + PIECE_BYTES] for at in range(0, len(body), PIECE_BYTES))
    steps = chain(chain.from_iterable(map(flow.feed, pieces)), flow.end())
    with without_cycles(), suppress(MessageError):
        while True:
            with holds.unbroken():
                step = next(steps, None)
            if step is None:
                break
            assert isinstance(step, Records)
            how = holds.measured if is_long(step.body) else holds.unbroken
            try:
                with how():
                    plan = step.plan()
                if plan is not None:
                    keys = keys_for(plan.needs)
                    with how():
                        apply(plan, keys, NOW)
            except MessageError:
                with how():
                    halves = step.halves()
                if not halves:
                    raise
                steps = chain(halves, steps)
    return holds.longest


def _begun(growth: Growth) -> RecordFlow:
    trip = Trip((growth.rule,), a_message(b"{}", headers=growth.headers))
    head: RequestHead | ResponseHead = trip.message.head
    kind: Kind | None
    if growth.response:
        head = a_response(headers=growth.headers)
        compiled = choose_response(trip.exchange, head)
        assert compiled is not None
        kind = streamed_response(compiled, head, None)
    else:
        chosen = streaming_request(trip.exchange, None, 0)
        assert chosen is not None
        compiled, kind = chosen
    assert kind is not None
    flow = begin_stream(trip.exchange, compiled, head, kind, LARGEST).flow
    assert isinstance(flow, RecordFlow)
    return flow


def _plan(growth: Growth, trip: Trip, body: bytes) -> Plan | None:
    if not growth.response:
        return plan_request(trip.exchange, body)
    head = a_response(headers=growth.headers)
    compiled = choose_response(trip.exchange, head)
    return None if compiled is None else plan_response(trip.exchange, compiled, head, body)


@pytest.mark.timing
@pytest.mark.parametrize("growth", BODIES, ids=lambda one: one.name)
def test_no_message_holds_the_loop_for_long(growth: Growth) -> None:
    number = min(MANY // 4, size_for(growth, 2 * MEBIBYTE))

    assert longest_hold(growth, number) < MOST_SECONDS


@pytest.mark.timing
@pytest.mark.parametrize("growth", [*STREAMS, BRACKETS], ids=lambda one: one.name)
def test_no_stream_holds_the_loop_for_long(growth: Growth) -> None:
    number = min(MANY // 4, size_for(growth, 2 * MEBIBYTE))

    assert longest_hold_of_stream(growth, number) < MOST_SECONDS


@pytest.mark.timing
@pytest.mark.slow
@pytest.mark.parametrize("growth", STREAMS, ids=lambda one: one.name)
def test_no_stream_of_the_largest_size_holds_the_loop_for_long(growth: Growth) -> None:
    largest = size_for(growth, LARGEST)

    holds = [longest_hold_of_stream(growth, number) for number in {largest, min(largest, MANY)}]

    assert max(holds) < MOST_SECONDS_LARGEST


@pytest.mark.timing
@pytest.mark.slow
@pytest.mark.parametrize("growth", BODIES, ids=lambda one: one.name)
def test_no_message_of_the_largest_size_holds_the_loop_for_long(
    growth: Growth, record_property: Callable[[str, object], None]
) -> None:
    largest = size_for(growth, LARGEST)

    holds = [longest_hold(growth, number) for number in {largest, min(largest, MANY)}]

    record_property("longest hold", f"{1000 * max(holds):.1f} ms")
    assert max(holds) < MOST_SECONDS_LARGEST
