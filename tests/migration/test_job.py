from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from proxy.config.schema.json_schema import schema
from proxy.core.errors import ConfigurationError
from proxy.migration.job.model import JOB, Job, StoredTable
from proxy.migration.job.names import Binding, ColumnSource, ConstSource, JoinedSource, SqlSource
from proxy.migration.job.places import Pipe, Sqlite
from proxy.migration.job.reader import load
from tests.migration.builders import SQLITE_JOB

WHOLE = """\
version: 1
source: {sqlite: a.db}
tables:
  - table: messages
    key: [org, id]
    where: deleted = 0
    batch: 100
    tenant: column:org
    conversation: {members: [column:a, [column:b, const:x]]}
    message: sql:lower(id)
    purpose: chat
    columns:
      - column: content
        form: short
        max_chars: 255
        bind: [tenant, conversation, field, message, purpose]
        lookalikes: seal
        former:
          - {tenant: const:old, bind: [tenant]}
          - {field: body}
      - {column: history, select: "$[*].text"}
"""


def read(text: str, folder: Path) -> Job:
    path = folder / "job.yaml"
    path.write_text(text, "utf-8")
    return load(path, {"ORG": "clinic"})


def mistakes(text: str, folder: Path) -> list[str]:
    with pytest.raises(ConfigurationError) as refused:
        read(text, folder)
    return [one.removeprefix(f"{folder}/") for one in refused.value.problems]


def test_a_job_says_where_values_are_and_what_they_are_bound_to(tmp_path: Path) -> None:
    job = read(WHOLE, tmp_path)
    (table,) = job.tables
    assert isinstance(table, StoredTable)
    content, history = table.columns
    org, joined = (
        ColumnSource("org"),
        JoinedSource(
            "members",
            (ColumnSource("a"), JoinedSource("list", (ColumnSource("b"), ConstSource("x")))),
        ),
    )

    assert job.place == Sqlite(tmp_path / "a.db")
    assert (table.key, table.where, table.batch) == (("org", "id"), "deleted = 0", 100)
    assert content.binding == Binding(org, joined, "content", SqlSource("lower(id)"), "chat")
    assert content.former == (
        Binding(ConstSource("old")),
        Binding(org, joined, "body"),
    )
    assert (content.form, content.max_chars, content.lookalikes) == ("short", 255, True)
    assert history.binding == Binding(org, joined, "text")
    assert table.labels == ("messages.content", "messages.history $[*].text")
    assert table.reads == (
        org,
        ColumnSource("a"),
        ColumnSource("b"),
        SqlSource("lower(id)"),
    )


def test_the_digest_is_that_of_the_file(tmp_path: Path) -> None:
    assert read(WHOLE, tmp_path).digest != read(WHOLE + "\n", tmp_path).digest


@pytest.mark.parametrize("text", [SQLITE_JOB, WHOLE])
def test_a_job_is_valid_by_its_schema(text: str) -> None:
    jsonschema.validate(yaml.safe_load(text), schema(JOB))


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "version: 1",
            "version: 9",
            "job.yaml:1:10 version 9 is not a supported version; this program reads version 1",
        ),
        ("sqlite: a.db", "mysqk: x", "job.yaml:2:10 source the key `mysqk` is unknown"),
        ("sqlite: a.db", "", "job.yaml:2:9 source lacks a key; write one of"),
        ("column:org", "org", "tables[0].tenant `org` is not a source; one of: column:"),
        ("batch: 100", "batch: 9999", "job.yaml:7:12 tables[0].batch `9999` is out of range"),
        ("form: short", "form: shirt", "columns[0].form `shirt` is unknown; did you mean `short`?"),
        ('"$[*].text"', "text", "columns[1].select `text` is not a JSON selector"),
        ('"$[*].text"', '"$[-1]"', "negative indexes are not supported"),
        ("    message: sql:lower(id)\n", "", "binds `message`, which is not given"),
        ("column:a", "nothing", "`nothing` is not a source"),
        ("column: content", "colum: content", "lacks the key `column`"),
    ],
)
def test_a_mistake_is_reported_with_its_place(
    old: str, new: str, expected: str, tmp_path: Path
) -> None:
    assert old in WHOLE

    assert any(expected in one for one in mistakes(WHOLE.replace(old, new), tmp_path))


def test_all_mistakes_are_reported_at_once(tmp_path: Path) -> None:
    text = WHOLE.replace("batch: 100", "batch: 0").replace("form: short", "form: x")

    assert len(mistakes(text, tmp_path)) == 2


PIPE: dict[str, Any] = {
    "version": 1,
    "source": {"pipe": "csv"},
    "tables": [{"table": "t", "tenant": "column:org", "columns": [{"column": "c"}]}],
}


@pytest.mark.parametrize(
    ("form", "more", "expected"),
    [
        ("csv", {"key": "id"}, "a stream has no `key` and no `where`"),
        ("csv", {"where": "1"}, "a stream has no `key` and no `where`"),
        ("csv", {"tenant": "sql:1"}, "a stream has no `sql:` names"),
        ("copy", {}, "the text form of COPY names no columns"),
        ("ndjson", {"header": ["a"]}, "JSON objects name their members"),
    ],
)
def test_a_stream_has_no_place_for_some_keys(
    form: str, more: dict[str, object], expected: str, tmp_path: Path
) -> None:
    table = PIPE["tables"][0] | more
    text = yaml.safe_dump(PIPE | {"source": {"pipe": form}, "tables": [table]})

    assert any(expected in one for one in mistakes(text, tmp_path))


@pytest.mark.parametrize(
    ("source", "other", "refused"),
    [
        ("{sqlite: a.db}", "content", True),
        ("{sqlite: a.db}", "Content", True),
        ("{mysql: {database: a, user: b}}", "CONTENT", True),
        ("{postgresql: dbname=a}", "content", True),
        ("{postgresql: dbname=a}", "Content", False),
        ("{pipe: csv}", "content", True),
        ("{pipe: ndjson}", "content", True),
        ("{pipe: ndjson}", "Content", False),
    ],
)
def test_a_column_is_in_a_table_once(
    source: str, other: str, tmp_path: Path, *, refused: bool
) -> None:
    text = f"""\
version: 1
source: {source}
tables:
  - table: messages
    tenant: const:clinic
    columns:
      - {{column: content, select: $.a}}
      - {{column: {other}, select: $.b}}
"""
    if not refused:
        read(text, tmp_path)
        return
    (told,) = mistakes(text, tmp_path)

    assert told == (
        f"job.yaml:8:9 tables[0].columns[1] the column `{other}` is listed twice:"
        " only one of them is written; write a job for each `select`"
    )


def test_a_stream_has_one_table(tmp_path: Path) -> None:
    text = json.dumps(PIPE | {"tables": PIPE["tables"] * 2})

    assert any("a stream has one table" in one for one in mistakes(text, tmp_path))
    assert read(yaml.safe_dump(PIPE), tmp_path).place == Pipe("csv")


def test_a_file_that_is_not_there_is_reported(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError):
        load(tmp_path / "none.yaml", {})
