from __future__ import annotations

from proxy.keys.stores.guarded import FAST_FAILURES, Breaker

from ..builders import Time


def test_one_slow_failure_opens_it() -> None:
    breaker = Breaker(Time())
    breaker.failed(slow=True)
    assert (breaker.state, breaker.admits(), breaker.opened) == ("open", False, 1)


def test_fast_failures_open_it_only_in_a_row() -> None:
    breaker = Breaker(Time())
    for _ in range(FAST_FAILURES - 1):
        breaker.failed(slow=False)
    breaker.succeeded()
    breaker.failed(slow=False)
    assert breaker.admits()
    for _ in range(FAST_FAILURES - 1):
        breaker.failed(slow=False)
    assert breaker.state == "open"


def test_after_its_rest_one_may_ask_and_its_answer_decides() -> None:
    time = Time()
    breaker = Breaker(time)
    breaker.failed(slow=True)
    time.advance(1)
    rested = breaker.state  # held, since mypy takes a property for settled
    assert rested == "half-open"
    assert [breaker.admits(), breaker.admits()] == [True, False]
    breaker.failed(slow=False)
    assert not breaker.admits()
    time.advance(1)
    assert breaker.admits()
    breaker.succeeded()
    assert [breaker.admits(), breaker.admits()] == [True, True]


def test_a_probe_that_nobody_waits_for_leaves_its_place_to_another() -> None:
    time = Time()
    breaker = Breaker(time)
    breaker.failed(slow=True)
    time.advance(1)
    assert breaker.admits()
    breaker.released()
    assert breaker.admits()


def test_a_clock_that_is_set_back_does_not_prolong_the_rest() -> None:
    time = Time()
    breaker = Breaker(time)
    breaker.failed(slow=True)
    time.advance(-3600)
    assert breaker.admits()


def test_its_state_has_a_name() -> None:
    time = Time()
    breaker = Breaker(time)
    states = [breaker.state]
    breaker.failed(slow=True)
    states.append(breaker.state)
    time.advance(1)
    states.append(breaker.state)
    assert states == ["closed", "open", "half-open"]
