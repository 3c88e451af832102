"""A stream of records from stdin to stdout. No driver, no network, no state."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import islice
from typing import BinaryIO

from ...core.errors import MigrationFailed
from ..job.model import StoredTable
from ..job.names import ColumnSource
from ..job.places import PipeFormat
from ..values.cells import Cell
from ..values.treatment import Key, StoredRow
from .records import CopyText, Csv, JsonLines, Records, name_in_json
from .source import ReadInOrder, Replaced


class PipeSource(ReadInOrder):
    """Reads records of one table; `output`, if given, gets each of them, as it is or changed."""

    def __init__(
        self, form: PipeFormat, table: StoredTable, source: BinaryIO, output: BinaryIO | None
    ) -> None:
        """Begin before the first record; nothing is read yet."""
        self.name = f"pipe:{form}#{table.name}"
        self.table = table
        self._form = form
        columns = [one.name for one in table.columns]
        names = [one.column for one in table.reads if isinstance(one, ColumnSource)]
        self._wanted = [*columns, *names]
        self._records: Records = (
            JsonLines(self._wanted) if form == "ndjson" else Csv() if form == "csv" else CopyText()
        )
        self._stream = self._records.read(source)
        self._output = output
        self._at: list[int] | None = None
        self._most: int | None = None
        self._number = 0
        self._page: dict[Key, bytes] = {}

    def widths(self) -> tuple[int | None, ...]:
        """Return no limits."""
        return (None,) * len(self.table.columns)

    def page(self, after: Key | None, until: Key | None) -> list[StoredRow]:
        """Return the next records, wherever the last page ended."""
        if self._at is None:
            self._at = self._places()
        self._page = {}
        rows: list[StoredRow] = []
        for record in islice(self._stream, self.table.batch):
            self._number += 1
            key = (self._number,)
            self._page[key] = record
            rows.append(self._row(key, record, self._at))
        return rows

    def again(self, after: Key | None, last: Key, keys: Collection[Key]) -> list[StoredRow]:
        """Return none: nobody else writes to a stream, so none is asked for."""
        return []

    def write(self, rows: Sequence[Replaced]) -> Collection[Key]:
        """Write every record of the page, with the changes of some."""
        at = (self._at or [])[: len(self.table.columns)]
        for row, cells in rows:
            self._page[row.key] = self._records.replaced(self._page[row.key], at, cells)
        if self._output is not None:
            self._output.write(b"".join(self._page.values()))
            self._output.flush()
        return [row.key for row, _ in rows]

    def close(self) -> None:
        """Hold nothing."""

    def _places(self) -> list[int]:
        """Return where the wanted columns are, by the header of the stream or of the table."""
        if self._form == "ndjson":
            return list(range(len(self._wanted)))
        header = self.table.header
        if not header:
            first = next(self._stream, None)
            if first is None:
                return []
            header = self._records.header(first) or ()
            if self._output is not None:
                self._output.write(first)
        missing = [one for one in self._wanted if one not in header]
        if missing:
            raise MigrationFailed(f"no-such-column: {missing[0]}")
        twice = [one for one in self._wanted if header.count(one) > 1]
        if twice:
            raise MigrationFailed(f"column-twice: {twice[0]}")
        self._most = len(header)
        return [header.index(one) for one in self._wanted]

    def _row(self, key: Key, record: bytes, at: Sequence[int]) -> StoredRow:
        try:
            found = self._records.cells(record, at, self._most)
        except MigrationFailed as failed:
            raise MigrationFailed(f"record {self._number}: {failed}") from None
        columns = len(self.table.columns)
        return StoredRow(key, tuple(map(self._name, found[columns:])), tuple(found[:columns]))

    def _name(self, cell: Cell) -> str | None:
        if not isinstance(cell, bytes):
            return None
        text = name_in_json(cell) if self._form == "ndjson" else cell
        return None if text is None else text.decode()
