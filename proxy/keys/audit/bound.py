"""A bound on how many lines of one kind are written: what comes above is counted, and told so.

Whoever can make Sealyard write a line must not be able to fill the disk with lines.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from .line import Value
from .trail import Trail

TELL_SECONDS: Final = 10.0
"""How long what is counted is gathered before it is told, in one line for each kind."""
MOST_KINDS: Final = 20


class Bound:
    """Notes events one by one, `per_second` in the long run and `burst` at once.

    `clock` returns seconds that never go back. Needs a running event loop.
    """

    def __init__(
        self, trail: Trail, *, per_second: float, burst: int, clock: Callable[[], float]
    ) -> None:
        """Begin with the whole burst."""
        self._trail = trail
        self._per_second = per_second
        self._burst = burst
        self._clock = clock
        self._left = float(burst)
        self._when = clock()
        self._more: dict[tuple[tuple[str, Value], ...], int] = {}
        self._since = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def admits(self) -> bool:
        """Count one event, and return whether it is to be written on its own."""
        now = self._clock()
        self._left = min(self._burst, self._left + (now - self._when) * self._per_second)
        self._when = now
        if self._left < 1:
            return False
        self._left -= 1
        return True

    def note(self, event: str, kind: dict[str, Value], **values: Value) -> None:
        """Have an event written down, or counted with those of its `kind`."""
        if self.admits():
            self._trail.note(event, **kind, **values)
        else:
            self.count(event, kind)

    def count(self, event: str, kind: dict[str, Value]) -> None:
        """Count an event that is not written down on its own."""
        key = ("event", event), *kind.items()
        if key not in self._more and len(self._more) >= MOST_KINDS:
            key = (("event", event),)
        self._more[key] = self._more.get(key, 0) + 1
        if self._timer is None:
            self._since = self._clock()
            self._timer = asyncio.get_running_loop().call_later(TELL_SECONDS, self.tell)

    def tell(self) -> None:
        """Have written down what was counted."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        more, self._more = self._more, {}
        seconds = max(round(self._clock() - self._since), 1)
        for key, number in more.items():
            kind = dict(key)
            event = str(kind.pop("event"))
            self._trail.note(f"{event}_more", **kind, number=number, seconds=seconds)
