"""Cells: the text of one column in one row, the values in it, and the text with some replaced."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple

from ...core.expressions.selectors import JsonSelector
from ...core.formats.json import FoundValue, Selection
from ...core.leaves import quote
from ...core.values.hows import Span
from ...core.values.table import splice


class NoText(Enum):
    """Why a cell has no text: it holds a number or bytes, or its record has no such member."""

    OTHER = "not-text"
    ABSENT = "absent"


Cell = bytes | None | NoText
"""A text in UTF-8; None for NULL."""

NOT_TEXT: Final = NoText.OTHER
ABSENT: Final = NoText.ABSENT


class Stored(NamedTuple):
    """One value: its text, or with `is_json` its JSON text."""

    text: bytes
    is_json: bool = False

    @property
    def string(self) -> bytes:
        """The text, or what a JSON string holds however it is spelled; empty for other JSON."""
        return Selection.text(self.text) or b"" if self.is_json else self.text


@dataclass(frozen=True, slots=True)
class WholeCells:
    """Cells each of which is one value."""

    def read(self, cell: bytes) -> list[Stored]:
        """Return the value."""
        return [Stored(cell)]

    def write(self, cell: bytes, new: Sequence[Stored | None]) -> bytes:
        """Return the cell with its value replaced; None keeps it."""
        return cell if new[0] is None else new[0].text


class JsonCells:
    """Cells that hold JSON, in which a selector finds the values.

    A string whose spelling is not the one that opening writes is a JSON value, not a text: so what
    is opened has the very bytes that were sealed.
    """

    __slots__ = ("_cell", "_found", "_selection")

    def __init__(self, selector: JsonSelector) -> None:
        """Make the selector ready."""
        self._selection = Selection((selector,))
        self._cell: bytes | None = None
        self._found: list[FoundValue] = []

    def read(self, cell: bytes) -> list[Stored]:
        """Return the values; raise InvalidBody unless the cell is strict JSON."""
        found = self._places(cell)
        return [_stored(one.raw(cell)) for one in found]

    def write(self, cell: bytes, new: Sequence[Stored | None]) -> bytes:
        """Return the cell with some values replaced, in the order that `read` gave them."""
        changes = [
            _change(one, value)
            for one, value in zip(self._places(cell), new, strict=True)
            if value is not None
        ]
        return splice(cell, changes)

    def _places(self, cell: bytes) -> list[FoundValue]:
        if cell is not self._cell:
            self._found = self._selection.find(cell).found[0]
            self._cell = cell
        return self._found


Cells = WholeCells | JsonCells


def cells(selector: JsonSelector | None) -> Cells:
    """Return what reads and writes the cells of a column."""
    return WholeCells() if selector is None else JsonCells(selector)


def _stored(raw: bytes) -> Stored:
    text = Selection.text(raw)
    if text is None or quote(text) != raw:
        return Stored(raw, is_json=True)
    return Stored(text)


def _change(found: FoundValue, value: Stored) -> Span:
    spelled = value.text if value.is_json else quote(value.text)
    assert spelled is not None  # noqa: S101 - it is a token, or was opened as a text
    if found.within is None:
        return (found.start, found.end, spelled)
    start, end = found.within.start, found.within.end
    for layer in reversed(found.within.layers):
        start, end = layer.places[start], layer.places[end]
        spelled = layer.spell(spelled)
    return (start, end, spelled)
