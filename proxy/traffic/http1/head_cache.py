"""The head cache: heads that come again on a connection are found by their bytes, not parsed again.

A client repeats the head of its requests, and a backend that of its responses, but for the length
of the body (HPACK, RFC 7541, relies on the same). What was found in such a head, and
decided about it, holds for the next one too.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar

from ...core.http.message import Headers

HELD: Final = 4
"""Heads that are kept for each connection: a client alternates between a few requests."""
HELD_BYTES: Final = 2048
"""A longer head, in bytes, is parsed each time."""

_DIGITS: Final = 9
"""A head whose length has more digits is parsed each time."""
LENGTH: Final = re.compile(rb"\r\ncontent-length: ([0-9]{1,%d})\r\n" % _DIGITS, re.IGNORECASE)
_NAME: Final = b"content-length"

_Head = TypeVar("_Head")


class _Known(Generic[_Head]):
    """A head that was read: its bytes before and after the digits of its length, and the digits.

    Of heads that differ only in the length, the last one is kept. `found` is what is found there,
    `end` the end of its digits, where something follows them.
    """

    __slots__ = ("before", "behind", "digits", "end", "found", "start")

    def __init__(self, before: bytes, behind: bytes, digits: bytes, head: _Head) -> None:
        self.before: Final = before
        self.behind: Final = behind
        self.start: Final = len(before)
        self.digits = digits
        self.end = self.start + len(digits)
        self.found = head, self.end + len(behind)


class HeadCache(Generic[_Head]):
    """The head cache of one connection.

    `read` returns the head that bytes begin with, and how long it is, or None where it is not a
    fast one: one in which no name occurs twice. `resized` returns a head that differs in its
    Content-Length alone.
    """

    __slots__ = ("_known", "_read", "_resized")

    def __init__(
        self,
        read: Callable[[bytes], tuple[_Head, int] | None],
        resized: Callable[[_Head, bytes], _Head],
    ) -> None:
        self._read = read
        self._resized = resized
        self._known: list[_Known[_Head]] = []

    def find(self, data: bytes) -> tuple[_Head, int] | None:
        """Return what `read` returns: the head that `data` begins with, and its bytes."""
        for known in self._known:
            if data.startswith(known.before):
                start, behind = known.start, known.behind
                if not behind:
                    return known.found
                if data.startswith(behind, known.end) and data.startswith(known.digits, start):
                    return known.found
                end = data.find(b"\r", start, start + _DIGITS + 1)
                digits = data[start:end]
                if data.startswith(behind, end) and digits.isdigit():
                    known.digits, known.end = digits, end
                    known.found = self._resized(known.found[0], digits), end + len(behind)
                    return known.found
        return self._find_anew(data)

    def _find_anew(self, data: bytes) -> tuple[_Head, int] | None:
        found = self._read(data)
        if found is not None and found[1] <= HELD_BYTES:
            head, size = found
            length = LENGTH.search(data, 0, size)
            start, end = length.span(1) if length else (size, size)
            known = _Known(data[:start], data[end:size], data[start:end], head)
            self._known = [known, *self._known[: HELD - 1]]
        return found


def with_length(headers: Headers, digits: bytes) -> Headers:
    """Return headers with another value of Content-Length, which occurs once."""
    for at, (name, _) in enumerate(headers):
        if len(name) == len(_NAME) and name.lower() == _NAME:
            return (*headers[:at], (name, digits), *headers[at + 1 :])
    raise ValueError("there is no Content-Length")


class HeadCacheEntry:
    """What was found out about one head of requests, whatever their length.

    `decision` is what `owner` found: another owner, as a reload brings it, has not found anything.
    """

    __slots__ = ("decision", "owner")

    def __init__(self) -> None:
        self.owner: object = None
        self.decision: Any = None
