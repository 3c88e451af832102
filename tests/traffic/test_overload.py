"""What tells an overload from a burst: a delay that stands, and turns of the loop that are long."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from proxy.traffic.overload import StandingDelay
from proxy.traffic.policy import FAIR_TIMES, STANDING_SECONDS, TURN_SECONDS
from proxy.traffic.turns import LoopLag


class Loop:
    """An event loop in simulated time, of which each request takes `work` seconds."""

    def __init__(self, work: float) -> None:
        self.now = 0.0
        self.work = work
        self.at_the_end: list[Callable[[], None]] = []
        self.lag = LoopLag(self.at_the_end.append, clock=lambda: self.now, cpu=lambda: self.now)

    def turn(self, *clients: str) -> Counter[str]:
        """Run one turn in which these clients ask; return how many of each are served."""
        served: Counter[str] = Counter()
        for client in clients:
            if not self.lag.refuses(client):
                served[client] += 1
                self.now += self.work
        ending, self.at_the_end[:] = tuple(self.at_the_end), []
        for end in ending:
            end()
        return served

    def overload(self, seconds: float, *clients: str) -> Counter[str]:
        """Let the same clients ask in each turn for so long; return who was served in all."""
        until, served = self.now + seconds, Counter[str]()
        while self.now < until:
            served += self.turn(*clients)
        return served


def stands(delay: StandingDelay, *times: float) -> list[bool]:
    """Let somebody wait at each of the times; return whether the delay stands then."""
    found = []
    for now in times:
        delay.long(now)
        found.append(delay.stands(now))
    return found


def test_a_delay_stands_once_it_has_not_been_short_for_the_interval() -> None:
    delay = StandingDelay(1.0)
    assert stands(delay, 0.0, 0.5, 0.9) == [False, False, False]
    delay.short(0.95)
    assert stands(delay, 1.1, 2.0, 2.2) == [False, False, True]


def test_a_delay_that_has_stood_is_over_once_it_is_short_for_a_fifth_of_the_interval() -> None:
    delay = StandingDelay(1.0)
    stands(delay, 0.0, 0.5, 1.1)
    delay.short(1.2)
    assert stands(delay, 1.3) == [True]
    delay.short(1.4)
    assert not delay.stands(1.65)
    assert stands(delay, 1.7, 2.6, 2.8) == [False, False, True]


def test_a_delay_that_nobody_has_met_for_the_interval_is_forgotten() -> None:
    delay = StandingDelay(1.0)
    delay.long(0.0)
    delay.long(5.0)

    assert not delay.stands(5.0)


def test_a_burst_is_served_whole() -> None:
    loop = Loop(work=0.001)

    assert loop.turn(*["one"] * 300) == {"one": 300}


def test_turns_that_stay_long_are_cut_short() -> None:
    loop = Loop(work=0.003)
    loop.overload(STANDING_SECONDS + 1, *["one"] * 100)
    before = loop.now
    loop.turn(*["one"] * 100)

    assert TURN_SECONDS <= loop.now - before <= TURN_SECONDS + loop.work


def test_one_of_a_hundred_requests_is_served_when_the_others_are_refused() -> None:
    loop = Loop(work=0.003)
    crowd = [*["flood"] * 99, "polite"]
    loop.overload(STANDING_SECONDS + 1, *crowd)
    served = loop.overload(10, *crowd)

    assert served["polite"] >= 0.95 * (served["flood"] / (TURN_SECONDS / loop.work))


def test_a_hundred_polite_clients_do_not_make_turns_long() -> None:
    loop = Loop(work=0.003)
    crowd = [f"client-{number}" for number in range(200)]
    loop.overload(STANDING_SECONDS + 1, *crowd)
    before = loop.now
    loop.turn(*crowd)

    assert loop.now - before <= FAIR_TIMES * TURN_SECONDS + loop.work


def test_one_short_turn_does_not_end_the_overload_and_some_in_a_row_do() -> None:
    loop = Loop(work=0.003)
    loop.overload(STANDING_SECONDS + 1, *["one"] * 100)
    loop.turn("one")

    assert loop.turn(*["one"] * 100)["one"] < 100

    for _ in range(10):
        loop.turn("one")
        loop.now += STANDING_SECONDS / 40

    assert loop.turn(*["one"] * 100) == {"one": 100}


def test_a_long_turn_after_a_pause_is_no_overload() -> None:
    loop = Loop(work=0.2)
    for _ in range(10):
        loop.now += 1
        assert loop.turn("one", "one") == {"one": 2}


def test_the_longest_turn_is_told_once() -> None:
    loop = Loop(work=0.2)
    loop.turn("one")

    assert (round(loop.lag.longest(), 3), loop.lag.longest()) == (0.2, 0.0)


@given(st.integers(1, 20), st.integers(1, 400), st.floats(0.0005, 0.02))
def test_no_turn_of_an_overload_is_longer_than_the_fair_one(
    clients: int, requests: int, work: float
) -> None:
    loop = Loop(work=work)
    crowd = [f"client-{number % clients}" for number in range(requests)]
    for _ in range(100):
        stood = loop.lag._long.stands(loop.now)
        before = loop.now
        loop.turn(*crowd)

        assert not stood or loop.now - before <= FAIR_TIMES * TURN_SECONDS + 2 * work
