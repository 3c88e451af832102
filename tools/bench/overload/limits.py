"""`python -m tools.bench.overload.limits`: limits of concurrency before simulated backends.

For each backend and limit: the share of its capacity that was served in time in seconds 60 to 119,
in the worst of these seconds, and the 50th and 99th percentile of the time in ms. The other limits
are written down from what their projects describe, with the defaults they have there.
"""

# ruff: noqa: PLR2004 - the constants of other projects stand where their formulas have them

from __future__ import annotations

import math
import random  # noqa: TID251 - the same for a seed, and nothing here is secret
import sys
from collections.abc import Callable
from dataclasses import dataclass, field

from proxy.traffic.upstream.concurrency_limit import ConcurrencyLimit
from tests.traffic.upstream.simulation import Limit, World, exponential

MOST = 100
Clock = Callable[[], float]


@dataclass
class Constant:
    """No limit but `limits.connections`."""

    clock: Clock
    value: int = MOST

    def ended(self, seconds: float, outcome: str, *, full: bool) -> None:
        """Do nothing."""


@dataclass
class Gradient2:
    """Netflix' concurrency-limits: the short time against a long average of it."""

    clock: Clock
    value: int = 20
    _long: float = 0.0
    _limit: float = 20.0

    def ended(self, seconds: float, outcome: str, *, full: bool) -> None:
        """Take note of a request."""
        self._long += (seconds - self._long) * (2 / 601 if self._long else 1)
        if self._long / seconds > 2:
            self._long *= 0.95
        if full:
            gradient = max(0.5, min(1.0, 1.5 * self._long / seconds))
            wanted = self._limit * gradient + 4
            self._limit = max(20.0, min(float(MOST), self._limit * 0.8 + wanted * 0.2))
            self.value = int(self._limit)


@dataclass
class Vegas:
    """Netflix' concurrency-limits: the queue that the least time ever seen implies."""

    clock: Clock
    value: int = 20
    _limit: float = 20.0
    _least: float = math.inf
    _count: int = 0

    def ended(self, seconds: float, outcome: str, *, full: bool) -> None:
        """Take note of a request."""
        self._count += 1
        if self._count >= 30 * self._limit:
            self._count, self._least = 0, seconds
        elif seconds < self._least:
            self._least = seconds
        elif full:
            queue = math.ceil(self._limit * (1 - self._least / seconds))
            step = max(1.0, math.log10(max(1, int(self._limit))))
            by = 6 * step if queue <= step else step if queue < 3 * step else 0.0
            by = -step if queue > 6 * step else by
            self._limit = max(1.0, min(float(MOST), self._limit + by))
            self.value = int(self._limit)


@dataclass
class Gradient:
    """Envoy's gradient controller: the median time against that of three at a time."""

    clock: Clock
    value: int = 3
    _least: float = 0.0
    _before: int = 3
    _began: float = 0.0
    _next: float = 0.0
    _held: list[float] = field(default_factory=list)

    def ended(self, seconds: float, outcome: str, *, full: bool) -> None:
        """Take note of a request."""
        now = self.clock()
        self._held.append(seconds)
        if not self._least:
            if len(self._held) >= 50:
                self._least = self._median()
                self.value, self._began, self._next = self._before, now, now + 60
        elif now - self._began >= 0.1 and len(self._held) >= 5:
            gradient = max(0.5, min(2.0, self._least * 1.25 / self._median()))
            limit, self._began = self.value * gradient, now
            self.value = int(max(3, min(1000, limit + math.sqrt(limit))))
            if now > self._next:
                self._before, self.value, self._least = self.value, 3, 0.0

    def _median(self) -> float:
        held, self._held = sorted(self._held), []
        return held[len(held) // 2]


def _mixed() -> Callable[[float], float]:
    chance = random.Random(3)  # noqa: S311 - as above
    return lambda _: 0.002 if chance.random() < 0.6 else chance.expovariate(10)


@dataclass(frozen=True)
class Case:
    """A backend, what it is asked, and what it can do a second."""

    name: str
    slots: Callable[[float], int]
    service: Callable[[], Callable[[float], float]]
    rate: Callable[[float], float]
    capacity: float


CASES = (
    Case("20 at a time, 100 ms", lambda _: 20, lambda: lambda _: 0.1, lambda _: 600, 200),
    Case(
        "20 at a time, exponential", lambda _: 20, lambda: exponential(mean=0.1), lambda _: 600, 200
    ),
    Case("20 at a time, mixed", lambda _: 20, _mixed, lambda _: 1500, 485),
    Case("2 at a time, 50 ms", lambda _: 2, lambda: lambda _: 0.05, lambda _: 120, 40),
    Case(
        "20 at a time, then 60",
        lambda now: 20 if now < 40 else 60,
        lambda: lambda _: 0.1,
        lambda _: 1000,
        600,
    ),
    Case(
        "no limit, 95 at a time", lambda _: 400, lambda: exponential(mean=0.1), lambda _: 950, 950
    ),
    Case(
        "no limit, slower for 20 s",
        lambda _: 400,
        lambda: lambda now: 0.16 if 60 < now < 80 else 0.02,
        lambda _: 500,
        500,
    ),
)
LIMITS: dict[str, Callable[[Clock], Limit]] = {
    "this one": lambda clock: ConcurrencyLimit(MOST, clock=clock),
    "constant": Constant,
    "Gradient2": Gradient2,
    "Vegas": Vegas,
    "Envoy": Gradient,
}


def main() -> None:
    """Print the table."""
    for case in CASES:
        for name, limit in LIMITS.items():
            world = World(limit, case.slots, case.service(), case.rate)
            world.run(120)
            seconds = [world.good(at, at + 1) / case.capacity for at in range(60, 119)]
            good = sum(seconds) / len(seconds)
            times = [1000 * world.percentile(share, since=60) for share in (0.5, 0.99)]
            sys.stdout.write(
                f"{case.name:28}{name:10}{good:6.2f}{min(seconds):6.2f}"
                f"{times[0]:6.0f}{times[1]:6.0f}\n"
            )


if __name__ == "__main__":
    main()
