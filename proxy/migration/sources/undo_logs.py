"""Old rows in the undo logs of InnoDB and in its buffer of double writes: they are overwritten."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from time import monotonic, sleep
from typing import Final

from ...core.errors import MigrationFailed
from ..policy import PURGE_AGAIN_SECONDS, PURGE_SECONDS, UNDO_BYTES, UNDO_WRITES
from .keepers import Run

PURGE: Final = "SET GLOBAL innodb_max_purge_lag_wait = 0"
_SIZES: Final = (
    "SELECT name, file_size FROM information_schema.innodb_sys_tablespaces"
    " WHERE name LIKE 'innodb_undo%%'"
)
_FILL: Final = """
INSERT INTO sealyard_scrub WITH RECURSIVE rows_of(n) AS (
    SELECT 1 UNION ALL SELECT n + 1 FROM rows_of WHERE n < 1000
) SELECT n, repeat('0', 3000) FROM rows_of
"""
_CHANGE: Final = "UPDATE sealyard_scrub SET filler = repeat(%s, 3000) WHERE id <= %s"
_SMALL: Final = 150
"""Rows that one transaction changes: so it takes single pages, and leaves none of them out."""
_ALL: Final = 1000
"""Rows that are more pages than the buffer of double writes has."""
_DIRTY: Final = "SHOW GLOBAL STATUS LIKE 'innodb_buffer_pool_pages_dirty'"


class UndoLogs:
    """The undo logs of a server. Its methods raise MigrationFailed."""

    def __init__(self, run: Run, snapshot: Callable[[], AbstractContextManager[None]]) -> None:
        """Use a connection in autocommit, and another that holds a `snapshot` open."""
        self._run = run
        self._snapshot = snapshot

    def overwrite(self) -> None:
        """Let the server purge, and fill what that has freed: it is not overwritten by itself."""
        self._run(PURGE)
        with changing(self._run, "innodb_undo_log_truncate", "innodb_max_dirty_pages_pct"):
            self._run("DROP TABLE IF EXISTS sealyard_scrub")
            self._run("CREATE TABLE sealyard_scrub (id INT PRIMARY KEY, filler VARBINARY(3000))")
            try:
                self._run(_FILL)
                # A file that shrinks loses pages that were overwritten in memory alone.
                self._run("SET GLOBAL innodb_undo_log_truncate = OFF")
                with self._snapshot():
                    self._fill()
                    self._flush()
                    for number in ("1", "2"):  # the buffer has two halves
                        self._run("SET GLOBAL innodb_max_dirty_pages_pct = 90")
                        self._run(_CHANGE, (number, _ALL))
                        self._flush()
            finally:
                self._run("DROP TABLE sealyard_scrub")
        self._run(PURGE)

    def _fill(self) -> None:
        """Write until each file has grown, while nothing that is written may be purged."""
        wanted = {name: size + UNDO_BYTES for name, size in self._sizes().items()}
        for number in range(UNDO_WRITES):
            if all(size > wanted.get(name, 0) for name, size in self._sizes().items()):
                return
            self._run(_CHANGE, (str(number % 10), _SMALL))
        raise MigrationFailed("undo-in-use")

    def _sizes(self) -> dict[str, int]:
        return {str(name): int(size) for name, size in self._run(_SIZES)}

    def _flush(self) -> None:
        """Let the server write all pages that differ from its files."""
        self._run("SET GLOBAL innodb_max_dirty_pages_pct = 0")
        least = self._dirty()
        while least:  # so many a second as `innodb_io_capacity` says: a large pool takes minutes
            if not awaited(lambda before=least: self._dirty() < before):  # type: ignore[misc] # mypy sees no default
                raise MigrationFailed("undo-in-use")
            least = min(least - 1, self._dirty())

    def _dirty(self) -> int:
        return int(self._run(_DIRTY)[0][1])


@contextmanager
def changing(run: Run, *names: str) -> Iterator[Mapping[str, float]]:
    """Yield the numbers that global variables have, and give them back.

    A table keeps them meanwhile: where a run was killed, the next gives back what that one found.
    """
    run("SET SESSION sql_log_bin = 0")
    try:
        run("CREATE TABLE IF NOT EXISTS sealyard_before (name VARCHAR(64) PRIMARY KEY, was DOUBLE)")
        for one in names:
            run(f"INSERT IGNORE INTO sealyard_before VALUES (%s, @@GLOBAL.{one})", (one,))  # noqa: S608 - a name of ours
        before = {str(name): was for name, was in run("SELECT name, was FROM sealyard_before")}
        try:
            yield before
        finally:
            for name, was in before.items():
                if run(f"SELECT @@GLOBAL.{name} + 0")[0][0] != was:
                    run(f"SET GLOBAL {name} = {was:.17g}")
            run("DROP TABLE sealyard_before")
    finally:
        run("SET SESSION sql_log_bin = 1")


def awaited(come: Callable[[], bool]) -> bool:
    """Wait until something has come about; return whether it has in time."""
    deadline = monotonic() + PURGE_SECONDS
    while not (done := come()) and monotonic() < deadline:
        sleep(PURGE_AGAIN_SECONDS)
    return done
