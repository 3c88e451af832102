"""The tap: messages as they pass, by shape and size, for whoever looks; nothing while nobody does.

What traffic asks on the way of each message is one attribute, `watched`. Only while it is true are
shapes made, and of so many messages a second at most. A look lasts for some seconds and must be
renewed, so that a viewer who is gone costs nothing.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Literal, NamedTuple

from ..core.edits.edits import Outcome
from .body_shapes import Flowing, shape, to_json
from .logs.access_line import MessageLine
from .metrics.message_counts import OUTCOMES

LEASE_SECONDS: Final = 5.0
MOST_PER_SECOND: Final = 20
MOST_KEPT: Final = 200
_MOST_PENDING: Final = 100
"""Messages of which the line has not come yet: an answer may take its time."""

Piece = Literal["", "message", "piece"]
"""What a body is of a message: all of one direction, or one of those that a WebSocket or a stream
has."""


class Passing(NamedTuple):
    """Whose body is seen: names of the configuration, and what it is of its message."""

    request_id: str
    listener: str
    rule: str | None
    method: str
    direction: str
    piece: Piece


Sighting = dict[str, Any]
"""One message as JSON holds it: names of the configuration, kinds, sizes and codes."""


class Tap:
    """Sees the messages of one process. `values` is for the demonstration: its chat is made up."""

    __slots__ = (
        "_clock",
        "_kept",
        "_pending",
        "_second",
        "_seen",
        "_until",
        "missed",
        "values",
        "watched",
    )

    def __init__(self, clock: Callable[[], float], *, values: bool = False) -> None:
        """Begin with nobody looking. `clock` gives seconds since 1970."""
        self.watched = False
        self.values = values
        self.missed = 0
        self._clock = clock
        self._until = 0.0
        self._second = 0
        self._seen = 0
        self._pending: dict[str, Sighting] = {}
        self._kept: deque[Sighting] = deque(maxlen=MOST_KEPT)

    def look(self) -> dict[str, Any]:
        """Return what was seen since the last look, and go on seeing for `LEASE_SECONDS`.

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
        before: bytes | Flowing | None,
        after: bytes | Flowing | None,
        names: frozenset[str],
        outcomes: Mapping[Outcome, int],
    ) -> None:
        """Take the shape of a body before and after a rule changed it.

        What is part of a longer message is told at once, since its line may be hours away.
        """
        if passing.piece:
            self._part(passing, self._sides(passing, before, after, names), outcomes)
            return
        held = self._pending.get(passing.request_id)
        if held is None:
            if not self._take():
                return
            held = self._pending[passing.request_id] = {}
            if len(self._pending) > _MOST_PENDING:
                del self._pending[next(iter(self._pending))]
        held |= self._sides(passing, before, after, names)

    def line(self, line: MessageLine) -> None:
        """Take the line of a message, with the shapes that it had on its way."""
        shapes = self._pending.pop(line.request_id, None)
        if shapes is None and not self._take():
            self.missed += 1
            return
        told: Sighting = {
            "listener": line.listener,
            "rule": line.rule,
            "method": line.method,
            "status": line.status,
            "error": line.refusal.error if line.refusal else None,
            "direction": line.refusal.direction if line.refusal else None,
            "ms": round(line.duration_ms, 2),
            "sent": line.request_bytes,
            "got": line.response_bytes,
            "outcomes": {
                outcome: line.counts[outcome] for outcome in OUTCOMES if line.counts.get(outcome)
            },
        }
        self._keep(told | (shapes or {}))

    def _part(self, passing: Passing, sides: Sighting, outcomes: Mapping[Outcome, int]) -> None:
        """Tell of a part of a message, and of what its request had been before it."""
        told: Sighting = {
            "listener": passing.listener,
            "rule": passing.rule,
            "method": passing.method,
            "status": None,
            "error": None,
            "ms": None,
            "sent": 0,
            "got": 0,
        }
        if (request := self._pending.pop(passing.request_id, None)) is not None:
            self._keep(
                {**told, "part": "request", "direction": "request", "outcomes": {}, **request}
            )
        if not self._take():
            self.missed += 1
            return
        shown = {outcome: outcomes[outcome] for outcome in OUTCOMES if outcomes.get(outcome)}
        part = {"part": passing.piece, "direction": passing.direction, "outcomes": shown}
        self._keep(told | part | sides)

    def _sides(
        self,
        passing: Passing,
        before: bytes | Flowing | None,
        after: bytes | Flowing | None,
        names: frozenset[str],
    ) -> Sighting:
        first, second = (
            ("client", "backend") if passing.direction == "request" else ("answer", "reader")
        )
        sides: Sighting = {}
        for name, body in ((first, before), (second, after)):
            sides[name] = to_json(shape(body, names, values=self.values))
            sides[f"{name}_bytes"] = None if isinstance(body, str) else len(body or b"")
        return sides

    def _keep(self, told: Sighting) -> None:
        self.missed += len(self._kept) == MOST_KEPT
        self._kept.append({"at": round(self._clock(), 3), **told})

    def _take(self) -> bool:
        """Tell whether one more message may be looked at in this second."""
        second = int(self._clock())
        if second != self._second:
            self._second, self._seen = second, 0
        self._seen += 1
        return self._seen <= MOST_PER_SECOND

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
    """Return what several processes saw as if it were one, in the order of time."""
    held = [look for look in looks if look]
    return {
        "messages": sorted(
            (one for look in held for one in look["messages"]), key=lambda one: float(one["at"])
        ),
        "missed": sum(look["missed"] for look in held),
        "values": any(look["values"] for look in held),
    }
