"""A backend of some slots under an open load, in simulated time, behind a concurrency limit."""

from __future__ import annotations

import heapq
import itertools
import random  # noqa: TID251 - the same for a seed, and nothing here is secret
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from proxy.traffic.overload import StandingDelay

PATIENCE_SECONDS = 1.0
QUEUE_SECONDS = 1.0
OVERLOADED_SECONDS = 0.1


class Limit(Protocol):
    """What is tried."""

    value: int

    def ended(self, seconds: float, outcome: str, *, full: bool) -> None:
        """Take note of a request."""


@dataclass(eq=False)
class Request:
    """One request: when it came, when it was sent, and whether its client has left."""

    came: float
    sent: float = 0.0
    waiting: bool = True
    left: bool = False


@dataclass
class World:
    """`slots` at a time are worked on, each for `service()` seconds; others wait in the backend.

    Before it, `limit.value` are under way at most, and the others wait as in `Permits`. `rate(now)`
    come a second. Clients leave after PATIENCE_SECONDS, which the backend does not notice.
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
        events: list[tuple[float, int, str, Request]] = []
        numbers = itertools.count()
        waiting: deque[Request] = deque()
        backend: deque[Request] = deque()
        standing = StandingDelay(QUEUE_SECONDS, 0.0)
        under_way = working = 0

        def at(when: float, kind: str, request: Request) -> None:
            heapq.heappush(events, (when, next(numbers), kind, request))

        def ended(request: Request, outcome: str) -> None:
            full = bool(waiting) or under_way >= limit.value
            limit.ended(self._now - request.sent, outcome, full=full)
            self.limits.append((self._now, limit.value))

        at(0.0, "come", Request(0.0))
        while events:
            now, _, kind, request = heapq.heappop(events)
            self._now = now
            if now > seconds:
                return
            if kind == "come":
                if not waiting:
                    standing.short(now)
                waiting.append(request)
                at(now + PATIENCE_SECONDS, "leave", request)
                later = now + chance.expovariate(self.rate(now))
                at(later, "come", Request(later))
            elif kind == "leave":
                if request.waiting and request.sent:
                    request.left, request.waiting = True, False
                    ended(request, "abandoned")
                    under_way -= 1
            else:
                working -= 1
                if request.waiting:
                    request.waiting = False
                    ended(request, "answered")
                    under_way -= 1
                    self.served.append(now)
                    self.took.append(now - request.came)
            overloaded = bool(waiting) and standing.stands(now)
            since = now - (OVERLOADED_SECONDS if overloaded else QUEUE_SECONDS)
            while waiting and waiting[0].came < since:
                waiting.popleft().waiting = False
                self.refused += 1
            while waiting and under_way < limit.value:
                under_way += 1
                request = waiting.pop() if overloaded else waiting.popleft()
                request.sent = now
                backend.append(request)
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
