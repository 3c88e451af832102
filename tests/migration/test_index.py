"""`migrate index`: sealed values get their tags, lose them, and are proven to have them."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from proxy.core.crypto.context import Context, Scope
from proxy.core.crypto.secret import IndexSecret
from proxy.core.crypto.token import Form
from proxy.core.errors import ConfigurationError
from proxy.core.expressions.selectors import parse_json_selector
from proxy.core.search.model import ExactIndex, WordsIndex
from proxy.core.search.tags import IndexKeys, cut, listed
from proxy.keys.keyring.keyring import Keyring
from proxy.keys.sessions.durable import durable_session
from proxy.migration.job.model import Column, Verb
from proxy.migration.job.reader import load
from proxy.migration.values.cells import NOT_TEXT, Cell
from proxy.migration.values.states import Outcome
from proxy.migration.values.treatment import StoredRow
from tests.cli.conftest import invoke
from tests.keys.builders import NOW, a_keyring
from tests.migration.builders import (
    BINDING,
    CANARY,
    SQLITE_JOB,
    Bench,
    a_clinic,
    a_row,
    a_table,
    of_const,
    stored,
)

SCOPE = Scope("clinic", "c1")
INDEX = WordsIndex(most=3)
KEYRING = a_keyring()
COLUMN = Column("content", BINDING, index=INDEX)
SEALED = Outcome("sealed", "k1")


def keyring() -> Keyring:
    return KEYRING.rotate_index(now=NOW, random=lambda size: b"i" * size)


def token(text: bytes = b"Call Ann", field: str = "content") -> bytes:
    sid = NOW.to_bytes(4) + b"12345678"
    return durable_session(KEYRING.entry("k1"), sid, SCOPE).seal(text, Context(SCOPE, field))


def tags(*generations: tuple[bytes, int], words: tuple[str, ...] = ("call", "ann")) -> str:
    keys = [IndexKeys(IndexSecret(one * 32), at) for one, at in generations or [(b"i", 1)]]
    return listed([tag for one in keys for tag in one.word_tags(SCOPE, "content", words)])


async def test_a_token_gets_its_tags_and_stays_as_it_is() -> None:
    bench, table, bare = Bench(keyring()), a_table(COLUMN), token()
    (one,) = await bench.treat("index", table, a_row(bare))
    assert one.cells == [bare + tags().encode()]
    assert [change.after for change in one.changed] == [Outcome("indexed", "k1")]
    for verb in ("index", "verify"):
        (again,) = await bench.treat(verb, table, a_row(one.cells[0]))
        assert (again.cells, again.kept) == ([None], [(0, SEALED)])
    (dropped,) = await bench.treat("drop-index", table, a_row(one.cells[0]))
    assert dropped.cells == [bare]
    assert [change.after for change in dropped.changed] == [Outcome("unindexed", "k1")]


async def test_tags_are_dropped_from_what_opens_no_more() -> None:
    """The receipt of a destroyed KEK says that this removes them."""
    erased = Bench(a_keyring("k2").rotate_index(now=NOW, random=lambda size: b"x" * size))
    lost = durable_session(a_keyring("k9").entry("k9"), NOW.to_bytes(4) + b"12345678", SCOPE)
    bare = lost.seal(b"Call Ann", Context(SCOPE, "content"))
    (one,) = await erased.treat("drop-index", a_table(COLUMN), a_row(bare + tags().encode()))
    assert one.cells == [bare]
    assert [change.after.state for change in one.changed] == ["unindexed"]
    (again,) = await erased.treat("drop-index", a_table(COLUMN), a_row(bare))
    assert (again.cells, [one.state for _, one in again.kept]) == ([None], ["unreadable"])


async def test_a_proof_without_an_index_tells_of_tags_that_are_left() -> None:
    """Also of those behind what opens no more: that is what was erased."""
    bare, table = token(), a_table(replace(COLUMN, index=None))
    erased = Bench(a_keyring("k2").promote("k2").disable("k1").remove("k1"))
    for bench, without in ((Bench(keyring()), "sealed"), (erased, "unreadable")):
        for had, state in (("", without), (tags(), "untagged")):
            (one,) = await bench.treat("verify", table, a_row(bare + had.encode()))
            assert [each.state for _, each in one.kept] == [state]
    (one,) = await Bench(keyring()).treat("index", table, a_row(bare + tags().encode()))
    assert one.cells == [None]


@pytest.mark.parametrize(("only", "changes"), [("c1", True), ("c2", False), (None, True)])
async def test_tags_of_one_conversation_are_dropped(only: str | None, *, changes: bool) -> None:
    had = token() + tags().encode()
    (one,) = await Bench(keyring()).treat("drop-index", a_table(COLUMN), a_row(had), only=only)
    assert one.cells == [token_of(had) if changes else None]


async def test_what_is_sealed_by_a_run_has_its_tags() -> None:
    bench, table = Bench(keyring()), a_table(COLUMN)
    (one,) = await bench.treat("seal", table, a_row(b"Call Ann"))
    assert (one.cells[0] or b"").decode().endswith(tags())
    (opened,) = await bench.treat("open", table, a_row(one.cells[0]))
    assert opened.cells == [b"Call Ann"]


@pytest.mark.parametrize("had", ["", "~zzzzz~", tags((b"x", 7))])
async def test_a_proof_finds_values_without_their_tags(had: str) -> None:
    (one,) = await Bench(keyring()).treat("verify", a_table(COLUMN), a_row(token() + had.encode()))
    assert one.kept == [(0, Outcome("untagged", "k1"))]
    (one,) = await Bench(keyring()).treat("index", a_table(COLUMN), a_row(token() + had.encode()))
    assert cut((one.cells[0] or b"").decode()).tags == cut("T" + tags()).tags


async def test_two_generations_stand_beside_each_other_and_one_remains() -> None:
    both = keyring().rotate_index(now=NOW, random=lambda size: b"j" * size)
    (one,) = await Bench(both).treat("index", a_table(COLUMN), a_row(token() + tags().encode()))
    assert one.cells == [token_of(one.cells[0]) + tags((b"i", 1), (b"j", 2)).encode()]
    (one,) = await Bench(both.drop_index()).treat("index", a_table(COLUMN), a_row(one.cells[0]))
    assert cut((one.cells[0] or b"").decode()).tags == cut("T" + tags((b"j", 2))).tags


def token_of(cell: bytes | None) -> bytes:
    return cut((cell or b"").decode()).token.encode()


async def test_tags_within_json_are_those_of_each_value() -> None:
    column = replace(COLUMN, selector=parse_json_selector("$[*].content"))
    cell = json.dumps([{"content": token().decode()}, {"content": token(b"!").decode()}]).encode()
    (one,) = await Bench(keyring()).treat("index", a_table(column), a_row(cell))
    found = [cut(each["content"]).tags for each in json.loads(one.cells[0] or b"")]
    assert found == [cut("T" + tags()).tags, ()]


@pytest.mark.parametrize(
    ("text", "column", "outcome"),
    [
        (b"one two three four", COLUMN, Outcome("unfit", "k1", "too-many-words")),
        (b"Call Ann", replace(COLUMN, max_chars=180), Outcome("too-long", "k1")),
        (b"Call Ann", replace(COLUMN, form="base64"), Outcome("unfit", "k1", "not-a-string")),
    ],
)
async def test_what_cannot_have_tags_is_left(text: bytes, column: Column, outcome: Outcome) -> None:
    (one,) = await Bench(keyring()).treat("index", a_table(column), a_row(token(text)))
    assert (one.kept, one.cells) == ([(0, outcome)], [None])


async def test_plain_values_and_other_tokens_stay() -> None:
    bench = Bench(keyring())
    for cell in (b"plain", token(field="title")):
        (one,) = await bench.treat("index", a_table(COLUMN), a_row(cell))
        assert one.cells == [None]


def test_a_database_is_indexed_verified_and_freed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = a_clinic(tmp_path, monkeypatch)
    indexed = ": content\n        index: {words: {}}\n      -"
    job = SQLITE_JOB.replace(": content\n      -", indexed)
    assert job != SQLITE_JOB
    invoke("migrate", "seal", "job.yaml")
    (tmp_path / "job.yaml").write_text(job, "utf-8")
    assert "no-index-secret" in invoke("migrate", "index", "job.yaml", status=3).output
    invoke("keys", "rotate-index")
    assert "untagged" in invoke("migrate", "verify", "job.yaml", status=1).stdout
    invoke("migrate", "index", "job.yaml")
    invoke("migrate", "verify", "job.yaml")
    rows = [str(row[3]) for row in stored(file)]
    assert all(cut(one).tags for one in rows)
    assert CANARY not in str(rows)
    for words in (("--conversation", "c1"), ("--drop", "--conversation", "c1", "--report", "r")):
        assert "goes with --drop" in invoke("migrate", "index", "job.yaml", *words, status=2).output
    invoke("migrate", "index", "job.yaml", "--drop", "--conversation", "none")
    assert [str(row[3]) for row in stored(file)] == rows
    invoke("migrate", "index", "job.yaml", "--drop")
    assert not any(cut(str(row[3])).tags for row in stored(file))


EQUAL = Column("email", of_const(field="email"), form="equal")
BOTH = keyring().rotate_index(now=NOW, random=lambda size: b"j" * size)
TURNED = BOTH.turn_index(now=NOW)


@pytest.mark.parametrize(
    ("form", "ours", "generation"), [("jwe", BOTH, 1), ("jwe", TURNED, 2), ("equal", TURNED, 2)]
)
async def test_values_get_the_equal_form_of_the_generation_that_seals(
    form: Form, ours: Keyring, generation: int
) -> None:
    bench, table = Bench(ours), a_table(EQUAL)
    (old,) = await Bench(BOTH).treat("seal", a_table(replace(EQUAL, form=form)), a_row(b"ann"))
    (one,) = await bench.treat("verify", table, a_row(old.cells[0]))
    assert [each.state for _, each in one.kept] == ["untagged"]
    (one,) = await bench.treat("index", table, a_row(old.cells[0]))
    assert [each.after.state for each in one.changed] == ["indexed"]
    verbs: tuple[Verb, ...] = ("index", "verify", "drop-index", "reseal")
    for verb in verbs:
        (again,) = await bench.treat(verb, table, a_row(one.cells[0]))
        assert (again.cells, again.kept) == (
            [None],
            [(0, Outcome("sealed", f"index {generation}"))],
        )
    (opened,) = await bench.treat("open", table, a_row(one.cells[0]))
    assert opened.cells == [b"ann"]
    (lost,) = await Bench(a_keyring()).treat("verify", table, a_row(one.cells[0]))
    assert lost.kept == [(0, Outcome("unreadable", f"index {generation}", "unknown-key"))]


async def test_what_ends_or_is_bound_to_more_gets_no_equal_form() -> None:
    ends = durable_session(KEYRING.entry("k1"), NOW.to_bytes(4) + b"12345678", Scope("clinic"))
    text = ends.seal(b"ann", Context(Scope("clinic"), "email"), exp=NOW + 9)
    (one,) = await Bench(keyring()).treat("index", a_table(EQUAL), a_row(text))
    assert one.kept == [(0, Outcome("unfit", "k1", "short-form-has-no-end"))]
    column = Column("content", BINDING, form="equal")
    (one,) = await Bench(keyring()).treat("seal", a_table(column), a_row(b"ann"))
    assert one.kept == [(0, Outcome("unfit", "", "bound-to-more"))]


EMAIL = Column("content", BINDING)
TAGS = Column("tags", BINDING, index=ExactIndex("email"), tags_of="content")


def email_tags(*generations: tuple[bytes, int]) -> bytes:
    keys = [IndexKeys(IndexSecret(one * 32), at) for one, at in generations or [(b"i", 1)]]
    return listed([one.exact_tag(SCOPE, "content", "ann@b.de") for one in keys]).encode()


@pytest.mark.parametrize("columns", [(EMAIL, TAGS), (TAGS, EMAIL)])
async def test_a_column_holds_the_tags_of_another(columns: tuple[Column, Column]) -> None:
    table, at = a_table(*columns), columns.index(TAGS)

    def row(value: Cell, tags: Cell) -> StoredRow:
        return a_row(*((value, tags) if at else (tags, value)))

    bench, sealed = Bench(keyring()), token(b"Ann@b.de")
    for had in (None, b"", b"~", b"~zzzzz~"):
        (one,) = await bench.treat("verify", table, row(sealed, had))
        assert (at, Outcome("untagged", "k1")) in one.kept
        (one,) = await bench.treat("index", table, row(sealed, had))
        assert (one.cells[at], one.cells[1 - at]) == (email_tags(), None)
        assert [change.after for change in one.changed] == [Outcome("indexed", "k1")]
    verbs: tuple[Verb, ...] = ("index", "verify")
    for verb in verbs:
        (again,) = await bench.treat(verb, table, row(sealed, email_tags()))
        assert again.cells == [None, None]
        assert again.kept == [(1 - at, SEALED), (at, SEALED)]
    (new,) = await bench.treat("seal", table, row(b"ann@b.de", None))
    assert new.cells[at] == email_tags()
    (opened,) = await bench.treat("open", table, row(new.cells[1 - at], new.cells[at]))
    assert (opened.cells[1 - at], opened.cells[at]) == (b"ann@b.de", b"~")
    (two,) = await Bench(BOTH).treat("index", table, row(sealed, email_tags()))
    assert two.cells[at] == email_tags((b"i", 1), (b"j", 2))
    for had, kept in ((email_tags(), False), (b"~", True), (None, True)):
        (dropped,) = await bench.treat("drop-index", table, row(sealed, had))
        assert dropped.cells[at] == (None if kept else b"~")


@pytest.mark.parametrize(
    ("value", "had", "outcome"),
    [
        (token(b"a@b.de"), b"notes", Outcome("unfit", "k1", "tags-in-a-member")),
        (token(b"a@b.de"), NOT_TEXT, Outcome("not-text")),
        (token(b" "), b"~", Outcome("unfit", "", "nothing-to-index")),
        (None, None, Outcome("null")),
        (b"plain", None, Outcome("plain")),
        (token(field="title"), None, Outcome("misplaced", "k1")),
    ],
)
async def test_a_column_of_tags_is_left_where_it_has_none_to_hold(
    value: Cell, had: Cell, outcome: Outcome
) -> None:
    (one,) = await Bench(keyring()).treat("index", a_table(EMAIL, TAGS), a_row(value, had))
    assert one.cells == [None, None]
    assert one.kept[-1] == (1, outcome)


async def test_only_one_conversation_loses_the_tags_of_its_column() -> None:
    row = a_row(token(b"ann@b.de"), email_tags())
    (one,) = await Bench(keyring()).treat("drop-index", a_table(EMAIL, TAGS), row, only="c2")
    assert one.cells == [None, None]


TAGGED_JOB = SQLITE_JOB.replace(
    ": content\n      -",
    ": content\n      - {column: tags, tags_of: content, index: {words: {}}}\n      -",
)


def test_a_database_gets_a_column_of_tags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = a_clinic(tmp_path, monkeypatch)
    with closing(sqlite3.connect(file)) as database:
        database.execute("ALTER TABLE messages ADD COLUMN tags TEXT")
    invoke("migrate", "seal", "job.yaml")
    invoke("keys", "rotate-index")
    (tmp_path / "job.yaml").write_text(TAGGED_JOB, "utf-8")
    assert "untagged" in invoke("migrate", "verify", "job.yaml", status=1).stdout
    invoke("migrate", "index", "job.yaml")
    invoke("migrate", "verify", "job.yaml")
    rows = stored(file)
    assert all(cut(f"T{row[5]}").tags and not cut(str(row[3])).tags for row in rows)
    invoke("migrate", "index", "job.yaml", "--drop")
    assert {row[5] for row in stored(file)} == {"~"}


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("tags_of: content", "tags_of: contents", "is the name of a column of this table"),
        ("tags_of: content, index: {words: {}}", "tags_of: content", "goes with `index`"),
        ("sqlite: clinic.db", "pipe: csv", "a stream has no `tags_of`"),
    ],
)
def test_a_column_of_tags_that_cannot_be_is_a_mistake(
    old: str, new: str, told: str, tmp_path: Path
) -> None:
    file = tmp_path / "job.yaml"
    file.write_text(TAGGED_JOB.replace(old, new), "utf-8")
    with pytest.raises(ConfigurationError) as refused:
        load(file, {})
    assert any(told in one for one in refused.value.problems)
