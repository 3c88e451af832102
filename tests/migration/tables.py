"""Databases of one schema, for what is said of their tables: SQLite, PostgreSQL, MariaDB."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pymysql

from proxy.migration.job.model import Column, StoredTable
from proxy.migration.job.names import Binding, ColumnSource, SqlSource
from proxy.migration.job.places import Mysql
from proxy.migration.sources.mysql import MysqlSource
from proxy.migration.sources.postgresql import PostgresqlSource
from proxy.migration.sources.sqlite import SqliteSource
from proxy.migration.values.treatment import Key, StoredRow
from tests.migration import servers

TableSource = SqliteSource | PostgresqlSource | MysqlSource
NAME = SqlSource("SELECT name FROM threads WHERE threads.id = messages.thread")
BINDING = Binding(ColumnSource("org"), NAME, "content")
SCHEMA = (
    "CREATE TABLE threads (id INTEGER PRIMARY KEY, name {text})",
    (
        "CREATE TABLE messages (id INTEGER PRIMARY KEY, org {text}, thread INTEGER,"
        " content {text}, history {json})"
    ),
    "INSERT INTO threads VALUES (1, 'c1')",
)


@dataclass
class Database:
    """A database under test: how a source of it is made, and how SQL is run beside it."""

    opened: Callable[[StoredTable], TableSource]
    run: Callable[[str], list[tuple[Any, ...]]]
    refuse: tuple[str, ...]
    """What makes it refuse the row 20, with a canary in its error."""
    fail: tuple[str, ...]
    """What makes it fail at the row 20, whatever is written."""
    address: str = ""
    """Of PostgreSQL, for another user."""
    shares: bool = False
    """Whether two connections can read one state."""

    def fill(self, rows: int) -> None:
        for at in range(1, rows + 1):
            self.run(f"INSERT INTO messages VALUES ({at * 10}, 'clinic', 1, 'text {at}', '[]')")  # noqa: S608 - numbers


@contextmanager
def sqlite(file: Path) -> Iterator[Database]:
    def run(sql: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(file)) as other, other:
            return other.execute(sql).fetchall()

    run("PRAGMA journal_mode = WAL")
    for sql in SCHEMA:
        run(sql.format(text="TEXT COLLATE NOCASE", json="TEXT"))
    refuse = (
        "CREATE TRIGGER refuse BEFORE UPDATE ON messages WHEN old.id = 20"
        " BEGIN SELECT RAISE(ABORT, 'canary'); END"
    )
    fail = refuse.replace("RAISE(ABORT, 'canary')", "abs(-9223372036854775807 - 1)")
    with closings() as opened:
        yield Database(lambda table: opened(SqliteSource(file, table)), run, (refuse,), (fail,))


@contextmanager
def postgresql(port: int) -> Iterator[Database]:
    address = f"host=127.0.0.1 port={port} user=clinic dbname=postgres"

    def run(sql: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(address) as other:
            found = other.execute(sql.encode())
            return found.fetchall() if found.description else []

    run("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    run(
        "CREATE COLLATION IF NOT EXISTS public.nocase (provider = icu, locale = 'und-u-ks-level2',"
        " deterministic = false)"
    )
    for sql in SCHEMA:
        run(sql.format(text="varchar(255) COLLATE nocase", json="jsonb"))
    refuse = (
        (
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE EXCEPTION 'canary'; END $$"
        ),
        (
            "CREATE TRIGGER refuse BEFORE UPDATE ON messages FOR EACH ROW WHEN (old.id = 20)"
            " EXECUTE FUNCTION refuse()"
        ),
    )
    fail = (refuse[0].replace("'canary'", "'canary' USING ERRCODE = '58030'"), refuse[1])
    with closings() as opened:
        yield Database(
            lambda table: opened(PostgresqlSource(address, None, table)),
            run,
            refuse,
            fail,
            address,
            shares=True,
        )


@contextmanager
def mysql(port: int) -> Iterator[Database]:
    place = Mysql("clinic", port=port, user="clinic")

    def run(sql: str) -> list[tuple[Any, ...]]:
        with (
            closing(
                pymysql.connect(
                    host="127.0.0.1", port=port, user="clinic", database="clinic", autocommit=True
                )
            ) as other,
            other.cursor() as cursor,
        ):
            cursor.execute(sql)
            return list(cursor.fetchall())

    run("DROP TABLE IF EXISTS messages, threads")
    for sql in SCHEMA:
        run(sql.format(text="varchar(255) COLLATE utf8mb4_general_ci", json="longtext"))
    refuse = (
        "CREATE TRIGGER refuse BEFORE UPDATE ON messages FOR EACH ROW"
        " IF old.id = 20 THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'canary'; END IF"
    )
    fail = refuse.replace("'45000' SET", "'HY000' SET MYSQL_ERRNO = 1030,")
    with closings() as opened:
        yield Database(
            lambda table: opened(MysqlSource(place, None, table)), run, (refuse,), (fail,)
        )


@contextmanager
def closings() -> Iterator[Callable[[TableSource], TableSource]]:
    """Yield what keeps sources, to close them at the end."""
    with ExitStack() as stack:

        def keep(source: TableSource) -> TableSource:
            stack.callback(source.close)
            return source

        yield keep


@contextmanager
def ports() -> Iterator[Callable[[str], int]]:
    """Yield what returns the port of a server, which is started when it is first asked for."""
    held: dict[str, int] = {}
    with ExitStack() as stack:

        def port(kind: str) -> int:
            if kind not in held:
                server = {
                    "postgresql": servers.postgresql,
                    "mariadb": servers.mariadb,
                    "mysql": servers.mysql,
                }[kind]
                held[kind], _ = stack.enter_context(server())
            return held[kind]

        yield port


def a_table(
    *, where: str | None = None, key: tuple[str, ...] = (), name: str = "messages"
) -> StoredTable:
    columns = (Column("content", BINDING), Column("history", BINDING))
    return StoredTable(name, columns, key, where, batch=3)


def pages(
    source: TableSource, after: Key | None = None, until: Key | None = None
) -> list[StoredRow]:
    found: list[StoredRow] = []
    while page := source.page(after, until):
        assert len(page) <= 3
        found += page
        after = page[-1].key
    return found


def contents(database: Database) -> list[object]:
    return [one for (one,) in database.run("SELECT content FROM messages ORDER BY id")]
