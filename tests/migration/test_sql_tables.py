"""Tables of databases: what is refused of them, since rows would be missed or changed unseen."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from proxy.core.errors import MigrationFailed
from proxy.migration.job.model import Column
from proxy.migration.sources.postgresql import PostgresqlSource
from tests.cli.conftest import invoke
from tests.migration import servers, tables
from tests.migration.builders import SQLITE_JOB, a_clinic, of_const, stored
from tests.migration.tables import Database, a_table, contents, pages

ALL_ELSE = (
    "CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL DEFAULT 'a, varchar(1)%' COMMENT 'a letter'"
)


@pytest.fixture(scope="module")
def ports() -> Iterator[Callable[[str], int]]:
    with tables.ports() as held:
        yield held


@pytest.fixture
def mariadb(ports: Callable[[str], int]) -> Iterator[Database]:
    with tables.mysql(ports("mariadb")) as database:
        yield database


@pytest.fixture(
    params=[
        pytest.param("mariadb", marks=servers.needs_mariadb),
        pytest.param("mysql", marks=[servers.needs_mysql, pytest.mark.slow]),
    ]
)
def mysql(request: pytest.FixtureRequest, ports: Callable[[str], int]) -> Iterator[Database]:
    with tables.mysql(ports(request.param)) as database:
        yield database


@pytest.fixture
def postgresql(ports: Callable[[str], int]) -> Iterator[Database]:
    with tables.postgresql(ports("postgresql")) as database:
        yield database


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Database]:
    with tables.sqlite(tmp_path / "clinic.db") as database:
        yield database


def keyed(database: Database, kind: str, values: list[str]) -> None:
    """Give the messages a primary key that begins with a column of this type."""
    database.fill(len(values))
    database.run(f"ALTER TABLE messages ADD kind {kind}, DROP PRIMARY KEY")
    for at, value in enumerate(values, 1):
        database.run(f"UPDATE messages SET kind = {value} WHERE id = {at * 10}")  # noqa: S608 - of this test
    database.run("ALTER TABLE messages ADD PRIMARY KEY (kind, id)")


@pytest.mark.parametrize(
    "kind",
    [
        "enum('private', 'group')",
        "set('private', 'group')",
        "decimal(30, 10)",
        "double",
        "bit(64)",
        "time",
        "timestamp",
    ],
)
def test_a_key_of_mysql_that_is_not_compared_as_it_is_ordered_is_refused(
    mysql: Database, kind: str
) -> None:
    keyed(mysql, kind, [])
    with pytest.raises(MigrationFailed, match="key-type") as refused:
        mysql.opened(a_table())

    assert refused.value.detail == f"messages.kind: {kind.partition('(')[0]}"


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("bigint unsigned", ["18446744073709551615", "18446744073709551614", "0", "7"]),
        ("tinyint", ["-1", "1", "0", "1"]),
        ("varchar(20)", ["'b'", "'B '", "'\u00e9'", "'e'", "''"]),
        ("varbinary(4)", ["x'ff00'", "x'ff'", "x'00'", "x'7f'"]),
        ("datetime(6)", ["'2026-10-25 02:30:00.000001'", "'2026-10-25 02:30:00'"]),
        ("date", ["'2026-10-25'", "'1000-01-01'"]),
        ("year", ["2026", "1901"]),
    ],
)
def test_every_row_of_mysql_is_read_once_whatever_its_key(
    mysql: Database, kind: str, values: list[str]
) -> None:
    keyed(mysql, kind, values * 3)
    keys = [row.key for row in pages(mysql.opened(a_table()))]

    assert len(keys) == len(set(keys)) == 3 * len(values)


@servers.needs_mariadb
def test_every_row_of_mariadb_is_read_once_by_a_key_that_mysql_lacks(mariadb: Database) -> None:
    keyed(mariadb, "uuid", ["'ffffffff-0000-1000-8000-000000000001'", "uuid()", "uuid()"] * 3)
    keys = [row.key for row in pages(mariadb.opened(a_table()))]

    assert len(keys) == len(set(keys)) == 9


def test_a_column_that_is_not_there_is_called_so(sqlite: Database) -> None:
    table = a_table()
    missing = replace(table.columns[0], name="contents")
    with pytest.raises(MigrationFailed, match="no-such-column") as refused:
        sqlite.opened(replace(table, columns=(missing,)))

    assert refused.value.detail == "messages.contents"


def test_a_proof_that_has_not_read_every_row_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_clinic(tmp_path, monkeypatch)
    job = tmp_path / "job.yaml"
    job.write_text(SQLITE_JOB.replace("    batch: 3", "    batch: 3\n    key: [thread]"), "utf-8")
    invoke("migrate", "seal", "job.yaml")
    refused = invoke("migrate", "verify", "job.yaml", "--report", "proof.jws", status=3)

    assert "rows-missed: messages: it has 10 rows, and 6 were read" in refused.output
    assert not (tmp_path / "proof.jws").exists()


@servers.needs_mariadb
@pytest.mark.parametrize("engine", ["MyISAM", "Aria", "MEMORY"])
def test_a_table_of_mariadb_without_transactions_is_no_state(
    mariadb: Database, engine: str
) -> None:
    mariadb.run("ALTER TABLE messages DROP history")
    mariadb.run(f"ALTER TABLE messages ENGINE = {engine}")
    table = a_table()
    source = mariadb.opened(replace(table, columns=table.columns[:1]))

    assert source.begin_proof() is None


@servers.needs_postgresql
def test_rows_that_postgresql_hides_are_not_left_out_in_silence(postgresql: Database) -> None:
    postgresql.fill(4)
    for sql in (
        "DROP ROLE IF EXISTS reader",
        "CREATE ROLE reader LOGIN",
        "GRANT USAGE ON SCHEMA public TO reader",
        "GRANT SELECT, UPDATE ON messages, threads TO reader",
        "ALTER TABLE messages ENABLE ROW LEVEL SECURITY",
        "CREATE POLICY half ON messages USING (id <= 20)",
    ):
        postgresql.run(sql)
    address = postgresql.address.replace("user=clinic", "user=reader")
    with closing(PostgresqlSource(address, None, a_table())) as source:
        with pytest.raises(MigrationFailed, match="sqlstate 42501"):
            source.page(None, None)
        with pytest.raises(MigrationFailed, match="sqlstate 42501"):
            source.counted()


@servers.needs_postgresql
def test_columns_that_the_index_of_a_key_includes_are_not_of_it(postgresql: Database) -> None:
    postgresql.run(
        "ALTER TABLE messages DROP CONSTRAINT messages_pkey, ADD PRIMARY KEY (id) INCLUDE (content)"
    )
    postgresql.fill(3)
    source = postgresql.opened(a_table())
    before = pages(source)
    postgresql.run("UPDATE messages SET content = 'theirs' WHERE id = 20")

    assert [row.key for row in before] == [("10",), ("20",), ("30",)]
    again = source.again(None, before[-1].key, {before[1].key})
    assert [row.cells[0] for row in again] == [b"theirs"]


@pytest.mark.parametrize("kind", ["STRING", "DATETIME", "JSON", "INT", "REAL", "POINTTEXT"])
def test_a_text_that_sqlite_would_make_a_number_of_is_not_written(
    sqlite: Database, kind: str
) -> None:
    sqlite.run("ALTER TABLE messages DROP COLUMN content")
    sqlite.run(f"ALTER TABLE messages ADD COLUMN content {kind}")
    for at in range(1, 5):
        sqlite.run(f"INSERT INTO messages VALUES ({at}, 'clinic', 1, '[]', 'token {at}')")  # noqa: S608 - numbers
    source = sqlite.opened(a_table())
    rows = pages(source)
    texts = (b"007", b"hello", b"1e3", b"12 monkeys")
    written = source.write([(row, (text, None)) for row, text in zip(rows, texts, strict=True)])

    assert set(written) == {rows[1].key, rows[3].key}
    assert source.refused == dict.fromkeys((rows[0].key, rows[2].key), "not-kept-as-text")
    assert contents(sqlite) == ["token 1", "hello", "token 3", "12 monkeys"]


@pytest.mark.parametrize("kind", ["", "TEXT", "varchar(9)", "CLOB", "BLOB"])
def test_a_text_that_sqlite_keeps_is_written_whatever_its_digits(
    sqlite: Database, kind: str
) -> None:
    sqlite.run("ALTER TABLE messages DROP COLUMN content")
    sqlite.run(f"ALTER TABLE messages ADD COLUMN content {kind}")
    sqlite.run("INSERT INTO messages VALUES (1, 'clinic', 1, '[]', 'token')")
    source = sqlite.opened(a_table())
    (row,) = pages(source)
    source.write([(row, (b"007", None))])

    assert contents(sqlite) == ["007"]


@pytest.mark.parametrize("encoding", ["UTF-16le", "UTF-16be"])
def test_a_database_of_sqlite_in_utf16_is_compared_as_it_is_encoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    file = a_clinic(tmp_path, monkeypatch)
    with closing(sqlite3.connect(file)) as database:
        database.execute("UPDATE messages SET org = 'Grüße 🌍', content = 'é 🌍' WHERE id = 3")
        schema = "\n".join(database.iterdump())
    file.unlink()
    with closing(sqlite3.connect(file)) as database:
        database.execute(f"PRAGMA encoding = '{encoding}'")
        database.executescript(schema)
    before = stored(file)

    invoke("migrate", "seal", "job.yaml")
    invoke("migrate", "verify", "job.yaml")
    invoke("migrate", "open", "job.yaml")
    assert stored(file) == before


@pytest.mark.parametrize(
    "names", ["other", "RowId", "rowid TEXT, _RowId_", "rowid TEXT AS ('a'), _rowid_"]
)
def test_rows_of_sqlite_without_a_key_are_read_by_what_no_column_hides(
    sqlite: Database, names: str
) -> None:
    rest = "org TEXT, thread INTEGER, content TEXT, history TEXT"
    sqlite.run("DROP TABLE messages")
    sqlite.run(f"CREATE TABLE messages ({names} TEXT, {rest})")
    for at in range(1, 8):
        sqlite.run(
            "INSERT INTO messages (org, thread, content, history)"  # noqa: S608 - numbers
            f" VALUES ('clinic', 1, 'text {at}', '[]')"
        )
    source = sqlite.opened(a_table())
    rows = pages(source)
    source.use_copy(6)

    assert [row.key for row in rows] == [(at,) for at in range(1, 8)]
    assert len(pages(source)) == 6


def test_a_table_of_sqlite_whose_columns_hide_every_name_of_its_rows_has_no_key(
    sqlite: Database,
) -> None:
    for name in ("rowid", "_rowid_", "oid"):
        sqlite.run(f"ALTER TABLE messages ADD COLUMN {name} TEXT")
    sqlite.opened(a_table())
    sqlite.run("CREATE TABLE copied AS SELECT * FROM messages")
    with pytest.raises(MigrationFailed, match="no-key"):
        sqlite.opened(a_table(name="copied"))


def test_a_key_of_sqlite_that_is_no_unicode_ends_the_run(sqlite: Database) -> None:
    sqlite.fill(3)
    sqlite.run("ALTER TABLE messages ADD COLUMN code TEXT")
    sqlite.run("UPDATE messages SET code = CAST(x'ff' || id AS TEXT)")
    source = sqlite.opened(a_table(key=("code",)))

    for asked in (lambda: source.page(None, None), lambda: source.borders(2)):
        with pytest.raises(MigrationFailed, match="key-not-unicode") as failed:
            asked()
        assert failed.value.detail == "messages"


@pytest.mark.parametrize(
    ("before", "characters", "after"),
    [
        (f"varchar(40) {ALL_ELSE}", 431, f"varchar(431) {ALL_ELSE}"),
        ("char(3) DEFAULT NULL", 200, "varchar(200) DEFAULT NULL"),
        ("tinytext NOT NULL", 200, "text NOT NULL"),
        ("varchar(40) DEFAULT NULL", 20_000, "mediumtext DEFAULT NULL"),
        ("text DEFAULT NULL", 5_000_000, "longtext DEFAULT NULL"),
    ],
)
def test_a_column_of_mysql_that_is_widened_keeps_all_else(
    mysql: Database, before: str, characters: int, after: str
) -> None:
    mysql.run(f"ALTER TABLE messages DROP content, ADD `con``tent 5%` {before} AFTER thread")
    source = mysql.opened(replace(a_table(), columns=(Column("con`tent 5%", of_const()),)))
    ((_, old),) = mysql.run("SHOW CREATE TABLE messages")
    mysql.run(source.widen(0, characters))
    ((_, new),) = mysql.run("SHOW CREATE TABLE messages")

    # MySQL does not show the default that all texts have.
    new, old, before, after = (
        one.replace("text DEFAULT NULL", "text") for one in (new, old, before, after)
    )
    assert new == old.replace(f"` {before}", f"` {after}") != old


@servers.needs_mariadb
def test_a_column_is_not_widened_by_who_may_not_see_how_it_was_made(mariadb: Database) -> None:
    mariadb.run("CREATE OR REPLACE VIEW shown AS SELECT * FROM messages")
    source = mariadb.opened(a_table(name="shown", key=("id",)))
    said = source.widen(0, 431)
    mariadb.run("DROP VIEW shown")

    assert said == (
        "ALTER TABLE `shown` MODIFY `content` varchar(431) <and all else of SHOW CREATE TABLE>;"
    )


@pytest.mark.parametrize("verb", ["plan", "seal", "verify", "reseal", "open"])
@pytest.mark.parametrize(("rows", "where"), [(10, "org = 'clinc'"), (0, "1 = 1")])
def test_a_table_of_which_nothing_is_read_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str, rows: int, where: str
) -> None:
    a_clinic(tmp_path, monkeypatch, rows)
    job = SQLITE_JOB.replace("    batch: 3", f"    batch: 3\n    where: {where}")
    (tmp_path / "job.yaml").write_text(job, "utf-8")

    told = invoke("migrate", verb, "job.yaml").output
    assert "messages: nothing was read: is it empty, or does the job leave all out?" in told
