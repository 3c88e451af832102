"""Bodies of many JSON texts: NDJSON, a line each, and JSON text sequences (RFC 7464)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from ...errors import BodyTooLarge, InvalidBody
from ...policy import RECORDS
from ...slices import paused
from ..body_format import Lying, RecordFormat, Spell, Splitter, TextRecord

_BLANK: Final = b" \t\r\n"
_SEPARATOR: Final = b"\x1e"
_OUTSIDE: Final = re.compile(rb'["\n\x1e]|[\[\]{}]++')
_INSIDE: Final = re.compile(rb'["\\\x1e]')


def find_lines(body: bytes) -> Iterator[tuple[int, int]]:
    """Return where each line that is not blank begins and ends.

    Raises BodyTooLarge for more than thirty thousand lines.
    """
    return _parted(body, b"\n")


def _parted(body: bytes, separator: bytes) -> Iterator[tuple[int, int]]:
    if body.count(separator) > RECORDS:
        raise BodyTooLarge("too-many-records")
    at = 0
    for text in paused(body.split(separator)):
        end = at + len(text)
        if text.strip(_BLANK):
            yield at, end
        at = end + 1


class _Line(TextRecord):
    __slots__ = ()

    def spelling(self, start: int, *, plain: bool) -> Spell:
        """Return what spells a JSON text without line breaks: no string of it can have one."""
        return _on_one_line


def _on_one_line(text: bytes) -> bytes:
    return text.replace(b"\n", b" ").replace(b"\r", b" ")


class LineSplitter(Splitter):
    """NDJSON: a record ends with its line."""

    __slots__ = ()
    record_end = b"\n"

    def _border(self, data: bytes) -> int:
        return data.rfind(b"\n") + 1 or -1


class SequenceSplitter(Splitter):
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
        at, cut = 0, -1
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
        """Follow a mark, or brackets in a row; return whether a text ends with it."""
        if mark == b'"':
            self._in_string = not self._in_string
            self._begun = True
        elif mark == b"\\":
            self._escaped = True
        elif mark != b"\n":
            self._depth += mark.count(b"[") + mark.count(b"{") - mark.count(b"]") - mark.count(b"}")
            self._begun = True
        elif self._begun and self._depth <= 0:
            self._begun = False
            return True
        return False


class LinesFormat(RecordFormat):
    """NDJSON, also called JSON Lines."""

    kind = "ndjson"
    example = b'{"note": "secret"}\n\n{"id": 2, "note": "secret"}\r\n'
    media_types = frozenset(
        {
            *("application/jsonl", "application/jsonlines", "application/ndjson"),
            *("application/x-jsonlines", "application/x-ndjson"),
        }
    )
    splitter = LineSplitter

    def usual(self, body: bytes, at: int) -> Lying | None:
        """Return where a line lies that is not empty, and ends with a line feed alone."""
        end = body.find(b"\n", at)
        if end <= at or body.find(b"\r", at, end) >= 0:
            return None
        return Lying(at, end, end + 1)

    def records(self, body: bytes, *, strict: bool, awaited: int) -> Iterator[TextRecord]:
        """Yield each line that is not blank; raise InvalidBody where it ends earlier to some."""
        for start, end in find_lines(body):
            if body.find(b"\r", start, end) >= 0 and b"\r" in body[start:end].strip(_BLANK):
                raise InvalidBody("record-not-ended")
            yield _Line(body, start, end)


class SequenceFormat(RecordFormat):
    """JSON text sequences (RFC 7464)."""

    kind = "json-seq"
    example = b'\x1e{"note": "secret"}\n\x1e{"id": 2, "note":\n"secret"}\n'
    media_types = frozenset({"application/json-seq"})
    suffix = "json-seq"
    splitter = SequenceSplitter

    def records(self, body: bytes, *, strict: bool, awaited: int) -> Iterator[TextRecord]:
        """Yield each text.

        Raises InvalidBody where the body does not begin with a separator or a text in it not end
        with a line feed (it may be cut), BodyTooLarge for more than thirty thousand texts.
        """
        for start, end in _parted(body, _SEPARATOR):
            if start == 0:
                raise InvalidBody("not-a-sequence")
            if not body.endswith(b"\n", start, end):
                raise InvalidBody("record-not-ended")
            yield TextRecord(body, start, end)


NDJSON: Final = LinesFormat()
JSON_SEQUENCE: Final = SequenceFormat()
