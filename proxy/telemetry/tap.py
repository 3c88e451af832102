"""The tap: messages as they pass, by shape and size, for whoever looks; nothing while nobody does.

What traffic asks on the way of each message is one attribute, `watched`. Only while it is true are
shapes made, and of so many messages a second at most. A look lasts for some seconds and must be
renewed, so that a viewer who is gone costs nothing.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from .message_counts import FATES
from .message_line import MessageLine
from .shapes import shape, to_json

LEASE_SECONDS: Final = 5.0
MOST_PER_SECOND: Final = 20
MOST_KEPT: Final = 200
_MOST_PENDING: Final = 100
"""Messages of which the line has not come yet: an answer may take its time."""

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
        request_id: str,
        side: str,
        before: bytes | None,
        after: bytes | None,
        names: frozenset[str],
    ) -> None:
        """Take the shape of a body before and after a rule changed it; `side` is a direction."""
        held = self._pending.get(request_id)
        if held is None:
            if not self._take():
                return
            held = self._pending[request_id] = {}
            if len(self._pending) > _MOST_PENDING:
                del self._pending[next(iter(self._pending))]
        if side == "request":
            sides = ("client", before), ("backend", after)
        else:
            sides = ("answer", before), ("reader", after)
        for name, body in sides:
            held[name] = to_json(shape(body, names, values=self.values))
            held[f"{name}_bytes"] = len(body or b"")

    def line(self, line: MessageLine) -> None:
        """Take the line of a message, with the shapes that it had on its way."""
        shapes = self._pending.pop(line.request_id, None)
        if shapes is None and not self._take():
            self.missed += 1
            return
        self.missed += len(self._kept) == MOST_KEPT
        told: Sighting = {
            "at": round(self._clock(), 3),
            "listener": line.listener,
            "rule": line.rule,
            "method": line.method,
            "status": line.status,
            "error": line.refusal.error if line.refusal else None,
            "direction": line.refusal.direction if line.refusal else None,
            "ms": round(line.duration_ms, 2),
            "sent": line.request_bytes,
            "got": line.response_bytes,
            "fates": {fate: line.counts[fate] for fate in FATES if line.counts.get(fate)},
        }
        self._kept.append(told | (shapes or {}))

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
