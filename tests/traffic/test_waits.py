"""Ways and signals: one resume at a time, cancelled at any wait, and no wait that nobody ends."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable

import pytest

from proxy.core.errors import KeyUnavailable
from proxy.keys.sessions.sessions import SessionMode
from proxy.traffic import waits
from proxy.traffic.waits import Signal, Way, in_task, outliving
from tests.keys.builders import HookedStore, Time, a_world

from .exchange.test_exchange import a_rulebook
from .ours import local, proxied
from .wire import Origin, Peer, connected, eventually, running


class Walk:
    """A way, and what it has come to."""

    def __init__(self, *waits: Callable[[], Awaitable[object]]) -> None:
        self.passed = 0
        self.ends: list[BaseException | None] = []
        self.given_back = 0
        self._waits = waits
        self.way = Way(self._walk(), self.ends.append)

    async def _walk(self) -> None:
        try:
            for wait in self._waits:
                await wait()
                self.passed += 1
        finally:
            self.given_back += 1


async def test_a_signal_resumes_in_the_same_turn() -> None:
    signal = Signal()
    walk = Walk(signal.wait, signal.wait)
    walk.way.go()
    assert (walk.passed, signal.has_waiter) == (0, True)
    signal.set()
    assert walk.passed == 1
    signal.set()
    assert (walk.passed, walk.ends, walk.way.ended) == (2, [None], True)
    signal.set()
    assert walk.ends == [None]


async def test_a_signal_that_is_set_on_the_way_resumes_nothing() -> None:
    signal, other = Signal(), Signal()

    async def sets() -> None:
        signal.set()
        walk.way.go()

    walk = Walk(sets, other.wait, signal.wait)
    walk.way.go()
    assert walk.passed == 1
    signal.set()
    assert walk.passed == 1
    other.set()
    assert walk.passed == 2


async def test_a_signal_serves_tasks_as_well() -> None:
    signal = Signal()

    async def waits() -> None:
        await signal.wait()

    task = asyncio.get_running_loop().create_task(waits())
    await asyncio.sleep(0)
    assert signal.has_waiter
    signal.set()
    await task
    assert not signal.has_waiter


async def test_futures_and_turns_are_awaited() -> None:
    future = asyncio.get_running_loop().create_future()

    async def awaited() -> None:
        assert await future == 1

    async def slept() -> int:
        async with asyncio.timeout(5):
            await asyncio.sleep(0.001)
        return 2

    async def in_its_own() -> None:
        assert await in_task(slept()) == 2

    walk = Walk(awaited, lambda: asyncio.sleep(0), in_its_own)
    walk.way.go()
    walk.way.go()  # not while a future is awaited
    assert walk.passed == 0
    future.set_result(1)
    await eventually(lambda: walk.way.ended)
    assert (walk.passed, walk.ends) == (3, [None])


def _never() -> Awaitable[object]:
    return asyncio.get_running_loop().create_future()


WAITS: dict[str, Callable[[], Awaitable[object]]] = {
    "signal": lambda: Signal().wait(),
    "future": _never,
    "turn": lambda: asyncio.sleep(0),
    "task": lambda: in_task(asyncio.sleep(60)),
    "outliving": lambda: outliving(asyncio.sleep(0.1)),
}


@pytest.mark.parametrize("name", WAITS)
async def test_a_way_is_cancelled_wherever_it_waits(name: str) -> None:
    walk = Walk(WAITS[name])
    end = walk.way.end()
    walk.way.go()
    walk.way.cancel()
    walk.way.cancel()
    await eventually(lambda: walk.way.ended)
    assert (walk.passed, walk.given_back) == (0, 1)
    (raised,) = walk.ends
    assert isinstance(raised, asyncio.CancelledError)
    await end


async def test_a_way_that_is_cancelled_while_it_runs_ends_at_its_next_wait() -> None:
    async def cancels() -> None:
        walk.way.cancel()

    walk = Walk(cancels, Signal().wait)
    walk.way.go()
    assert (walk.passed, walk.given_back, len(walk.ends)) == (1, 1, 1)


async def test_a_future_that_is_done_when_its_way_is_cancelled_does_not_hide_that() -> None:
    future = asyncio.get_running_loop().create_future()

    async def awaited() -> None:
        await future

    walk = Walk(awaited)
    walk.way.go()
    future.set_result(None)
    walk.way.cancel()
    await eventually(lambda: walk.way.ended)
    assert walk.passed == 0
    assert isinstance(walk.ends[0], asyncio.CancelledError)


async def test_what_came_of_a_task_is_undone_where_its_way_is_cancelled_behind_it() -> None:
    undone: list[int] = []

    async def works() -> int:
        return 3

    walk = Walk(lambda: in_task(works(), undone.append))
    walk.way.go()
    await asyncio.sleep(0)  # the task is done, and its way is not yet resumed
    walk.way.cancel()
    await eventually(lambda: walk.way.ended)
    assert (undone, walk.passed) == ([3], 0)


async def test_what_has_failed_as_its_way_is_cancelled_is_not_reported_as_unhandled() -> None:
    async def fails() -> None:
        raise KeyUnavailable("store-unavailable")

    unhandled = list[object]()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: unhandled.append(context))
    waited = [asyncio.gather(fails(), fails())]
    waited[0].add_done_callback(lambda _: walk.way.cancel())  # before it is resumed
    walk = Walk(waited.pop)
    walk.way.go()
    await eventually(lambda: walk.way.ended)
    assert isinstance(walk.ends.pop(), asyncio.CancelledError)
    gc.collect()
    assert (unhandled, walk.passed) == ([], 0)


async def test_an_end_that_is_cancelled_cancels_its_way() -> None:
    walk = Walk(Signal().wait)
    end = walk.way.end()
    walk.way.go()
    end.cancel()
    await eventually(lambda: walk.way.ended)
    assert walk.given_back == 1


async def test_whoever_asks_again_for_an_end_gets_the_same() -> None:
    walk = Walk(Signal().wait)
    end = walk.way.end()
    assert walk.way.end() is end
    walk.way.go()
    walk.way.cancel()
    await end


async def test_an_error_is_handed_to_who_made_the_way() -> None:
    async def fails() -> None:
        raise ZeroDivisionError

    walk = Walk(fails)
    walk.way.go()
    assert isinstance(walk.ends[0], ZeroDivisionError)


async def test_what_outlives_its_way_is_done_though_the_way_is_cancelled() -> None:
    replies = asyncio.Event()
    done: list[str] = []

    async def commits() -> None:
        done.append("sent")
        await replies.wait()
        done.append("known")

    walk = Walk(lambda: outliving(commits()))
    walk.way.go()
    await asyncio.sleep(0)
    walk.way.cancel()
    await eventually(lambda: walk.way.ended)
    assert (walk.passed, done) == (0, ["sent"])
    replies.set()
    await eventually(lambda: done == ["sent", "known"])


async def test_a_known_error_of_what_outlives_its_way_is_raised_or_is_nobodys() -> None:
    unhandled: list[object] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: unhandled.append(context))
    replies = asyncio.Event()

    async def fails(error: Exception) -> None:
        await replies.wait()
        raise error

    known = KeyUnavailable("store-unavailable")
    stays, leaves = Walk(lambda: outliving(fails(known))), Walk(lambda: outliving(fails(known)))
    for walk in (stays, leaves):
        walk.way.go()
    await asyncio.sleep(0)
    leaves.way.cancel()
    await eventually(lambda: leaves.way.ended)
    replies.set()
    await eventually(lambda: stays.way.ended)
    assert stays.ends == [known]
    gc.collect()
    await asyncio.sleep(0)
    assert unhandled == []


async def test_of_too_many_works_those_that_are_more_end_with_their_ways(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(waits, "MOST_OUTLIVING", 1)
    ended: list[int] = []

    async def works(number: int) -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ended.append(number)
            raise

    def walks_on(number: int) -> Walk:
        return Walk(lambda: outliving(works(number)))

    walks = [walks_on(number) for number in range(3)]
    for walk in walks:
        walk.way.go()
    await asyncio.sleep(0)
    for walk in walks:
        walk.way.cancel()
    await eventually(lambda: all(walk.way.ended for walk in walks))
    assert ended == [1, 2]
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()


# --- through the proxy ----------------------------------------------------------------------------

PIPELINED = 10_000


async def test_ten_thousand_pipelined_requests_are_answered_in_their_order() -> None:
    async def numbers(peer: Peer, origin: Origin) -> None:
        while True:
            target = (await peer.head()).split(b" ")[1]
            length = b"Content-Length: %d\r\n\r\n" % len(target)
            peer.send(b"HTTP/1.1 200 OK\r\n" + length + target)

    requests = b"".join(b"GET /%d HTTP/1.1\r\nHost: h\r\n\r\n" % at for at in range(PIPELINED))
    async with (
        running(Origin(numbers)) as origin,
        proxied(local(origin.port)) as ours,
        connected(ours.port) as client,
    ):
        client.send(requests)
        for at in range(PIPELINED):
            assert (await client.response()).body == b"/%d" % at
    assert origin.connections == 1


async def test_ten_thousand_refusals_that_need_no_wait_leave_turns_to_others() -> None:
    refused = b"GET /closed HTTP/1.1\r\nHost: h\r\n\r\n"
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    async with (
        running(Origin()) as origin,
        proxied(local(origin.port), rule_table=a_rulebook()) as ours,
        connected(ours.port) as client,
    ):
        other = asyncio.get_running_loop().create_task(others())
        client.send(refused * PIPELINED)
        for _ in range(PIPELINED):
            assert (await client.response()).status == 403
        other.cancel()
    assert turns > PIPELINED // 100
    assert not origin.seen


class SlowStore(HookedStore):
    """Has sent each operation, and its reply comes once it is let go."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__(clock, shared=True)
        self.asked: list[str] = []
        self.replies = asyncio.Event()

    async def before(self, operation: str) -> None:
        self.asked.append(operation)
        await self.replies.wait()


@pytest.mark.parametrize("mode", ["durable", "ephemeral"])
async def test_a_session_is_agreed_on_though_its_client_leaves(mode: SessionMode) -> None:
    time = Time()
    store = SlowStore(time)
    world = a_world(store=store, time=time, mode=mode)
    body = b'{"content": "canary-9f31"}'
    head = b"POST /seal HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
    request = head + b"Content-Length: %d\r\n\r\n" % len(body) + body
    async with (
        running(Origin()) as origin,
        proxied(
            local(origin.port),
            rule_table=a_rulebook(),
            keys=world.sessions,
            on_client_close="abort",
        ) as ours,
    ):
        async with connected(ours.port) as client:
            client.send(request)
            await eventually(lambda: bool(store.asked))
            client.writer.transport.abort()
        await eventually(lambda: bool(ours.ear.lines))
        store.replies.set()
        await eventually(lambda: world.sessions.cached[0] == 1)
        asked = list(store.asked)
        async with connected(ours.port) as client:
            client.send(request)
            assert (await client.response()).status == 200
        assert store.asked == asked
    (seen,) = origin.seen
    assert b"canary-9f31" not in seen.body
