"""Tables of MySQL and MariaDB, by PyMySQL (the extra `mysql`).

Before a row is written, the SHA-256 of its cells and names is compared: no collation has a say in
that, and no statement holds an old value. `open` writes values by statements, as any client does:
the server's general and binary logs hold them.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from typing import Any, Final

import pymysql
import pymysql.cursors
from pymysql.constants import ER

from ...core.errors import MigrationFailed
from ..job.model import StoredTable
from ..job.places import Mysql
from ..policy import (
    LOCK_IDLE_SECONDS,
    MYSQL_IDLE_SECONDS,
    MYSQL_SECONDS,
    MYSQL_VARCHAR,
    ROW_WAIT_SECONDS,
)
from ..values.treatment import Key
from .keepers import Inspection, place_of
from .source import Replaced
from .sql_table import ColumnType, ComparedTable

_JSON: Final = frozenset({"json"})
_TEXTS: Final = frozenset({"char", "varchar", "tinytext", "text", "mediumtext", "longtext"})
# The other types hold so many bytes, of which a character may need four.
_COLUMNS: Final = """
SELECT column_name, data_type, '', CASE WHEN data_type IN ('char', 'varchar')
    THEN character_maximum_length ELSE character_maximum_length DIV 4 END
FROM information_schema.columns WHERE table_schema = coalesce(%s, database()) AND table_name = %s
"""
_KEY: Final = """
SELECT column_name FROM information_schema.statistics
WHERE table_schema = coalesce(%s, database()) AND table_name = %s AND index_name = 'PRIMARY'
ORDER BY seq_in_index
"""
_ENGINE: Final = """
SELECT engine FROM information_schema.tables
WHERE table_schema = coalesce(%s, database()) AND table_name = %s
"""
_SETTINGS: Final = (
    "SET sql_mode = 'STRICT_ALL_TABLES', sql_quote_show_create = 1,"
    f" innodb_lock_wait_timeout = {ROW_WAIT_SECONDS}, wait_timeout = {MYSQL_IDLE_SECONDS}"
    " /*!80003 , information_schema_stats_expiry = 0 */"  # it tells sizes of yesterday else
)
_REPLICAS: Final = "SHOW /*M! SLAVE HOSTS */ /*!80022 REPLICAS */"
_REFUSING: Final = (
    *(ER.TRUNCATED_WRONG_VALUE_FOR_FIELD, ER.DATA_TOO_LONG, ER.DUP_ENTRY, ER.CONSTRAINT_FAILED),
    *(1644, 3140, 3819),  # SIGNAL, and of MySQL: no JSON, CHECK
)


class MysqlSource(ComparedTable):
    """One table, over a connection of its own."""

    kinds = _JSON | _TEXTS
    json_kinds = _JSON
    # ENUM and SET are ordered by number and compared as texts, DECIMAL is compared as a double, and
    # TIMESTAMP is read in the time of a place, which has an hour twice.
    key_kinds = _TEXTS | {
        *("tinyint", "smallint", "mediumint", "int", "bigint"),
        *("binary", "varbinary", "date", "datetime", "year", "uuid"),
    }
    waiting = frozenset(
        f"error {one}" for one in (ER.LOCK_DEADLOCK, ER.LOCK_WAIT_TIMEOUT, ER.CHECKREAD)
    )
    refusing = tuple(f"error {one}" for one in _REFUSING)
    as_text = "CONVERT({} USING utf8mb4)"
    begin = "START TRANSACTION"
    is_same = "<=>"
    cell_bytes = "sha2(CONVERT({} USING utf8mb4), 256)"
    name_bytes = "sha2({}, 256)"

    def __init__(self, place: Mysql, password: str | None, table: StoredTable) -> None:
        """Connect, and find the columns and the key of the table."""
        self._place, self._password = place, password or ""
        with _translated():
            self._database = self._connected(place.host, place.port, place.socket)
        self.name = f"{place.name}#{table.name}"
        self._host = "" if place.socket else place.host
        try:
            self._open(table)
        except BaseException:
            self.close()
            raise

    def _connected(self, host: str, port: int, socket: str | None) -> pymysql.Connection[Any]:
        """Connect to the server of the job, or to one of its replicas."""
        place = self._place
        return pymysql.connect(
            host=host,
            port=port,
            user=place.user,
            password=self._password,
            database=place.database,
            unix_socket=socket,
            ssl={"ca": str(place.ca)} if place.ca else None,
            ssl_verify_cert=place.ca is not None,
            ssl_verify_identity=place.ca is not None,
            charset="utf8mb4",
            autocommit=True,
            read_timeout=MYSQL_SECONDS,
            write_timeout=MYSQL_SECONDS,
            init_command=_SETTINGS,
        )

    def widen(self, column: int, characters: int) -> str:
        """Return the ALTER TABLE, which rewrites the table where the width passes 255 bytes.

        MODIFY drops all that it does not repeat. Whoever may read columns alone does not see it:
        then the statement has a mark that must be replaced before it runs.
        """
        name, of = (
            one.replace("%%", "%")
            for one in (self._quoted(self.table.columns[column].name), self._of)
        )
        kind = _wide(self._types[self.table.columns[column].name].kind, characters)
        made = ""
        with suppress(MigrationFailed):
            made = self._run(f"SHOW CREATE TABLE {self._of}")[0][1]
        found = re.search(rf"^  {re.escape(name)} \w+(?:\(\d+\))?(.*?),?$", made, re.MULTILINE)
        rest = " <and all else of SHOW CREATE TABLE>" if found is None else found[1]
        return f"ALTER TABLE {of} MODIFY {name} {kind}{rest};"

    def begin_proof(self, state: str | None = None) -> str | None:
        """Begin a transaction that sees one state of the database, and shares it with no other.

        Only InnoDB is known to have one.
        """
        if self._run(_ENGINE, place_of(self.table.name)) != (("InnoDB",),):
            return None
        self._run("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        self._run("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
        return ""

    def exclude(self) -> None:
        """Take a lock by name for as long as the connection is open."""
        schema, table = place_of(self.table.name)
        name = f"{schema or self._place.database}.{table}".lower().encode()
        lock = f"sealyard-{hashlib.sha256(name).hexdigest()[:48]}"
        if self._run("SELECT get_lock(%s, 0)", (lock,)) != ((1,),):
            raise self._in_use()

    def lag(self) -> float:
        """Ask each replica that the server knows."""
        behind = (self._behind(one[1], one[2]) for one in self._run(_REPLICAS))
        return max(behind, default=0.0)

    def sessions(self) -> int:
        """Return what the server counts, without this one and the scheduler of events."""
        ((_, running),) = self._run("SHOW GLOBAL STATUS LIKE 'Threads_running'")
        ((scheduler,),) = self._run("SELECT @@event_scheduler = 'ON'")
        return int(running) - 1 - int(scheduler)

    def _behind(self, host: str, port: int) -> float:
        """Return how many seconds a replica is behind."""
        if not host:
            raise MigrationFailed("throttle-blind", detail="a replica has no `report_host`")
        with (
            _translated(),
            closing(self._connected(host, port, None)) as replica,
            replica.cursor(pymysql.cursors.DictCursor) as cursor,
        ):
            cursor.execute("SHOW REPLICA STATUS")
            seconds = ("Seconds_Behind_Source", "Seconds_Behind_Master")
            found = [one[name] for one in cursor.fetchall() for name in seconds if name in one]
        if not found or None in found:
            raise MigrationFailed("throttle-blind", detail=f"{host}:{port} does not replicate")
        return float(max(found))

    def inspection(self) -> Inspection:
        """Return what asks the server."""
        from .mysql_keepers import MysqlInspection  # noqa: PLC0415 - few runs ask

        return MysqlInspection(self._run, self._of, self.table, self._host, self._snapshot)

    @contextmanager
    def _snapshot(self) -> Iterator[None]:
        """Hold a snapshot open over a connection of its own."""
        place = self._place
        with (
            _translated(),
            closing(self._connected(place.host, place.port, place.socket)) as other,
            other.cursor() as cursor,
        ):
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            cursor.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
            yield

    def close(self) -> None:
        """Close the connection."""
        if self._database.open:
            self._database.close()

    def _described(self, name: str) -> tuple[Mapping[str, ColumnType], tuple[str, ...]]:
        where = place_of(name)
        columns = {one: ColumnType(*rest) for one, *rest in self._run(_COLUMNS, where)}
        return columns, tuple(one for (one,) in self._run(_KEY, where))

    def _copied(self, copy: str) -> str:
        return f"CREATE TEMPORARY TABLE {copy} LIKE {self._of}"

    def _compared(self, sign: str, key: Key) -> tuple[str, Sequence[object]]:
        """Return SQL column by column: MySQL uses no index for a comparison of rows."""
        columns = list(map(self._column, self._key))
        parts: list[str] = []
        values: list[object] = []
        for at, column in enumerate(columns):
            equal = [f"{one} = %s" for one in columns[:at]]
            last = sign if at == len(columns) - 1 else sign[0]
            parts.append(f"({' AND '.join([*equal, f'{column} {last} %s'])})")
            values += key[: at + 1]
        return f"({' OR '.join(parts)})", values

    def _write(self, rows: Sequence[Replaced]) -> tuple[Collection[Key], int]:
        """Write rows; a client that is silent within the transaction is ended with its locks."""
        self._run(f"SET SESSION wait_timeout = {LOCK_IDLE_SECONDS}")
        try:
            return super()._write(rows)
        finally:
            with suppress(MigrationFailed):  # the first error says more
                self._run(f"SET SESSION wait_timeout = {MYSQL_IDLE_SECONDS}")

    def _changed(self, sql: str, values: Sequence[object]) -> int:
        with _translated(), self._database.cursor() as cursor:
            changed: int = cursor.execute(sql, values)
            return changed

    @staticmethod
    def _quoted(name: str) -> str:
        return "`" + name.replace("`", "``").replace("%", "%%") + "`"

    @staticmethod
    def _bytes(text: bytes) -> object:
        return hashlib.sha256(text).hexdigest()

    def _run(self, sql: str, values: Sequence[object] = ()) -> Sequence[tuple[Any, ...]]:
        with _translated(), self._database.cursor() as cursor:
            cursor.execute(sql, tuple(values))
            return cursor.fetchall() if cursor.description else ()


def _wide(kind: str, characters: int) -> str:
    """Return the type of a column that is to hold so many characters of up to four bytes."""
    if kind in {"char", "varchar"} and characters <= MYSQL_VARCHAR:
        return f"varchar({characters})"
    sizes = (("text", (1 << 16) - 1), ("mediumtext", (1 << 24) - 1))
    return next((one for one, most in sizes if 4 * characters <= most), "longtext")


@contextmanager
def _translated() -> Iterator[None]:
    """Raise MigrationFailed with the number of an error: its text may hold values."""
    try:
        yield
    except pymysql.MySQLError as error:
        code = error.args[0] if error.args and isinstance(error.args[0], int) else None
        raise MigrationFailed(f"error {code}" if code else type(error).__name__) from None
