"""What keeps values in a file of SQLite, whose compiler says what a statement touches."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from ...core.errors import MigrationFailed
from ..job.model import StoredTable
from ..policy import SQLITE_PAGES
from .keepers import Change, Cost, Keeper, Run, ScrubStep, free_bytes

_READ: Final = 20  # SQLITE_READ
_WRITES: Final = frozenset({18, 23})  # SQLITE_INSERT, SQLITE_UPDATE


class _Access(NamedTuple):
    """What a statement does to a column or table, within a trigger or view, if any."""

    action: int
    table: str | None
    column: str | None
    within: str | None


class SqliteInspection:
    """Asks a file about columns of one table."""

    snapshot = "the write-ahead log grows"

    def __init__(
        self, database: sqlite3.Connection, run: Run, file: Path, table: StoredTable
    ) -> None:
        """Use a connection in autocommit."""
        self._database = database
        self._run = run
        self._file = file
        self._table = table.name.rpartition(".")[2]
        columns = [one.name for one in table.columns]
        self._columns = {one.lower() for one in columns}
        self._batch = table.batch
        self._quoted = ['"' + one.replace('"', '""') + '"' for one in (self._table, *columns)]

    def keepers(self) -> Iterator[Keeper]:
        """Yield what depends on the columns, then the file."""
        table, *columns = self._quoted
        update = f"UPDATE {table} SET {', '.join(f'{one} = {one}' for one in columns)}"  # noqa: S608 - names of the job, quoted
        for name, found in _by_place(self._accesses(update)):
            written = sorted({one.table or "" for one in found if one.action in _WRITES})
            if written and any(map(self._reads, found)):
                told = f"runs at each update, reads values, and writes {', '.join(written)}"
                cure = "drop it for the run, or clean what it writes"
                yield Keeper(f"trigger {name}", "receives", told, cure)
        for (name,) in self._run("SELECT name FROM sqlite_schema WHERE type = 'view'"):
            quoted = '"' + name.replace('"', '""') + '"'
            with suppress(MigrationFailed):  # a view of what is gone
                found = self._accesses(f"SELECT * FROM {quoted}")  # noqa: S608 - as above
                if any(map(self._reads, found)):
                    told = "stores nothing; has tokens now"
                    yield Keeper(f"view {name}", "shows", told, "compare who reads it")
        for name in self._indexes():
            told = "tokens are found by no search"
            yield Keeper(f"index {name}", "keeps", told, "migrate scrub (VACUUM), or drop it")
        for name, hidden in self._run(
            "SELECT name, hidden FROM pragma_table_xinfo(?) WHERE hidden IN (2, 3)", (self._table,)
        ):
            told = "computed anew from tokens, if it is of a column of the job"
            yield Keeper(f"column {name}", "keeps" if hidden == _STORED else "shows", told, "drop")
        if self._run("SELECT 1 FROM sqlite_schema WHERE name IN ('sqlite_stat4', 'sqlite_stat3')"):
            yield Keeper("statistics", "keeps", "samples of indexed values", "migrate scrub")
        told = "old rows stay in free pages, and in the log (WAL) or the journal"
        yield Keeper(f"free pages of {self._file.name}", "keeps", told, "migrate scrub (VACUUM)")

    def cost(self, change: Change) -> Cost:
        """Return what the file grows by, and the journal of a transaction, or that of a WAL.

        A WAL begins anew with each checkpoint, unless another holds a snapshot open.
        """
        ((mode,),) = self._run("PRAGMA journal_mode")
        ((page,),) = self._run("PRAGMA page_size")
        ((pages,),) = self._run("PRAGMA wal_autocheckpoint")
        size = self._file.stat().st_size
        grown = round((change.after - change.before) * SQLITE_PAGES)
        one = (size + grown) * min(self._batch / max(change.rows, 1), 1.0)
        log = size + grown
        if mode != "wal":
            log = round(min(one, size))
        elif pages:
            log = round(min(log, pages * (page + _FRAME) + one))
        return Cost(grown, log, "journal", free_bytes(str(self._file.parent)))

    def steps(self) -> Iterator[ScrubStep]:
        """Yield what rewrites the file."""
        yield ScrubStep("ANALYZE", "samples of values")
        yield ScrubStep("VACUUM", "old rows in free pages")
        yield ScrubStep("PRAGMA wal_checkpoint(TRUNCATE)", "old rows in the log")

    def clean(self, step: ScrubStep) -> None:
        """Do a step."""
        if step.sql == "ANALYZE" and not self._run(
            "SELECT 1 FROM sqlite_schema WHERE name GLOB 'sqlite_stat[34]'"
        ):
            return
        if (found := self._run(step.sql)) and found[0][0]:  # so a checkpoint says that it failed
            raise MigrationFailed("SQLITE_BUSY")

    def files(self) -> Sequence[Path]:
        """Return the file and its logs."""
        return [self._file, *self._file.parent.glob(f"{self._file.name}-*")]

    def _accesses(self, sql: str) -> list[_Access]:
        """Return what a statement would read and write, without running it."""
        found: list[_Access] = []

        def note(action: int, *rest: str | None) -> int:
            found.append(_Access(action, rest[0], rest[1], rest[3]))
            return sqlite3.SQLITE_OK

        self._database.set_authorizer(note)
        try:
            self._run(f"EXPLAIN {sql}")
        finally:
            self._database.set_authorizer(None)
        return found

    def _reads(self, one: _Access) -> bool:
        """Whether it reads a column of the job."""
        return (
            one.action == _READ
            and (one.table or "").lower() == self._table.lower()
            and (one.column or "").lower() in self._columns
        )

    def _indexes(self) -> Iterator[str]:
        for (name,) in self._run("SELECT name FROM pragma_index_list(?)", (self._table,)):
            columns = self._run("SELECT cid, name FROM pragma_index_info(?)", (name,))
            if any(cid == _EXPRESSION or one.lower() in self._columns for cid, one in columns):
                yield name


_FRAME: Final = 24  # bytes of a WAL before each page
_STORED: Final = 3  # `hidden` of a generated column that is stored
_EXPRESSION: Final = -2  # `cid` of what an index computes


def _by_place(found: Sequence[_Access]) -> Iterator[tuple[str, list[_Access]]]:
    """Yield each trigger, and what is done within it."""
    for name in dict.fromkeys(one.within for one in found):
        if name is not None:
            yield name, [one for one in found if one.within == name]
