"""The contract of every place of a migration whose rows can be read again: its databases."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from proxy.core.errors import MigrationFailed
from proxy.migration.job.model import Binding, Column, ColumnSource, SqlSource, StoredTable
from proxy.migration.sources.source import Source
from proxy.migration.sources.sqlite import SqliteSource
from proxy.migration.values.treatment import Key, StoredRow

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

    opened: Callable[[StoredTable], Source]
    run: Callable[[str], list[tuple[object, ...]]]

    def fill(self, rows: int) -> None:
        for at in range(1, rows + 1):
            self.run(f"INSERT INTO messages VALUES ({at * 10}, 'clinic', 1, 'text {at}', '[]')")  # noqa: S608 - numbers


@pytest.fixture(params=["sqlite"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    file = tmp_path / "clinic.db"
    sources: list[Source] = []

    def run(sql: str) -> list[tuple[object, ...]]:
        with closing(sqlite3.connect(file)) as other, other:
            return other.execute(sql).fetchall()

    def opened(table: StoredTable) -> Source:
        sources.append(SqliteSource(file, table))
        return sources[-1]

    for sql in SCHEMA:
        run(sql.format(text="TEXT COLLATE NOCASE", json="TEXT"))
    yield Database(opened, run)
    for source in sources:
        source.close()


def a_table(
    *, where: str | None = None, key: tuple[str, ...] = (), name: str = "messages"
) -> StoredTable:
    columns = (Column("content", BINDING), Column("history", BINDING))
    return StoredTable(name, columns, key, where, batch=3)


def pages(source: Source, after: Key | None = None, until: Key | None = None) -> list[StoredRow]:
    found: list[StoredRow] = []
    while page := source.page(after, until):
        assert len(page) <= 3
        found += page
        after = page[-1].key
    return found


def contents(database: Database) -> list[object]:
    return [one for (one,) in database.run("SELECT content FROM messages ORDER BY id")]


def test_every_row_is_read_once_in_the_order_of_its_key(database: Database) -> None:
    database.fill(8)
    source = database.opened(a_table())
    rows = pages(source)

    assert [row.cells[0] for row in rows] == [b"text %d" % at for at in range(1, 9)]
    assert {row.names for row in rows} == {("clinic", "c1")}
    assert source.count() == 8
    assert source.page(rows[-1].key, None) == []


def test_a_range_has_the_rows_above_its_beginning_up_to_its_end(database: Database) -> None:
    database.fill(8)
    source = database.opened(a_table())
    keys = [row.key for row in pages(source)]

    assert [row.key for row in pages(source, keys[1], keys[6])] == keys[2:7]


def test_borders_part_the_rows_into_ranges(database: Database) -> None:
    database.fill(9)
    source = database.opened(a_table())
    keys = [row.key for row in pages(source)]
    borders = source.borders(3)
    ranges = list(zip([None, *borders], [*borders, None], strict=True))

    assert len(borders) < 3
    assert [row.key for one in ranges for row in pages(source, *one)] == keys


def test_only_the_rows_of_the_condition_are_read(database: Database) -> None:
    database.fill(8)
    source = database.opened(a_table(where="id > 30 OR id = 10"))

    assert [row.cells[0] for row in pages(source)] == [
        b"text 1", b"text 4", b"text 5", b"text 6", b"text 7", b"text 8",
    ]  # fmt: skip
    assert source.count() == 6


def test_cells_are_written_and_others_stay(database: Database) -> None:
    database.fill(2)
    source = database.opened(a_table())
    one, two = pages(source)
    written = source.write([(one, ("Grüße 'x'".encode(), None)), (two, (None, b"[1]"))])

    assert set(written) == {one.key, two.key}
    found = database.run("SELECT content, history FROM messages ORDER BY id")
    assert found == [("Grüße 'x'", "[]"), ("text 2", "[1]")]


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE messages SET content = 'theirs' WHERE id = 10",
        "UPDATE messages SET content = 'TEXT 1' WHERE id = 10",
        "UPDATE messages SET org = 'CLINIC' WHERE id = 10",
        "UPDATE messages SET content = NULL WHERE id = 10",
        "DELETE FROM messages WHERE id = 10",
    ],
)
def test_a_row_that_was_changed_meanwhile_is_left(database: Database, change: str) -> None:
    database.fill(2)
    source = database.opened(a_table())
    one, two = pages(source)
    database.run(change)
    before = contents(database)
    written = source.write([(one, (b"ours", None)), (two, (b"ours", None))])

    assert list(written) == [two.key]
    assert contents(database) == [*before[:-1], "ours"]


def test_null_is_no_text(database: Database) -> None:
    database.run("INSERT INTO messages VALUES (1, NULL, 99, NULL, NULL)")
    (row,) = pages(database.opened(a_table()))

    assert (row.names, row.cells) == ((None, None), (None, None))


def test_a_key_of_several_columns_is_read_in_order(database: Database) -> None:
    database.fill(8)
    source = database.opened(a_table(key=("org", "id")))

    assert [row.cells[0] for row in pages(source)] == [b"text %d" % at for at in range(1, 9)]


def test_a_proof_sees_one_state(database: Database) -> None:
    database.run("PRAGMA journal_mode = WAL")
    database.fill(8)
    source = database.opened(a_table())
    assert source.begin_proof()
    first = source.page(None, None)
    database.run("UPDATE messages SET content = 'theirs'")
    rest = pages(source, first[-1].key)

    assert [row.cells[0] for row in rest] == [b"text %d" % at for at in range(4, 9)]


def test_a_failed_write_leaves_everything_and_shows_no_value(database: Database) -> None:
    database.fill(2)
    database.run(
        "CREATE TRIGGER refuse BEFORE UPDATE ON messages WHEN old.id = 20"
        " BEGIN SELECT RAISE(ABORT, 'canary text'); END"
    )
    source = database.opened(a_table())
    one, two = pages(source)
    with pytest.raises(MigrationFailed) as failed:
        source.write([(one, (b"ours", None)), (two, (b"ours", None))])

    assert "canary" not in str(failed.value)
    assert failed.value.__cause__ is None
    assert contents(database) == ["text 1", "text 2"]
    source.close()


@pytest.mark.parametrize("name", ["nothing", 'x"; DROP TABLE messages; --'])
def test_a_table_that_is_not_there_is_refused(database: Database, name: str) -> None:
    with pytest.raises(MigrationFailed):
        database.opened(a_table(name=name))

    assert contents(database) == []


def test_a_key_with_nulls_is_refused(database: Database) -> None:
    database.run("INSERT INTO messages VALUES (1, NULL, 99, NULL, NULL)")
    with pytest.raises(MigrationFailed, match="null-in-key"):
        database.opened(a_table(key=("org",)))
