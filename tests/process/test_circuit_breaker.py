from __future__ import annotations

from collections.abc import Callable

from proxy.process.circuit_breaker import NO_TRIAL, CircuitBreaker

from ..keys.builders import Time

FAST_FAILURES = 3


def a_breaker(clock: Callable[[], float]) -> CircuitBreaker:
    return CircuitBreaker(clock, failures=FAST_FAILURES, rest=1, longest_rest=3)


def test_one_slow_failure_opens_it() -> None:
    breaker = a_breaker(Time())
    breaker.failed(NO_TRIAL, slow=True)
    assert (breaker.state, breaker.admits(), breaker.opened) == ("open", False, 1)


def test_fast_failures_open_it_only_in_a_row() -> None:
    breaker = a_breaker(Time())
    for _ in range(FAST_FAILURES - 1):
        breaker.failed(NO_TRIAL)
    breaker.succeeded()
    breaker.failed(NO_TRIAL)
    assert breaker.admits()
    for _ in range(FAST_FAILURES - 1):
        breaker.failed(NO_TRIAL)
    assert breaker.state == "open"


def test_after_its_rest_one_may_ask_and_its_answer_decides() -> None:
    time = Time()
    breaker = a_breaker(time)
    breaker.failed(NO_TRIAL, slow=True)
    time.advance(1)
    rested = breaker.state  # held, since mypy takes a property for settled
    assert rested == "half-open"
    assert [breaker.admits(), breaker.admits()] == [True, False]
    breaker.failed(breaker.trial)
    assert not breaker.admits()
    time.advance(2)
    assert breaker.admits()
    breaker.succeeded()
    assert [breaker.admits(), breaker.admits()] == [True, True]


def test_a_probe_that_nobody_waits_for_leaves_its_place_to_another() -> None:
    time = Time()
    breaker = a_breaker(time)
    breaker.failed(NO_TRIAL, slow=True)
    time.advance(1)
    assert breaker.admits()
    breaker.released(breaker.trial)
    assert breaker.admits()


def test_a_clock_that_is_set_back_does_not_prolong_the_rest() -> None:
    time = Time()
    breaker = a_breaker(time)
    breaker.failed(NO_TRIAL, slow=True)
    time.advance(-3600)
    assert breaker.admits()


def test_its_state_has_a_name() -> None:
    time = Time()
    breaker = a_breaker(time)
    states = [breaker.state]
    breaker.failed(NO_TRIAL, slow=True)
    states.append(breaker.state)
    time.advance(1)
    states.append(breaker.state)
    assert states == ["closed", "open", "half-open"]


def test_each_probe_in_vain_doubles_the_rest_up_to_the_longest() -> None:
    time = Time()
    breaker = a_breaker(time)
    breaker.failed(NO_TRIAL, slow=True)
    rests = []
    for _ in range(4):
        rests.append(breaker.seconds_left)
        time.advance(breaker.seconds_left)
        assert breaker.admits()
        breaker.failed(breaker.trial)

    assert rests == [1, 2, 3, 3]


def test_a_success_ends_the_long_rests() -> None:
    time = Time()
    breaker = a_breaker(time)
    breaker.failed(NO_TRIAL, slow=True)
    time.advance(1)
    breaker.admits()
    breaker.failed(breaker.trial)
    breaker.succeeded()
    breaker.failed(NO_TRIAL, slow=True)

    assert breaker.seconds_left == 1


def test_what_began_before_it_opened_does_not_prolong_the_rest() -> None:
    time = Time()
    breaker = a_breaker(time)
    breaker.failed(NO_TRIAL, slow=True)
    time.advance(0.9)
    breaker.failed(NO_TRIAL, slow=True)

    assert (breaker.opened, round(breaker.seconds_left, 3)) == (1, 0.1)


def test_what_began_before_it_opened_does_not_end_the_trial() -> None:
    time = Time()
    breaker = a_breaker(time)
    assert breaker.admits()
    before = breaker.trial
    breaker.failed(NO_TRIAL, slow=True)
    time.advance(1)
    assert breaker.admits()
    trial = breaker.trial

    breaker.released(before)
    breaker.failed(before, slow=True)

    assert (breaker.admits(), breaker.opened) == (False, 1)
    breaker.failed(trial)
    assert (breaker.opened, breaker.seconds_left) == (2, 2)


def test_a_trial_that_another_has_outlived_decides_nothing() -> None:
    time = Time()
    breaker = a_breaker(time)
    trials = []
    for _ in range(2):
        breaker.failed(NO_TRIAL, slow=True)
        time.advance(1)
        assert breaker.admits()
        trials.append(breaker.trial)
        if len(trials) == 1:
            breaker.succeeded()  # another request did

    breaker.released(trials[0])
    breaker.failed(trials[0])

    assert (breaker.admits(), breaker.opened) == (False, 2)


def test_a_success_of_what_is_not_the_trial_closes_it() -> None:
    time = Time()
    breaker = a_breaker(time)
    breaker.failed(NO_TRIAL, slow=True)
    time.advance(1)
    assert breaker.admits()
    trial = breaker.trial
    breaker.succeeded()
    breaker.failed(trial)

    assert (breaker.state, breaker.opened) == ("closed", 1)


def test_a_closed_one_has_no_rest_left() -> None:
    assert a_breaker(Time()).seconds_left == 0
