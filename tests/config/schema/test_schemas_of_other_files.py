"""What the JSON Schema of jobs and cases refuses, their readers refuse, and the other way round.

What only a reader refuses is on a list, as for the configuration.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

import jsonschema
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.cli.support.rule_cases import CASES
from proxy.config.declared.section import Section
from proxy.config.schema.json_schema import schema
from proxy.config.yaml.composer import compose
from proxy.config.yaml.nodes import Place, Problems
from proxy.core.errors import ConfigurationError
from proxy.migration.job.model import JOB
from tests.config.builders import ROOT
from tests.config.documents import documents

TABLE: Final[dict[str, Any]] = {
    "table": "messages",
    "key": ["org", "id"],
    "where": "deleted = 0",
    "batch": 100,
    "header": "id",
    "tenant": "column:org",
    "conversation": {"members": ["column:a", ["column:b", "const:x"]]},
    "message": "sql:lower(id)",
    "purpose": "chat",
    "columns": [
        {
            "column": "content",
            "select": "$.a",
            "field": "body",
            "form": "short",
            "max_chars": 255,
            "tenant": ["column:org"],
            "bind": ["tenant", "field"],
            "former": [{"tenant": "const:old", "field": "text", "bind": ["tenant"]}],
            "lookalikes": "seal",
        }
    ],
}
COLLECTION: Final[dict[str, Any]] = {
    "collection": "items",
    "list": "/items?sort=id",
    "items": "$.items[*]",
    "next": {"cursor": "after", "from": "$.next"},
    "total": "X-Total-Count",
    "write": "PUT /items/{id}",
    "body": "$.data",
    "members": ["content"],
    "type": "application/json",
    "guard": {"etag": "/items/{id}"},
    "lookalikes": "leave",
}
SOURCES: Final[tuple[dict[str, Any], ...]] = (
    {"pipe": "csv"},
    {"sqlite": "a.db"},
    {"postgresql": "dbname=clinic", "password": {"env": "P"}},
    {
        "mysql": {
            "database": "clinic",
            "user": "sealyard",
            "host": "db",
            "port": 3306,
            "socket": "s",
            "ca": "ca.pem",
        },
        "password": {"file": "p"},
    },
)
HTTP: Final[dict[str, Any]] = {
    "http": {
        "config": "sealyard.yaml",
        "listener": "api",
        "headers": {"X-Org": "clinic", "Authorization": {"env": "A"}},
    }
}
CASE: Final[dict[str, Any]] = {
    "name": "a chat",
    "listener": "api",
    "request": "WS /chat",
    "headers": {"X-Note": "a", "X-Number": 1},
    "body": {"a": [1.5, None]},
    "response": {"status": 200, "headers": {"a": "b"}, "body": "x"},
    "messages": [{"send": {"text": "a"}, "expect": {"$.text": "sealed"}, "refused": "x"}],
    "expect": {
        "rule": "chat",
        "refused": "invalid-body",
        "request": {"$.a": "sealed"},
        "response": {"$.a": "opened"},
        "backend": {},
        "client": "x",
    },
}
FILES: Final[tuple[tuple[Section[Any], dict[str, Any]], ...]] = (
    *((JOB, {"version": 1, "source": one, "tables": [TABLE]}) for one in SOURCES),
    (JOB, {"version": 1, "source": HTTP, "collections": [COLLECTION]}),
    *(
        (
            JOB,
            {
                "version": 1,
                "source": HTTP,
                "collections": [
                    {**COLLECTION, "next": {"page": "p", "first": 0}, "guard": {name: "/{id}"}}
                ],
            },
        )
        for name in ("if_match", "if_unmodified_since", "compare")
    ),
    (CASES, {"config": "sealyard.yaml", "cases": [CASE]}),
)
VALIDATORS: Final = {
    one.name: jsonschema.Draft202012Validator(schema(one, one.title)) for one in (JOB, CASES)
}
KNOWN_TO_READERS_ALONE: Final = {
    # The small languages, of which each has its own parser.
    r"is not a selector|is not supported|are not supported": "a selector",
    r"is no list of elements|is not one place": "what a selector selects",
    r"is not a path as it is sent|is not the name of a member": "a path, and variables in it",
    r"names no member|a write has no query": "variables of a template",
    r"is not a type of JSON": "a media type",
    r"is not the value of a header|is not a header that a job may set": "a header",
    r"a secret must not be written": "the name of a header says whether it holds a credential",
    r"is not a reference": "`${`, which begins a variable of the environment",
    # Between keys.
    r"is listed twice|`members` says already": "other elements",
    r"binds `.*`, which is not given": "a bind, and names around it",
    r"a cursor needs one of": "a cursor, which alone has one of two keys",
    r"are for WebSockets": "messages, and the method of the request",
}
"""By a part of the message: why a reader alone can tell."""


def problems_of(root: Section[Any], document: dict[str, Any]) -> list[str]:
    """Return the mistakes that the reader of a file finds."""
    problems = Problems("file")
    node = compose(json.dumps(document, ensure_ascii=False), {}, problems)
    if node is not None:
        root.read(Place(node, ""), problems)
    try:
        problems.raise_if_any()
    except ConfigurationError as error:
        return [*error.problems]
    return []


@pytest.mark.parametrize(("root", "entire"), FILES)
def test_the_entire_documents_are_valid_to_both(root: Section[Any], entire: dict[str, Any]) -> None:
    assert [one.message for one in VALIDATORS[root.name].iter_errors(entire)] == []
    assert problems_of(root, entire) == []


@pytest.mark.parametrize(
    "path",
    sorted((ROOT / "config" / "examples" / "cases").glob("*.yaml")),
    ids=lambda one: one.name,
)
def test_the_cases_of_the_examples_are_valid(path: Path) -> None:
    document = yaml.safe_load(path.read_text("utf-8"))

    assert [one.message for one in VALIDATORS["cases"].iter_errors(document)] == []


@given(st.data())
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_schema_and_reader_agree(data: st.DataObject) -> None:
    root, entire = data.draw(st.sampled_from(FILES))
    document = data.draw(documents(root, entire))
    complaints = [one.message for one in VALIDATORS[root.name].iter_errors(document)]
    problems = problems_of(root, document)

    if complaints:
        assert problems, complaints
    else:
        unlisted = [one for one in problems if not _only_readers_know(one)]
        assert unlisted == []


def _only_readers_know(problem: str) -> bool:
    return any(re.search(told, problem) for told in KNOWN_TO_READERS_ALONE)
