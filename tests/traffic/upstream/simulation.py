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
    """One request: when it came, when it was sent, and whether its client still waits."""

    came: float
    sent: float = 0.0
    waiting: bool = True


@dataclass
class World:
    """`slots` at a time are worked on, each for `service()` seconds; others wait in the backend.

    Before it, `limit.value` are under way at most, and the others wait as in `Permits`. `rate(now)`
    come a second. Clients leave after PATIENCE_SECONDS, which the backend does not notice.
    """

    make_limit: Callable[[Callable[[], float]], Limit]
    slots: Callable[[float], int]
    service: Callable[[float], float]
    rate: Callable[[float], float]
    seed: int = 1
    served: list[float] = field(default_factory=list)
    took: list[float] = field(default_factory=list)
    limits: list[tuple[float, int]] = field(default_factory=list)
    refused: int = 0

    def __post_init__(self) -> None:
        self._now = 0.0
        self._limit = self.make_limit(lambda: self._now)
        self._chance = random.Random(self.seed)  # noqa: S311 - as above
        self._events: list[tuple[float, int, Callable[[Request], None], Request]] = []
        self._numbers = itertools.count()
        self._waiting: deque[Request] = deque()
        self._backend: deque[Request] = deque()
        self._standing = StandingDelay(QUEUE_SECONDS)
        self._under_way = self._working = 0

    def run(self, seconds: float) -> None:
        """Let so much time pass."""
        self._at(0.0, self._come, Request(0.0))
        while self._events:
            self._now, _, act, request = heapq.heappop(self._events)
            if self._now > seconds:
                return
            act(request)
            self._send()

    def _at(self, when: float, act: Callable[[Request], None], request: Request) -> None:
        heapq.heappush(self._events, (when, next(self._numbers), act, request))

    def _come(self, request: Request) -> None:
        if self._waiting or self._under_way >= self._limit.value:
            self._standing.long(self._now)
        else:
            self._standing.short(self._now)
        self._waiting.append(request)
        self._at(self._now + PATIENCE_SECONDS, self._leave, request)
        later = self._now + self._chance.expovariate(self.rate(self._now))
        self._at(later, self._come, Request(later))

    def _leave(self, request: Request) -> None:
        if request.waiting and request.sent:
            self._end(request, "abandoned")

    def _done(self, request: Request) -> None:
        self._working -= 1
        if request.waiting:
            self._end(request, "answered")
            self.served.append(self._now)
            self.took.append(self._now - request.came)

    def _end(self, request: Request, outcome: str) -> None:
        request.waiting = False
        full = bool(self._waiting) or self._under_way >= self._limit.value
        self._limit.ended(self._now - request.sent, outcome, full=full)
        self.limits.append((self._now, self._limit.value))
        self._under_way -= 1

    def _send(self) -> None:
        """Refuse those who have waited too long; send those who may be sent; work on the first."""
        now, waiting = self._now, self._waiting
        overloaded = self._standing.stands(now)
        since = now - (OVERLOADED_SECONDS if overloaded else QUEUE_SECONDS)
        while waiting and waiting[0].came < since:
            waiting.popleft().waiting = False
            self.refused += 1
        while waiting and self._under_way < self._limit.value:
            self._under_way += 1
            request = waiting.pop() if overloaded else waiting.popleft()
            request.sent = now
            self._backend.append(request)
            if not waiting:
                self._standing.short(now)
        while self._backend and self._working < self.slots(now):
            self._working += 1
            self._at(now + self.service(now), self._done, self._backend.popleft())

    def good(self, begins: float, ends: float) -> float:
        """Return how many a second were served in that time."""
        return sum(begins <= at < ends for at in self.served) / (ends - begins)

    def percentile(self, share: float, *, since: float) -> float:
        """Return what that share of those served since then did not exceed, in seconds."""
        took = sorted(took for at, took in zip(self.served, self.took, strict=True) if at >= since)
        return took[int(share * len(took))] if took else 0.0


def exponential(*, mean: float, seed: int = 2) -> Callable[[float], float]:
    """Return service times of which few are many times the mean."""
    chance = random.Random(seed)  # noqa: S311 - as above
    return lambda _: chance.expovariate(1 / mean)
