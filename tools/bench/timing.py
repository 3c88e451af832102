"""How long a function takes, measured so that two runs can be compared."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

ROUNDS = 9


@dataclass(frozen=True, slots=True)
class Timing:
    """Microseconds of CPU time a call: the median over rounds, and the least and the most."""

    median: float
    least: float
    most: float


def measure(function: Callable[[], object], *, seconds: float = 0.2) -> Timing:
    """Call `function` in nine rounds of about `seconds` each and return what a call costs."""
    calls = _calls_for(function, seconds)
    rounds = []
    for _ in range(ROUNDS):
        began = time.process_time_ns()
        for _ in range(calls):
            function()
        rounds.append((time.process_time_ns() - began) / calls / 1000)
    return Timing(statistics.median(rounds), min(rounds), max(rounds))


def _calls_for(function: Callable[[], object], seconds: float) -> int:
    calls = 1
    while True:
        began = time.perf_counter()
        for _ in range(calls):
            function()
        took = time.perf_counter() - began
        if took > seconds / 4:
            return max(1, round(calls * seconds / took))
        calls *= 4
