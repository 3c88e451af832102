"""What keeps values in MySQL and MariaDB: what information_schema says of a table, and the logs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final

from ...core.errors import MigrationFailed
from ..job.model import StoredTable
from ..policy import BINLOG_EVENT, INNODB_FILLED
from .keepers import LOCAL, Change, Cost, Effect, Keeper, Run, ScrubStep, free_bytes, place_of
from .undo_logs import PURGE, UndoLogs, awaited, changing

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
_ROUTINES: Final = """
SELECT lower(routine_type), routine_name, routine_definition FROM information_schema.routines
"""
_EVENTS: Final = "SELECT 'event', event_name, event_definition FROM information_schema.events"
# A name of MariaDB is one of a table, and of MySQL, which lacks the column, one of a schema.
_CHECKS: Final = """
SELECT 'check', c.constraint_name, check_clause
FROM information_schema.check_constraints c JOIN information_schema.table_constraints t
    ON t.constraint_schema = c.constraint_schema AND t.constraint_name = c.constraint_name
    /*M! AND t.table_name = c.table_name */
WHERE t.constraint_schema = coalesce(%s, database()) AND t.table_name = %s
"""
_VIEWS: Final = "SELECT table_name, view_definition FROM information_schema.views"


class MysqlInspection:
    """Asks a server about columns of one table."""

    snapshot = "InnoDB keeps the old version of every row that is changed"

    def __init__(
        self,
        run: Run,
        table: str,
        described: StoredTable,
        host: str,
        snapshot: Callable[[], AbstractContextManager[None]],
    ) -> None:
        """Use a connection in autocommit, and another for a `snapshot`; `table` is quoted."""
        self._run = run
        self._table = table
        self._place = place_of(described.name)
        self._columns = {one.name.lower() for one in described.columns}
        self._host = host
        self._snapshot = snapshot

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
        yield from self._programs()
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
            if {self._variable(one) for one in _STATEMENTS} & {"1", "ON"}:
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
        yield ScrubStep(PURGE, "old versions in undo logs")
        if self._variable("log_bin") in {"1", "ON"}:
            yield ScrubStep(_BINARY_LOGS, "old rows in binary logs")
        yield ScrubStep(_REDO, "old rows in the redo log")

    def clean(self, step: ScrubStep) -> None:
        """Do a step; of the redo log, a file of another size, which is a new one."""
        if step.sql == PURGE:
            UndoLogs(self._run, self._snapshot).overwrite()
        elif step.sql == _BINARY_LOGS:
            self._purge()
        elif step.sql == _REDO:
            with changing(self._run, "innodb_log_file_size") as before:
                size = before["innodb_log_file_size"]
                self._run(f"SET GLOBAL innodb_log_file_size = {2 * size:.0f}")
        else:
            failed = [one for one in self._run(step.sql) if "error" in str(one[2]).lower()]
            if failed:
                raise MigrationFailed("not-optimized")

    def files(self) -> Sequence[Path]:
        """Return none: they are the server's."""
        return ()

    def _purge(self) -> None:
        """Remove all binary logs but a new one; the server keeps for a while what InnoDB needs."""
        self._run("FLUSH BINARY LOGS")
        last = self._run("SHOW BINARY LOGS")[-1][0]

        def purged() -> bool:
            self._run("FLUSH ENGINE LOGS")
            self._run("PURGE BINARY LOGS TO %s", (last,))
            return bool(self._run("SHOW BINARY LOGS")[0][0] == last)

        if not awaited(purged):
            raise MigrationFailed("binary-logs-in-use")

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

    def _programs(self) -> Iterator[Keeper]:
        """Yield events, routines and checks whose text names the table, or a column of the job."""
        programs = (*self._run(_ROUTINES), *self._run(_EVENTS), *self._run(_CHECKS, self._place))
        for kind, name, text in programs:
            words = {one.lower() for one in _WORD.findall(text or "")}
            if kind == "check" and words & self._columns:
                told = "is given tokens now"
                yield Keeper(f"check {name}", "shows", told, "see whether it decides by the text")
            elif kind == "event" and self._place[1].lower() in words:
                told = "runs at times, and what it has copied stays"
                yield Keeper(
                    f"event {name}", "keeps", told, "disable it for the run, clean its copies"
                )
            elif kind != "check" and self._place[1].lower() in words:
                yield Keeper(f"{kind} {name}", "shows", "has tokens now", "compare who calls it")

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


_WORD: Final = re.compile(r"\w+")
_STATEMENTS: Final = ("binlog_annotate_row_events", "binlog_rows_query_log_events")
"""What lets the binary log of MariaDB, and of MySQL, have each statement beside its rows."""
_BINARY_LOGS: Final = "PURGE BINARY LOGS"
_REDO: Final = "SET GLOBAL innodb_log_file_size"
