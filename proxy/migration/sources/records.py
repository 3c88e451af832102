"""Records of a stream: CSV (RFC 4180), the text form of PostgreSQL's COPY, JSON objects.

A record is bytes up to its line end. Only cells that change are spelled anew; all other bytes of a
record stay as they came. A cell that was quoted stays quoted, so that what is sealed and opened
again has the very bytes that it had.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import BinaryIO, Final, Protocol

from ...core.errors import InvalidBody, MigrationFailed
from ...core.expressions.selectors import JsonSelector, Step
from ...core.formats.json import Selection, member_names
from ...core.values.table import splice
from ..policy import RECORD_BYTES
from ..values.cells import ABSENT, NOT_TEXT, Cell

_END: Final = re.compile(rb"\r?\n\Z")
_ENDS: Final = (b"\r\n", b"\n", b"")


class Records(Protocol):
    """One form of records."""

    def read(self, stream: BinaryIO) -> Iterator[bytes]:
        """Yield the records of a stream, each with its line end; the last may have none."""

    def header(self, record: bytes) -> tuple[str, ...] | None:
        """Return the names of the columns, if the first record gives them."""

    def cells(self, record: bytes, at: Sequence[int], most: int | None = None) -> list[Cell]:
        """Return the cells at some columns; raise MigrationFailed for a malformed record.

        `most` is how many columns the header names: of a cell behind them, nothing would be known.
        """

    def replaced(self, record: bytes, at: Sequence[int], new: Sequence[bytes | None]) -> bytes:
        """Return the record with the cells at some columns replaced; None keeps one."""


class Csv:
    """CSV by RFC 4180. An empty cell without quotes is no value, as in PostgreSQL's CSV."""

    _CELL: Final = re.compile(rb'("(?:[^"]|"")*+"|[^",\r\n]*+)(,|\r?\n\Z|\Z)')

    def read(self, stream: BinaryIO) -> Iterator[bytes]:
        """Yield records; a line end between quotes is part of a cell."""
        while line := _line(stream):
            lines, length = [line], len(line)
            is_open = line.count(b'"') % 2
            while is_open:
                line = _line(stream)
                length += len(line)
                if not line or length > RECORD_BYTES:
                    raise MigrationFailed("quote-not-closed")
                lines.append(line)
                is_open ^= line.count(b'"') % 2
            yield b"".join(lines)

    def header(self, record: bytes) -> tuple[str, ...] | None:
        """Return the names in the first record."""
        cells = self.cells(record, range(len(self._split(record)[0])))
        return tuple(one.decode() if isinstance(one, bytes) else "" for one in cells)

    def cells(self, record: bytes, at: Sequence[int], most: int | None = None) -> list[Cell]:
        """Return cells without their quotes."""
        raw = self._split(record)[0]
        return list(map(_csv_text, _chosen(raw, at, most)))

    def replaced(self, record: bytes, at: Sequence[int], new: Sequence[bytes | None]) -> bytes:
        """Return the record with some cells in their place, quoted if they were or must be."""
        raw, end = self._split(record)
        for place, text in zip(at, new, strict=True):
            if text is not None:
                quoted = raw[place].startswith(b'"') or _MUST_QUOTE.search(text) or not text
                raw[place] = b'"' + text.replace(b'"', b'""') + b'"' if quoted else text
        return b",".join(raw) + end

    def _split(self, record: bytes) -> tuple[list[bytes], bytes]:
        """Return the cells as they are spelled, and the line end."""
        if b'"' not in record:
            end = next(one for one in _ENDS if record.endswith(one))
            text = record.removesuffix(end)
            if b"\r" in text:
                raise MigrationFailed("not-csv")
            return text.split(b","), end
        raw: list[bytes] = []
        place = 0
        while True:
            match = self._CELL.match(record, place)
            if match is None:
                raise MigrationFailed("not-csv")
            raw.append(match[1])
            place = match.end()
            if match[2] != b",":
                return raw, match[2]


_MUST_QUOTE: Final = re.compile(rb'[",\r\n]')


def _csv_text(raw: bytes) -> Cell:
    if not raw:
        return None
    return _text(raw[1:-1].replace(b'""', b'"') if raw.startswith(b'"') else raw)


class CopyText:
    r"""The text form of PostgreSQL's COPY: cells between tabs, escapes by `\`, NULL as `\N`."""

    _SPELLED: Final = {
        b"\\": rb"\\",
        b"\b": rb"\b",
        b"\f": rb"\f",
        b"\n": rb"\n",
        b"\r": rb"\r",
        b"\t": rb"\t",
        b"\v": rb"\v",
    }
    _READ: Final = {spelled[1:]: char for char, spelled in _SPELLED.items()}
    _ESCAPE: Final = re.compile(rb"\\(x[0-9a-fA-F]{1,2}|[0-7]{1,3}|.)", re.DOTALL)
    _ESCAPED: Final = re.compile(rb"[\\\b\f\n\r\t\v]")
    _NULL: Final = rb"\N"
    _LAST: Final = rb"\."

    def read(self, stream: BinaryIO) -> Iterator[bytes]:
        """Yield lines."""
        while record := _line(stream):
            yield record

    def header(self, record: bytes) -> tuple[str, ...] | None:
        """Return None: the form names no columns."""
        return None

    def cells(self, record: bytes, at: Sequence[int], most: int | None = None) -> list[Cell]:
        r"""Return cells without escapes; the line `\.`, which ends the data, has none."""
        text = _END.sub(b"", record)
        if text == self._LAST:
            return [None] * len(at)
        raw = text.split(b"\t")
        return list(map(self._text, _chosen(raw, at, most)))

    def replaced(self, record: bytes, at: Sequence[int], new: Sequence[bytes | None]) -> bytes:
        """Return the record with some cells in their place, escaped."""
        text = _END.sub(b"", record)
        raw = text.split(b"\t")
        for place, cell in zip(at, new, strict=True):
            if cell is not None:
                raw[place] = self._ESCAPED.sub(lambda match: self._SPELLED[match[0]], cell)
        return b"\t".join(raw) + record[len(text) :]

    def _text(self, raw: bytes) -> Cell:
        if raw == self._NULL:
            return None
        return _text(raw if b"\\" not in raw else self._ESCAPE.sub(self._unescaped, raw))

    def _unescaped(self, match: re.Match[bytes]) -> bytes:
        code = match[1]
        if code[:1] == b"x" and len(code) > 1:
            return bytes((int(code[1:], 16),))
        if b"0" <= code < b"8":
            return bytes((int(code, 8) & 0xFF,))
        return self._READ.get(code, code)


class JsonLines:
    """A JSON object a line. A cell is the JSON text of a member; null is none."""

    def __init__(self, names: Sequence[str]) -> None:
        """Make ready to find the members of these names, which are the columns."""
        self._names = names
        self._selection = Selection(
            tuple(JsonSelector(f"$['{one}']", (Step(one),)) for one in names)
        )

    def read(self, stream: BinaryIO) -> Iterator[bytes]:
        """Yield lines."""
        while record := _line(stream):
            yield record

    def header(self, record: bytes) -> tuple[str, ...] | None:
        """Return None: each object names its members."""
        return None

    def cells(self, record: bytes, at: Sequence[int], most: int | None = None) -> list[Cell]:
        """Return members as they are spelled; an empty line has none."""
        if not record.strip():
            return [ABSENT] * len(at)
        try:
            found = self._selection.find(record).found
        except InvalidBody as error:
            raise MigrationFailed(error.reason) from None
        if not record.lstrip().startswith(b"{"):
            raise MigrationFailed("not-an-object")
        there = frozenset[str]()
        if not all(found):  # a member that is null is not found either
            there = member_names(record.strip()) or there
        cells: list[Cell] = []
        for one in at:
            if found[one]:
                cells.append(record[found[one][0].start : found[one][0].end])
            else:
                cells.append(None if self._names[one] in there else ABSENT)
        return cells

    def replaced(self, record: bytes, at: Sequence[int], new: Sequence[bytes | None]) -> bytes:
        """Return the record with some members' values in their place."""
        found = self._selection.find(record).found
        changes = [
            (found[place][0].start, found[place][0].end, text)
            for place, text in zip(at, new, strict=True)
            if text is not None
        ]
        return splice(record, changes)


def name_in_json(raw: bytes) -> bytes | None:
    """Return a name that a member holds: a string's text, or a whole number as it is spelled."""
    text = Selection.text(raw)
    if text is not None:
        return text
    return raw if re.fullmatch(rb"-?(?:0|[1-9][0-9]*)", raw) else None


def _line(stream: BinaryIO) -> bytes:
    line = stream.readline(RECORD_BYTES + 1)
    if len(line) > RECORD_BYTES:
        raise MigrationFailed("record-too-long")
    return line


def _chosen(raw: Sequence[bytes], at: Sequence[int], most: int | None) -> list[bytes]:
    if max(at, default=-1) >= len(raw):
        raise MigrationFailed("too-few-cells")
    if most is not None and len(raw) > most:
        raise MigrationFailed("too-many-cells")
    return [raw[one] for one in at]


def _text(value: bytes) -> Cell:
    try:
        value.decode()
    except UnicodeDecodeError:
        return NOT_TEXT
    return value
