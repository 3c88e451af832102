"""The databases that are measured: a server of each kind, a table of letters, a way to run SQL."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import psycopg
import pymysql

from tests.migration import servers

from .clinic import Connect, Execute, Row, row

_CREATE: Final = (
    "CREATE TABLE messages (id BIGINT PRIMARY KEY, org VARCHAR(20) NOT NULL,"
    " conversation VARCHAR(20) NOT NULL, content TEXT NOT NULL)"
)
_INSERT: Final = "INSERT INTO messages VALUES"


class Sizes(NamedTuple):
    """Bytes: of the files of the table, and of what its log has received so far."""

    files: int
    log: int


@dataclass(frozen=True, slots=True)
class Database:
    """A database that runs: its `source` in a job, how others connect to it, and its files."""

    source: str
    connect: Connect
    fill: Callable[[int], None]
    folder: Path
    sizes: Callable[[], Sizes]
    accepts: tuple[str, ...] = ()
    """What of it may receive plaintext."""
    log_grows: bool = True
    """Whether its log has every change, or begins anew."""


def _rows(count: int) -> Iterator[Row]:
    return map(row, range(1, count + 1))


@contextmanager
def postgresql(_: Path) -> Iterator[Database]:
    """Run PostgreSQL without fsync: the disk is not what is measured."""
    with servers.postgresql("log_statement=none", "max_wal_size=4GB") as (port, log):
        address = f"host=127.0.0.1 port={port} user=clinic dbname=postgres"

        @contextmanager
        def connect() -> Iterator[Execute]:
            with psycopg.connect(address, autocommit=True) as database:

                def execute(sql: str, values: tuple[object, ...] = ()) -> list[tuple[Any, ...]]:
                    found = database.execute(sql.encode(), values)
                    return found.fetchall() if found.description else []

                yield execute

        def fill(count: int) -> None:
            with psycopg.connect(address, autocommit=True) as database:
                database.execute("DROP TABLE IF EXISTS messages")
                database.execute(_CREATE)
                with database.cursor().copy("COPY messages FROM STDIN") as copy:
                    for one in _rows(count):
                        copy.write_row(one)
                database.execute("VACUUM ANALYZE messages")

        def sizes() -> Sizes:
            sql = "SELECT pg_total_relation_size('messages'), pg_current_wal_lsn() - '0/0'::pg_lsn"
            with connect() as execute:
                ((files, written),) = execute(sql, ())
            return Sizes(int(files), int(written))

        yield Database(f"postgresql: {address}", connect, fill, log.parent, sizes)


@contextmanager
def mariadb(_: Path) -> Iterator[Database]:
    """Run MariaDB with a binary log."""
    with servers.mariadb("--general-log=0", "--log-bin=binlog", "--binlog-format=ROW") as (
        port,
        log,
    ):
        data = log.parent / "data"

        @contextmanager
        def connect() -> Iterator[Execute]:
            with closing(
                pymysql.connect(
                    host="127.0.0.1", port=port, user="root", database="clinic", autocommit=True
                )
            ) as database:

                def execute(sql: str, values: tuple[object, ...] = ()) -> list[tuple[Any, ...]]:
                    with database.cursor() as cursor:
                        cursor.execute(sql, values)
                        return list(cursor.fetchall())

                yield execute

        def sizes() -> Sizes:
            return Sizes(_bytes(data, "clinic/messages.ibd"), _bytes(data, "binlog.0*"))

        source = f"mysql: {{database: clinic, port: {port}, user: root}}"
        fill = partial(_fill, connect)
        yield Database(source, connect, fill, data, sizes, ("binary log",))


@contextmanager
def sqlite(folder: Path) -> Iterator[Database]:
    """Use a file in the folder, with the log that readers and a writer share (WAL)."""
    file = folder / "clinic.db"

    @contextmanager
    def connect() -> Iterator[Execute]:
        with closing(sqlite3.connect(file, timeout=60, isolation_level=None)) as database:
            database.execute("PRAGMA journal_mode = WAL")

            def execute(sql: str, values: tuple[object, ...] = ()) -> list[tuple[Any, ...]]:
                return database.execute(sql.replace("%s", "?"), values).fetchall()

            yield execute

    def sizes() -> Sizes:
        return Sizes(_bytes(folder, file.name), _bytes(folder, f"{file.name}-wal"))

    fill = partial(_fill, connect)
    yield Database(f"sqlite: {file}", connect, fill, folder, sizes, log_grows=False)


def _bytes(folder: Path, pattern: str) -> int:
    return sum(one.stat().st_size for one in folder.glob(pattern))


def _fill(connect: Connect, count: int) -> None:
    with connect() as execute:
        execute("DROP TABLE IF EXISTS messages", ())
        execute(_CREATE, ())
        for batch in _batches(_rows(count)):
            execute("BEGIN", ())
            for at in range(0, len(batch), _STATEMENT):
                some = batch[at : at + _STATEMENT]
                marks = ", ".join(["(%s, %s, %s, %s)"] * len(some))
                execute(f"{_INSERT} {marks}", tuple(cell for one in some for cell in one))
            execute("COMMIT", ())


def _batches(rows: Iterable[tuple[object, ...]]) -> Iterator[list[tuple[object, ...]]]:
    batch: list[tuple[object, ...]] = []
    for one in rows:
        batch.append(one)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    yield batch


_BATCH: Final = 5000
_STATEMENT: Final = 200
PLACES: Final = {"postgresql": postgresql, "mariadb": mariadb, "sqlite": sqlite}
