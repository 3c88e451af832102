"""Jobs over HTTP: what is read, and each mistake with its line."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest
import yaml

from proxy.config.schema.json_schema import schema
from proxy.core.errors import ConfigurationError
from proxy.migration.job import model
from proxy.migration.job.collections import (
    CursorPaging,
    HeaderGuard,
    HttpCollection,
    LinkPaging,
    PagePaging,
    ReadGuard,
    Total,
)
from proxy.migration.job.places import Http
from proxy.migration.job.reader import load
from proxy.migration.job.templates import Template
from tests.migration.backend import CONFIG, JOB


def read(text: str, folder: Path, *, old: str = "", new: str = "") -> tuple[Http, HttpCollection]:
    config = CONFIG.format(port=8888, listen=8080)
    assert old in config
    (folder / "sealyard.yaml").write_text(config.replace(old, new) if old else config, "utf-8")
    path = folder / "job.yaml"
    path.write_text(text, "utf-8")
    job = load(path, {})
    assert isinstance(job.place, Http)
    (table,) = job.tables
    assert isinstance(table, HttpCollection)
    return job.place, table


def test_a_job_names_routes_and_the_rules_say_what_is_sealed(tmp_path: Path) -> None:
    http, collection = read(JOB, tmp_path)

    assert http.name == "http:127.0.0.1:8888"
    assert [name for name, _ in http.headers] == ["X-Org", "Authorization"]
    assert collection.labels == (
        "items",
        "items $.content",
        "items $.title",
        "items $.edits[*].text",
        "items elsewhere",
    )
    assert collection.guard == ReadGuard(Template("/items/{id}"), validated=True)
    assert isinstance(collection.paging, CursorPaging)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("{link: Link}", LinkPaging(header="Link")),
        ("{page: p, first: 0}", PagePaging("p", 0)),
        ("{cursor: c, last: id}", CursorPaging("c", None, "id")),
    ],
)
def test_each_kind_of_paging_is_read(written: str, expected: object, tmp_path: Path) -> None:
    text = JOB.replace("{cursor: after, from: $.next}", written)

    assert read(text, tmp_path)[1].paging == expected


@pytest.mark.parametrize(
    ("written", "expected"), [("Total-Objects", Total("Total-Objects")), ("$.total", None)]
)
def test_a_list_says_how_many_elements_it_has(
    written: str, expected: Total | None, tmp_path: Path
) -> None:
    total = read(JOB.replace("    write:", f"    total: {written}\n    write:"), tmp_path)[1].total

    assert total is not None
    assert total == expected or (total.selector is not None and total.selector.text == written)


def test_a_header_of_the_list_is_a_guard(tmp_path: Path) -> None:
    text = JOB.replace("{etag: '/items/{id}'}", "{if_unmodified_since: '{updated}'}")
    _, collection = read(text, tmp_path)

    assert collection.guard == HeaderGuard("If-Unmodified-Since", Template("{updated}"))
    assert "same second" in collection.warnings[0]


def test_a_job_is_valid_by_its_schema() -> None:
    jsonschema.validate(yaml.safe_load(JOB), schema(model.JOB))


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("list: /items", "list: /others", "job.yaml:10:11 collections[0].list no rule of the"),
        ("write: PUT /items/{id}", "write: PUT /others/{id}", "no rule of the configuration"),
        ("write: PUT", "write: GET", "does not begin with PUT or PATCH or POST"),
        ("PUT /items/{id}", "PUT /items/a", "every element has the same address"),
        ("PUT /items/{id}", "PUT /items/{i d}", "`i d` is not the name of a member"),
        ("items: $.items[*]", "items: $.items", "is no list of elements"),
        ("items: $.items[*]", "items: items", "is not a JSON selector"),
        ("from: $.next", "", "a cursor needs one of `from` and `last`"),
        ("from: $.next", "first: 1", "`first` needs `page`"),
        ("{cursor: after, from: $.next}", "{cursor: a, page: b}", "give only one of them"),
        ("{etag: '/items/{id}'}", "{etag: items}", "is not a path as it is sent"),
        ("{etag: '/items/{id}'}", "{if_match: '*'}", "names no member"),
        ("    guard: {etag: '/items/{id}'}\n", "", "lacks the key `guard`"),
        ("X-Org: clinic", "If-Match: clinic", "`If-Match` is not a header that a job may set"),
        ("{env: CLINIC_AUTHORIZATION}", "Basic canary", "a secret must not be written in the"),
        ("config: sealyard.yaml", "config: none.yaml", "none.yaml"),
        ("    headers:", "    listener: other\n    headers:", "`other` is unknown"),
        ("    write:", "    body: $.data[0]\n    write:", "is not one place"),
        ("    write:", "    total: a b\n    write:", "is neither a header nor a selector"),
        ("    write:", "    total: $.[\n    write:", "is not a selector"),
        ("    write:", "    type: text/plain\n    write:", "is not a type of JSON"),
        ("    write:", "    members: [content]\n    write:", "leave `$.title` out"),
        ("    write:", "    without: content\n    write:", "leave `$.content` out"),
        ("    write:", "    members: a\n    without: b\n    write:", "delete one"),
    ],
)
def test_a_mistake_is_reported_with_its_place(
    old: str, new: str, expected: str, tmp_path: Path
) -> None:
    assert old in JOB
    with pytest.raises(ConfigurationError) as refused:
        read(JOB.replace(old, new), tmp_path)

    said = "\n".join(refused.value.problems)
    assert expected in said
    assert "canary" not in said


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("- $.content", "- $.content\n            - header:X-Note", "seals more than JSON values"),
        ("mode: durable", "mode: ephemeral, accept_loss: true", "sealyard.yaml:5:"),
        ("upstream: http://127.0.0.1:8888", "upstream: original-port", "sealyard.yaml:9:"),
        ("unmatched: pass", "unmatched: fail", "sealyard.yaml:10:"),
    ],
)
def test_what_the_configuration_does_not_allow_is_reported_with_both_places(
    old: str, new: str, expected: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError) as refused:
        read(JOB, tmp_path, old=old, new=new)

    assert expected in "\n".join(refused.value.problems)


@pytest.mark.parametrize("kind", ["tables", "collections"])
def test_tables_are_of_databases_and_collections_of_backends(kind: str, tmp_path: Path) -> None:
    tables = "tables:\n  - table: a\n    columns: [{column: b}]\n"
    text = (
        JOB.partition("collections:")[0] + tables
        if kind == "tables"
        else "version: 1\nsource: {sqlite: a.db}\ncollections" + JOB.partition("collections")[2]
    )
    with pytest.raises(ConfigurationError) as refused:
        read(text, tmp_path)

    assert "`collections` are of `http`" in "\n".join(refused.value.problems)
