"""What the tables of all databases share: their keys, their pages, and how rows are compared.

A subclass has the connection and the dialect.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise
from time import monotonic
from typing import Any, ClassVar, Final, NamedTuple

from ...core.errors import MigrationFailed
from ..job.model import ROOT, StoredTable
from ..job.names import ColumnSource, Read
from ..policy import TRANSACTION_SECONDS
from ..values.cells import NOT_TEXT, Cell
from ..values.treatment import Key, StoredRow
from .keepers import Inspection
from .source import Look, Replaced, nothing

_GIVEN_BACK: Final = (str, int, float, bytes)
"""What a value of a key is that a database takes as it gave it; any other goes as a text."""


class ColumnType(NamedTuple):
    """The type of a column, how a cast to it is written, and how many characters it holds."""

    kind: str
    cast: str = ""
    width: int | None = None


class SqlTable(ABC):
    """A table over a connection of its own. Names of a job are quoted wherever SQL has them."""

    table: StoredTable
    name: str
    look: Look = staticmethod(nothing)
    kinds: ClassVar[frozenset[str]] = frozenset()
    """The types of columns that hold texts or JSON; empty where a column holds anything."""
    json_kinds: ClassVar[frozenset[str]] = frozenset()
    key_kinds: ClassVar[frozenset[str]] = frozenset()
    """The types of columns whose values, read and given back, are compared as they are ordered.

    Empty where those of all types are.
    """
    nulls_in_keys: ClassVar[bool] = False
    """Whether even a primary key may have them."""
    mark: ClassVar[str] = "%s"
    waiting: ClassVar[frozenset[str]] = frozenset()
    """Reasons for which another writer has rows of a batch: it is to be read again."""
    slow: ClassVar[str] = ""
    """The reason for which a batch is parted since it holds its locks for too long."""
    refusing: ClassVar[tuple[str, ...]]
    """What the reasons begin with for which a database does not take the rows that are written."""
    temporary: ClassVar[str] = ""
    """What goes before the name of a temporary table."""
    as_text: ClassVar[str]
    """SQL for the text of an expression."""
    as_key: ClassVar[str] = "{}"
    as_cell: ClassVar[str] = "{}"
    version: ClassVar[str] = "''"
    """SQL for what changes with every change of a row, where the database has such a thing."""

    def _open(self, table: StoredTable) -> None:
        """Find the columns and the key of a table.

        Raises MigrationFailed for columns that cannot be migrated, and for a key with gaps.
        """
        self._of = ".".join(map(self._quoted, table.name.split(".")))
        self._own = self._quoted(table.name.rpartition(".")[2])
        self._types, key = self._described(table.name)
        if not self._types:
            raise MigrationFailed("no-such-table", detail=table.name)
        self._key = table.key or key
        self._check(table)
        columns = (
            replace(one, selector=one.selector or ROOT) if self._is_json(one.name) else one
            for one in table.columns
        )
        self.table = replace(table, columns=tuple(columns))
        self._refused: dict[Key, str] = {}
        self._where = f"({self._escaped(table.where)})" if table.where else "1 = 1"
        self._keys = ", ".join(map(self._column, self._key))
        self._read_key = ", ".join(self.as_key.format(self._column(one)) for one in self._key)
        names = map(self._name, table.reads)
        cells = (self.as_cell.format(self._column(one.name)) for one in table.columns)
        self._read = ", ".join([self._read_key, self.version.format(self._own), *names, *cells])

    @property
    def refused(self) -> Mapping[Key, str]:
        """The rows that the last `write` did not write since the database refuses them, and why."""
        return self._refused

    def widths(self) -> tuple[int | None, ...]:
        """Return how many characters the columns hold."""
        return tuple(self._types[one.name].width for one in self.table.columns)

    def count(self) -> int | None:
        """Return how many rows there are."""
        return self.counted()

    def counted(self) -> int:
        """Return exactly how many rows there are."""
        ((rows,),) = self._run(f"SELECT count(*) FROM {self._of} WHERE {self._where}")  # noqa: S608 - names of the job, quoted
        return int(rows)

    def borders(self, parts: int) -> list[Key]:
        """Return keys at equal distances of at least a batch, by one walk along their index."""
        distance = max((self.count() or 0) // parts, self.table.batch)
        found: list[Key] = []
        while len(found) < parts - 1:
            after = found[-1] if found else None
            last = self._select(self._read_key, after, None, f"1 OFFSET {distance - 1}")
            if not last:
                break
            found.append(self._key_of(last[0]))
        return found

    def page(self, after: Key | None, until: Key | None) -> list[StoredRow]:
        """Return the next rows by their keys."""
        found = self._select(self._read, after, until, str(self.table.batch))
        return [self._row(one) for one in found]

    def again(self, after: Key | None, last: Key, keys: Collection[Key]) -> list[StoredRow]:
        """Return rows up to the last one: more than a page, where others were inserted."""
        found: list[StoredRow] = []
        while page := self.page(after, last):
            found += (row for row in page if row.key in keys)
            after = page[-1].key
        return found

    def write(self, rows: Sequence[Replaced]) -> Collection[Key]:
        """Write the rows that are as they were, in as few transactions as hold locks briefly.

        A batch with a row that is refused is parted until that is alone.
        """
        self._refused.clear()
        return self._parted(rows)

    def _parted(self, rows: Sequence[Replaced]) -> list[Key]:
        written: list[Key] = []
        while rows:
            try:
                found, tried = self._write(rows)
            except MigrationFailed as failed:
                is_slow = failed.reason == self.slow
                if failed.reason in self.waiting or (is_slow and len(rows) == 1):
                    break
                if not is_slow and not failed.reason.startswith(self.refusing):
                    raise
                if len(rows) == 1:
                    self._refused[rows[0][0].key] = failed.reason
                    break
                middle = len(rows) // 2
                written += self._parted(rows[:middle])
                rows = rows[middle:]
                continue
            written += found
            rows = rows[tried:]
        return written

    def use_copy(self, rows: int) -> None:
        """Copy so many rows from all over the table into a temporary one, and be that from now on.

        It is to try on. Raises MigrationFailed where there may be no temporary table.
        """
        ranges = list(pairwise([None, *self.borders(max(rows // self.table.batch, 1)), None]))
        copy = f"{self.temporary}sealyard_copy"
        self._run(self._copied(copy))
        for after, until in ranges:
            where, values = self._range(after, until)
            sql = f"INSERT INTO {copy} SELECT * FROM {self._of} WHERE {where}"  # noqa: S608 - as above
            self._run(f"{sql} ORDER BY {self._keys} LIMIT {rows // len(ranges)}", values)
        # Subqueries of a job name the table, and are to find this one.
        self._run(f"ALTER TABLE {copy} RENAME TO {self._own}")
        self._of = f"{self.temporary}{self._own}"

    def edition(self) -> str:
        """Return nothing: rows keep their keys."""
        return ""

    @abstractmethod
    def exclude(self) -> None:
        """Keep other runs that write from the table; raise MigrationFailed where one has it."""

    @abstractmethod
    def lag(self) -> float:
        """Return how many seconds replicas are behind at most; raise MigrationFailed if hidden."""

    @abstractmethod
    def sessions(self) -> int:
        """Return how many sessions of others are active; raise MigrationFailed if hidden."""

    @abstractmethod
    def inspection(self) -> Inspection:
        """Return what tells who else has values."""

    @abstractmethod
    def _run(self, sql: str, values: Sequence[object] = ()) -> Sequence[Sequence[Any]]:
        """Return the rows that SQL yields; raise MigrationFailed with the code of an error."""

    @abstractmethod
    def _described(self, name: str) -> tuple[Mapping[str, ColumnType], tuple[str, ...]]:
        """Return the columns of a table, none where there is no such table, and its primary key."""

    @abstractmethod
    def _write(self, rows: Sequence[Replaced]) -> tuple[Collection[Key], int]:
        """Write the first rows, in one transaction.

        Returns the keys of those that were as they were read, and how many were tried.
        """

    @abstractmethod
    def _copied(self, copy: str) -> str:
        """Return SQL for an empty temporary table with the columns of this one."""

    @staticmethod
    @abstractmethod
    def _quoted(name: str) -> str: ...

    @staticmethod
    def _escaped(sql: str) -> str:
        return sql.replace("%", "%%")

    def _compared(self, sign: str, key: Key) -> tuple[str, Sequence[object]]:
        """Return SQL that compares the key of a row with another, and its values."""
        return f"({self._keys}) {sign} ({', '.join(map(self._marked, self._key))})", key

    def _marked(self, column: str) -> str:
        """Return SQL for a value of a column of the key."""
        return self.mark

    def _select(
        self, what: str, after: Key | None, until: Key | None, limit: str
    ) -> Sequence[Sequence[Any]]:
        where, values = self._range(after, until)
        sql = f"SELECT {what} FROM {self._of} WHERE {where} ORDER BY {self._keys} LIMIT {limit}"  # noqa: S608 - as above
        return self._run(sql, values)

    def _range(self, after: Key | None, until: Key | None) -> tuple[str, list[object]]:
        """Return SQL for the rows above a key and up to another, and its values."""
        conditions = [self._where]
        values: list[object] = []
        for sign, key in ((">", after), ("<=", until)):
            if key is not None:
                sql, given = self._compared(sign, key)
                conditions.append(sql)
                values += given
        return " AND ".join(conditions), values

    def _row(self, found: Sequence[Any]) -> StoredRow:
        keys = len(self._key)
        rest = keys + 1 + len(self.table.reads)
        return StoredRow(
            self._key_of(found[:keys]),
            tuple(one if isinstance(_cell(one), bytes) else None for one in found[keys + 1 : rest]),
            tuple(map(_cell, found[rest:])),
            found[keys],
        )

    def _key_of(self, found: Sequence[Any]) -> Key:
        """Return a key; raise MigrationFailed for a text in it that cannot be given back."""
        key = tuple(one if isinstance(one, _GIVEN_BACK) else str(one) for one in found)
        if any(isinstance(one, str) and _cell(one) is NOT_TEXT for one in key):
            raise MigrationFailed("key-not-unicode", detail=self.table.name)
        return key

    def _in_use(self) -> MigrationFailed:
        detail = f"{self.table.name}: another run writes to it; let it end, or tell it to stop"
        return MigrationFailed("table-in-use", detail=detail)

    def _check(self, table: StoredTable) -> None:
        for one in table.columns:
            found = self._types.get(one.name)
            if found is None:
                raise MigrationFailed("no-such-column", detail=f"{table.name}.{one.name}")
            if self.kinds and found.kind not in self.kinds:
                raise MigrationFailed("not-a-text-column", detail=one.name)
        if not self._key or any(one not in self._types for one in self._key):
            raise MigrationFailed("no-key", detail=table.name)
        for name in self._key:
            kind = self._types[name].kind
            if self.key_kinds and kind not in self.key_kinds:
                raise MigrationFailed("key-type", detail=f"{table.name}.{name}: {kind}")
        nulls = " OR ".join(f"{self._quoted(one)} IS NULL" for one in self._key)
        sql = f"SELECT 1 FROM {self._of} WHERE {nulls} LIMIT 1"  # noqa: S608 - as above
        if (table.key or self.nulls_in_keys) and self._run(sql):
            raise MigrationFailed("null-in-key", detail=table.name)

    def _is_json(self, column: str) -> bool:
        return self._types[column].kind in self.json_kinds

    def _column(self, name: str) -> str:
        return f"{self._own}.{self._quoted(name)}"

    def _name(self, source: Read) -> str:
        """Return SQL for the text of a name."""
        if isinstance(source, ColumnSource):
            return self.as_text.format(self._column(source.column))
        return self.as_text.format(f"({self._escaped(source.expression)})")


class ComparedTable(SqlTable):
    """A table whose rows have no version: their cells and names are compared, row by row."""

    begin: ClassVar[str]
    is_same: ClassVar[str]
    """The operator that compares, and is true for two NULLs."""
    cell_bytes: ClassVar[str]
    """SQL for the bytes of a cell, or their digest, whatever its collation."""
    name_bytes: ClassVar[str]

    @abstractmethod
    def _bytes(self, text: bytes) -> object:
        """Return what `cell_bytes` and `name_bytes` are for a text."""

    @abstractmethod
    def _changed(self, sql: str, values: Sequence[object]) -> int:
        """Run an UPDATE; return how many rows it changed."""

    def _write(self, rows: Sequence[Replaced]) -> tuple[Collection[Key], int]:
        until = monotonic() + TRANSACTION_SECONDS
        self._begin()
        try:
            written: list[Key] = []
            tried = 0
            for row, new in rows:
                written += [row.key] if self._update(row, new) else []
                tried += 1
                if monotonic() > until:
                    break
            self.look()
            self._run("COMMIT")
        except BaseException:
            with suppress(MigrationFailed):  # the first error says more
                self._run("ROLLBACK")
            raise
        return written, tried

    def _begin(self) -> None:
        self._run(self.begin)

    def _update(self, row: StoredRow, new: Sequence[bytes | None]) -> bool:
        """Write a row that is as it was read; return whether it was."""
        to_set: list[str] = []
        same = [f"{self._column(one)} = {self._marked(one)}" for one in self._key]
        values: list[object] = []
        compared: list[tuple[str, object]] = []
        tagged = {one.tags_of for one in self.table.columns}
        for column, old, cell in zip(self.table.columns, row.cells, new, strict=True):
            if cell is not None:
                to_set.append(f"{self._quoted(column.name)} = {self.mark}")
                values.append(cell.decode())
            # Tags are of the value as it was read.
            if cell is not None or column.name in tagged:
                had = self._bytes(old) if isinstance(old, bytes) else None
                compared.append((self.cell_bytes.format(self._column(column.name)), had))
        for source, text in zip(self.table.reads, row.names, strict=True):
            said = None if text is None else self._bytes(text.encode())
            compared.append((self.name_bytes.format(self._name(source)), said))
        same += [f"{one} {self.is_same} {self.mark}" for one, _ in compared]
        sql = f"UPDATE {self._of} SET {', '.join(to_set)} WHERE {' AND '.join(same)}"  # noqa: S608 - as above
        return self._changed(sql, (*values, *row.key, *(one for _, one in compared))) == 1


def _cell(value: object) -> Cell:
    """Return a cell; a text that is no UTF-8, which SQLite lets in, is none."""
    if not isinstance(value, str):
        return None if value is None else NOT_TEXT
    try:
        return value.encode()
    except UnicodeEncodeError:
        return NOT_TEXT
