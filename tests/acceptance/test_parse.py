"""Sealyard in front of an unchanged Parse Server with PostgreSQL, its own SDK, and LiveQuery."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers import free_port

from .compared import NODE, NODE_FOLDER, Backend, compared, files_of, keep, needs_node, version
from .conftest import Client, running, sidecar
from .postgres import needs_postgresql, postgresql

pytestmark = [
    pytest.mark.acceptance,
    needs_node,
    needs_postgresql,
]
REFUSED = 100
"""The SDK's code for an answer that is none of Parse Server's."""


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    software = f"Parse Server {version('parse-server')}, its SDK {version('parse')}"
    folder, port = tmp_path_factory.mktemp("parse"), free_port()
    with postgresql(folder) as database:
        command = [NODE, str(NODE_FOLDER / "parse_server.mjs"), str(port), database.uri]
        with (
            running(command, port, folder / "parse.log"),
            sidecar(folder, "parse.yaml", port) as front,
        ):
            kept = (folder, database.files)
            yield Backend("parse", software, port, front.port, lambda: files_of(*kept))


def test_its_sdk_is_told_the_same_and_its_database_has_no_text(backend: Backend) -> None:
    other = {"an ACL that names a user": REFUSED, "search in a sealed field": REFUSED}
    keep(compared(backend, "parse.mjs", other=other))


@pytest.mark.parametrize(
    ("method", "path", "data"),
    [
        ("POST", "/parse/classes/Other", {"content": "x"}),
        ("POST", "/parse/classes/Message", {"text": "x"}),
        ("POST", "/parse/classes/Message", {"where": {"content": "x"}, "_method": "GET"}),
        (
            "POST",
            "/parse/classes/Message",
            {"where": {"$or": [{"content": {"$regex": "x"}}]}, "_method": "GET"},
        ),
        ("PUT", "/parse/classes/Message/0123456789", {"content": "x"}),
        ("GET", "/parse/classes/Message?where=%7B%22content%22%3A%22x%22%7D", None),
        ("POST", "/parse/batch", {"requests": [{"method": "POST", "body": {"text": "x"}}]}),
        ("POST", "/parse/files/scan.txt", {"base64": "eA=="}),
        ("POST", "/parse/functions/say", {"content": "x"}),
        ("POST", "/parse/graphql", {"query": "x"}),
        ("POST", "/parse/schemas/Message", {}),
    ],
)
def test_nothing_passes_by_accident(backend: Backend, method: str, path: str, data: object) -> None:
    answer = Client(backend.through).ask(method, path, data)

    assert answer.header("Sealyard-Error") is not None, answer
