"""Heads that come again on a connection: known by their bytes, and not read once more.

A client repeats the head of its requests, and a backend that of its responses, but for the length
of the body (HPACK, RFC 7541, lives on it). What the readers of plain heads found in such a head
holds for the next one too, and so does what came of it later.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, Generic, NamedTuple, TypeVar

from ..core.message import Headers

HELD: Final = 4
"""So many heads are known on a connection: a client takes turns between a few kinds of requests."""
HELD_BYTES: Final = 2048
"""A longer head is read anew each time."""

_DIGITS: Final = 9
"""A length of more digits is read anew."""
_LENGTH: Final = re.compile(rb"\r\ncontent-length: ([0-9]{1,%d})\r\n" % _DIGITS, re.IGNORECASE)
_NAME: Final = b"content-length"

_Head = TypeVar("_Head")


class _Known(NamedTuple, Generic[_Head]):
    """A head that was read: its bytes before and behind the digits of its length, and these."""

    before: bytes
    behind: bytes
    digits: bytes
    head: _Head


class Repeats(Generic[_Head]):
    """The heads of one connection.

    `read` returns the head that bytes begin with, and how long it is, or None where it is not a
    plain one: one in which no name stands twice. `resized` returns a head that differs in its
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
        for at, known in enumerate(self._known):
            before, behind, digits, head = known
            if data.startswith(before):
                if not behind:
                    return head, len(before)
                start = len(before)
                end = data.find(b"\r", start, start + _DIGITS + 1)
                if data.startswith(behind, end):
                    given = data[start:end]
                    if given == digits:
                        return head, end + len(behind)
                    if given.isdigit():
                        resized = self._resized(head, given)
                        self._known[at] = _Known(before, behind, given, resized)
                        return resized, end + len(behind)
        return self._find_anew(data)

    def _find_anew(self, data: bytes) -> tuple[_Head, int] | None:
        found = self._read(data)
        if found is not None and found[1] <= HELD_BYTES:
            head, size = found
            length = _LENGTH.search(data, 0, size)
            start, end = length.span(1) if length else (size, size)
            known = _Known(data[:start], data[end:size], data[start:end], head)
            self._known = [known, *self._known[: HELD - 1]]
        return found


def with_length(headers: Headers, digits: bytes) -> Headers:
    """Return headers with another value of Content-Length, which stands there once."""
    return tuple(
        (name, digits) if name.lower() == _NAME else (name, value) for name, value in headers
    )
