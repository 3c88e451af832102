"""The head cache: heads that come again on a connection are found by their bytes, not parsed again.

A client repeats the head of its requests, and a backend that of its responses, but for the length
of the body (HPACK, RFC 7541, relies on the same) and for a few values that no rule reads, such as
the id of a request or a date. What was found in such a head, and decided about it, holds for the
next one too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Final, Generic, TypeVar

from ...core.http.message import Headers

HELD: Final = 4
"""Heads that are kept for each connection: a client alternates between a few requests."""
HELD_BYTES: Final = 2048
"""A longer head, in bytes, is parsed each time."""

_DIGITS: Final = 9
"""A head whose length has more digits is parsed each time."""
_VALUE_BYTES: Final = 512
"""So is one in which a value that varies is not shorter."""
_VARYING: Final = re.compile(rb"[!-~][\t -~]*+(?<![\t ])")
_FIELD: Final = re.compile(rb"\r\n([!-9;-~]++): ([^\r]++)(?=\r\n)")
_LENGTH: Final = b"content-length"

_Head = TypeVar("_Head")


class _Known(Generic[_Head]):
    """A head that was read: the bytes between its values that vary, and the last that was so.

    `first` is what is before the first such value, `rest` what is behind each, and whether that is
    the length. `places` are the indexes of these values among the headers. `whole` are the bytes
    of the last head, `found` is what was found there.
    """

    __slots__ = ("first", "found", "places", "rest", "whole")

    def __init__(self, whole: bytes, names: frozenset[bytes], found: tuple[_Head, int]) -> None:
        self.whole = whole
        self.found = found
        spans: list[tuple[int, int, bool]] = []
        places: list[int] = []
        for place, field in enumerate(_FIELD.finditer(whole)):
            low = field[1].lower()
            if low == _LENGTH or low in names:
                spans.append((*field.span(2), low == _LENGTH))
                places.append(place)
        self.first: Final = whole[: spans[0][0]] if spans else b""
        ends = [*(start for start, _, _ in spans[1:]), len(whole)]
        self.rest: Final = [
            (whole[end:until], length)
            for (_, end, length), until in zip(spans, ends, strict=False)  # there may be no spans
        ]
        self.places: Final = tuple(places)

    def values(self, data: bytes) -> list[bytes] | None:
        """Return the values that vary, where `data` begins with this head but for them."""
        if not self.rest or not data.startswith(self.first):
            return None
        at, values = len(self.first), []
        for behind, is_length in self.rest:
            end = data.find(b"\r", at, at + _VALUE_BYTES)
            value = data[at:end]
            if end < 0 or not data.startswith(behind, end):
                return None
            if is_length:
                if len(value) > _DIGITS or not value.isdigit():
                    return None
            elif not _VARYING.fullmatch(value):
                return None
            values.append(value)
            at = end + len(behind)
        self.whole = data[:at]
        return values


class HeadCache(Generic[_Head]):
    """The head cache of one connection.

    `read` returns the head that bytes begin with, and how long it is, or None where it is not a
    fast one. `names` are those of headers that vary, in lower case. `again` returns a head that
    differs in other values at some places alone: those of such headers, and of the length.
    """

    __slots__ = ("_again", "_known", "_names", "_read")

    def __init__(
        self,
        read: Callable[[bytes], tuple[_Head, int] | None],
        again: Callable[[_Head, Sequence[int], Sequence[bytes]], _Head],
        names: frozenset[bytes],
    ) -> None:
        self._read = read
        self._again = again
        self._names = names
        self._known: list[_Known[_Head]] = []

    def find(self, data: bytes) -> tuple[_Head, int] | None:
        """Return what `read` returns: the head that `data` begins with, and its bytes."""
        for known in self._known:
            if data.startswith(known.whole):
                return known.found
        for known in self._known:
            values = known.values(data)
            if values is not None:
                head = self._again(known.found[0], known.places, values)
                known.found = found = head, len(known.whole)
                return found
        return self._find_anew(data)

    def _find_anew(self, data: bytes) -> tuple[_Head, int] | None:
        found = self._read(data)
        if found is not None and found[1] <= HELD_BYTES:
            known = _Known(data[: found[1]], self._names, found)
            self._known = [known, *self._known[: HELD - 1]]
        return found


def with_values(headers: Headers, places: Sequence[int], values: Sequence[bytes]) -> Headers:
    """Return headers with other values at some places."""
    made = [*headers]
    for place, value in zip(places, values, strict=True):
        made[place] = made[place][0], value
    return tuple(made)


class HeadCacheEntry:
    """What was found out about one head of requests, whatever its values that vary.

    `decision` is what `owner` found: another owner, as a reload brings it, has not found anything.
    """

    __slots__ = ("decision", "owner")

    def __init__(self) -> None:
        self.owner: object = None
        self.decision: Any = None
