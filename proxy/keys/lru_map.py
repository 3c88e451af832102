"""A bounded map that forgets what was used least recently."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Final, Generic, TypeVar

from .policy import MAP_STEP

K = TypeVar("K")
V = TypeVar("V")


class BoundedMap(Generic[K, V]):
    """Holds at most `limit` entries.

    `peek` returns an entry or None, and `mark` marks one that is there as used: what `get` does in
    one step costs the path of each message two calls less so.
    """

    __slots__ = ("_entries", "_limit", "mark", "peek")

    def __init__(self, limit: int) -> None:
        """Begin empty."""
        self._limit = limit
        self._entries: OrderedDict[K, V] = OrderedDict()
        self.peek: Final[Callable[[K], V | None]] = self._entries.get
        self.mark: Final[Callable[[K], None]] = self._entries.move_to_end

    def __len__(self) -> int:
        """Return the number of entries."""
        return len(self._entries)

    def get(self, key: K) -> V | None:
        """Return the entry and mark it as used; None when there is none."""
        entry = self._entries.get(key)
        if entry is not None:
            self._entries.move_to_end(key)
        return entry

    def put(self, key: K, entry: V) -> V | None:
        """Keep the entry; forget and return the one unused for longest if it is one too many."""
        self._entries[key] = entry
        self._entries.move_to_end(key)
        if len(self._entries) > self._limit:
            return self._entries.popitem(last=False)[1]
        return None

    def forget(self, key: K) -> None:
        """Forget the entry, if there is one."""
        self._entries.pop(key, None)

    def entries(self) -> tuple[V, ...]:
        """Return every entry; none counts as used."""
        return tuple(self._entries.values())

    def items(self) -> tuple[tuple[K, V], ...]:
        """Return every entry with its key; none counts as used."""
        return tuple(self._entries.items())

    def dropping(self, spent: Callable[[V], bool]) -> Iterator[None]:
        """Forget every entry that is spent, a few at each step; others may run in between."""
        keys = tuple(self._entries)
        for at in range(0, len(keys), MAP_STEP):
            for key in keys[at : at + MAP_STEP]:
                entry = self._entries.get(key)
                if entry is not None and spent(entry):
                    del self._entries[key]
            yield

    def clear(self) -> None:
        """Forget every entry."""
        self._entries.clear()
