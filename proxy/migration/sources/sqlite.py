"""Tables of SQLite, by the module of the standard library.

Cells and names are compared as bytes before a row is written, whatever its columns' collations.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from ...core.errors import MigrationFailed
from ..job.model import ColumnSource, Read, StoredTable
from ..values.cells import NOT_TEXT, Cell
from ..values.treatment import Key, StoredRow
from .source import Replaced

_PATIENCE_SECONDS: Final = 60.0


class SqliteSource:
    """One table of a database file."""

    def __init__(self, file: Path, table: StoredTable) -> None:
        """Open the file, which must exist, and find the key of the table."""
        self.table = table
        self.name = f"sqlite:{file.resolve()}#{table.name}"
        uri = f"{file.resolve().as_uri()}?mode=rw"
        with _translated():
            self._database = sqlite3.connect(
                uri, uri=True, timeout=_PATIENCE_SECONDS, isolation_level=None
            )
        self._database.text_factory = _decoded
        self._of = ".".join(map(_quoted, table.name.split(".")))
        try:
            with _translated():
                self._key = table.key or self._primary_key()
                self._require_key()
        except BaseException:
            self.close()
            raise
        self._keys = ", ".join(map(_quoted, self._key))
        names = [_name(one) for one in table.reads]
        cells = [_quoted(one.name) for one in table.columns]
        self._select = f"SELECT {', '.join([self._keys, *names, *cells])} FROM {self._of}"  # noqa: S608 - names of the job, quoted

    def widths(self) -> tuple[int | None, ...]:
        """Return no limits: SQLite ignores the width of a column."""
        return (None,) * len(self.table.columns)

    def widen(self, column: int, characters: int) -> str:
        """Return nothing: no column has a width."""
        return ""

    def count(self) -> int | None:
        """Return how many rows there are."""
        with _translated():
            return int(self._one(f"SELECT count(*) FROM {self._of}{self._where()}")[0])  # noqa: S608 - as above

    def borders(self, parts: int) -> list[Key]:
        """Return none: SQLite has one writer at a time."""
        return []

    def begin_proof(self) -> bool:
        """Begin a transaction that reads."""
        with _translated():
            self._database.execute("BEGIN")
        return True

    def page(self, after: Key | None, until: Key | None) -> list[StoredRow]:
        """Return the next rows by their keys."""
        conditions, values = self._range(after, until)
        order = f" ORDER BY {self._keys} LIMIT {self.table.batch}"
        with _translated():
            found = self._database.execute(
                f"{self._select}{self._where(conditions)}{order}", values
            ).fetchall()
        return [self._row(one) for one in found]

    def write(self, rows: Sequence[Replaced]) -> Collection[Key]:
        """Write in one transaction that keeps other writers out."""
        written: set[Key] = set()
        if not rows:
            return written
        with _translated():
            self._database.execute("BEGIN IMMEDIATE")
            try:
                for row, cells in rows:
                    if self._update(row, cells):
                        written.add(row.key)
                self._database.execute("COMMIT")
            except BaseException:
                self._database.execute("ROLLBACK")
                raise
        return written

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def _update(self, row: StoredRow, cells: Sequence[bytes | None]) -> bool:
        """Write a row that is as it was read; return whether it was."""
        to_set, values, before = [], [], []
        for column, old, new in zip(self.table.columns, row.cells, cells, strict=True):
            if new is not None:
                name = _quoted(column.name)
                to_set.append(f"{name} = ?")
                values.append(new.decode())
                before.append((f"typeof({name}) = 'text' AND CAST({name} AS BLOB) IS ?", old))
        keys = zip((f"{_quoted(one)} = ?" for one in self._key), row.key, strict=True)
        names = (
            (f"CAST({_name(source)} AS BLOB) IS ?", None if name is None else name.encode())
            for source, name in zip(self.table.reads, row.names, strict=True)
        )
        same: list[tuple[str, object]] = [*keys, *before, *names]
        is_same = " AND ".join(one for one, _ in same)
        sql = f"UPDATE {self._of} SET {', '.join(to_set)} WHERE {is_same}"  # noqa: S608 - as above
        return self._database.execute(sql, (*values, *(value for _, value in same))).rowcount == 1

    def _range(self, after: Key | None, until: Key | None) -> tuple[list[str], list[object]]:
        conditions: list[str] = []
        values: list[object] = []
        marks = ", ".join("?" * len(self._key))
        for sign, key in ((">", after), ("<=", until)):
            if key is not None:
                conditions.append(f"({self._keys}) {sign} ({marks})")
                values += key
        return conditions, values

    def _where(self, conditions: Sequence[str] = ()) -> str:
        given = [f"({self.table.where})"] if self.table.where else []
        every = [*given, *conditions]
        return f" WHERE {' AND '.join(every)}" if every else ""

    def _row(self, found: Sequence[Any]) -> StoredRow:
        keys = len(self._key)
        rest = keys + len(self.table.reads)
        return StoredRow(
            tuple(found[:keys]),
            tuple(
                one if isinstance(one, str) and _is_utf8(one) else None for one in found[keys:rest]
            ),
            tuple(_cell(one) for one in found[rest:]),
        )

    def _primary_key(self) -> tuple[str, ...]:
        table = self.table.name.rpartition(".")[2]
        sql = "SELECT name, pk FROM pragma_table_info(?) ORDER BY pk"
        found = self._database.execute(sql, (table,)).fetchall()
        if not found:
            raise MigrationFailed("no-such-table")
        return tuple(name for name, at in found if at) or ("rowid",)

    def _require_key(self) -> None:
        """Raise MigrationFailed for rows that reading by the key would pass over."""
        nulls = " OR ".join(f"{_quoted(one)} IS NULL" for one in self._key)
        if self._one(f"SELECT EXISTS (SELECT 1 FROM {self._of} WHERE {nulls})")[0]:  # noqa: S608 - as above
            raise MigrationFailed("null-in-key")

    def _one(self, sql: str) -> Sequence[Any]:
        found: Sequence[Any] = self._database.execute(sql).fetchone()
        return found


@contextmanager
def _translated() -> Iterator[None]:
    """Raise MigrationFailed with the code of an error: its text may hold values."""
    try:
        yield
    except sqlite3.Error as error:
        raise MigrationFailed(getattr(error, "sqlite_errorname", type(error).__name__)) from None


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _name(source: Read) -> str:
    """Return SQL for the text of a name."""
    inner = _quoted(source.column) if isinstance(source, ColumnSource) else source.expression
    return f"CAST(({inner}) AS TEXT)"


def _decoded(text: bytes) -> str:
    return text.decode("utf-8", "surrogateescape")  # no text may end the run


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _cell(value: object) -> Cell:
    if isinstance(value, str) and _is_utf8(value):
        return value.encode()
    return None if value is None else NOT_TEXT
