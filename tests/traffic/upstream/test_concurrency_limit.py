"""The adaptive limit, before simulated backends whose capacity is known."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.traffic.policy import LEAST_LIMIT
from proxy.traffic.upstream.concurrency_limit import ConcurrencyLimit

from .simulation import World, exponential

MOST = 100


def a_limit(clock: Callable[[], float]) -> ConcurrencyLimit:
    return ConcurrencyLimit(MOST, clock=clock)


@pytest.mark.parametrize(
    ("slots", "times"), [(2, 6), (20, 1.5), (20, 3), (20, 5), (60, 1.5), (60, 3), (60, 5)]
)
def test_an_overloaded_backend_stays_busy_and_answers_in_time(slots: int, times: float) -> None:
    capacity = slots / 0.1
    world = World(a_limit, lambda _: slots, lambda _: 0.1, lambda _: times * capacity)
    world.run(60)

    assert world.good(40, 60) >= 0.85 * capacity
    assert world.percentile(0.5, since=40) <= 0.6


def test_a_backend_of_changing_service_times_stays_busy() -> None:
    service = exponential(mean=0.1)
    world = World(a_limit, lambda _: 20, service, lambda _: 600)
    world.run(40)

    assert world.good(20, 40) >= 0.8 * 200


def test_a_backend_that_has_slowed_down_for_good_is_not_held_back() -> None:
    # 80 at a time take 160 ms each instead of 20, whatever the limit is.
    world = World(a_limit, lambda _: 400, lambda now: 0.02 if now < 20 else 0.16, lambda _: 500)
    world.run(40)

    assert world.good(30, 40) >= 0.95 * 500


def test_a_backend_that_has_grown_gets_more() -> None:
    world = World(a_limit, lambda now: 20 if now < 20 else 60, lambda _: 0.1, lambda _: 1000)
    world.run(40)

    assert world.good(30, 40) >= 0.85 * 600


def test_a_limit_that_nobody_waits_for_stays() -> None:
    world = World(a_limit, lambda _: 400, exponential(mean=0.05), lambda _: 700)
    world.run(20)

    assert {limit for _, limit in world.limits} == {MOST}


def test_one_trial_costs_little_of_the_throughput() -> None:
    world = World(a_limit, lambda _: 20, lambda _: 0.1, lambda _: 600)
    world.run(60)

    assert min(world.good(second, second + 1) for second in range(20, 59)) >= 0.75 * 200


@settings(max_examples=50)
@given(
    st.integers(1, 200),
    st.lists(
        st.tuples(
            st.floats(0, 100),
            st.sampled_from(["answered", "failed", "timeout", "abandoned", "unsent"]),
            st.integers(0, 200),
            st.floats(0, 1),
        ),
        max_size=600,
    ),
)
def test_the_limit_stays_between_its_bounds(
    most: int, ended: list[tuple[float, str, int, float]]
) -> None:
    now = [0.0]
    limit = ConcurrencyLimit(most, clock=lambda: now[0])
    for seconds, outcome, under_way, passed in ended * 3:
        now[0] += passed
        limit.ended(seconds, outcome, full=under_way >= limit.value)

        assert min(LEAST_LIMIT, most) <= limit.value <= most
