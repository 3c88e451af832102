"""Where the records of a stream end, so that each can go on as soon as all of it has come.

Nothing is changed: what is cut off is the stream, byte for byte.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from typing import Final

from ...errors import BodyTooLarge
from ..kinds import Kind

_BLANK: Final = b" \t\r\n"
_SEPARATOR: Final = b"\x1e"
_EMPTY_LINES: Final = (b"\n\n", b"\r\r", b"\n\r")
"""How an empty line ends: the end of a line behind the end of another."""
_COMMENTS: Final = re.compile(rb"(?::[^\r\n]*+(?:\r\n|\r|\n))*+")
_OUTSIDE: Final = re.compile(rb'["\[\]{}\n\x1e]')
_INSIDE: Final = re.compile(rb'["\\\x1e]')


class Cutter(ABC):
    """Holds back what is no whole record yet, up to `limit` bytes."""

    __slots__ = ("_held", "_limit", "_size")

    def __init__(self, limit: int) -> None:
        """Begin where the stream does."""
        self._held: list[bytes] = []
        self._limit = limit
        self._size = 0

    def feed(self, data: bytes) -> bytes:
        """Return the records that are whole with these bytes, maybe none.

        Raises BodyTooLarge where one has more bytes than the limit, InvalidBody as the format says.
        """
        cut = self._border(data)
        if not cut:
            self._hold(data)
            return b""
        whole = b"".join((*self._held, data[:cut]))
        self._held.clear()
        self._size = 0
        if cut < len(data):
            self._hold(data[cut:])
        return whole

    def end(self) -> bytes:
        """Return what the stream ends with, maybe less than a record."""
        rest = b"".join(self._held)
        self._held.clear()
        return rest

    def _hold(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > self._limit:
            raise BodyTooLarge("record")
        self._held.append(data)

    @abstractmethod
    def _border(self, data: bytes) -> int:
        """Return where in `data`, which comes next, the last whole record ends; 0 for nowhere."""


class _Lines(Cutter):
    """NDJSON: a record ends with its line."""

    __slots__ = ()

    def _border(self, data: bytes) -> int:
        return data.rfind(b"\n") + 1


class _Events(Cutter):
    """Server-sent events: an event ends with an empty line (WHATWG HTML section 9.2.6).

    It ends at a carriage return already, which a line feed may follow: readers that wait for one
    would wait for the next event. The line feed then stands before that event, as an empty line.
    """

    __slots__ = ("_last",)

    def __init__(self, limit: int) -> None:
        """Begin where the stream does."""
        super().__init__(limit)
        self._last = b""

    def _border(self, data: bytes) -> int:
        seen = self._last + data
        self._last = data[-1:]
        end = max(seen.rfind(one) for one in _EMPTY_LINES) + 2
        cut = end - (len(seen) - len(data)) if end >= len(b"\n\n") else 0
        if data[cut - 1 : cut + 1] == b"\r\n":
            cut += 1
        if cut or not self._held:
            # Comments keep a connection alive, so they are not kept waiting either.
            cut = _COMMENTS.match(data, cut).end()  # type: ignore[union-attr]  # it matches nothing
        return cut


class _Sequence(Cutter):
    """JSON text sequences (RFC 7464): a text ends with the line feed behind its value.

    The separator before the next text comes later, maybe much later, so brackets are counted.
    """

    __slots__ = ("_begun", "_depth", "_escaped", "_in_string")

    def __init__(self, limit: int) -> None:
        """Begin where the stream does."""
        super().__init__(limit)
        self._begin()

    def _begin(self) -> None:
        self._depth = 0
        self._begun = self._in_string = self._escaped = False

    def _border(self, data: bytes) -> int:
        at = cut = 0
        while at < len(data):
            if self._escaped:
                self._escaped = False
                at += 1
                continue
            match = (_INSIDE if self._in_string else _OUTSIDE).search(data, at)
            end = len(data) if match is None else match.start()
            self._begun = self._begun or bool(data[at:end].strip(_BLANK))
            if match is None:
                break
            at = match.end()
            if match[0] == _SEPARATOR:
                self._begin()
                cut = end
            elif self._pass(match[0]):
                cut = at
        return cut

    def _pass(self, mark: bytes) -> bool:
        """Follow one character that structures a text; return whether a text ends with it."""
        if mark == b'"':
            self._in_string = not self._in_string
            self._begun = True
        elif mark == b"\\":
            self._escaped = True
        elif mark in {b"[", b"{"}:
            self._depth += 1
            self._begun = True
        elif mark in {b"]", b"}"}:
            self._depth -= 1
            self._begun = True
        elif self._begun and self._depth <= 0:
            self._begun = False
            return True
        return False


_CUTTERS: Final[dict[Kind, type[Cutter]]] = {
    "json-seq": _Sequence,
    "ndjson": _Lines,
    "sse": _Events,
}

STREAMED: Final = frozenset(_CUTTERS)
"""The kinds of bodies that may have no end, so that their records pass one by one."""


def cutter(kind: Kind, limit: int) -> Cutter:
    """Return what cuts a stream of some kind of records, each of `limit` bytes at most."""
    return _CUTTERS[kind](limit)
