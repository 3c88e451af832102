"""How many connections each address of a client holds."""

from __future__ import annotations


class Addresses:
    """Counts connections by address; what has none, on a Unix socket, is not counted."""

    __slots__ = ("_counts",)

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def admits(self, address: str, limit: int) -> bool:
        """Count a new connection in; return whether there was room for it."""
        if not address:
            return True
        count = self._counts.get(address, 0)
        if count >= limit:
            return False
        self._counts[address] = count + 1
        return True

    def lost(self, address: str) -> None:
        """Count a connection out."""
        count = self._counts.pop(address, 0)
        if count > 1:
            self._counts[address] = count - 1
