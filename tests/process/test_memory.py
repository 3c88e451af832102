"""Large blocks cost no page faults again and again, and are not kept for good."""

from __future__ import annotations

import subprocess
import sys
from typing import Final

import pytest

from proxy.process.memory import Memory

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
