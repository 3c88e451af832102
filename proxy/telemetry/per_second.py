"""A sample of messages: so many in each second of a clock."""

from __future__ import annotations

from collections.abc import Callable


class PerSecond:
    """Takes the first `most` of each second; `clock` returns seconds."""

    __slots__ = ("_clock", "_most", "_second", "_seen")

    def __init__(self, most: int, clock: Callable[[], float]) -> None:
        """Start with none seen."""
        self._clock = clock
        self._most = most
        self._second = 0
        self._seen = 0

    def takes(self) -> bool:
        """Return whether one more is taken in this second."""
        second = int(self._clock())
        if second != self._second:
            self._second, self._seen = second, 0
        self._seen += 1
        return self._seen <= self._most
