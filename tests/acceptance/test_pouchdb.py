"""Devices with PouchDB replicate with an unchanged PouchDB server, and Sealyard between them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers import free_port

from .compared import NODE, NODE_FOLDER, Backend, compared, files_of, keep, needs_node, version
from .conftest import Client, running, sidecar

pytestmark = [pytest.mark.acceptance, needs_node]


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    software = f"PouchDB {version('pouchdb-core')}, express-pouchdb {version('express-pouchdb')}"
    folder, port = tmp_path_factory.mktemp("pouchdb"), free_port()
    command = [NODE, str(NODE_FOLDER / "pouchdb_server.mjs"), str(port)]
    with (
        running(command, port, folder / "pouchdb.log") as server,
        sidecar(folder, "pouchdb.yaml", server.port) as front,
    ):
        assert Client(port).ask("PUT", "/clinic").status == 201
        yield Backend("pouchdb", software, port, front.port, lambda: files_of(folder))


def test_devices_replicate_the_same_and_the_server_has_no_text(backend: Backend) -> None:
    keep(
        compared(backend, "pouchdb.mjs", other=["the server's length and digest of an attachment"])
    )


@pytest.mark.parametrize(
    ("method", "path", "data"),
    [
        ("PUT", "/clinic/a", {"_id": "a", "_attachments": {"scan": {"data": "eA==", "note": "x"}}}),
        ("PUT", "/clinic/a", {"_id": "a", "text": "x"}),
        ("PUT", "/clinic/a/scan.txt", {"content": "x"}),
        ("PUT", "/clinic/_design/one", {"views": {}}),
        ("PUT", "/clinic/_local/a", {"content": "x"}),
        ("POST", "/clinic/_bulk_docs", {"docs": [{"_id": "a", "note": "x"}]}),
        ("POST", "/clinic/_find", {"selector": {"content": "x"}}),
        ("POST", "/clinic/_temp_view", {"map": "x"}),
        ("POST", "/_replicate", {"source": "clinic"}),
        ("PUT", "/other", None),
        ("PUT", "/other/a", {"_id": "a"}),
    ],
)
def test_nothing_passes_by_accident(backend: Backend, method: str, path: str, data: object) -> None:
    answer = Client(backend.through).ask(method, path, data)

    assert answer.header("Sealyard-Error") is not None, answer
