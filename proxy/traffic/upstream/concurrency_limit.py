"""How many requests the upstream gets at a time, found out by how long it takes to answer.

A backend answers a few requests at a time and lets the others wait. What waits there is served in
its turn, whether its client still waits or not; what waits here can be refused in time. So the
limit follows the point from which more requests at a time only take longer.

The controller is a gradient controller, as that of Envoy's adaptive concurrency filter and of
Netflix' concurrency-limits (Gradient2): `limit * usual / now + sqrt(limit)`, where both times are
means. They differ in how they learn the usual time. Envoy admits three requests at a time for a
while, which costs most of the throughput. Gradient2 averages over a long time, which an overload
of some minutes takes for usual. Here it is learnt by comparison: a lower limit that has not made
answers faster shows that they are slow for another reason, so that their time is the usual one.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ..policy import (
    CERTAIN,
    GIVEN_UP,
    HELPED,
    INSTANT_SECONDS,
    LEAST_LIMIT,
    OUTLIER,
    PRECISE_SHARE,
    STEEPEST,
    TOLERANCE,
    TRIAL_SECONDS,
    TRIAL_SHARE,
    WINDOW_MOST_SECONDS,
    WINDOW_SECONDS,
)

FEW_ANSWERS: Final = 20
MANY_ANSWERS: Final = 200
_LOOKED_AT: Final = 5
"""After each so many answers it is looked whether they are enough."""
CUT_TO: Final = 10
"""Then it is halved, but not below this part of the most: long polls, too, are given up late."""


@dataclass(frozen=True, slots=True)
class _Window:
    """The mean time of some answers, in seconds, with its standard error."""

    mean: float
    error: float


class ConcurrencyLimit:
    """A limit between LEAST_LIMIT and `most`, with which it begins.

    `value` is the limit. `usual` is the time in seconds that answers usually take, None until it
    is known. `clock` returns monotonic seconds.
    """

    __slots__ = (
        "_answers",
        "_began",
        "_clock",
        "_first_trial",
        "_full",
        "_given_up",
        "_least",
        "_lowered",
        "_mean",
        "_most",
        "_next_trial",
        "_squares",
        "_total",
        "_was_full",
        "usual",
        "value",
    )

    def __init__(self, most: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._most = most
        self._least = min(LEAST_LIMIT, most)
        self.value = most
        self.usual: float | None = None
        self._began: float | None = None
        self._answers = self._full = self._given_up = 0
        self._total = self._squares = self._mean = 0.0
        self._was_full = False
        # The limit, and what was measured under it, before the limit was lowered.
        self._lowered: tuple[int, _Window] | None = None
        self._next_trial = 0.0
        self._first_trial = True

    def ended(self, seconds: float, outcome: str, *, full: bool) -> None:
        """Take note of a request that was under way for so many seconds.

        `full` says that another one waited for the limit, or would have. What has failed says
        nothing of how busy the upstream is; what its client has given up says as much as that it
        takes longer than that.
        """
        if outcome in {"failed", "cut", "unconnected", "unsent"}:
            return
        now, usual = self._clock(), self.usual
        began = self._began
        if began is None:
            began = self._began = now
        if outcome != "answered":
            if usual is not None and seconds <= TOLERANCE * usual:
                return
            self._given_up += 1
        elif self._lowered is not None and now - seconds < began:
            return  # it met those whom the lower limit has kept away since
        if usual is not None and seconds > OUTLIER * usual:
            seconds = min(seconds, OUTLIER * max(usual, self._mean))
        self._total += seconds
        self._squares += seconds * seconds
        self._answers += 1
        self._full += full
        count = self._answers
        if count >= FEW_ANSWERS and not count % _LOOKED_AT and now - began >= WINDOW_SECONDS:
            self._look(now, now - began)

    def _look(self, now: float, lasted: float) -> None:
        """Decide, if the answers of this window are enough."""
        count = self._answers
        mean = self._total / count
        error = math.sqrt(max(0.0, self._squares / count - mean * mean) / count)
        if count >= MANY_ANSWERS or lasted >= WINDOW_MOST_SECONDS or error <= PRECISE_SHARE * mean:
            full, given_up = self._full * 2 > count, self._given_up > GIVEN_UP * count
            self._began, self._total, self._squares, self._mean = now, 0.0, 0.0, mean
            self._answers = self._full = self._given_up = 0
            if full and given_up:
                self._cut()
            else:
                self._decide(_Window(mean, error), now, full=full)

    def _cut(self) -> None:
        """Lower the limit, whatever was tried: answers come too late for those who wait for them.

        The upstream may work on for clients that have left, so that there is more under way than
        is counted here.
        """
        self.value = max(self._least, self._most // CUT_TO, int(self.value * STEEPEST))
        self._lowered, self._was_full = None, False

    def _decide(self, window: _Window, now: float, *, full: bool) -> None:
        """Set the limit by the answers of one window."""
        lowered, self._lowered = self._lowered, None
        steady, self._was_full = self._was_full and full, full
        if self.usual is None or not full:
            # What answers take while nobody waits for the limit is usual, whatever it is.
            self.usual = window.mean
        if not full:
            self.value = self.value if lowered is None else lowered[0]
        elif lowered is not None:
            self._compare(*lowered, window, now)
        elif now >= self._next_trial:
            if steady:
                self._try(self.value, window)
        else:
            self._follow(window)

    def _follow(self, window: _Window) -> None:
        """Set the limit by what answers take now, and what they usually take."""
        usual = self.usual or window.mean
        gradient = TOLERANCE * usual / max(window.mean - window.error, usual, INSTANT_SECONDS)
        wanted = self.value * min(1.0, max(STEEPEST, gradient)) + math.sqrt(self.value)
        before, self.value = self.value, max(self._least, min(int(wanted), self._most))
        if self.value < before * (1 + TRIAL_SHARE) / 2:
            self._lowered = before, window

    def _try(self, before: int, window: _Window) -> None:
        share = STEEPEST if self._first_trial else TRIAL_SHARE
        self.value = max(self._least, int(before * share))
        if self.value < before:
            self._lowered = before, window

    def _compare(self, limit: int, before: _Window, now: _Window, at: float) -> None:
        """Lower the limit on while that makes answers come faster; undo what did not."""
        self._next_trial = at + TRIAL_SECONDS
        faster = before.mean - now.mean
        expected = before.mean * (1 - self.value / limit)
        certain = CERTAIN * math.hypot(before.error, now.error)
        self.usual = now.mean
        if faster > max(expected * HELPED, certain):
            self._try(self.value, now)
        else:
            self.value = limit
            self._first_trial = False
