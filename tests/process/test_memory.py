"""Large blocks cost no page faults again and again, and are not kept for good."""

from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Iterator
from typing import Final

import pytest

from proxy.process import memory as memory_module
from proxy.process.memory import Garbage, Memory, resident_bytes
from proxy.process.policy import COLLECTED_SECONDS, GROWN_BYTES, PRESSED_SECONDS, PRESSED_SHARE

_PROGRAM: Final = """
import resource, sys
from pathlib import Path
from proxy.process.memory import Memory

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        copies = [b"x" * size for _ in range(3)]
        del copies
    return (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / 20

size = 16 * 1024 * 1024
memory = Memory()
without = faults()
memory.keep()
faults()
kept = faults()
held = resident()
memory.give_back()
print(memory.kept, without, kept, held - resident())
"""


def test_large_blocks_are_kept_for_the_next_and_then_given_back() -> None:
    told = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", _PROGRAM], check=True, capture_output=True, text=True, timeout=60
    ).stdout.split()
    if told[0] != "True":
        pytest.skip("this C library cannot be told what to keep")
    without, kept, given_back = map(float, told[1:])

    assert without > 1000
    assert kept < 100
    assert given_back > 40 * 1024 * 1024


def test_nothing_is_given_back_by_a_library_that_was_not_told_to_keep() -> None:
    memory = Memory()

    memory.give_back()

    assert not memory.kept


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctypes.CDLL", lambda _: object())
    memory = Memory()

    memory.keep()
    memory.give_back()

    assert not memory.kept


@pytest.fixture
def thresholds() -> Iterator[tuple[int, int, int]]:
    before = gc.get_threshold()
    gc.freeze()  # what other tests left: to look at it takes a second
    yield before
    gc.unfreeze()
    gc.set_threshold(*before)


def test_garbage_that_is_held_is_collected_in_time(
    thresholds: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By time alone; sooner where the process grows, or where the budget is nearly taken."""
    resident, taken, collected = [0], [0.0], list[float]()
    at = 0.0
    monkeypatch.setattr(memory_module, "resident_bytes", lambda: resident[0])
    monkeypatch.setattr(gc, "collect", lambda: collected.append(at))
    garbage = Garbage(lambda: taken[0])
    garbage.hold(at)
    assert gc.get_threshold()[2] > 1_000_000

    def held(after: float) -> bool:
        nonlocal at
        before, at = len(collected), at + after
        garbage.hold(at)
        return len(collected) > before

    soon, late = PRESSED_SECONDS + 0.1, COLLECTED_SECONDS + 0.1
    resident[0] = GROWN_BYTES
    assert not held(soon)
    resident[0] = GROWN_BYTES + 1
    assert held(soon)
    resident[0] += GROWN_BYTES + 1
    assert not held(PRESSED_SECONDS / 2)
    assert held(PRESSED_SECONDS)
    taken[0] = PRESSED_SHARE - 0.01
    assert not held(soon)
    taken[0] = PRESSED_SHARE
    assert held(soon)
    taken[0] = 0.0
    assert held(late)
    garbage.release()
    assert gc.get_threshold() == thresholds


@pytest.mark.usefixtures("thresholds")
def test_half_an_hour_of_a_queue_whose_messages_fail_leaves_memory_flat() -> None:
    """Each leaves a cycle with its body, as an error does that leads to the frame it was raised in.

    In the time of the policy: a message a second for 30 minutes, one of them in hand always.
    """
    garbage, grown = Garbage(), list[int]()
    before = resident_bytes()
    for number in range(1800):
        garbage.hold(float(number))
        failed: list[object] = [b"x" * (1024 * 1024)]
        failed.append(failed)
        del failed
        grown.append(resident_bytes() - before)
    garbage.release()
    assert max(grown) < 2 * GROWN_BYTES
