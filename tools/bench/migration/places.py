"""The databases that are measured: a server of each kind, a table of letters, a way to run SQL."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import psycopg
import pymysql

from tests.migration import servers

from .clinic import Connect, Execute, Row, row

_CREATE: Final = (
    "CREATE TABLE messages (id BIGINT PRIMARY KEY, org VARCHAR(20) NOT NULL,"
    " conversation VARCHAR(20) NOT NULL, content TEXT NOT NULL)"
)
_INSERT: Final = "INSERT INTO messages VALUES"


@dataclass(frozen=True, slots=True)
class Database:
    """A database that runs: its `source` in a job, and how others connect to it."""

    source: str
    connect: Connect
    fill: Callable[[int], None]


def _rows(count: int) -> Iterator[Row]:
    return map(row, range(1, count + 1))


@contextmanager
def postgresql(_: Path) -> Iterator[Database]:
    """Run PostgreSQL without fsync: the disk is not what is measured."""
    with servers.postgresql("log_statement=none", "max_wal_size=4GB") as (port, _log):
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

        yield Database(f"postgresql: {address}", connect, fill)


@contextmanager
def mariadb(_: Path) -> Iterator[Database]:
    """Run MariaDB."""
    with servers.mariadb() as (port, _log):

        @contextmanager
        def connect() -> Iterator[Execute]:
            with closing(
                pymysql.connect(
                    host="127.0.0.1", port=port, user="clinic", database="clinic", autocommit=True
                )
            ) as database:

                def execute(sql: str, values: tuple[object, ...] = ()) -> list[tuple[Any, ...]]:
                    with database.cursor() as cursor:
                        cursor.execute(sql, values)
                        return list(cursor.fetchall())

                yield execute

        source = f"mysql: {{database: clinic, port: {port}, user: clinic}}"
        yield Database(source, connect, partial(_fill, connect))


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

    yield Database(f"sqlite: {file}", connect, partial(_fill, connect))


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
