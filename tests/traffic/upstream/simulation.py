"""A backend of some slots under an open load, in simulated time, behind a concurrency limit."""

from __future__ import annotations

import heapq
import itertools
import random  # noqa: TID251 - the same for a seed, and nothing here is secret
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

QUEUE_SECONDS = 0.1
PATIENCE_SECONDS = 1.0


class Limit(Protocol):
    """What is tried."""

    value: int

    def ended(self, seconds: float, outcome: str, under_way: int) -> None:
        """Take note of a request."""


@dataclass
class World:
    """`slots` at a time are worked on, each for `service()` seconds; others wait in the backend.

    Before it, `limit.value` are under way at most; the others wait for QUEUE_SECONDS, the newest is
    next. `rate(now)` arrive a second; each is served if it is answered in PATIENCE_SECONDS.
    """

    limit: Callable[[Callable[[], float]], Limit]
    slots: Callable[[float], int]
    service: Callable[[float], float]
    rate: Callable[[float], float]
    seed: int = 1
    served: list[float] = field(default_factory=list)
    took: list[float] = field(default_factory=list)
    limits: list[tuple[float, int]] = field(default_factory=list)
    refused: int = 0
    _now: float = 0.0

    def run(self, seconds: float) -> None:
        """Let so much time pass."""
        chance = random.Random(self.seed)  # noqa: S311 - as above
        limit = self.limit(lambda: self._now)
        events: list[tuple[float, int, str, tuple[float, float]]] = []
        numbers = itertools.count()
        waiting: deque[float] = deque()
        backend: deque[tuple[float, float]] = deque()
        under_way = working = 0

        def at(when: float, kind: str, what: tuple[float, float] = (0.0, 0.0)) -> None:
            heapq.heappush(events, (when, next(numbers), kind, what))

        at(0.0, "arrive")
        while events:
            now, _, kind, what = heapq.heappop(events)
            if now > seconds:
                return
            if kind == "arrive":
                waiting.append(now)
                at(now + chance.expovariate(self.rate(now)), "arrive")
            else:
                working -= 1
                arrived, sent = what
                self._now = now
                limit.ended(now - sent, "answered", under_way)
                under_way -= 1
                self.limits.append((now, limit.value))
                if now - arrived <= PATIENCE_SECONDS:
                    self.served.append(now)
                    self.took.append(now - arrived)
            while waiting and waiting[0] < now - QUEUE_SECONDS:
                waiting.popleft()
                self.refused += 1
            while waiting and under_way < limit.value:
                under_way += 1
                backend.append((waiting.pop(), now))
            while backend and working < self.slots(now):
                working += 1
                at(now + self.service(now), "done", backend.popleft())

    def good(self, begins: float, ends: float) -> float:
        """Return how many a second were served in that time."""
        return sum(begins <= at < ends for at in self.served) / (ends - begins)

    def percentile(self, share: float, *, since: float) -> float:
        """Return what that share of those served since then did not exceed, in seconds."""
        took = sorted(took for at, took in zip(self.served, self.took, strict=True) if at >= since)
        return took[int(share * len(took))]


def exponential(*, mean: float, seed: int = 2) -> Callable[[float], float]:
    """Return service times of which few are many times the mean."""
    chance = random.Random(seed)  # noqa: S311 - as above
    return lambda _: chance.expovariate(1 / mean)
