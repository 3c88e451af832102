"""Work in slices: others run in between, it never runs beside them, and it ends with its caller."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import AsyncExitStack, suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core import slices as core
from proxy.core.leaves import FORM
from proxy.traffic.policy import LONG_BYTES, SLICE_SECONDS, STRETCH_BYTES
from proxy.traffic.slices import AT_ONCE, Slices, is_long, may_go_at_once, may_go_in_records

STEP = SLICE_SECONDS / 4


def spin(steps: int, seen: list[str] | None = None, name: str = "") -> str:
    """Work for so many steps of a quarter of a slice, with a pause behind each."""
    for _ in range(steps):
        until = time.perf_counter() + STEP
        while time.perf_counter() < until:
            pass
        if seen is not None:
            seen.append(name)
        core.pause()
    return name


async def in_turn(slices: Slices, *args: object) -> str:
    async with slices.turn(long=True) as run:
        return await run(spin, *args)


async def test_all_work_of_a_turn_has_one_thread() -> None:
    async with Slices().turn(long=True) as run:
        threads = {await run(threading.get_ident) for _ in range(3)}

    assert len(threads) == 1
    assert threading.get_ident() not in threads


async def test_others_run_between_the_slices_of_long_work() -> None:
    ticks = 0
    work = asyncio.get_running_loop().create_task(in_turn(Slices(), 200))
    while not work.done():
        ticks += 1
        await asyncio.sleep(0)

    assert ticks > 20


async def test_short_work_runs_at_once_and_in_the_thread_of_the_loop() -> None:
    async with Slices().turn(long=False) as run:
        assert await run(threading.get_ident) == threading.get_ident()


async def test_what_work_returns_and_raises_comes_out() -> None:
    def fails() -> None:
        core.pause()
        raise ValueError("no")

    async with Slices().turn(long=True) as run:
        assert await run(spin, 3, name="done") == "done"
        with pytest.raises(ValueError, match="no"):
            await run(fails)
        assert await run(spin, 3, name="again") == "again"


async def test_long_messages_take_turns() -> None:
    seen: list[str] = []
    slices = Slices()

    await asyncio.gather(*(in_turn(slices, 100, seen, name) for name in "ab"))

    first = seen[: len(seen) // 2]
    assert min(first.count("a"), first.count("b")) > len(first) // 4


async def test_only_a_few_are_under_way_at_once() -> None:
    under_way: set[int] = set()
    most = 0

    def work(number: int) -> None:
        nonlocal most
        under_way.add(number)
        most = max(most, len(under_way))
        spin(20)
        under_way.discard(number)

    async def one(slices: Slices, number: int) -> None:
        async with slices.turn(long=True) as run:
            await run(work, number)

    slices = Slices()
    await asyncio.gather(*(one(slices, number) for number in range(3 * AT_ONCE)))

    assert most == AT_ONCE


async def test_work_and_loop_never_run_at_the_same_time() -> None:
    inside = False
    overlaps = 0

    def work() -> None:
        nonlocal inside
        for _ in range(300):
            inside = True
            spin_until = time.perf_counter() + STEP
            while time.perf_counter() < spin_until:
                pass
            inside = False
            core.pause()

    async def whole(slices: Slices) -> None:
        async with slices.turn(long=True) as run:
            await run(work)

    task = asyncio.get_running_loop().create_task(whole(Slices()))
    while not task.done():
        overlaps += inside
        await asyncio.sleep(0)

    assert overlaps == 0


async def test_who_is_cancelled_takes_the_work_along() -> None:
    undone: list[str] = []

    def work() -> None:
        held = bytearray(1000)
        try:
            spin(10_000)
        finally:
            undone.append(f"{len(held)}")

    async def whole(slices: Slices) -> None:
        async with slices.turn(long=True) as run:
            await run(work)

    slices, threads = Slices(), threading.active_count()
    task = asyncio.get_running_loop().create_task(whole(slices))
    await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert undone == ["1000"]
    await asyncio.sleep(0.05)
    assert threading.active_count() == threads
    assert await in_turn(slices, 3, None, "the next") == "the next"


async def test_other_threads_that_run_the_core_do_not_pause() -> None:
    """Values end to end are opened in threads, maybe during a slice."""
    other: list[str] = []
    work = asyncio.get_running_loop().create_task(in_turn(Slices(), 100))
    thread = threading.Thread(target=lambda: other.append(spin(40, name="other")))
    thread.start()
    await work
    thread.join(5)

    assert other == ["other"]


@pytest.fixture
def thresholds() -> Iterator[tuple[int, int, int]]:
    before = gc.get_threshold()
    yield before
    gc.set_threshold(*before)


async def test_cycles_are_collected_as_before_once_nothing_long_is_under_way(
    thresholds: tuple[int, int, int],
) -> None:
    slices = Slices()
    async with slices.turn(long=True):
        assert gc.get_threshold()[2] > 1_000_000
        async with slices.turn(long=True):
            pass
        assert gc.get_threshold()[2] > 1_000_000

    assert gc.get_threshold() == thresholds


@pytest.mark.parametrize(
    ("body", "kind", "expected"),
    [
        (b"", "plain", "short"),
        (b"x" * LONG_BYTES, "plain", "short"),
        (b"x" * (LONG_BYTES + 1), "plain", "long"),
        (b"x," * 1000, "plain", "short"),
        (b"x" * 3000 + b"," * 256, "plain", "short"),
        (b"x" * 3000 + b"," * 200 + b"\n" * 57, "plain", "long"),
        (b"," * 256 + b"x" * (STRETCH_BYTES - 256) + b",", "plain", "long"),
        (b"," * 255 + b"x" * (STRETCH_BYTES - 256) + b",", "plain", "short"),
        (b"[" + b"1," * 2000, "plain", "long"),
        (b"{}\n" * 1000, "plain", "long"),
        (b"a=1&" * 1000, "plain", "long"),
        (b"x" * 200, "coded", "short"),
        (b"x" * 300, "coded", "long"),
    ],
)
def test_a_message_is_long_by_its_bytes_or_by_its_values(
    body: bytes, kind: str, expected: str
) -> None:
    assert is_long(body, coded=kind == "coded") == (expected == "long")


runs = st.tuples(st.sampled_from([b",", b"\n", b"&", b"x"]), st.sampled_from([1, 60, 90, 9000]))


@given(st.sampled_from([0, 9000, 20_000]), st.lists(runs, max_size=12))
def test_marks_count_wherever_they_are_in_a_body(begin: int, runs: list[tuple[bytes, int]]) -> None:
    body = b"x" * begin + b"".join(
        b"x" * size if mark == b"x" else mark * min(size, 90) for mark, size in runs
    )
    many = sum(map(body.count, (b",", b"\n", b"&"))) > 256
    assert is_long(body) == (len(body) > 2048 and (len(body) > LONG_BYTES or many))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"x" * LONG_BYTES, True),
        (b"x" * (LONG_BYTES + 1), False),
        (b"[" + b"1," * 2000, True),
        (b"[" + b"1," * 100_000, FORM == "native"),
    ],
)
def test_many_marks_keep_no_message_from_its_native_way(body: bytes, expected: bool) -> None:  # noqa: FBT001 - what the function returns
    assert may_go_at_once(body) == expected


@pytest.mark.parametrize(
    ("piece", "expected"),
    [
        (b"{}\n" * (LONG_BYTES // 3), True),
        (b"x" * (LONG_BYTES + 1), False),
        (b"[1,2]\n" * 4096, True),
        (b"[1,2]\n" * 4097, FORM == "native"),
    ],
)
def test_marks_keep_pieces_from_the_way_of_python(piece: bytes, expected: bool) -> None:  # noqa: FBT001 - what the function returns
    assert may_go_in_records(piece) == expected


@pytest.mark.parametrize("fails", [False, True])
async def test_nothing_of_a_message_stays_behind_its_work(fails: bool) -> None:  # noqa: FBT001 - which of two ends
    """Cycles would keep bodies of mebibytes until they are collected."""

    class Body:
        pass

    def work(body: Body) -> Body:
        core.pause()
        if fails:
            raise ValueError("no")
        return body

    body = Body()
    seen = weakref.ref(body)
    gc.disable()
    try:
        async with Slices().turn(long=True) as run:
            with suppress(ValueError):
                await run(work, body)
        del body
        assert seen() is None
    finally:
        gc.enable()


async def test_answers_go_first_and_requests_have_one_turn_of_three() -> None:
    slices, begun = Slices(), []
    over = asyncio.Event()

    async def hold() -> None:
        async with slices.turn(long=True):
            await over.wait()

    async def work(name: str) -> None:
        async with slices.turn(long=True, answer=name[0] == "a"):
            begun.append(name)

    loop = asyncio.get_running_loop()
    held = [loop.create_task(hold()) for _ in range(AT_ONCE)]
    await asyncio.sleep(0)
    names = ["r1", "r2", "r3", "a1", "a2", "a3", "a4", "a5"]
    tasks = {name: loop.create_task(work(name)) for name in names}
    await asyncio.sleep(0)
    tasks["a2"].cancel()
    held[0].cancel()
    await asyncio.gather(*tasks.values(), return_exceptions=True)
    over.set()
    await asyncio.gather(*held, return_exceptions=True)

    assert begun == ["a1", "a3", "r1", "a4", "a5", "r2", "r3"]


async def test_no_place_is_lost_with_who_leaves_while_it_waits_or_has_just_got_one() -> None:
    slices = Slices()
    over = asyncio.Event()

    async def work() -> None:
        async with slices.turn(long=True):
            await over.wait()

    loop = asyncio.get_running_loop()
    tasks = [loop.create_task(work()) for _ in range(3 * AT_ONCE)]
    await asyncio.sleep(0)
    over.set()  # those that have a place end in the next turn, and give it to the next
    for _ in range(2):
        await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

    async def all_at_once() -> None:
        async with AsyncExitStack() as held:
            for _ in range(AT_ONCE):
                await held.enter_async_context(slices.turn(long=True))

    await asyncio.wait_for(all_at_once(), 5)
