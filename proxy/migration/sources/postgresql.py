"""Tables of PostgreSQL, by psycopg 3 (the extra `postgresql`).

A row is written only if its `xmin` is the one that was read: then no transaction has changed it
since. New cells go by COPY into a temporary table, so that no log of statements has a value; errors
are reported by their SQLSTATE.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

import psycopg

from ...core.errors import MigrationFailed
from ..job.model import ROOT, ColumnSource, Read, StoredTable
from ..values.treatment import Key, StoredRow
from .source import Replaced

_TEXTS: Final = frozenset({"text", "varchar", "bpchar", "citext", "name"})
_JSON: Final = frozenset({"json", "jsonb"})
_WITH_WIDTH: Final = frozenset({"varchar", "bpchar"})
_HEADER: Final = 4
"""How much a type's modifier is above the width of a column."""
_WAITING: Final = frozenset({"40P01", "40001", "55P03"})
"""Deadlock, serialization, lock not to be had: another writer has rows of the batch."""
_SETTINGS: Final = (
    "SET lock_timeout = '10s'",
    "SET idle_in_transaction_session_timeout = '1h'",
    "SET DateStyle = 'ISO'",
)
_COLUMNS: Final = """
SELECT a.attname, t.typname, format_type(a.atttypid, a.atttypmod), a.atttypmod
FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
WHERE a.attrelid = to_regclass(%s) AND a.attnum > 0 AND NOT a.attisdropped
"""
_KEY: Final = """
SELECT a.attname FROM pg_index i, unnest(i.indkey) WITH ORDINALITY AS k (attnum, at)
JOIN pg_attribute a ON a.attnum = k.attnum
WHERE i.indrelid = to_regclass(%s) AND i.indisprimary AND a.attrelid = i.indrelid ORDER BY k.at
"""


class PostgresqlSource:
    """One table, over a connection of its own."""

    def __init__(self, address: str, password: str | None, table: StoredTable) -> None:
        """Connect, and find the columns and the key of the table; `address` is for libpq."""
        with _translated():
            self._database = psycopg.connect(
                address,
                autocommit=True,
                client_encoding="utf8",
                application_name="sealyard",
                password=password,
            )
        self._rows = self._database.cursor()
        self._temporary = False
        try:
            self._prepare(table)
        except BaseException:
            self.close()
            raise

    def _prepare(self, table: StoredTable) -> None:
        info = self._database.info
        self.name = f"postgresql:{info.host}:{info.port}/{info.dbname}#{table.name}"
        self._of = ".".join(map(_quoted, table.name.split(".")))
        for setting in _SETTINGS:
            self._run(setting)
        self._types = {one[0]: one[1:] for one in self._run(_COLUMNS, (self._of,))}
        if not self._types:
            raise MigrationFailed("no-such-table", detail=table.name)
        self._key = table.key or tuple(name for (name,) in self._run(_KEY, (self._of,)))
        self._check(table)
        self.table = replace(
            table,
            columns=tuple(
                replace(one, selector=one.selector or ROOT) if self._is_json(one.name) else one
                for one in table.columns
            ),
        )
        self._own = _quoted(table.name.rpartition(".")[2])
        self._keys = ", ".join(map(self._column, self._key))
        self._marks = ", ".join(f"%s::{self._types[one][1]}" for one in self._key)
        self._where = f"({_escaped(table.where)})" if table.where else "true"
        keys = [f"{self._column(one)}::text" for one in self._key]
        names = [self._name(one) for one in table.reads]
        cells = [f"{self._column(one.name)}::text" for one in table.columns]
        read = [*keys, f"{self._own}.xmin::text", *names, *cells]
        self._select = f"SELECT {', '.join(read)} FROM {self._of}"  # noqa: S608 - names of the job, quoted

    def widths(self) -> tuple[int | None, ...]:
        """Return the widths of varchar and char columns."""
        found = (self._types[one.name] for one in self.table.columns)
        return tuple(
            modifier - _HEADER if kind in _WITH_WIDTH and modifier > _HEADER else None
            for kind, _, modifier in found
        )

    def widen(self, column: int, characters: int) -> str:
        """Return the ALTER TABLE; PostgreSQL rewrites no row for it."""
        name = _quoted(self.table.columns[column].name)
        return f"ALTER TABLE {self._of} ALTER COLUMN {name} TYPE varchar({characters});"

    def count(self) -> int | None:
        """Return how many rows there are; an estimate where the whole table is meant."""
        if not self.table.where:
            sql = "SELECT reltuples::bigint FROM pg_class WHERE oid = to_regclass(%s)"
            ((estimate,),) = self._run(sql, (self._of,))
            if estimate > 0:
                return int(estimate)
        ((rows,),) = self._run(self._counting)
        return int(rows)

    def borders(self, parts: int) -> list[Key]:
        """Return keys at equal distances, found by the index of the key."""
        ((rows,),) = self._run(self._counting)
        keys = ", ".join(f"{self._column(one)}::text" for one in self._key)
        sql = f"SELECT {keys} FROM {self._of} WHERE {self._where} ORDER BY {self._keys}"  # noqa: S608 - as above
        found: list[Key] = []
        for part in range(1, parts):
            found += self._run(f"{sql} OFFSET %s LIMIT 1", (rows * part // parts,))
        return sorted(set(found), key=found.index)

    def begin_proof(self) -> bool:
        """Begin a transaction that sees one state of the database."""
        self._run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        return True

    def page(self, after: Key | None, until: Key | None) -> list[StoredRow]:
        """Return the next rows by their keys."""
        conditions = [self._where]
        values: list[object] = []
        for sign, key in ((">", after), ("<=", until)):
            if key is not None:
                conditions.append(f"({self._keys}) {sign} ({self._marks})")
                values += key
        sql = f"{self._select} WHERE {' AND '.join(conditions)} ORDER BY {self._keys}"
        found = self._run(f"{sql} LIMIT {self.table.batch}", values)
        return [self._row(one) for one in found]

    def write(self, rows: Sequence[Replaced]) -> Collection[Key]:
        """Write the rows whose version is as it was, in one statement."""
        if not rows:
            return ()
        try:
            with _translated(), self._database.transaction():
                return self._write(rows)
        except MigrationFailed as failed:
            if failed.reason.removeprefix("sqlstate ") in _WAITING:
                return ()
            raise

    def close(self) -> None:
        """Close the connection."""
        self._database.close()

    def _write(self, rows: Sequence[Replaced]) -> list[Key]:
        keys = [f"k{at}" for at in range(len(self._key))]
        cells = [f"c{at}" for at in range(len(self.table.columns))]
        if not self._temporary:
            columns = ", ".join(f"{one} text" for one in (*keys, "version", *cells))
            self._rows.execute(
                f"CREATE TEMPORARY TABLE sealyard_page ({columns}) ON COMMIT DELETE ROWS"
            )
        with self._rows.copy("COPY pg_temp.sealyard_page FROM STDIN") as copy:
            for row, new in rows:
                texts = (None if one is None else one.decode() for one in new)
                copy.write_row((*row.key, row.version, *texts))
        # The batch is small and the table large, which the planner cannot know.
        self._rows.execute("SET LOCAL enable_hashjoin = off")
        self._rows.execute("SET LOCAL enable_mergejoin = off")
        found = self._rows.execute(self._update(keys, cells), ()).fetchall()
        self._temporary = True
        return found

    def _update(self, keys: Sequence[str], cells: Sequence[str]) -> str:
        # No cast to the type of a text column: it would cut what is too long without a word.
        page, types = "sealyard_page", self._types
        new = (
            f"{_quoted(one.name)} = coalesce({page}.{cell}{cast}, {self._column(one.name)}{cast})"
            for one, cell in zip(self.table.columns, cells, strict=True)
            for cast in (f"::{types[one.name][0] if self._is_json(one.name) else 'text'}",)
        )
        same = (
            f"{self._column(one)} = {page}.{key}::{types[one][1]}"
            for one, key in zip(self._key, keys, strict=True)
        )
        return (
            f"UPDATE {self._of} SET {', '.join(new)} FROM pg_temp.{page}"  # noqa: S608 - as above
            f" WHERE {' AND '.join(same)} AND {self._own}.xmin = {page}.version::xid"
            f" RETURNING {', '.join(f'{page}.{key}' for key in keys)}"
        )

    @property
    def _counting(self) -> str:
        return f"SELECT count(*) FROM {self._of} WHERE {self._where}"  # noqa: S608 - as above

    def _column(self, name: str) -> str:
        return f"{self._own}.{_quoted(name)}"

    def _name(self, source: Read) -> str:
        """Return SQL for the text of a name."""
        if isinstance(source, ColumnSource):
            return f"{self._column(source.column)}::text"
        return f"({_escaped(source.expression)})::text"

    def _is_json(self, column: str) -> bool:
        return self._types[column][0] in _JSON

    def _check(self, table: StoredTable) -> None:
        """Raise MigrationFailed for columns that cannot be migrated, and a key that has gaps."""
        for one in table.columns:
            if self._types.get(one.name, ("",))[0] not in _TEXTS | _JSON:
                raise MigrationFailed("not-a-text-column", detail=one.name)
        if not self._key or any(one not in self._types for one in self._key):
            raise MigrationFailed("no-key", detail=table.name)
        nulls = " OR ".join(f"{_quoted(one)} IS NULL" for one in self._key)
        if table.key and self._run(f"SELECT 1 FROM {self._of} WHERE {nulls} LIMIT 1"):  # noqa: S608 - as above
            raise MigrationFailed("null-in-key", detail=table.name)

    def _row(self, found: Sequence[Any]) -> StoredRow:
        keys = len(self._key)
        rest = keys + 1 + len(self.table.reads)
        cells = (None if one is None else one.encode() for one in found[rest:])
        return StoredRow(
            tuple(found[:keys]), tuple(found[keys + 1 : rest]), tuple(cells), found[keys]
        )

    def _run(self, sql: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        with _translated():
            found = self._rows.execute(sql, values)
            return list(found.fetchall()) if found.description else []


@contextmanager
def _translated() -> Iterator[None]:
    """Raise MigrationFailed with the code of an error: its text may hold values."""
    try:
        yield
    except psycopg.Error as error:
        code = error.sqlstate
        raise MigrationFailed(f"sqlstate {code}" if code else type(error).__name__) from None


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""').replace("%", "%%") + '"'


def _escaped(sql: str) -> str:
    return sql.replace("%", "%%")
