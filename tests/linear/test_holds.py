"""No message holds the event loop for long, whatever its format and its values.

What is measured is the processor time from one pause of the core to the next. The bounds leave room
for a busy machine: most messages pause far more often.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from proxy.config.limits import MEBIBYTE, TrafficLimits
from proxy.core import slices
from proxy.core.apply.apply import apply
from proxy.core.errors import MessageError
from proxy.core.planning.block_choice import choose_response
from proxy.core.planning.plan import Plan
from proxy.core.planning.planner import plan_request, plan_response
from tests.factories import Trip, a_message, a_response, keys_for
from tests.linear.works import GROWTHS, Growth

LARGEST = TrafficLimits().body
BODIES = [one for one in GROWTHS if len(one.body(20)) > len(one.body(10))]
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
        with slices.pausing(self.pause):
            self.began = time.thread_time()
            yield
            self.pause()


def size_for(growth: Growth, size: int) -> int:
    """Return how many of what a message has a body of at most `size` bytes has."""
    small, more = len(growth.body(_SMALL)), len(growth.body(_MORE))
    number = max(1, (size - small) * (_MORE - _SMALL) // (more - small))
    while len(growth.body(number)) > size:
        number = number * 9 // 10
    return number


def longest_hold(growth: Growth, number: int) -> float:
    body, holds = growth.body(number), Holds()
    trip = Trip(
        (growth.rule,), a_message(b"{}", headers=growth.headers, target=growth.target(number))
    )
    gc.collect()
    gc.disable()  # as `Slices` does for the oldest generation
    try:
        with holds.measured():
            plan = _plan(growth, trip, body)
        if plan is not None:
            keys = keys_for(plan.needs)
            with holds.measured():
                apply(plan, keys, trip.now)
    except MessageError:
        holds.pause()
    finally:
        gc.enable()
    return holds.longest


def _plan(growth: Growth, trip: Trip, body: bytes) -> Plan | None:
    if not growth.response:
        return plan_request(trip.exchange, body)
    head = a_response(headers=growth.headers)
    compiled = choose_response(trip.exchange, head)
    return None if compiled is None else plan_response(trip.exchange, compiled, head, body)


@pytest.mark.parametrize("growth", BODIES, ids=lambda one: one.name)
def test_no_message_holds_the_loop_for_long(growth: Growth) -> None:
    number = min(MANY // 4, size_for(growth, 2 * MEBIBYTE))

    assert longest_hold(growth, number) < MOST_SECONDS


@pytest.mark.slow
@pytest.mark.parametrize("growth", BODIES, ids=lambda one: one.name)
def test_no_message_of_the_largest_size_holds_the_loop_for_long(
    growth: Growth, record_property: Callable[[str, object], None]
) -> None:
    largest = size_for(growth, LARGEST)

    holds = [longest_hold(growth, number) for number in {largest, min(largest, MANY)}]

    record_property("longest hold", f"{1000 * max(holds):.1f} ms")
    assert max(holds) < MOST_SECONDS_LARGEST
