"""The names of the headers of one head, and what they decide whatever the values are.

Clients and backends send the same names with each message. What follows from names alone (which
headers go on, which of them rules read, whether one stands twice) is worked out once for them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Sequence
from functools import lru_cache
from typing import Any, Final, TypeVar

from ..policy import KEPT_HEAD_BYTES, KEPT_HEADS

T = TypeVar("T")

_ODD: Final = re.compile(rb"[^0-9A-Za-z:-]")


class HeaderNames:
    """The names of a head, in lower case.

    Attributes:
        lows: All of them, in order.
        places: Where each name stands.
        odd: One of them has another character than letters, digits and hyphens.
    """

    __slots__ = ("_decided", "lows", "odd", "places")

    def __init__(self, joined: bytes) -> None:
        """Take the names, each behind a colon."""
        self.lows: Final = tuple(joined.split(b":")[1:])
        places: dict[bytes, list[int]] = {}
        for at, name in enumerate(self.lows):
            places.setdefault(name, []).append(at)
        self.places: Final = places
        self.odd: Final = _ODD.search(joined) is not None
        self._decided: dict[Hashable, Any] = {}

    def __contains__(self, name: object) -> bool:
        """Return whether a name in lower case is among them."""
        return name in self.places

    def values(self, headers: Sequence[tuple[bytes, bytes]], name: bytes) -> list[bytes]:
        """Return every value of the header `name` (lower case), in order."""
        places = self.places.get(name)
        return [headers[at][1] for at in places] if places is not None else []

    def decided(self, decide: Callable[[HeaderNames], T]) -> T:
        """Return what a function makes of the names. It is called once for them.

        `decide` must be the same object each time: what it returns is kept as long as the names.
        """
        found: T | None = self._decided.get(decide)
        if found is None:
            found = self._decided[decide] = decide(self)
        return found


def names_of(joined: bytes) -> HeaderNames:
    """Return the names of a head, given in lower case, each behind a colon."""
    return _kept(joined) if len(joined) <= KEPT_HEAD_BYTES else HeaderNames(joined)


_kept: Final = lru_cache(maxsize=KEPT_HEADS)(HeaderNames)


def names_in(headers: Sequence[tuple[bytes, bytes]]) -> HeaderNames:
    """Return the names of some headers."""
    return names_of(b"".join([b":" + name.lower() for name, _ in headers]))
