"""A bounded map that forgets what was used least recently."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class BoundedMap(Generic[K, V]):
    """Holds at most `limit` entries."""

    __slots__ = ("_entries", "_limit")

    def __init__(self, limit: int) -> None:
        """Begin empty."""
        self._limit = limit
        self._entries: OrderedDict[K, V] = OrderedDict()

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

    def drop(self, spent: Callable[[V], bool]) -> None:
        """Forget every entry that is spent."""
        for key in [key for key, entry in self._entries.items() if spent(entry)]:
            del self._entries[key]

    def clear(self) -> None:
        """Forget every entry."""
        self._entries.clear()
