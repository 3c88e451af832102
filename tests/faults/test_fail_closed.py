"""Whatever fails, wherever: the client sees it, and no plaintext goes where it must not."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path

import pytest

from proxy.demo.screen import search
from proxy.telemetry.logs.library_logs import asyncio_handler, route
from proxy.telemetry.logs.logger import Logs

from .faults import EXCEPTIONS, FILES, WITH_LINES, Fault, FaultAtLine, FaultAtWait, LineWatch, waits
from .rig import CANARY, Outcome, Rig, descriptors, rigged
from .scenes import SCENES, SECRET_FROM_ORIGIN

BESIDE_THE_PATH = (
    *("open", "known", "rotate", "revoke", "erase", "close", "write_down", "_turn"),
    *("acquire", "take", "_begun"),
)
"""Functions of these files that no request here comes through: what an operator asks for, and the
queue for permits and slow uploads, which have tests of their own."""


async def clean(rig: Rig, *, watch: Fault | None = None) -> Outcome:
    """Do an exchange without a fault."""
    outcome = await rig.with_fault(watch or Fault())
    assert outcome.status in {200, 101, 403}
    return outcome


def alike(name: str, outcome: Outcome, right: Outcome) -> bool:
    """Tell whether two clients got the same; what is sealed anew is of the same length alone."""
    if name == "sealing_events":
        return outcome.whole and len(outcome.raw) == len(right.raw)
    # A refusal has the id of its request.
    return outcome.raw == right.raw or name == "refusing"


def check(name: str, rig: Rig, fault: Fault, outcome: Outcome, right: Outcome) -> None:
    """See that the fault was seen, and what carried the canary."""
    assert fault.happened
    assert (
        outcome.status >= 400
        or not outcome.whole
        or alike(name, outcome, right)
        or name in {"tunnelling", "overhearing", "relaying"}
    ), (fault.lines[-1:], outcome)
    leaks = rig.leaks()
    if name not in SECRET_FROM_ORIGIN:
        leaks = [(place, spelling) for place, spelling in leaks if place != "origin"]
    assert not leaks, fault.lines[-1:]
    assert not (outcome.status >= 400 and search(CANARY, {"answer": outcome.raw}))


async def settled(before: int) -> None:
    """Wait until no more tasks run than before."""
    async with asyncio.timeout(5):
        while len(asyncio.all_tasks()) > before:  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.001)


@pytest.mark.parametrize("name", SCENES)
@pytest.mark.parametrize("error", EXCEPTIONS)
async def test_an_exception_out_of_any_wait_fails_closed(
    name: str, error: type[BaseException], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with rigged(await SCENES[name](), tmp_path) as rig:
        await clean(rig)
        watch = Fault()
        right = await clean(rig, watch=watch)
        tasks, files = len(asyncio.all_tasks()), descriptors()
        assert watch.waits or name == "refusing"  # which needs none
        for at in range(watch.waits):
            fault = FaultAtWait(at, error(CANARY))
            outcome = await rig.with_fault(fault)
            check(name, rig, fault, outcome, right)
            assert not rig.lost
            assert alike(name, await clean(rig), right)
            await settled(tasks)
        assert rig.ours.upstream.pool.size <= 1
        assert descriptors() <= files
    gc.collect()
    assert not search(CANARY, {"logging": caplog.text.encode()})
    assert "Task exception was never retrieved" not in caplog.text


async def test_every_wait_of_the_request_path_is_among_the_points(tmp_path: Path) -> None:
    """A wait that is new and in no scene fails here: let a scene of scenes.py come by."""
    seen: dict[str, set[int]] = {name: set() for name in WITH_LINES}
    for scene in SCENES.values():
        async with rigged(await scene(), tmp_path) as rig:
            for _ in range(2):
                watch = Fault()
                await rig.with_fault(watch)
                for file, line in watch.waited_at:
                    seen[file].add(line)
    missed = [
        f"{name}:{lines.start}"
        for name in FILES
        for lines in waits(name, beside=BESIDE_THE_PATH)
        if not seen[name] & set(lines)
    ]
    assert not missed, " ".join(missed)
    assert sum(len(waits(name, beside=BESIDE_THE_PATH)) for name in FILES) >= 30


async def lines_of(rig: Rig) -> int:
    watch = LineWatch()
    await rig.with_fault(watch)
    return len(watch.lines)


@pytest.mark.parametrize("name", SCENES)
async def test_an_exception_at_any_line_that_calls_fails_closed(name: str, tmp_path: Path) -> None:
    log: list[bytes] = []
    logs = Logs(log.append)
    asyncio.get_running_loop().set_exception_handler(asyncio_handler(logs))
    with route(logs):
        async with rigged(await SCENES[name](), tmp_path) as rig:
            await clean(rig)
            right = await clean(rig)
            for at in range(await lines_of(rig)):
                fault = FaultAtLine(at, EXCEPTIONS[at % len(EXCEPTIONS)](CANARY))
                outcome = await rig.with_fault(fault)
                if fault.happened:
                    check(name, rig, fault, outcome, right)
                assert not rig.lost, fault.lines[at]
                assert alike(name, await clean(rig), right), fault.lines[at]
        gc.collect()
    assert not search(CANARY, {"log": b"".join(log)})
