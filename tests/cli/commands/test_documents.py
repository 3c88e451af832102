from __future__ import annotations

import json

import pytest

from ..conftest import Run


def test_the_schema_is_json_schema(run: Run) -> None:
    assert json.loads(run("show", "schema").stdout)["$schema"].startswith(
        "https://json-schema.org/"
    )


def test_the_compact_schema_is_one_line(run: Run) -> None:
    compact = run("show", "schema", "--compact").stdout

    assert compact.count("\n") == 1
    assert json.loads(compact) == json.loads(run("show", "schema").stdout)


@pytest.mark.parametrize(
    ("option", "title"),
    [("--job", "Sealyard migration job"), ("--cases", "Sealyard rule cases")],
)
def test_other_files_have_schemas_too(option: str, title: str, run: Run) -> None:
    assert json.loads(run("show", "schema", option).stdout)["title"] == title
