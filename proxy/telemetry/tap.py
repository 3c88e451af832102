"""The tap: messages as they pass, by shape and size, while there are viewers.

The traffic reads one attribute for each message, `watched`. Shapes are made only while it is true,
and of at most MOST_PER_SECOND messages (in the demo, of all). A look is a lease of some seconds
that must be renewed, so a viewer that has gone costs nothing.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, NamedTuple

from ..core.values.outcomes import Outcome
from .body_shapes import Streamed, shape, to_json
from .logs.access_line import MessageLine
from .metrics.message_counts import OUTCOMES
from .per_second import PerSecond
from .policy import LEASE_SECONDS, MOST_KEPT, MOST_PENDING, MOST_PER_SECOND

Piece = Literal["", "message", "piece"]
"""What a body is: all of one direction (empty), a WebSocket message, or a piece of a stream."""


class Passing(NamedTuple):
    """The message of a body: names of the configuration, direction, and what part the body is."""

    key: str
    listener: str
    rule: str | None
    method: str
    direction: str
    piece: Piece


TapMessage = dict[str, Any]
"""One message for JSON: names of the configuration, kinds, sizes and codes."""


class Tap:
    """Records at most `most` messages a second of one process.

    `values` is for the demo, whose chat is fictitious.
    """

    __slots__ = (
        "_clock",
        "_kept",
        "_pending",
        "_sample",
        "_until",
        "missed",
        "values",
        "watched",
    )

    def __init__(
        self, clock: Callable[[], float], *, values: bool = False, most: int = MOST_PER_SECOND
    ) -> None:
        """Start without viewers. `clock` returns seconds since 1970."""
        self.watched = False
        self.values = values
        self.missed = 0
        self._clock = clock
        self._until = 0.0
        self._sample = PerSecond(most, clock)
        self._pending: dict[str, TapMessage] = {}
        self._kept: deque[TapMessage] = deque(maxlen=MOST_KEPT)

    def look(self) -> dict[str, Any]:
        """Return the messages since the last look, and keep recording for `LEASE_SECONDS`.

        Needs a running event loop.
        """
        self._until = self._clock() + LEASE_SECONDS
        if not self.watched:
            self.watched = True
            self._end_later(LEASE_SECONDS)
        seen, missed = list(self._kept), self.missed
        self._kept.clear()
        self.missed = 0
        return {"messages": seen, "missed": missed, "values": self.values}

    def body(
        self,
        passing: Passing,
        before: bytes | Streamed | None,
        after: bytes | Streamed | None,
        names: frozenset[str],
        outcomes: Mapping[Outcome, int],
    ) -> None:
        """Record the shape of a body before and after a rule changed it.

        A part of a longer message is shown at once, since that message may last for hours.
        """
        if passing.piece:
            self._part(passing, self._sides(passing, before, after, names), outcomes)
            return
        held = self._pending.get(passing.key)
        if held is None:
            if not self._sample.takes():
                return
            held = self._pending[passing.key] = {}
            if len(self._pending) > MOST_PENDING:
                del self._pending[next(iter(self._pending))]
        held |= self._sides(passing, before, after, names)

    def line(self, line: MessageLine) -> None:
        """Record the line of a message, with the shapes of its bodies."""
        shapes = self._pending.pop(line.key, None)
        if shapes is None and not self._sample.takes():
            self.missed += 1
            return
        counts = line.counts
        message: TapMessage = {
            "listener": line.listener,
            "rule": line.rule,
            "method": line.method,
            "status": line.status,
            "error": line.refusal.error if line.refusal else None,
            "direction": line.refusal.direction if line.refusal else None,
            "ms": round(line.duration_ms, 2),
            "sent": line.request_bytes,
            "got": line.response_bytes,
            "outcomes": {one: counts[one] for one in OUTCOMES if counts.get(one)},
        }
        self._keep(message | (shapes or {}))

    def _part(self, passing: Passing, sides: TapMessage, outcomes: Mapping[Outcome, int]) -> None:
        """Record a part of a message, after the pending shape of its request, if any."""
        message: TapMessage = {
            "listener": passing.listener,
            "rule": passing.rule,
            "method": passing.method,
            "status": None,
            "error": None,
            "ms": None,
            "sent": 0,
            "got": 0,
        }
        if (request := self._pending.pop(passing.key, None)) is not None:
            self._keep(
                {**message, "part": "request", "direction": "request", "outcomes": {}, **request}
            )
        if not self._sample.takes():
            self.missed += 1
            return
        shown = {outcome: outcomes[outcome] for outcome in OUTCOMES if outcomes.get(outcome)}
        part = {"part": passing.piece, "direction": passing.direction, "outcomes": shown}
        self._keep(message | part | sides)

    def _sides(
        self,
        passing: Passing,
        before: bytes | Streamed | None,
        after: bytes | Streamed | None,
        names: frozenset[str],
    ) -> TapMessage:
        first, second = (
            ("client", "backend") if passing.direction == "request" else ("answer", "reader")
        )
        sides: TapMessage = {}
        for name, body in ((first, before), (second, after)):
            sides[name] = to_json(shape(body, names, values=self.values))
            sides[f"{name}_bytes"] = None if isinstance(body, str) else len(body or b"")
        return sides

    def _keep(self, message: TapMessage) -> None:
        self.missed += len(self._kept) == MOST_KEPT
        self._kept.append({"at": round(self._clock(), 3), **message})

    def _end_later(self, seconds: float) -> None:
        asyncio.get_running_loop().call_later(seconds, self._end)

    def _end(self) -> None:
        left = self._until - self._clock()
        if left > 0:
            self._end_later(left)
            return
        self.watched = False
        self.missed = 0
        self._pending.clear()
        self._kept.clear()


def joined(looks: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the looks of several processes as one, oldest message first."""
    held = [look for look in looks if look]
    return {
        "messages": sorted(
            (one for look in held for one in look["messages"]), key=lambda one: float(one["at"])
        ),
        "missed": sum(look["missed"] for look in held),
        "values": any(look["values"] for look in held),
    }
