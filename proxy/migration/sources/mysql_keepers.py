"""What keeps values in MySQL and MariaDB: what information_schema says of a table, and the logs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Final

from ...core.errors import MigrationFailed
from ..policy import (
    BINLOG_EVENT,
    INNODB_FILLED,
    PURGE_AGAIN_SECONDS,
    PURGE_SECONDS,
    UNDO_TRIES,
    UNDO_WRITES,
)
from .keepers import LOCAL, Change, Cost, Effect, Keeper, ScrubStep, free_bytes

Run = Callable[..., Sequence[Sequence[Any]]]

_TRIGGERS: Final = """
SELECT trigger_name FROM information_schema.triggers
WHERE event_object_schema = coalesce(%s, database()) AND event_object_table = %s
    AND event_manipulation = 'UPDATE' ORDER BY 1
"""
# Triggers are hidden from those who have no right to them.
_SEES_TRIGGERS: Final = """
SELECT 1 FROM information_schema.user_privileges WHERE privilege_type IN ('TRIGGER', 'SUPER')
UNION SELECT 1 FROM information_schema.schema_privileges WHERE privilege_type = 'TRIGGER'
    AND coalesce(%s, database()) LIKE table_schema
UNION SELECT 1 FROM information_schema.table_privileges WHERE privilege_type = 'TRIGGER'
    AND table_schema = coalesce(%s, database()) AND table_name = %s
"""
_TABLE: Final = """
SELECT table_type, data_length, greatest(coalesce(table_rows, 0), 1)
FROM information_schema.tables WHERE table_schema = coalesce(%s, database()) AND table_name = %s
"""
_INDEXES: Final = """
SELECT index_name, column_name FROM information_schema.statistics
WHERE table_schema = coalesce(%s, database()) AND table_name = %s
"""
_GENERATED: Final = """
SELECT column_name, extra, generation_expression FROM information_schema.columns
WHERE table_schema = coalesce(%s, database()) AND table_name = %s
    AND coalesce(generation_expression, '') <> ''
"""
_REFERRING: Final = """
SELECT constraint_name, table_name, referenced_column_name FROM information_schema.key_column_usage
WHERE referenced_table_schema = coalesce(%s, database()) AND referenced_table_name = %s
"""
_VIEWS: Final = "SELECT table_name, view_definition FROM information_schema.views"


class MysqlInspection:
    """Asks a server about columns of one table; `place` is its schema, if named, and its name."""

    snapshot = "InnoDB keeps the old version of every row that is changed"

    def __init__(
        self,
        run: Run,
        table: str,
        place: tuple[str | None, str],
        columns: Sequence[str],
        host: str,
    ) -> None:
        """Use a connection in autocommit; `table` is quoted."""
        self._run = run
        self._table = table
        self._place = place
        self._columns = {one.lower() for one in columns}
        self._host = host

    def keepers(self) -> Iterator[Keeper]:
        """Yield what depends on the columns, then the logs."""
        yield from self._triggers()
        if self._about()[0] == "SYSTEM VERSIONED":
            yield Keeper(
                f"history of {self._table}",
                "receives",
                "each update keeps the old row in the history of the table",
                "accept it, then migrate scrub (DELETE HISTORY)",
            )
        if self._keeps_old_rows():
            yield Keeper(
                "binary log",
                "receives",
                "each update writes the old row to the binary log, for replicas and other readers",
                "for the run: SET GLOBAL binlog_row_image = 'MINIMAL'; or accept it, then migrate"
                " scrub",
            )
        indexes = self._run(_INDEXES, self._place)
        for name in sorted({one[0] for one in indexes if self._is_ours(one[1])}):
            told = "old entries stay until the table is rebuilt; tokens are found by no search"
            yield Keeper(f"index {name}", "keeps", told, "migrate scrub (OPTIMIZE TABLE)")
        for name, extra, expression in self._run(_GENERATED, self._place):
            if self._mentions(expression):
                stores: Effect = "keeps" if "VIRTUAL" not in extra else "shows"
                told = "computed anew from tokens: search by it finds nothing more"
                yield Keeper(f"column {name}", stores, told, "drop it, or let it be of another")
        for name, table, column in self._run(_REFERRING, self._place):
            if self._is_ours(column):
                told = f"the table {table} has the same values"
                yield Keeper(f"foreign key {name}", "keeps", told, "drop it, and seal both")
        for name, definition in self._run(_VIEWS):
            if f"`{self._place[1]}`" in definition and self._mentions(definition):
                told = "stores nothing; has tokens now"
                yield Keeper(f"view {name}", "shows", told, "compare who reads it")
        yield Keeper(
            f"old versions of {self._table}",
            "keeps",
            "changed rows stay in pages, undo and redo logs until they are overwritten",
            "migrate scrub (OPTIMIZE TABLE)",
        )

    def cost(self, change: Change) -> Cost:
        """Return what pages and the binary log take; pages that are parted stay part empty."""
        _, data, rows = self._about()
        row = int(data) / max(int(rows), change.rows)
        grown = change.after - change.before
        log = 0.0
        if self._variable("log_bin") in {"1", "ON"}:
            after = change.after if self._variable("binlog_row_image") != "FULL" else 0
            log = change.rows * BINLOG_EVENT + (after or 2 * (row * change.rows) + grown)
            if self._variable("binlog_annotate_row_events") in {"1", "ON"}:
                log += change.after + change.rows * 2 * BINLOG_EVENT
        folder = self._variable("datadir") if self._host in LOCAL else None
        held = row * change.rows
        disk = (held + grown) / INNODB_FILLED - held if grown else 0
        return Cost(round(disk), round(log), "binary log", free_bytes(folder))

    def steps(self) -> Iterator[ScrubStep]:
        """Yield what rewrites each file that keeps old values."""
        rebuilt = f"OPTIMIZE TABLE {self._table}"
        if self._about()[0] == "SYSTEM VERSIONED":
            yield ScrubStep(f"DELETE HISTORY FROM {self._table}", "old rows in its history")
            rebuilt = f"SET STATEMENT system_versioning_alter_history = KEEP FOR {rebuilt}"
        yield ScrubStep(rebuilt, "old rows in pages and indexes")
        yield ScrubStep(_PURGE, "old versions in undo logs")
        if self._variable("log_bin") in {"1", "ON"}:
            yield ScrubStep(_BINARY_LOGS, "old rows in binary logs")
        yield ScrubStep(_REDO, "old rows in the redo log")

    def clean(self, step: ScrubStep) -> None:
        """Do a step; of the redo log, a file of another size, which is a new one."""
        if step.sql == _PURGE:
            self._run("SET GLOBAL innodb_undo_log_truncate = ON")
            self._run(_PURGE)
            self._overwrite_undo()
            self._run(_PURGE)
        elif step.sql == _BINARY_LOGS:
            self._purge()
        elif step.sql == _REDO:
            size = int(self._variable("innodb_log_file_size") or 0)
            for one in (2 * size, size):
                self._run(f"SET GLOBAL innodb_log_file_size = {one}")
        else:
            failed = [one for one in self._run(step.sql) if "error" in str(one[2]).lower()]
            if failed:
                raise MigrationFailed("not-optimized")

    def files(self) -> Sequence[Path]:
        """Return none: they are the server's."""
        return ()

    def _overwrite_undo(self) -> None:
        """Fill the free pages of undo logs, which keep what was purged, until each file has grown.

        Each transaction writes to the next file, and its pages pass the buffer of double writes.
        """
        waiting = set(self._undo())
        self._run("SET SESSION sql_log_bin = 0")
        self._run("DROP TABLE IF EXISTS sealyard_scrub")
        self._run("CREATE TABLE sealyard_scrub (id INT PRIMARY KEY, filler VARBINARY(3000))")
        try:
            self._run(_FILL)
            for _ in range(UNDO_TRIES):
                if waiting:
                    waiting -= self._fill_undo()
        finally:
            self._run("DROP TABLE sealyard_scrub")
            self._run("SET SESSION sql_log_bin = 1")
        if waiting:
            raise MigrationFailed("undo-in-use")

    def _fill_undo(self) -> set[str]:
        """Write to one undo log, until it has grown; return its name."""
        before = self._undo()
        self._run("BEGIN")
        try:
            for number in range(UNDO_WRITES):
                self._run("UPDATE sealyard_scrub SET filler = repeat(%s, 3000)", (str(number % 7),))
                found = {one for one, size in self._undo().items() if size > before.get(one, size)}
                if found:
                    return found
        finally:
            self._run("COMMIT")
        return set()

    def _undo(self) -> dict[str, int]:
        """Return the size of each undo log."""
        return {str(name): int(size) for name, size in self._run(_UNDO)}

    def _purge(self) -> None:
        """Remove all binary logs but a new one; the server keeps for a while what InnoDB needs."""
        self._run("FLUSH BINARY LOGS")
        last = self._run("SHOW BINARY LOGS")[-1][0]
        deadline = monotonic() + PURGE_SECONDS
        while True:
            self._run("FLUSH ENGINE LOGS")
            self._run("PURGE BINARY LOGS TO %s", (last,))
            if self._run("SHOW BINARY LOGS")[0][0] == last:
                return
            if monotonic() > deadline:
                raise MigrationFailed("binary-logs-in-use")
            sleep(PURGE_AGAIN_SECONDS)

    def _triggers(self) -> Iterator[Keeper]:
        cure = "drop it for the run, or clean what it writes"
        found = self._run(_TRIGGERS, self._place)
        for (name,) in found:
            told = "runs at each update, and is given the old row"
            yield Keeper(f"trigger {name}", "receives", told, cure)
        schema, table = self._place
        if not found and not self._run(_SEES_TRIGGERS, (schema, schema, table)):
            told = "this user may not see whether there are any"
            yield Keeper("unseen triggers", "receives", told, f"GRANT TRIGGER ON {self._table}")

    def _keeps_old_rows(self) -> bool:
        return (
            self._variable("log_bin") in {"1", "ON"}
            and self._variable("binlog_format") != "STATEMENT"
            and self._variable("binlog_row_image") == "FULL"
        )

    def _about(self) -> Sequence[Any]:
        (found,) = self._run(_TABLE, self._place)
        return found

    def _variable(self, name: str) -> str | None:
        """Return a variable as this connection has it; None for one that the server has not."""
        found = self._run("SHOW VARIABLES LIKE %s", (name,))
        return str(found[0][1]) if found else None

    def _is_ours(self, column: str | None) -> bool:
        return column is None or column.lower() in self._columns

    def _mentions(self, sql: str) -> bool:
        return any(f"`{one}`" in sql.lower() for one in self._columns)


_PURGE: Final = "SET GLOBAL innodb_max_purge_lag_wait = 0"
_UNDO: Final = (
    "SELECT name, file_size FROM information_schema.innodb_sys_tablespaces"
    " WHERE name LIKE 'innodb_undo%%'"
)
_FILL: Final = """
INSERT INTO sealyard_scrub WITH RECURSIVE rows_of(n) AS (
    SELECT 1 UNION ALL SELECT n + 1 FROM rows_of WHERE n < 1000
) SELECT n, '' FROM rows_of
"""
_BINARY_LOGS: Final = "PURGE BINARY LOGS"
_REDO: Final = "SET GLOBAL innodb_log_file_size"
