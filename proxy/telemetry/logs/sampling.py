"""Which lines of messages that went well are written: a share of them, as their rule says.

What was refused has another event and is always written; so is what failed or was cut off. Taken is
every n-th line and not a random one, so that a share is exact and nothing depends on luck.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from .access_line import MessageLine

ALL: Final = 1.0
_WHOLE: Final = 1_000_000
_FIRST_FAILURE: Final = 499
"""The status of a client that went away; what the backend failed at is above."""


class _Share:
    """Counts how much of a line is due: no fraction is lost, so that a share holds for ever."""

    __slots__ = ("_due", "_parts", "share")

    def __init__(self, share: float) -> None:
        self.share = share
        self._parts = round(share * _WHOLE)
        self._due = _WHOLE - self._parts  # the very first is taken

    def take(self) -> bool:
        self._due += self._parts
        if self._due < _WHOLE:
            return False
        self._due -= _WHOLE
        return True


class Sampling:
    """The shares of some rules, by listener and rule; 0 leaves the failures alone."""

    def __init__(self, shares: Mapping[tuple[str, str], float]) -> None:
        """Take all lines of rules that are not in `shares`."""
        self._shares = {key: _Share(share) for key, share in shares.items()}

    def share(self, line: MessageLine) -> float | None:
        """Return what share the line of a message stands for, or None where it is not written."""
        one = self._shares.get((line.listener, line.rule or ""))
        if one is None or line.status >= _FIRST_FAILURE:
            return ALL
        return one.share if one.share and one.take() else None
