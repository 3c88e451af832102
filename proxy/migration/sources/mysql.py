"""Tables of MySQL and MariaDB, by PyMySQL (the extra `mysql`).

Before a row is written, the SHA-256 of its cells and names is compared: no collation has a say in
that, and no statement holds an old value. `open` writes values by statements, as any client does:
the server's general and binary logs hold them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

import pymysql
from pymysql.constants import ER

from ...core.errors import MigrationFailed
from ..job.model import ROOT, ColumnSource, Mysql, Read, StoredTable
from ..values.cells import NOT_TEXT, Cell
from ..values.treatment import Key, StoredRow
from .source import Replaced

_TEXTS: Final = frozenset({"char", "varchar", "tinytext", "text", "mediumtext", "longtext"})
_JSON: Final = "json"
_WAITING: Final = frozenset({ER.LOCK_DEADLOCK, ER.LOCK_WAIT_TIMEOUT, ER.CHECKREAD})
_COLUMNS: Final = """
SELECT column_name, data_type, character_maximum_length, column_type, character_set_name
FROM information_schema.columns WHERE table_schema = coalesce(%s, database()) AND table_name = %s
"""
_KEY: Final = """
SELECT column_name FROM information_schema.statistics
WHERE table_schema = coalesce(%s, database()) AND table_name = %s AND index_name = 'PRIMARY'
ORDER BY seq_in_index
"""
_TIMEOUT_SECONDS: Final = 600


class MysqlSource:
    """One table, over a connection of its own."""

    def __init__(self, place: Mysql, password: str | None, table: StoredTable) -> None:
        """Connect, and find the columns and the key of the table."""
        with _translated():
            self._database = pymysql.connect(
                host=place.host,
                port=place.port,
                user=place.user,
                password=password or "",
                database=place.database,
                unix_socket=place.socket,
                ssl={"ca": str(place.ca)} if place.ca else None,
                ssl_verify_cert=place.ca is not None,
                ssl_verify_identity=place.ca is not None,
                charset="utf8mb4",
                autocommit=True,
                read_timeout=_TIMEOUT_SECONDS,
                write_timeout=_TIMEOUT_SECONDS,
                init_command="SET sql_mode = 'STRICT_ALL_TABLES'",
            )
        self.name = f"{place.name}#{table.name}"
        try:
            self._prepare(table)
        except BaseException:
            self.close()
            raise

    def _prepare(self, table: StoredTable) -> None:
        schema, _, name = table.name.rpartition(".")
        self._of = ".".join(map(_quoted, table.name.split(".")))
        self._own = _quoted(name)
        where = (schema or None, name)
        self._columns = {one[0]: one[1:] for one in self._run(_COLUMNS, where)}
        if not self._columns:
            raise MigrationFailed("no-such-table", detail=table.name)
        self._key = table.key or tuple(one for (one,) in self._run(_KEY, where))
        self._check(table)
        self.table = replace(
            table,
            columns=tuple(
                replace(one, selector=one.selector or ROOT) if self._is_json(one.name) else one
                for one in table.columns
            ),
        )
        self._keys = ", ".join(map(self._column, self._key))
        self._where = f"({_escaped(table.where)})" if table.where else "1"
        cells = [self._column(one.name) for one in table.columns]
        read = [self._keys, *map(self._name, table.reads), *cells]
        self._select = f"SELECT {', '.join(read)} FROM {self._of}"  # noqa: S608 - names of the job, quoted

    def widths(self) -> tuple[int | None, ...]:
        """Return how many characters the columns hold."""
        return tuple(
            None if width is None else int(width) // (1 if kind in {"char", "varchar"} else 4)
            for kind, width, *_ in (self._columns[one.name] for one in self.table.columns)
        )

    def widen(self, column: int, characters: int) -> str:
        """Return the ALTER TABLE, which rewrites the table where the width passes 255 bytes."""
        name = _quoted(self.table.columns[column].name)
        return f"ALTER TABLE {self._of} MODIFY {name} varchar({characters});"

    def count(self) -> int | None:
        """Return how many rows there are."""
        ((rows,),) = self._run(self._counting)
        return int(rows)

    def borders(self, parts: int) -> list[Key]:
        """Return keys at equal distances, found by the index of the key."""
        rows = self.count() or 0
        sql = f"SELECT {self._keys} FROM {self._of} WHERE {self._where} ORDER BY {self._keys}"  # noqa: S608 - as above
        found: list[Key] = []
        for part in range(1, parts):
            page = self._run(f"{sql} LIMIT %s, 1", (rows * part // parts,))
            found += [tuple(map(_key, one)) for one in page]
        return sorted(set(found), key=found.index)

    def begin_proof(self) -> bool:
        """Begin a transaction that sees one state of the database."""
        self._run("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        self._run("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
        return True

    def page(self, after: Key | None, until: Key | None) -> list[StoredRow]:
        """Return the next rows by their keys."""
        conditions = [self._where]
        values: list[object] = []
        for sign, key in ((">", after), ("<=", until)):
            if key is not None:
                conditions.append(self._compared(sign))
                for at in range(len(key)):
                    values += key[: at + 1]
        sql = f"{self._select} WHERE {' AND '.join(conditions)} ORDER BY {self._keys}"
        found = self._run(f"{sql} LIMIT {self.table.batch}", values)
        return [self._row(one) for one in found]

    def write(self, rows: Sequence[Replaced]) -> Collection[Key]:
        """Write the rows that are as they were, in one transaction."""
        if not rows:
            return ()
        try:
            with _translated():
                self._database.begin()
                try:
                    written = [row.key for row, new in rows if self._update(row, new)]
                    self._database.commit()
                except BaseException:
                    self._database.rollback()
                    raise
                return written
        except MigrationFailed as failed:
            if failed.reason in {f"error {one}" for one in _WAITING}:
                return ()
            raise

    def close(self) -> None:
        """Close the connection."""
        if self._database.open:
            self._database.close()

    def _update(self, row: StoredRow, new: Sequence[bytes | None]) -> bool:
        to_set: list[str] = []
        same = [f"{self._column(one)} = %s" for one in self._key]
        values: list[object] = []
        before: list[object] = list(row.key)
        for column, old, cell in zip(self.table.columns, row.cells, new, strict=True):
            if cell is not None and isinstance(old, bytes):
                to_set.append(f"{self._column(column.name)} = %s")
                values.append(cell.decode())
                same.append(f"sha2(CONVERT({self._column(column.name)} USING utf8mb4), 256) = %s")
                before.append(hashlib.sha256(old).hexdigest())
        for source, name in zip(self.table.reads, row.names, strict=True):
            if name is None:
                same.append(f"{self._name(source)} IS NULL")
            else:
                same.append(f"sha2({self._name(source)}, 256) = %s")
                before.append(hashlib.sha256(name.encode()).hexdigest())
        sql = f"UPDATE {self._of} SET {', '.join(to_set)} WHERE {' AND '.join(same)}"  # noqa: S608 - as above
        with self._database.cursor() as cursor:
            return cursor.execute(sql, (*values, *before)) == 1

    def _compared(self, sign: str) -> str:
        """Return SQL that compares the key: MySQL uses no index for a comparison of rows."""
        columns = list(map(self._column, self._key))
        strict = sign[0]
        parts = []
        for at, column in enumerate(columns):
            equal = [f"{one} = %s" for one in columns[:at]]
            last = sign if at == len(columns) - 1 else strict
            parts.append(f"({' AND '.join([*equal, f'{column} {last} %s'])})")
        return f"({' OR '.join(parts)})"

    @property
    def _counting(self) -> str:
        return f"SELECT count(*) FROM {self._of} WHERE {self._where}"  # noqa: S608 - as above

    def _column(self, name: str) -> str:
        return f"{self._own}.{_quoted(name)}"

    def _name(self, source: Read) -> str:
        """Return SQL for the text of a name."""
        if isinstance(source, ColumnSource):
            return f"CONVERT({self._column(source.column)} USING utf8mb4)"
        return f"CONVERT(({_escaped(source.expression)}) USING utf8mb4)"

    def _is_json(self, column: str) -> bool:
        return str(self._columns[column][0]) == _JSON

    def _check(self, table: StoredTable) -> None:
        """Raise MigrationFailed for columns that cannot be migrated, and a key that has gaps."""
        for one in table.columns:
            if self._columns.get(one.name, ("",))[0] not in _TEXTS | {_JSON}:
                raise MigrationFailed("not-a-text-column", detail=one.name)
        if not self._key or any(one not in self._columns for one in self._key):
            raise MigrationFailed("no-key", detail=table.name)
        nulls = " OR ".join(f"{_quoted(one)} IS NULL" for one in self._key)
        if table.key and self._run(f"SELECT 1 FROM {self._of} WHERE {nulls} LIMIT 1"):  # noqa: S608 - as above
            raise MigrationFailed("null-in-key", detail=table.name)

    def _row(self, found: Sequence[Any]) -> StoredRow:
        keys = len(self._key)
        rest = keys + len(self.table.reads)
        return StoredRow(
            tuple(map(_key, found[:keys])),
            tuple(found[keys:rest]),
            tuple(map(_cell, found[rest:])),
        )

    def _run(self, sql: str, values: Sequence[object] = ()) -> Sequence[tuple[Any, ...]]:
        with _translated(), self._database.cursor() as cursor:
            cursor.execute(sql, tuple(values))
            return cursor.fetchall() if cursor.description else ()


@contextmanager
def _translated() -> Iterator[None]:
    """Raise MigrationFailed with the number of an error: its text may hold values."""
    try:
        yield
    except pymysql.MySQLError as error:
        code = error.args[0] if error.args and isinstance(error.args[0], int) else None
        raise MigrationFailed(f"error {code}" if code else type(error).__name__) from None


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``").replace("%", "%%") + "`"


def _escaped(sql: str) -> str:
    return sql.replace("%", "%%")


def _key(value: object) -> str | int | float | bytes:
    return value if isinstance(value, str | int | float | bytes) else str(value)


def _cell(value: object) -> Cell:
    if isinstance(value, str):
        return value.encode()
    return None if value is None else NOT_TEXT
