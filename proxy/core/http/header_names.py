"""The names of the headers of one head, and what they decide whatever the values are.

Clients and backends send the same names with each message. What follows from names alone (which
headers go on, which of them rules read, whether one stands twice) is worked out once for them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from ..policy import KEPT_HEAD_BYTES, KEPT_HEADS

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

Pick = Callable[[tuple[tuple[bytes, bytes], ...]], tuple[tuple[bytes, bytes], ...]]
"""Picks some of the headers of a head."""

Places = tuple[tuple[bytes, list[int]], ...]
"""Names, and where each stands."""

_ODD: Final = re.compile(rb"[^0-9A-Za-z:-]")


class Decides(Protocol[T_co]):
    """A function of the names of a head."""

    def __call__(self, names: HeaderNames, /) -> T_co:
        """Decide."""


class HeaderNames(dict[Callable[["HeaderNames"], Any], Any]):
    """The names of a head, in lower case, and what functions make of them: `names[function]`.

    A function is called once for them, and what it returns is kept as long as the names: it must be
    the same each time, or equal.

    Attributes:
        lows: All of them, in order.
        places: Where each name stands.
        odd: One of them has another character than letters, digits and hyphens.
    """

    __slots__ = ("lows", "odd", "places")

    def __init__(self, joined: bytes) -> None:
        """Take the names, each behind a colon."""
        super().__init__()
        self.lows: Final = tuple(joined.split(b":")[1:])
        places: dict[bytes, list[int]] = {}
        for at, name in enumerate(self.lows):
            places.setdefault(name, []).append(at)
        self.places: Final = places
        self.odd: Final = _ODD.search(joined) is not None

    if TYPE_CHECKING:

        def __getitem__(self, decide: Decides[T]) -> T: ...

    def __missing__(self, decide: Callable[[HeaderNames], T]) -> T:
        """Let a function decide, the first time that it is asked."""
        found = self[decide] = decide(self)
        return found

    def standing(self, names: frozenset[bytes]) -> Places:
        """Return some names (lower case) that are there, and where each stands."""
        return tuple([(name, self.places[name]) for name in self.places if name in names])

    def values_in(self, headers: Sequence[tuple[bytes, bytes]], name: bytes) -> list[bytes]:
        """Return every value of the header `name` (lower case), in order."""
        places = self.places.get(name)
        return [headers[at][1] for at in places] if places is not None else []


def names_of(joined: bytes) -> HeaderNames:
    """Return the names of a head, given in lower case, each behind a colon."""
    return _kept(joined) if len(joined) <= KEPT_HEAD_BYTES else HeaderNames(joined)


_kept: Final = lru_cache(maxsize=KEPT_HEADS)(HeaderNames)


def picking(places: Sequence[int]) -> Pick:
    """Return what picks the headers that stand at some places, as a tuple."""
    if len(places) > 1:
        return itemgetter(*places)
    return itemgetter(slice(places[0], places[0] + 1) if places else slice(0))


def names_in(headers: Sequence[tuple[bytes, bytes]]) -> HeaderNames:
    """Return the names of some headers."""
    return names_of(b"".join([b":" + name.lower() for name, _ in headers]))
