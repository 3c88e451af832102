"""The budget of bytes: it is never exceeded, nobody waits for ever, and clients share it."""

from __future__ import annotations

import asyncio
import json
import random  # noqa: TID251 - a course that can be had again
import socket
import sys
from typing import cast

import pytest

from proxy.config.policy import SMALL_BYTES, WORK_TIMES
from proxy.core.compiled.rule_table import RuleTable
from proxy.core.errors import Busy
from proxy.core.expressions.routes import parse_pattern
from proxy.core.expressions.selectors import parse_selector
from proxy.core.expressions.sources import parse_source
from proxy.core.rules.model import Block, Item, Names, Rule
from proxy.traffic import byte_budget
from proxy.traffic.byte_budget import ByteBudget, Hold
from proxy.traffic.policy import MOST_HELD_UP, READ_STEP_BYTES, READ_TIMES
from tests.keys.builders import a_world

from .exchange.test_tunnel import SHAKE, SWITCH
from .ours import local, proxied
from .wire import Origin, Peer, Script, connected, eventually, obliging, running


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(byte_budget, "MEMORY_SECONDS", 0.1)
    monkeypatch.setattr(byte_budget, "LOOK_SECONDS", 0.01)


async def begun(
    hold: Hold, size: int, *, answer: bool = False, passes: bool = False
) -> asyncio.Task[None]:
    asking = hold.reach(size, answer=answer, passes=passes)
    task = asyncio.get_running_loop().create_task(asking)
    await asyncio.sleep(0)
    return task


async def test_what_has_room_is_held_at_once_until_it_is_released() -> None:
    budget = ByteBudget(100)
    one, other = Hold(budget, "a"), Hold(budget, "b")
    await one.reach(60)
    await other.reach(40)
    await other.reach(30)  # less than it has
    assert (budget.used, one.size, other.size) == (100, 60, 40)
    one.release()
    one.release()
    assert budget.used == 40


async def test_a_request_waits_and_is_refused_in_time() -> None:
    budget = ByteBudget(100)
    await Hold(budget, "a").reach(100)
    began = budget.time()
    with pytest.raises(Busy, match="memory"):
        await Hold(budget, "b").reach(1)
    assert 0.1 <= budget.time() - began < 1
    assert (budget.used, budget.waiting, budget.refused) == (100, 0, 1)


async def test_an_answer_waits_for_as_long_as_it_takes() -> None:
    budget = ByteBudget(100)
    streams = [Hold(budget, "a") for _ in range(2)]
    await streams[0].reach(75, answer=True, passes=True)
    waits = await begun(streams[1], 75, answer=True, passes=True)
    await asyncio.sleep(0.3)
    assert not waits.done()
    streams[0].release()
    await asyncio.wait_for(waits, 1)


async def test_answers_go_first_then_the_client_that_holds_least() -> None:
    budget = ByteBudget(100)
    held = Hold(budget, "flood")
    await held.reach(30)
    more = Hold(budget, "other")
    await more.reach(70)
    order: list[str] = []

    async def ask(name: str, client: str, *, answer: bool = False) -> None:
        hold = Hold(budget, client)
        await hold.reach(40, answer=answer, passes=True)
        order.append(name)
        hold.release()

    async with asyncio.TaskGroup() as group:
        group.create_task(ask("flood", "flood"))
        await asyncio.sleep(0)
        group.create_task(ask("polite", "polite"))
        await asyncio.sleep(0)
        group.create_task(ask("answer", "flood", answer=True))
        await asyncio.sleep(0)
        more.release()
    assert order == ["answer", "polite", "flood"]


async def calls_to_let_in(number: int) -> int:
    """Return how many calls it takes to give room to so many answers that wait for it."""
    budget, calls = ByteBudget(100 * number), 0
    big = Hold(budget, "big")
    await big.reach(100 * number)
    answers = [await begun(Hold(budget, "a"), 100, answer=True, passes=True) for _ in range(number)]
    assert budget.waiting == number

    def count(_: object, event: str, __: object) -> None:
        nonlocal calls
        calls += event == "call"

    sys.setprofile(count)
    big.release()
    sys.setprofile(None)
    assert not budget.waiting
    await asyncio.gather(*answers)
    return calls


async def test_room_for_many_answers_takes_time_for_each_of_them_alone() -> None:
    assert await calls_to_let_in(400) < 2.5 * await calls_to_let_in(200)


async def test_one_client_leaves_a_quarter_to_others_unless_it_holds_nothing() -> None:
    budget = ByteBudget(100)
    flood = Hold(budget, "a")
    await flood.reach(90)  # alone, it may
    task = await begun(Hold(budget, "a"), 5)
    assert not task.done()
    polite = Hold(budget, "b")
    await polite.reach(10)
    flood.release()
    await asyncio.wait_for(task, 1)


async def test_who_holds_a_part_gets_what_is_kept_aside_one_at_a_time() -> None:
    budget = ByteBudget(100)
    holds = [Hold(budget, str(number)) for number in range(4)]
    for hold in holds:
        await hold.reach(25)
    waits = [await begun(hold, 60, answer=True) for hold in holds]
    assert [one.done() for one in waits] == [True, False, False, False]
    assert (budget.used, holds[0].size) == (75, 60)  # what it has now is kept aside
    for number, hold in enumerate(holds):
        await asyncio.wait_for(waits[number], 1)
        hold.release()
    assert budget.used == 0


async def test_a_message_larger_than_all_there_is_gets_what_is_kept_aside() -> None:
    budget = ByteBudget(100)
    large, next_one = Hold(budget, "a"), Hold(budget, "b")
    await large.reach(500)
    await large.reach(600)
    task = await begun(next_one, 500)
    assert not task.done()
    large.becomes(550)
    await asyncio.sleep(0)
    assert not task.done()
    large.becomes(10)  # which fits, so that the next may have what is kept aside
    await asyncio.wait_for(task, 1)
    assert budget.used == 10
    next_one.release()
    large.release()
    assert budget.used == 0


async def test_only_so_many_requests_wait() -> None:
    budget = ByteBudget(100)
    full = Hold(budget, "a")
    await full.reach(100)
    waiting = [await begun(Hold(budget, "b"), 1) for _ in range(MOST_HELD_UP)]
    with pytest.raises(Busy, match="memory"):
        await Hold(budget, "c").reach(1)
    answer = await begun(Hold(budget, "c"), 1, answer=True)
    full.release()
    await asyncio.gather(answer, *waiting)


async def test_what_holds_nothing_any_more_leaves_what_is_kept_aside() -> None:
    budget = ByteBudget(100)
    full, first, second = Hold(budget, "a"), Hold(budget, "b"), Hold(budget, "c")
    await full.reach(100)
    await first.reach(200, answer=True)
    full.becomes(150)  # it has come uncalled: there is no room for anything
    first.becomes(0)
    await asyncio.wait_for(second.reach(200, answer=True), 1)


async def test_what_is_released_holds_nothing_again() -> None:
    budget = ByteBudget(100)
    hold = Hold(budget, "a")
    await hold.reach(60)
    hold.release()
    hold.becomes(50)
    hold.watch(int, lambda: None)
    assert (budget.used, hold.size, budget.watched) == (0, 0, {})


async def test_what_is_released_while_it_waits_for_more_leaves_all_to_others() -> None:
    budget = ByteBudget(100)
    most, one, aside, other = (Hold(budget, name) for name in "abcd")
    for hold, size in ((most, 60), (one, 10), (aside, 10)):
        await hold.reach(size)
    await aside.reach(200)  # from what is kept aside
    more = await begun(one, 41)
    behind = await begun(other, 50)
    most.becomes(55)  # enough for the first, but who holds less goes first
    one.release()  # as one direction of a WebSocket does, before its task is cancelled
    assert (one.size, budget.used) == (0, 55)
    with pytest.raises(Busy):
        await more
    await one.reach(10)
    assert one.size == 0
    most.release()
    await behind
    assert (budget.used, budget.waiting) == (50, 0)


async def test_what_has_come_uncalled_is_counted_and_an_answer_is_never_refused() -> None:
    budget = ByteBudget(100)
    Hold(budget, "a").grows(120, answer=True)
    with pytest.raises(Busy, match="memory"):
        Hold(budget, "b").grows(1)
    Hold(budget, "c").grows(0)
    assert budget.used == 121


async def test_what_has_come_uncalled_leaves_a_quarter_to_others_too() -> None:
    budget = ByteBudget(100)
    Hold(budget, "a").grows(60)
    with pytest.raises(Busy, match="memory"):
        Hold(budget, "a").grows(20)
    Hold(budget, "b").grows(20)


@pytest.mark.parametrize("turns", range(25))
async def test_who_is_cancelled_at_whichever_wait_leaves_all_to_others(turns: int) -> None:
    budget = ByteBudget(100)

    async def message(client: str, *, answer: bool) -> None:
        hold = Hold(budget, client)
        try:
            for size in (30, 60, 250, 90):
                await hold.reach(size, answer=answer)
                await asyncio.sleep(0)
            hold.becomes(0)
            await asyncio.sleep(0)
        except Busy:
            assert not answer
        finally:
            hold.release()

    loop = asyncio.get_running_loop()
    tasks = [loop.create_task(message(f"{n % 3}", answer=n % 2 == 0)) for n in range(8)]
    for _ in range(turns):
        await asyncio.sleep(0)
    for victim in tasks[turns % 2 :: 2]:
        victim.cancel()
    ends = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 5)
    assert {type(one) for one in ends} <= {type(None), asyncio.CancelledError}
    assert (budget.used, budget.waiting, budget._clients, budget._rescued) == (0, 0, {}, None)


async def test_a_slow_client_is_given_up_while_others_wait_and_not_before() -> None:
    budget = ByteBudget(100)
    slow, quick = Hold(budget, "a"), Hold(budget, "b")
    await slow.reach(50)
    await quick.reach(50)
    cut: list[str] = []

    def give_up() -> None:
        cut.append("slow")
        slow.release()

    slow.watch(lambda: 1, give_up)
    quick.watch(lambda: 1 << 30, lambda: cut.append("quick"))
    await asyncio.sleep(0.2)
    assert cut == []
    await asyncio.wait_for(Hold(budget, "c").reach(50), 1)
    assert cut == ["slow"]


async def test_a_client_is_not_given_up_for_nothing() -> None:
    budget = ByteBudget(100)
    empty = Hold(budget, "a")
    cut: list[str] = []
    empty.watch(lambda: 0, lambda: cut.append("empty"))
    await Hold(budget, "b").reach(100)
    with pytest.raises(Busy):
        await Hold(budget, "c").reach(1)
    assert cut == []


async def test_who_is_paused_for_room_is_not_slow() -> None:
    budget = ByteBudget(100)
    full, paused = Hold(budget, "a"), Hold(budget, "b")
    await full.reach(100)
    cut: list[str] = []
    paused.watch(lambda: 0, lambda: cut.append("paused"))
    task = await begun(paused, 10, answer=True, passes=True)
    other = await begun(Hold(budget, "c"), 1, answer=True, passes=True)
    await asyncio.sleep(0.3)
    assert cut == []
    full.release()
    await asyncio.gather(task, other)


async def test_who_leaves_while_it_waits_takes_nothing() -> None:
    budget = ByteBudget(100)
    full = Hold(budget, "a")
    await full.reach(100)
    task = await begun(Hold(budget, "b"), 50)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert budget.waiting == 0
    full.release()
    assert budget.used == 0


async def test_what_is_beside_messages_leaves_them_a_quarter() -> None:
    budget = ByteBudget(400)
    budget.beside = lambda: 1000
    await Hold(budget, "a").reach(100)
    with pytest.raises(Busy, match="memory"):
        await Hold(budget, "b").reach(1)
    budget.beside = lambda: 299
    await Hold(budget, "b").reach(1)


async def test_a_reload_may_change_the_total() -> None:
    budget = ByteBudget(10)
    await Hold(budget, "a").reach(10)
    task = await begun(Hold(budget, "b"), 50)
    budget.resize(100)
    await asyncio.wait_for(task, 1)


async def test_short_bodies_are_not_counted_and_others_by_what_they_take() -> None:
    budget = ByteBudget()
    hold = Hold(budget, "a")
    await hold.reads(SMALL_BYTES)
    await hold.works_at(b"x" * SMALL_BYTES, limit=1 << 24, coded=False)
    assert budget.used == 0
    await hold.reads(SMALL_BYTES + 1)
    assert budget.used == READ_TIMES * READ_STEP_BYTES
    await hold.works_at(b"x" * (1 << 20), limit=1 << 24, coded=False)
    assert budget.used == WORK_TIMES << 20
    await hold.works_at(b"x" * 1000, limit=1 << 21, coded=True)
    assert budget.used == WORK_TIMES << 20  # a mebibyte, in whatever ratio
    await hold.works_at(b"x" * (1 << 20), limit=1 << 21, coded=True)
    assert budget.used == WORK_TIMES << 21


@pytest.mark.parametrize("seed", range(20))
async def test_whoever_comes_all_are_served_and_nothing_is_lost(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - as above
    budget = ByteBudget(1000)
    most = 0

    async def message(client: str, *, answer: bool) -> None:
        nonlocal most
        hold, size = Hold(budget, client), 0
        try:
            for _ in range(chance.randrange(1, 5)):  # as chunks come
                size += chance.randrange(1, 400)
                await hold.reach(size, answer=answer)
                most = max(most, budget.used)
                await asyncio.sleep(0)
            hold.becomes(size // 2)
            await asyncio.sleep(0)
        except Busy:
            assert not answer
        finally:
            hold.release()

    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        for _ in range(60):
            group.create_task(message(chance.choice("abc"), answer=chance.random() < 0.5))
            await asyncio.sleep(0)
    assert most <= 1000
    assert (budget.used, budget.waiting, budget.watched, budget._clients) == (0, 0, {}, {})


# --- as connections hold it -------------------------------------------------------------------

SEALED = Block(encrypt=(Item(parse_selector("$.content"), "content", frozenset({"tenant"})),))
RULES = RuleTable(
    (
        Rule(
            "all",
            (parse_pattern("POST /sealed"),),
            Names(tenant=parse_source("const:t"), conversation=None),
            request=(SEALED,),
        ),
    ),
    pass_unmatched=True,
)
KEPT = (
    b"POST %b HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
)
LONG = json.dumps({"content": "x" * 300_000}).encode()


async def never(peer: Peer, _: Origin) -> None:
    """Take all that comes, and answer nothing."""
    await peer.reader.read()
    await peer.reader.read()


async def lengthy(peer: Peer, _: Origin) -> None:
    """Answer with a long body."""
    while True:
        await peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4000000\r\n\r\n" + b"x" * 4_000_000)


@pytest.mark.parametrize("path", [b"/sealed", b"/passed"])
@pytest.mark.parametrize("script", [never, obliging, lengthy])
@pytest.mark.parametrize("sent", [100, 100_000, len(LONG), len(LONG) + 200, len(LONG) + 60_000])
async def test_a_client_that_leaves_at_whichever_byte_leaves_nothing_held(
    sent: int, script: Script, path: bytes
) -> None:
    budget = ByteBudget(1 << 30)
    keys = a_world().sessions
    async with (
        running(Origin(script)) as origin,
        proxied(local(origin.port), rule_table=RULES, keys=keys, budget=budget) as ours,
    ):
        async with connected(ours.port) as client:
            client.send((KEPT % (path, len(LONG), LONG) * 2)[:sent])
            await asyncio.sleep(0.1)
            client.writer.transport.abort()
        await eventually(lambda: not (budget.used or budget.watched or budget.waiting))


@pytest.mark.parametrize("path", [b"/sealed", b"/passed"])
async def test_short_answers_that_are_not_read_are_counted_until_their_client_leaves(
    path: bytes,
) -> None:
    async def short(peer: Peer, _: Origin) -> None:
        while True:
            await peer.request()
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 16000\r\n\r\n" + b"x" * 16_000)

    budget = ByteBudget(1 << 30)
    asked = KEPT % (path, 15, b'{"content":"a"}')
    async with (
        running(Origin(short)) as origin,
        proxied(
            local(origin.port), rule_table=RULES, keys=a_world().sessions, budget=budget
        ) as ours,
        connected(ours.port) as client,
    ):
        client.writer.transport.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_RCVBUF, 4096
        )
        cast("asyncio.Transport", client.writer.transport).pause_reading()
        client.send(asked * 1000)
        await eventually(lambda: budget.used > 64 * 1024 and budget.watched)
        assert list(budget._clients) == ["127.0.0.1"]
        client.writer.transport.abort()
        await eventually(lambda: not (budget.used or budget.watched or budget._clients))


async def test_what_comes_behind_an_upgrade_is_counted_once() -> None:
    budget = ByteBudget(1 << 30)

    async def switching(peer: Peer, _: Origin) -> None:
        await peer.request()
        await asyncio.sleep(0.1)  # what follows has come
        peer.send(SWITCH)
        await peer.reader.read()

    async with (
        running(Origin(switching)) as origin,
        proxied(local(origin.port), budget=budget) as ours,
        connected(ours.port) as client,
    ):
        client.send(SHAKE + b"x" * 60_000)
        await eventually(lambda: budget.used > 0)
        await client.until(b"\r\n\r\n")
        await eventually(lambda: budget.used == 0)
