"""Tables of PostgreSQL, by psycopg 3 (the extra `postgresql`).

A row is written only if its `xmin` is the one that was read: then no transaction has changed it
since. New cells go by COPY into a temporary table, so that no log of statements has a value; errors
are reported by their SQLSTATE. Row locks end at the server, whatever becomes of this process.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final

import psycopg

from ...core.errors import MigrationFailed
from ..job.model import StoredTable
from ..policy import LOCK_SECONDS, LOCK_WAIT_SECONDS
from ..values.treatment import Key
from .keepers import Inspection
from .source import Replaced
from .sql_table import ColumnType, SqlTable

_JSON: Final = frozenset({"json", "jsonb"})
_SETTINGS: Final = (
    f"SET lock_timeout = '{LOCK_WAIT_SECONDS}s'",
    f"SET idle_in_transaction_session_timeout = '{LOCK_SECONDS}s'",
    "SET DateStyle = 'ISO'",
    "SET row_security = off",  # rows that a policy hides are then an error
)
# The batch is small and the table large, which the planner cannot know.
_BEGIN: Final = (
    "BEGIN; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off;"
    f" SET LOCAL statement_timeout = '{LOCK_SECONDS}s'"
)
# Two runs over tables of one tree exclude each other, whichever of them each names.
_EXCLUDE: Final = """
WITH RECURSIVE tree(oid) AS (
    SELECT to_regclass(%s)::oid UNION SELECT inhrelid FROM pg_inherits JOIN tree ON inhparent = oid
)
SELECT bool_and(pg_try_advisory_lock(1935764841, (oid::bigint - 2147483648)::integer)) FROM tree
"""
_LAG: Final = "SELECT max(extract(epoch FROM replay_lag)) FROM pg_stat_replication"
_SESSIONS: Final = """
SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND backend_type = 'client backend'
    AND application_name <> 'sealyard'
"""
# The modifier of a type is 4 more than the width of its column.
_COLUMNS: Final = """
SELECT a.attname, t.typname, format_type(a.atttypid, a.atttypmod),
    CASE WHEN t.typname = 'varchar' AND a.atttypmod > 4 THEN a.atttypmod - 4 END
FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
WHERE a.attrelid = to_regclass(%s) AND a.attnum > 0 AND NOT a.attisdropped
"""
# The columns behind `indnkeyatts` are in the index alone.
_KEY: Final = """
SELECT a.attname FROM pg_index i, unnest(i.indkey) WITH ORDINALITY AS k (attnum, at)
JOIN pg_attribute a ON a.attnum = k.attnum
WHERE i.indrelid = to_regclass(%s) AND i.indisprimary AND a.attrelid = i.indrelid
    AND k.at <= i.indnkeyatts ORDER BY k.at
"""


class PostgresqlSource(SqlTable):
    """One table, over a connection of its own."""

    # char(n) pads a token, which then opens nowhere, and name cuts it without an error.
    kinds = _JSON | {"text", "varchar", "citext"}
    json_kinds = _JSON
    waiting = frozenset({"sqlstate 40P01", "sqlstate 40001", "sqlstate 55P03"})
    slow = "sqlstate 57014"
    # Values, constraints, RAISE, entries of an index; psycopg itself refuses NUL in a text.
    refusing = ("sqlstate 22", "sqlstate 23", "sqlstate P0001", "sqlstate 54000", "DataError")
    temporary = "pg_temp."
    as_text = as_key = as_cell = "{}::text"
    version = "{}.xmin::text"

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
        info = self._database.info
        self.name = f"postgresql:{info.host}:{info.port}/{info.dbname}#{table.name}"
        self._rows = self._database.cursor()
        self._temporary = False
        try:
            for setting in _SETTINGS:
                self._run(setting)
            self._open(table)
        except BaseException:
            self.close()
            raise

    def widen(self, column: int, characters: int) -> str:
        """Return the ALTER TABLE; PostgreSQL rewrites no row for it."""
        name = self._quoted(self.table.columns[column].name)
        return f"ALTER TABLE {self._of} ALTER COLUMN {name} TYPE varchar({characters});"

    def count(self) -> int | None:
        """Return how many rows there are; an estimate where the whole table is meant."""
        if not self.table.where:
            sql = "SELECT reltuples::bigint FROM pg_class WHERE oid = to_regclass(%s)"
            ((estimate,),) = self._run(sql, (self._of,))
            if estimate > 0:
                return int(estimate)
        return self.counted()

    def begin_proof(self, state: str | None = None) -> str | None:
        """Begin a transaction that sees one state of the database, which it may share."""
        self._run("SET idle_in_transaction_session_timeout = 0")  # others read as long as they read
        self._run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        if state:
            self._run(f"SET TRANSACTION SNAPSHOT '{state}'")
            return state
        ((exported,),) = self._run("SELECT pg_export_snapshot()")
        return str(exported)

    def exclude(self) -> None:
        """Take an advisory lock of the table and of its partitions, for as long as it is open."""
        if self._run(_EXCLUDE, (self._of,)) != [(True,)]:
            raise self._in_use()

    def lag(self) -> float:
        """Return what the server knows of its replicas."""
        return float(self._seen(_LAG) or 0)

    def sessions(self) -> int:
        """Return what the server knows of sessions."""
        return int(self._seen(_SESSIONS))

    def _seen(self, sql: str) -> Any:  # noqa: ANN401 - as the driver gives it
        """Return the one value of SQL; raise MigrationFailed where it is hidden from the user."""
        if self._run("SELECT pg_has_role('pg_read_all_stats', 'USAGE')") != [(True,)]:
            raise MigrationFailed("throttle-blind", detail="GRANT pg_monitor to the user")
        ((found,),) = self._run(sql)
        return found

    def inspection(self) -> Inspection:
        """Return what asks the catalogue."""
        from .postgresql_keepers import PostgresqlInspection  # noqa: PLC0415 - few runs ask

        columns = [one.name for one in self.table.columns]
        found = PostgresqlInspection(self._run, self._of, columns, self._database.info.host)
        self._database.add_notice_handler(lambda one: found.told.add(one.severity_nonlocalized))
        return found

    def close(self) -> None:
        """Close the connection."""
        self._database.close()

    def _write(self, rows: Sequence[Replaced]) -> tuple[Collection[Key], int]:
        """Write the rows whose version is as it was, in one statement.

        It goes to the server in one message with its COMMIT: row locks wait for no client.
        """
        keys = [f"k{at}" for at in range(len(self._key))]
        cells = [f"c{at}" for at in range(len(self.table.columns))]
        if not self._temporary:
            columns = ", ".join(f"{one} text" for one in (*keys, "version", *cells))
            self._run(
                f"CREATE TEMPORARY TABLE sealyard_page (at integer, {columns})"
                " ON COMMIT DELETE ROWS"
            )
            self._temporary = True
        with _translated():
            try:
                self._rows.execute(_BEGIN, prepare=False)
                with self._rows.copy("COPY pg_temp.sealyard_page FROM STDIN") as copy:
                    for at, (row, new) in enumerate(rows):
                        texts = (None if one is None else one.decode() for one in new)
                        copy.write_row((at, *row.key, row.version, *texts))
                update = self._update(keys, cells).replace("%%", "%")  # nothing fills it in
                self.look()
                found = self._rows.execute(f"{update}; COMMIT".encode(), prepare=False).fetchall()
            except BaseException:
                with suppress(psycopg.Error):  # the first error says more
                    self._database.rollback()
                raise
        return [rows[at][0].key for (at,) in found], len(rows)

    def _update(self, keys: Sequence[str], cells: Sequence[str]) -> str:
        # No cast to the type of a text column: it would cut what is too long without a word.
        page, types = "sealyard_page", self._types
        new = (
            f"{self._quoted(one.name)} ="
            f" coalesce({page}.{cell}{cast}, {self._column(one.name)}{cast})"
            for one, cell in zip(self.table.columns, cells, strict=True)
            for cast in (f"::{types[one.name].kind if self._is_json(one.name) else 'text'}",)
        )
        same = (
            f"{self._column(one)} = {page}.{key}::{types[one].cast}"
            for one, key in zip(self._key, keys, strict=True)
        )
        return (
            f"UPDATE {self._of} SET {', '.join(new)} FROM pg_temp.{page}"  # noqa: S608 - names of the job, quoted
            f" WHERE {' AND '.join(same)} AND {self._own}.xmin = {page}.version::xid"
            f" RETURNING {page}.at"
        )

    def _described(self, name: str) -> tuple[Mapping[str, ColumnType], tuple[str, ...]]:
        columns = {one: ColumnType(*rest) for one, *rest in self._run(_COLUMNS, (self._of,))}
        return columns, tuple(one for (one,) in self._run(_KEY, (self._of,)))

    def _copied(self, copy: str) -> str:
        return f"CREATE TABLE {copy} (LIKE {self._of} INCLUDING INDEXES)"

    def _marked(self, column: str) -> str:
        return f"%s::{self._types[column].cast}"

    @staticmethod
    def _quoted(name: str) -> str:
        return '"' + name.replace('"', '""').replace("%", "%%") + '"'

    def _run(self, sql: str, values: Sequence[object] = ()) -> Sequence[tuple[Any, ...]]:
        with _translated():
            found = self._rows.execute(sql, values)
            return found.fetchall() if found.description else ()


@contextmanager
def _translated() -> Iterator[None]:
    """Raise MigrationFailed with the code of an error: its text may hold values."""
    try:
        yield
    except psycopg.Error as error:
        code = error.sqlstate
        raise MigrationFailed(f"sqlstate {code}" if code else type(error).__name__) from None
