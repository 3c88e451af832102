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
_VALUE_BYTES: Final = 1536
_MOST_BYTES: Final = 2 * HELD_BYTES
"""So is one in which a value that varies is not shorter, and one that is longer."""
_NO_HEAD: Final = b"\n"
"""No head begins so."""
_VARYING: Final = re.compile(rb"[!-~][\t -~]*+(?<![\t ])")
_FIELD: Final = re.compile(rb"\r\n([!-9;-~]++): ([^\r]++)(?=\r\n)")
_LENGTH: Final = b"content-length"

_Head = TypeVar("_Head")


class Layout:
    """Which headers of a head vary: the `places` of those that do, and that of the length."""

    __slots__ = ("_length", "_places")

    def __init__(self, places: Sequence[int], length: int | None) -> None:
        self._places = places
        self._length = length

    def put(self, headers: Headers, varying: Sequence[bytes], digits: bytes) -> Headers:
        """Return headers with other values there; `digits` are those of the length, if any."""
        made = [*headers]
        for place, value in zip(self._places, varying, strict=True):
            made[place] = made[place][0], value
        if self._length is not None:
            made[self._length] = made[self._length][0], digits
        return tuple(made)


class _Known(Generic[_Head]):
    """A head that was read: the bytes between its values that vary, and the last that was so.

    `first` is what is before the first such value, `rest` what is behind each, and whether that is
    the length. `whole` are the bytes of the last head, `found` is what was found there.
    """

    __slots__ = ("first", "found", "layout", "rest", "whole")

    def __init__(self, whole: bytes, names: frozenset[bytes], found: tuple[_Head, int]) -> None:
        self.whole = whole
        self.found = found
        spans: list[tuple[int, int, bool]] = []
        places: list[int] = []
        length: int | None = None
        for place, field in enumerate(_FIELD.finditer(whole)):
            low = field[1].lower()
            if low == _LENGTH:
                length = place
            elif low in names:
                places.append(place)
            else:
                continue
            spans.append((*field.span(2), low == _LENGTH))
        self.layout: Final = Layout(places, length)
        self.first: Final = whole[: spans[0][0]] if spans else b""
        ends = [*(start for start, _, _ in spans[1:]), len(whole)]
        self.rest: Final = [
            (whole[end:until], is_length)
            for (_, end, is_length), until in zip(spans, ends, strict=False)  # may be no spans
        ]

    def values(self, data: bytes) -> tuple[tuple[bytes, ...], bytes] | None:
        """Return the values that vary, and the length, where `data` begins with this head else."""
        if not self.rest or not data.startswith(self.first):
            return None
        at, digits = len(self.first), b""
        varying: list[bytes] = []
        for behind, is_length in self.rest:
            end = data.find(b"\r", at, at + _VALUE_BYTES)
            value = data[at:end]
            if end < 0 or not data.startswith(behind, end):
                return None
            at = end + len(behind)
            if is_length:
                if len(value) > _DIGITS or not value.isdigit():
                    return None
                digits = value
            elif _VARYING.fullmatch(value):
                varying.append(value)
            else:
                return None
        if at > _MOST_BYTES:
            return None
        self.whole = data[:at]
        return tuple(varying), digits


class HeadCache(Generic[_Head]):
    """The head cache of one connection.

    `read` returns the head that bytes begin with, and how long it is, or None where it is not a
    fast one. `names` are those of headers that vary, in lower case. `again` returns a head with
    other values of these, and another length; it is empty where there is none.

    Attributes:
        whole: The bytes of the last head that was found: nearly always, it comes again.
        found: What `find` returns for bytes that begin with these.
    """

    __slots__ = ("_again", "_known", "_names", "_read", "found", "whole")

    def __init__(
        self,
        read: Callable[[bytes], tuple[_Head, int] | None],
        again: Callable[[_Head, Layout, tuple[bytes, ...], bytes], _Head],
        names: frozenset[bytes],
    ) -> None:
        self._read = read
        self._again = again
        self._names = names
        self._known: list[_Known[_Head]] = []
        self.whole = _NO_HEAD
        self.found: tuple[_Head, int] | None = None

    def find(self, data: bytes) -> tuple[_Head, int] | None:
        """Return what `read` returns: the head that `data` begins with, and its bytes."""
        for known in self._known:
            if data.startswith(known.whole):
                self.whole, self.found = known.whole, known.found
                return known.found
        for known in self._known:
            values = known.values(data)
            if values is not None:
                head = self._again(known.found[0], known.layout, *values)
                self.whole, self.found = known.whole, (head, len(known.whole))
                known.found = self.found
                return self.found
        return self._find_anew(data)

    def _find_anew(self, data: bytes) -> tuple[_Head, int] | None:
        found = self._read(data)
        if found is not None and found[1] <= HELD_BYTES:
            known = _Known(data[: found[1]], self._names, found)
            self._known = [known, *self._known[: HELD - 1]]
            self.whole, self.found = known.whole, found
        return found


class HeadCacheEntry:
    """What was found out about one head of requests, whatever its values that vary.

    `decision` is what `owner` found: another owner, as a reload brings it, has not found anything.
    """

    __slots__ = ("decision", "owner")

    def __init__(self) -> None:
        self.owner: object = None
        self.decision: Any = None
