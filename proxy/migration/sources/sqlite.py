"""Tables of SQLite, by the module of the standard library.

Cells and names are compared as bytes before a row is written, whatever its columns' collations.
"""

from __future__ import annotations

import fcntl
import hashlib
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Any, BinaryIO, Final

from ...core.errors import MigrationFailed
from ..job.model import StoredTable
from ..policy import SQLITE_AGAIN_SECONDS, SQLITE_SECONDS
from ..values.treatment import StoredRow
from .keepers import Inspection
from .sql_table import ColumnType, ComparedTable

_NOT_KEPT: Final = "not-kept-as-text"
_ROWIDS: Final = ("rowid", "_rowid_", "oid")
"""What SQLite calls the number of a row, each unless a column has that name."""


class SqliteSource(ComparedTable):
    """One table of a database file, over a connection of its own."""

    nulls_in_keys = True
    refusing = ("SQLITE_CONSTRAINT", "SQLITE_TOOBIG", _NOT_KEPT)
    temporary = "temp."
    mark = "?"
    as_text = "CAST({} AS TEXT)"
    begin = "BEGIN IMMEDIATE"
    is_same = "IS"
    cell_bytes = "CASE typeof({0}) WHEN 'text' THEN CAST({0} AS BLOB) END"
    name_bytes = "CAST({} AS BLOB)"

    def __init__(self, file: Path, table: StoredTable) -> None:
        """Open the file, which must exist, and find the columns and the key of the table."""
        self.name = f"sqlite:{file.resolve()}#{table.name}"
        self._file = file.resolve()
        self._lock: BinaryIO | None = None
        self._uri = f"{file.resolve().as_uri()}?mode=rw"
        with _translated():
            self._database = sqlite3.connect(
                self._uri, uri=True, timeout=SQLITE_SECONDS, isolation_level=None
            )
        self._database.text_factory = _decoded
        try:
            ((self._encoding,),) = self._run("PRAGMA encoding")
            self._run("PRAGMA secure_delete = ON")  # what is replaced is overwritten
            self._open(table)
        except BaseException:
            self.close()
            raise

    def widen(self, column: int, characters: int) -> str:
        """Return nothing: SQLite ignores the width of a column."""
        return ""

    def begin_proof(self, state: str | None = None) -> str | None:
        """Begin a transaction that reads, and shares what it sees with no other."""
        self._run("BEGIN")
        self._run(f"SELECT 1 FROM {self._of} LIMIT 1")  # noqa: S608 - names of the job, quoted; it begins here
        return ""

    def use_copy(self, rows: int) -> None:
        """Copy so many rows into a temporary table, with the index of its key alone."""
        super().use_copy(rows)
        if self._key != (self._rowid,):
            keys = ", ".join(map(self._quoted, self._key))
            self._run(f"CREATE INDEX temp.sealyard_key ON {self._own} ({keys})")

    def edition(self) -> str:
        """Return the version of the schema, by which VACUUM counts, where it gives rows other keys.

        It is that of now, whatever this connection is reading.
        """
        if self._rowid not in self._key:
            return ""
        with (
            _translated(),
            closing(sqlite3.connect(self._uri, SQLITE_SECONDS, uri=True)) as database,
        ):
            ((version,),) = database.execute("PRAGMA schema_version")
        return str(version)

    def exclude(self) -> None:
        """Lock a file beside the database, named after the table, for as long as this is open."""
        name = hashlib.sha256(self.table.name.lower().encode()).hexdigest()[:16]
        self._lock = self._file.with_name(f"{self._file.name}-sealyard-{name}").open("ab")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise self._in_use() from None

    def lag(self) -> float:
        """Raise MigrationFailed: a file has no replicas."""
        raise MigrationFailed("throttle-blind", detail="SQLite has no replicas")

    def sessions(self) -> int:
        """Raise MigrationFailed: a file has no sessions."""
        raise MigrationFailed("throttle-blind", detail="SQLite has no sessions")

    def inspection(self) -> Inspection:
        """Return what asks the compiler of SQLite."""
        from .sqlite_keepers import SqliteInspection  # noqa: PLC0415 - few runs ask

        return SqliteInspection(self._database, self._run, self._file, self.table)

    def close(self) -> None:
        """Close the file."""
        self._database.close()
        if self._lock is not None:
            self._lock.close()

    def _described(self, name: str) -> tuple[Mapping[str, ColumnType], tuple[str, ...]]:
        sql = "SELECT name, pk, type, hidden FROM pragma_table_xinfo(?) ORDER BY pk"
        found = self._run(sql, (name.rpartition(".")[2],))
        columns = {one: ColumnType(kind) for one, _, kind, hidden in found if not hidden}
        key = tuple(one for one, at, _, _ in found if at)
        hiding = {one.lower() for one, *_ in found}
        self._rowid = next((one for one in _ROWIDS if one not in hiding), None)
        if columns and self._rowid is not None:
            columns[self._rowid] = ColumnType("")
            key = key or (self._rowid,)
        return columns, key

    def _copied(self, copy: str) -> str:
        return f"CREATE TABLE {copy} AS SELECT * FROM {self._of} WHERE false"  # noqa: S608 - as above

    def _changed(self, sql: str, values: Sequence[object]) -> int:
        with _translated():
            return self._database.execute(sql, values).rowcount

    def _begin(self) -> None:
        """Take the lock of writers, asking often: SQLite's own waiting starves beside others."""
        self._run("PRAGMA busy_timeout = 0")
        deadline = monotonic() + SQLITE_SECONDS
        try:
            while True:
                try:
                    return super()._begin()
                except MigrationFailed as failed:
                    if failed.reason != "SQLITE_BUSY" or monotonic() >= deadline:
                        raise
                sleep(SQLITE_AGAIN_SECONDS)
        finally:
            self._run(f"PRAGMA busy_timeout = {SQLITE_SECONDS * 1000:.0f}")

    def _update(self, row: StoredRow, new: Sequence[bytes | None]) -> bool:
        """Write a row; raise MigrationFailed where SQLite makes a number of a text."""
        if not super()._update(row, new):
            return False
        numbers = [
            f"typeof({self._column(one.name)}) <> 'text'"
            for one, cell in zip(self.table.columns, new, strict=True)
            if cell is not None and _makes_numbers(self._types[one.name].kind)
        ]
        if numbers:
            same = " AND ".join(f"{self._column(one)} = ?" for one in self._key)
            sql = f"SELECT 1 FROM {self._of} WHERE {same} AND ({' OR '.join(numbers)})"  # noqa: S608 - as above
            if self._run(sql, row.key):
                raise MigrationFailed(_NOT_KEPT)
        return True

    @staticmethod
    def _quoted(name: str) -> str:
        return '"' + name.replace('"', '""') + '"'

    @staticmethod
    def _escaped(sql: str) -> str:
        return sql

    def _bytes(self, text: bytes) -> object:
        return text if self._encoding == "UTF-8" else text.decode().encode(self._encoding)

    def _run(self, sql: str, values: Sequence[object] = ()) -> Sequence[tuple[Any, ...]]:
        with _translated():
            return self._database.execute(sql, values).fetchall()


def _makes_numbers(declared: str) -> bool:
    """Return whether a column makes numbers of texts that look like some, by its declared type.

    See section 3.1 of SQLite's "Datatypes": what is named in no rule has the affinity NUMERIC.
    """
    kind = declared.upper()
    if "INT" in kind:
        return True
    return kind != "" and not any(one in kind for one in ("CHAR", "CLOB", "TEXT", "BLOB"))


@contextmanager
def _translated() -> Iterator[None]:
    """Raise MigrationFailed with the code of an error: its text may hold values."""
    try:
        yield
    except sqlite3.Error as error:
        raise MigrationFailed(getattr(error, "sqlite_errorname", type(error).__name__)) from None


def _decoded(text: bytes) -> str:
    return text.decode("utf-8", "surrogateescape")  # no text may end the run
