"""The contract of every place of a migration whose rows can be read again: its databases."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from proxy.core.errors import KeyUnavailable, MigrationFailed
from proxy.core.search.model import ExactIndex
from proxy.keys.fleet.lease import ENDED
from proxy.migration.job.model import Column
from tests.migration import servers, tables
from tests.migration.tables import (
    BINDING,
    Database,
    a_table,
    contents,
    mysql,
    pages,
    postgresql,
    sqlite,
)


@pytest.fixture(scope="module")
def ports() -> Iterator[Callable[[str], int]]:
    with tables.ports() as held:
        yield held


@pytest.fixture(
    params=[
        "sqlite",
        pytest.param("postgresql", marks=servers.needs_postgresql),
        pytest.param("mariadb", marks=servers.needs_mariadb),
        pytest.param("mysql", marks=servers.needs_mysql),
    ]
)
def database(
    request: pytest.FixtureRequest, tmp_path: Path, ports: Callable[[str], int]
) -> Iterator[Database]:
    kind: str = request.param
    made = (
        sqlite(tmp_path / "clinic.db")
        if kind == "sqlite"
        else (postgresql if kind == "postgresql" else mysql)(ports(kind))
    )
    with made as under_test:
        yield under_test


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

    assert len(borders) == 2
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
    assert [(content, str(history)) for content, history in found] == [
        ("Grüße 'x'", "[]"),
        ("text 2", "[1]"),
    ]


def test_rows_are_read_again_whatever_was_inserted_between_them(database: Database) -> None:
    database.fill(6)
    source = database.opened(a_table())
    before = source.page(source.page(None, None)[-1].key, None)
    for at in (41, 42, 43, 51):
        database.run(f"INSERT INTO messages VALUES ({at}, 'clinic', 1, 'theirs', '[]')")  # noqa: S608 - numbers
    database.run("UPDATE messages SET content = 'changed' WHERE id = 60")
    database.run("DELETE FROM messages WHERE id = 40")
    after = source.page(None, None)[-1].key
    found = source.again(after, before[-1].key, {before[0].key, before[2].key})

    assert [(row.key, row.cells[0]) for row in found] == [(before[2].key, b"changed")]


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


def test_tags_are_not_written_beside_a_value_that_was_changed_meanwhile(database: Database) -> None:
    database.fill(3)
    database.run("ALTER TABLE messages ADD tags varchar(100)")
    tags = Column("tags", BINDING, index=ExactIndex("none"), tags_of="content")
    source = database.opened(replace(a_table(), columns=(Column("content", BINDING), tags)))
    one, two, three = pages(source)
    database.run("UPDATE messages SET content = 'theirs' WHERE id = 10")
    database.run("UPDATE messages SET tags = '~theirs~' WHERE id = 20")
    written = source.write([(row, (None, b"~ours~")) for row in (one, two, three)])

    assert list(written) == [three.key]
    found = database.run("SELECT content, tags FROM messages ORDER BY id")
    assert [tuple(row) for row in found] == [
        ("theirs", None),
        ("text 2", "~theirs~"),
        ("text 3", "~ours~"),
    ]


def test_null_is_no_text(database: Database) -> None:
    database.run("INSERT INTO messages VALUES (1, NULL, 99, NULL, NULL)")
    (row,) = pages(database.opened(a_table()))

    assert (row.names, row.cells) == ((None, None), (None, None))


def test_a_key_of_several_columns_is_read_in_order(database: Database) -> None:
    database.fill(8)
    source = database.opened(a_table(key=("org", "id")))

    assert [row.cells[0] for row in pages(source)] == [b"text %d" % at for at in range(1, 9)]


def test_a_proof_sees_one_state(database: Database) -> None:
    database.fill(8)
    source = database.opened(a_table())
    assert source.begin_proof() is not None
    first = source.page(None, None)
    database.run("UPDATE messages SET content = 'theirs'")
    rest = pages(source, first[-1].key)

    assert [row.cells[0] for row in rest] == [b"text %d" % at for at in range(4, 9)]


def test_a_proof_is_shared_where_the_database_can(database: Database) -> None:
    database.fill(2)
    source, other = database.opened(a_table()), database.opened(a_table())
    state = source.begin_proof()
    database.run("UPDATE messages SET content = 'theirs'")
    assert database.shares == bool(state)
    other.begin_proof(state)
    mine, others = pages(source), pages(other)

    assert (mine == others) == database.shares


@pytest.mark.parametrize("key", [(), ("org", "id")])
def test_what_is_tried_on_a_copy_leaves_the_table(database: Database, key: tuple[str, ...]) -> None:
    database.fill(20)
    before = contents(database)
    source = database.opened(a_table(key=key, where="id > 10"))
    source.use_copy(9)
    copied = pages(source)
    written = source.write([(row, (b"ours", None)) for row in copied])

    assert 0 < len(copied) <= 9
    assert copied[-1].cells[0] not in {b"text 8", b"text 9", b"text 10"}  # not the first ones alone
    assert {row.names for row in copied} == {("clinic", "c1")}
    assert len(written) == len(copied)
    assert {row.cells[0] for row in pages(source)} == {b"ours"}
    assert contents(database) == before


def test_a_failed_write_leaves_everything_and_shows_no_value(database: Database) -> None:
    database.fill(2)
    for sql in database.fail:
        database.run(sql)
    source = database.opened(a_table())
    one, two = pages(source)
    with pytest.raises(MigrationFailed) as failed:
        source.write([(one, (b"ours", None)), (two, (b"ours", None))])

    assert "canary" not in str(failed.value)
    assert failed.value.__cause__ is None
    assert contents(database) == ["text 1", "text 2"]
    source.close()


def test_what_is_not_to_be_written_any_more_is_not_committed(database: Database) -> None:
    database.fill(2)
    source = database.opened(a_table())
    one, two = pages(source)

    def ended() -> None:
        raise KeyUnavailable(ENDED)

    source.look = ended
    with pytest.raises(KeyUnavailable, match="lease-ended"):
        source.write([(one, (b"ours", None)), (two, (b"ours", None))])

    assert contents(database) == ["text 1", "text 2"]
    source.look = lambda: None
    assert set(source.write([(one, (b"ours", None))])) == {one.key}
    source.close()


def test_a_row_that_is_refused_is_named_and_the_others_are_written(database: Database) -> None:
    database.fill(3)
    for sql in database.refuse:
        database.run(sql)
    source = database.opened(a_table())
    one, two, three = pages(source)
    written = source.write([(row, (b"ours", None)) for row in (one, two, three)])

    assert set(written) == {one.key, three.key}
    assert source.refused.keys() == {two.key}
    assert "canary" not in source.refused[two.key]
    assert contents(database) == ["ours", "text 2", "ours"]
    assert set(source.write([(three, (b"ours", None))])) <= {three.key}
    assert source.refused == {}


@pytest.mark.parametrize("name", ["nothing", 'x"; DROP TABLE messages; --'])
def test_a_table_that_is_not_there_is_refused(database: Database, name: str) -> None:
    with pytest.raises(MigrationFailed):
        database.opened(a_table(name=name))

    assert contents(database) == []


def test_a_key_with_nulls_is_refused(database: Database) -> None:
    database.run("INSERT INTO messages VALUES (1, NULL, 99, NULL, NULL)")
    with pytest.raises(MigrationFailed, match="null-in-key"):
        database.opened(a_table(key=("org",)))
