"""Sealyard in front of an unchanged Parse Server with PostgreSQL, its own SDK, and LiveQuery."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from tests.servers import free_port

from .compared import NODE, NODE_FOLDER, Backend, compared, files_of, keep, needs_node, version
from .conftest import Client, running, sidecar

_PROGRAMS: Final = sorted(Path("/usr/lib/postgresql").glob("*/bin"))

pytestmark = [
    pytest.mark.acceptance,
    needs_node,
    pytest.mark.skipif(
        not _PROGRAMS, reason="no PostgreSQL: install the package postgresql (.ci/run does as root)"
    ),
]


@dataclass(frozen=True)
class Database:
    """A PostgreSQL that runs: its URI and its files."""

    uri: str
    files: Path


@contextmanager
def postgresql(folder: Path) -> Iterator[Database]:
    """Run a PostgreSQL that logs every statement, with its log in a folder.

    It refuses to run as root: then it runs as the user of its package, in a folder of that user.
    """
    programs, port = _PROGRAMS[-1], free_port()
    with tempfile.TemporaryDirectory(prefix="sealyard-postgresql-") as data:
        become = []
        if os.geteuid() == 0:
            shutil.chown(data, "postgres", "postgres")
            become = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"]
        initdb = [*become, str(programs / "initdb"), "--pgdata", data, "--auth=trust", "--no-sync"]
        more = ["--username=parse", "--locale=C", "--encoding=UTF8"]
        subprocess.run([*initdb, *more], check=True, capture_output=True, cwd="/")
        command = [*become, str(programs / "postgres"), "-D", data, "-p", str(port)]
        for one in ("log_statement=all", "unix_socket_directories=", "listen_addresses=127.0.0.1"):
            command += ["-c", one]
        with running(command, port, folder / "postgresql.log"):
            uri = f"postgres://parse@127.0.0.1:{port}/postgres"
            yield Database(uri, Path(data))


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
    keep(compared(backend, "parse.mjs", other=["search in a sealed field"]))


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
