"""Permits: none is lost, shares leave a tenth to others, and turns are fair."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import random  # noqa: TID251 - a course that can be had again
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.config.limits import Timeouts, TrafficLimits
from proxy.core.errors import Busy
from proxy.traffic.timers import RepeatingTimer
from proxy.traffic.upstream.fair_queue import Scale, without_rest
from proxy.traffic.upstream.limit import FixedLimit, Outcome
from proxy.traffic.upstream.permits import KINDS, Claim, Permit, Permits

LIMITS = TrafficLimits(connections=20, waiting=40, websockets=5, event_streams=5, long_transfers=5)
HOUR = Timeouts(queue=3600.0)
T = TypeVar("T")


@dataclass
class MovingLimit:
    """A limit that a test moves."""

    value: int

    def ended(self, seconds: float, outcome: Outcome, *, full: bool) -> None:
        assert seconds >= 0


def permits(limits: TrafficLimits = LIMITS, limit: MovingLimit | None = None) -> Permits:
    return Permits(limits, HOUR, limit or MovingLimit(limits.connections))


def claim(client: str = "a", route: str = "r", most: int = 0) -> Claim:
    return Claim(client, route, most)


def take_all(some: Permits, one: Claim) -> list[Permit]:
    """Take permits for a claim until there are none."""
    taken = []
    while (permit := some.take_at_once(one)) is not None:
        taken.append(permit)
    return taken


@given(st.integers(0, 10_000))
def test_a_share_leaves_about_a_tenth(places: int) -> None:
    left = places - without_rest(places)
    assert left == (0 if places < 5 else max(1, places // 10))


@given(st.integers(1, 1000), st.none() | st.integers(1, 1000))
def test_a_scale_leaves_something_to_other_clients_and_routes(
    places: int, most: int | None
) -> None:
    scale = Scale.of(places, most)
    assert 0 < scale.flow <= scale.route <= places
    assert 0 < scale.client <= places
    if places >= 10:
        assert scale.flow < scale.client < places
        assert scale.route < places


async def test_a_client_leaves_a_tenth_to_others_on_each_route_and_in_all() -> None:
    some = permits(TrafficLimits(connections=100))
    held = [take_all(some, claim("flood", "r"))]
    assert len(held[0]) == 81  # nine tenths of the nine tenths of a route
    held.append(take_all(some, claim("flood", "other")))
    assert len(held[1]) == 9
    held.append(take_all(some, claim("polite", "r")))
    assert len(held[2]) == 9
    held.append(take_all(some, claim("polite", "other")))
    assert len(held[3]) == 1
    assert some.in_use == 100


async def test_a_rule_and_a_limit_can_give_a_route_less() -> None:
    some = permits(TrafficLimits(connections=100, connections_per_route=10))
    held = take_all(some, claim("a", "r")), take_all(some, claim("b", "r"))
    assert [len(one) for one in held] == [9, 1]
    assert len(take_all(some, claim("a", "narrow", 1))) == 1
    own = take_all(some, claim("a", "wide", 50))
    assert len(own) == 45


@pytest.mark.parametrize("number", [1, 2, 4])
async def test_few_permits_are_not_divided(number: int) -> None:
    some = permits(TrafficLimits(connections=number))
    assert len(take_all(some, claim())) == number


async def test_clients_take_turns() -> None:
    some = permits(replace(LIMITS, connections=1, waiting=1000))
    order: list[str] = []
    held = some.take_at_once(claim())
    assert held is not None

    async def one(client: str) -> None:
        permit = await some.take(claim(client))
        order.append(client)
        permit.release("answered")

    async with asyncio.TaskGroup() as group:
        for number in range(50):
            group.create_task(one("flood"))
            if number % 10 == 9:
                group.create_task(one("polite"))
        await asyncio.sleep(0)
        held.release("answered")
    assert Counter(order) == {"flood": 50, "polite": 5}
    assert max(at for at, client in enumerate(order) if client == "polite") <= 10


async def test_the_routes_of_a_client_take_turns() -> None:
    some = permits(replace(LIMITS, connections=1))
    order: list[str] = []
    held = some.take_at_once(claim())
    assert held is not None

    async def one(route: str) -> None:
        permit = await some.take(claim("a", route))
        order.append(route)
        permit.release("answered")

    async with asyncio.TaskGroup() as group:
        for route in ["x"] * 10 + ["y"] * 3:
            group.create_task(one(route))
        await asyncio.sleep(0)
        held.release("answered")
    assert order[:6] == ["x", "y"] * 3


async def test_a_flow_that_must_wait_holds_up_no_other() -> None:
    """A route that hangs has all it may have, and a thousand clients wait for it."""
    limits = replace(LIMITS, connections=10, waiting=1000)
    some = permits(limits)
    hanging = [take_all(some, claim(str(number), "hang")) for number in range(10)]
    assert sum(len(one) for one in hanging) == 9
    last = some.take_at_once(claim("z", "fine"))
    assert last is not None
    loop = asyncio.get_running_loop()
    waits = [loop.create_task(some.take(claim(str(number), "hang"))) for number in range(800)]
    await asyncio.sleep(0)
    fine = loop.create_task(some.take(claim("z", "fine")))
    await asyncio.sleep(0)
    last.release("answered")
    permit = await asyncio.wait_for(fine, 1)
    assert not any(one.done() for one in waits)
    hanging[0][0].release("timeout")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert [one.done() for one in waits].count(True) == 1
    permit.release("answered")
    for one in waits:
        one.cancel()
    await asyncio.gather(*waits, return_exceptions=True)


async def test_a_turn_that_a_full_client_cannot_use_goes_to_the_next_of_the_route() -> None:
    some = permits(replace(LIMITS, connections=10))
    loop = asyncio.get_running_loop()
    full = take_all(some, claim("full", "r"))
    other = some.take_at_once(claim("other", "r"))
    assert (len(full), other is not None) == (8, True)
    waits = [loop.create_task(some.take(claim(name, "r"))) for name in ("full", "third")]
    await asyncio.sleep(0)
    some.check(0.0)  # both are parked at the route, which has all it may have
    full += take_all(some, claim("full", "elsewhere"))
    assert len(full) == 9
    assert other is not None
    other.release("answered")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert [one.done() for one in waits] == [False, True]
    waits[0].cancel()
    await asyncio.gather(*waits, return_exceptions=True)


async def test_the_queue_has_shares_too() -> None:
    some = permits(replace(LIMITS, connections=1, waiting=10))
    held = some.take_at_once(claim())
    assert held is not None
    loop = asyncio.get_running_loop()
    flood = [loop.create_task(some.take(claim("flood"))) for _ in range(20)]
    await asyncio.sleep(0)
    polite = loop.create_task(some.take(claim("polite", "other")))
    await asyncio.sleep(0)
    refused = [one for one in flood if one.done()]
    assert len(refused) == 12
    assert {one.exception().reason for one in refused} == {"queue-full"}  # type: ignore[union-attr] # all are Busy
    assert not polite.done()
    for one in (*flood, polite):
        one.cancel()
    await asyncio.gather(*flood, polite, return_exceptions=True)
    assert some.waiting == 0


async def test_a_rule_that_has_few_permits_has_the_queue_of_any_other() -> None:
    some = permits()
    held = some.take_at_once(claim("a", "narrow", 1))
    assert held is not None
    loop = asyncio.get_running_loop()
    waits = [loop.create_task(some.take(claim("a", "narrow", 1))) for _ in range(5)]
    await asyncio.sleep(0)
    assert some.waiting == 5
    for one in waits:
        one.cancel()
    await asyncio.gather(*waits, return_exceptions=True)


async def test_a_wait_ends_at_its_deadline() -> None:
    some = permits(replace(LIMITS, connections=1))
    held = some.take_at_once(claim())
    assert held is not None
    waits = asyncio.get_running_loop().create_task(some.take(claim()))
    await asyncio.sleep(0)
    some.check(asyncio.get_running_loop().time() + HOUR.queue + 1)
    with pytest.raises(Busy) as caught:
        await waits
    assert caught.value.reason == "queue-timeout"
    assert some.waiting == 0


async def test_a_standing_queue_gives_those_who_wait_a_tenth_of_the_time() -> None:
    some = Permits(TrafficLimits(connections=1), Timeouts(queue=0.4))
    loop = asyncio.get_running_loop()
    held = some.take_at_once(claim())
    assert held is not None
    turns: list[int] = []
    refused: dict[int, float] = {}

    async def take(number: int) -> None:
        began = loop.time()
        try:
            permit = await some.take(claim())
        except Busy:
            refused[number] = loop.time() - began
            return
        turns.append(number)
        permit.release("answered")

    tasks: list[asyncio.Task[None]] = []
    overloaded = []
    for number in range(60):  # a new one each 10 ms, while the permit is held
        tasks.append(loop.create_task(take(number)))
        await asyncio.sleep(0.01)
        overloaded.append(some.overloaded)
        some.check(loop.time())
    tasks.append(loop.create_task(take(60)))
    await asyncio.sleep(0)
    held.release("answered")
    await asyncio.gather(*tasks)

    assert turns == sorted(turns)
    assert turns[-1] == 60
    assert not overloaded[0]
    assert any(overloaded)
    assert all(waited <= 0.4 + 0.1 for waited in refused.values())
    late = [waited for number, waited in refused.items() if number >= 45]
    assert late == [] or max(late) <= 0.04 + 0.1
    await asyncio.sleep(0.1)
    assert not some.overloaded
    assert some.waits == 61


def by_hand(some: Permits, loop: T) -> T:
    """Let nothing but the test look at deadlines; return the loop."""
    some._timer = RepeatingTimer(lambda _: None)
    return loop


class Clock:
    """The running loop, but for its time, which a test sets."""

    def __init__(self) -> None:
        self.now = 0.0
        self.create_future = asyncio.get_running_loop().create_future

    def time(self) -> float:
        return self.now


@pytest.mark.parametrize("places", [1, 20])
async def test_only_so_many_wait_in_an_overload_as_have_their_turn_in_time(places: int) -> None:
    """A turn each 5 ms, for each of which five ask, and 50 ms to wait for one: ten may wait.

    With twenty places, the polite client never waits: what others ask for is too much all the same.
    """
    some = Permits(TrafficLimits(connections=places), Timeouts(queue=0.5), FixedLimit(places))
    clock = some._loop = by_hand(some, Clock())  # type: ignore[assignment]  # all that is used
    held: list[Permit] = []
    told: list[tuple[float, str, str, float]] = []
    most = 0

    async def ask(client: str) -> None:
        began = clock.now
        try:
            held.append(await some.take(claim(client)))
        except Busy as busy:
            told.append((began, client, busy.reason, clock.now - began))
        else:
            told.append((began, client, "served", clock.now - began))

    tasks = []
    for number in range(4000):
        clock.now = number / 1000
        client = "polite" if number % 100 == 50 else "flood"
        tasks.append(asyncio.get_running_loop().create_task(ask(client)))
        await asyncio.sleep(0)
        if number % 5 == 0 and held:
            held.pop(0).release("answered")
        if number % 50 == 0:
            some.check(clock.now)
        if number > 2000:
            most = max(most, some.waiting)
    some.close()
    await asyncio.gather(*tasks)

    late = [one for one in told if 2.0 < one[0] < 3.9]
    ends = Counter((client, reason) for _, client, reason, _ in late)
    assert most <= 10
    assert ends["flood", "served"] + ends["polite", "served"] >= 370
    assert ends["polite", "served"] == 19
    assert ends["flood", "queue-full"] > 1400
    assert ends["flood", "queue-timeout"] < 50
    assert max(waited for _, _, reason, waited in late if reason == "served") <= 0.1


async def test_a_route_that_hangs_leaves_others_their_time_in_the_queue() -> None:
    some = Permits(TrafficLimits(connections=10), Timeouts(queue=0.2))
    loop = asyncio.get_running_loop()
    hanging = take_all(some, claim(route="hangs"))
    waits = [loop.create_task(some.take(claim(route="hangs"))) for _ in range(5)]
    for _ in range(15):  # longer than the time in the queue
        await asyncio.sleep(0.02)
        some.check(loop.time())
        permit = some.take_at_once(claim())
        assert permit is not None
        permit.release("answered")
        waits.append(loop.create_task(some.take(claim(route="hangs"))))
    held, last = some.take_at_once(claim()), some.take_at_once(claim("c", "fine"))
    assert held is not None
    assert last is not None
    other = loop.create_task(some.take(claim("b", "fine")))
    await asyncio.sleep(0.1)
    some.check(loop.time())

    assert not some.overloaded
    assert not other.done()
    held.release("answered")
    (await other).release("answered")
    assert sum(one.done() for one in waits) >= 10
    for one in (*hanging, last):
        one.release("abandoned")
    for waiting in waits:
        waiting.cancel()
    for refused in await asyncio.gather(*waits, return_exceptions=True):
        assert not isinstance(refused, Busy) or refused.reason == "queue-timeout"


async def test_a_queue_that_was_empty_in_between_is_first_in_first_out() -> None:
    some = Permits(replace(LIMITS, connections=1), Timeouts(queue=0.2))
    loop = by_hand(some, asyncio.get_running_loop())
    for _ in range(3):
        held = some.take_at_once(claim())
        assert held is not None
        turns: list[int] = []

        async def take(number: int, turns: list[int] = turns) -> None:
            permit = await some.take(claim())
            turns.append(number)
            permit.release("answered")

        tasks = [loop.create_task(take(number)) for number in range(5)]
        await asyncio.sleep(0.12)
        held.release("answered")
        await asyncio.gather(*tasks)

        assert turns == [0, 1, 2, 3, 4]


async def test_who_waits_gets_what_a_risen_limit_gives() -> None:
    limit = MovingLimit(5)
    some = permits(TrafficLimits(connections=100), limit)
    held = take_all(some, claim())
    assert len(held) == 4
    waits = [asyncio.get_running_loop().create_task(some.take(claim())) for _ in range(10)]
    await asyncio.sleep(0)
    limit.value = 20
    some.check(0.0)
    await asyncio.gather(*waits)
    assert some.in_use == 14


async def test_nobody_overtakes_those_who_wait_when_the_limit_rises() -> None:
    """The limit rises between two checks, and the first to notice is who comes then."""
    limit = MovingLimit(5)
    some = Permits(TrafficLimits(connections=100), Timeouts(queue=0.5), limit)
    clock = some._loop = by_hand(some, Clock())  # type: ignore[assignment]  # all that is used
    one = claim()
    assert len(take_all(some, one)) == 4
    waits = [asyncio.get_running_loop().create_task(some.take(one)) for _ in range(3)]
    await asyncio.sleep(0)
    flow = some._flow_of(one)
    clock.now = 0.6
    assert flow.delay.stands(clock.now)

    for number in range(3):
        limit.value = 7 + number
        assert some.take_at_once(one) is None
        await asyncio.sleep(0)
        assert [wait.done() for wait in waits] == [at <= number for at in range(3)]
        if number < 2:
            assert flow.delay.since == 0.0
    limit.value = 10
    assert some.take_at_once(one) is not None


@pytest.mark.parametrize("routes", [1, 9], ids=["a route", "a client"])
async def test_what_hangs_does_not_take_what_a_lower_limit_leaves(routes: int) -> None:
    limit = MovingLimit(100)
    some = permits(TrafficLimits(connections=100), limit)
    hanging = [take_all(some, claim("a", f"hang {number}")) for number in range(routes)]
    assert some.in_use == (81 if routes == 1 else 90)
    limit.value = 20
    some.check(0.0)
    fine = take_all(some, claim("b", "fine"))
    assert len(fine) == 2
    assert some.take_at_once(claim("a", "hang 0")) is None
    waits = asyncio.get_running_loop().create_task(some.take(claim("b", "fine")))
    await asyncio.sleep(0)
    fine[0].release("answered")
    await asyncio.wait_for(waits, 1)
    limit.value = 100
    some.check(0.0)
    rest = 100 - some.in_use
    assert len(take_all(some, claim("c", "fine"))) == rest
    for permit in (one for some_of_them in hanging for one in some_of_them):
        permit.release("timeout")


async def test_a_limit_above_that_of_the_configuration_does_not_hold() -> None:
    some = permits(replace(LIMITS, connections=4), MovingLimit(1000))
    assert len(take_all(some, claim())) == 4


@pytest.mark.parametrize("kind", KINDS)
async def test_what_lasts_counts_beside_the_permits(kind: str) -> None:
    some = permits(replace(LIMITS, connections=2))
    beside = []
    for client in "aaaab":
        permit = some.take_at_once(claim(client))
        assert permit is not None
        permit.becomes(kind)  # type: ignore[arg-type] # one of KINDS
        permit.becomes(kind)  # type: ignore[arg-type] # as above
        beside.append(permit)
        assert some.in_use == 0
    last = some.take_at_once(claim("c"))
    assert last is not None
    with pytest.raises(Busy) as caught:
        last.becomes(kind)  # type: ignore[arg-type] # as above
    assert caught.value.reason == f"{kind}s"
    assert some.in_use == 1
    assert some.beside(kind) == 5  # type: ignore[arg-type] # as above
    for permit in beside:
        permit.release("answered")
        permit.release("answered")
    assert some.beside(kind) == 0  # type: ignore[arg-type] # as above
    last.becomes(kind)  # type: ignore[arg-type] # as above


async def test_a_client_leaves_a_tenth_of_what_lasts_to_others() -> None:
    some = permits()
    for _ in range(4):
        permit = some.take_at_once(claim("a"))
        assert permit is not None
        permit.becomes("websocket")
        _keep.append(permit)
    assert not some.has_room("websocket", claim("a"))
    assert some.has_room("websocket", claim("b"))
    assert some.has_room("event-stream", claim("a"))


_keep: list[Permit] = []


async def test_a_refusal_leaves_nothing_to_the_garbage_collector() -> None:
    some = permits(replace(LIMITS, connections=1))
    held = some.take_at_once(claim())
    assert held is not None
    loop = asyncio.get_running_loop()
    gc.freeze()
    gc.disable()
    try:
        for number in range(100):
            waits = loop.create_task(some.take(claim()))
            await asyncio.sleep(0)
            some.check(loop.time() + (number + 1) * (HOUR.queue + 1))
            with contextlib.suppress(Busy):
                await waits
            del waits
        garbage = gc.collect()
    finally:
        gc.enable()

    assert some.waiting == 0
    assert garbage < 100


async def test_a_lost_permit_gives_itself_back() -> None:
    some = permits()
    held = some.take_at_once(claim())
    assert held is not None
    del held
    beside = some.take_at_once(claim())
    assert beside is not None
    beside.becomes("websocket")
    del beside
    await asyncio.sleep(0)
    assert (some.in_use, some.beside("websocket")) == (0, 0)


async def test_nothing_is_given_once_it_is_closed() -> None:
    some = permits(replace(LIMITS, connections=1))
    held = some.take_at_once(claim())
    assert held is not None
    waits = asyncio.get_running_loop().create_task(some.take(claim()))
    await asyncio.sleep(0)
    some.close()
    with pytest.raises(Busy):
        await waits
    held.release("answered")
    with pytest.raises(Busy):
        await some.take(claim())


async def test_no_client_and_no_route_is_remembered_for_ever() -> None:
    some = permits()
    for number in range(1000):
        permit = some.take_at_once(claim(str(number), str(number)))
        assert permit is not None
        permit.release("answered")
    del permit
    gc.collect()
    assert len(some._clients) == len(some._routes) == len(some._flows) == 0


# --- no permit is lost, whatever happens ----------------------------------------------------------


class Course:
    """Random operations on permits, and what must hold after each."""

    def __init__(self, choose: Callable[[int], int]) -> None:
        self.choose = choose
        self.limit = MovingLimit(8)
        self.permits = permits(replace(LIMITS, connections=10), self.limit)
        self.held: list[tuple[Permit, Claim]] = []
        self.tasks: dict[asyncio.Task[Permit], Claim] = {}
        self.beside: list[Permit] = []
        self.moved = False

    def a_claim(self) -> Claim:
        route = (0, 0, 0, 1, 2)[self.choose(5)]
        return claim("aaab"[self.choose(4)], "xyz"[route], (0, 0, 2)[route])

    async def step(self) -> None:
        """Do one thing, if there is something to do it with."""
        match self.choose(9):
            case 0 | 1:
                self.take_at_once(self.a_claim())
            case 2 | 3:
                wanted = self.a_claim()
                task = asyncio.get_running_loop().create_task(self.permits.take(wanted))
                self.tasks[task] = wanted
            case 4 | 5 if self.held:
                permit, _ = self.held.pop(self.choose(len(self.held)))
                permit.release("answered")
                permit.release("failed")
            case 6 if self.tasks:
                list(self.tasks)[self.choose(len(self.tasks))].cancel()
            case 7 if self.held:
                self.becomes(self.choose(len(self.held)))
            case 8:
                self.rarer()
            case _:
                await asyncio.sleep(0)

    def take_at_once(self, wanted: Claim) -> None:
        permit = self.permits.take_at_once(wanted)
        if permit is not None:
            self.held.append((permit, wanted))

    def becomes(self, at: int) -> None:
        permit = self.held[at][0]
        with contextlib.suppress(Busy):
            permit.becomes(KINDS[self.choose(3)])
            self.beside.append(permit)
            del self.held[at]

    def rarer(self) -> None:
        match self.choose(4):
            case 0:
                self.limit.value = 1 + self.choose(12)
                self.moved = True
            case 1 if self.held:
                del self.held[self.choose(len(self.held))]  # lost
            case 2 if self.beside:
                self.beside.pop(self.choose(len(self.beside))).release("answered")
            case _:
                self.permits.check(0.0)

    async def settle(self) -> None:
        for _ in range(3):
            await asyncio.sleep(0)
        for task in [one for one in self.tasks if one.done()]:
            wanted = self.tasks.pop(task)
            if not task.cancelled() and task.exception() is None:
                self.held.append((task.result(), wanted))

    async def agrees(self) -> None:
        """Check all counts against what is held, and that nothing idle is kept from who may."""
        await self.settle()
        some = self.permits
        clients = Counter(one.client for _, one in self.held)
        routes = Counter(one.route for _, one in self.held)
        assert some.in_use == len(self.held)
        assert {name: share.in_use for name, share in some._clients.items() if share.in_use} == (
            clients
        )
        assert {
            name: share.in_use for (name, _), share in some._routes.items() if share.in_use
        } == routes
        assert sum(some.beside(kind) for kind in KINDS) == len(self.beside)
        assert some.waiting == len(self.tasks)
        if self.moved:
            some.check(0.0)
            self.moved = False
            await self.settle()
        for wanted in self.tasks.values():
            assert some.take_at_once(wanted) is None, "one waits although there is room"

    async def end(self) -> None:
        await self.settle()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        for permit, _ in self.held:
            permit.release("answered")
        for permit in self.beside:
            permit.release("answered")
        assert self.permits.in_use == self.permits.waiting == 0
        assert not any(self.permits.beside(kind) for kind in KINDS)
        shares = [*self.permits._clients.values(), *self.permits._flows.values()]
        assert not any(one.in_use or one.waiting or one.parked for one in shares)


class OutOfChoices(Exception):
    """The course is over."""


@settings(deadline=None)
@given(st.lists(st.integers(0, 10_000), max_size=400))
def test_the_counts_are_those_of_what_is_held(choices: list[int]) -> None:
    rest = iter(choices)

    def choose(most: int) -> int:
        for one in rest:
            return one % most
        raise OutOfChoices

    async def run() -> None:
        course = Course(choose)
        with contextlib.suppress(OutOfChoices):
            while True:
                await course.step()
                await course.agrees()
        await course.end()

    asyncio.run(run())


async def test_a_hundred_thousand_operations_leave_nothing() -> None:
    draw = random.Random(48)  # noqa: S311 - a repeatable course
    course = Course(draw.randrange)
    for number in range(100_000):
        await course.step()
        if number % 50 == 0:
            await course.agrees()
        elif number % 20 == 0:
            await course.settle()
    await course.end()
