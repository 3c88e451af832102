"""Backends of records that one client flow is run before: how each starts, and what it costs.

`backends_node/flow.mjs` has the flow, and a script beside it what is particular to the client.
"""

from __future__ import annotations

import json
import sqlite3
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.servers import free_port

from .compared import NODE, NODE_FOLDER, files_of, python_version, version
from .conftest import ROOT, Client, running
from .postgres import postgresql

Door = tuple[str, str, object]
"""A method, a path and the JSON of a body that must not reach the backend."""

SEARCH, FILTER, ORDER = (f"{one} a sealed field" for one in ("search in", "filter by", "order by"))
UNIQUE = "unique sealed field"


@dataclass(frozen=True)
class Running:
    """A backend that runs: its port, and what it keeps on disk by the place.

    `headers` let a client in. `copy` writes the stored text of one record over that of another, by
    the ids of both, behind the back of the backend.
    """

    port: int
    kept: Callable[[], Mapping[str, bytes]]
    copy: Callable[[object, object], None]
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Flow:
    """A backend, its client, and what is told otherwise with Sealyard than without it.

    `software` names both with their versions. `costs` has what the client is told by Sealyard for
    each check that differs. `doors` are other ways to what is sealed. `records` is the path of the
    records of the API, `record` that of one; `text` is the member with the sealed text, `room` that
    of the conversation.
    """

    software: Callable[[], str]
    start: Callable[[Path], AbstractContextManager[Running]]
    costs: Mapping[str, Any]
    doors: tuple[Door, ...]
    records: str
    record: str
    text: str = "content"
    room: str = "room"
    within: tuple[str, ...] = ()
    """Where a record is in the answer of one."""
    needs: Path = NODE_FOLDER / "node_modules"
    """What must be installed."""


@contextmanager
def json_server(folder: Path) -> Iterator[Running]:
    """Run json-server on a file."""
    port, file = free_port(), folder / "db.json"
    file.write_text(json.dumps({"messages": []}))
    program = NODE_FOLDER / "node_modules" / "json-server" / "lib" / "cli" / "bin.js"
    command = [NODE, str(program), "--host", "127.0.0.1", "--port", str(port), str(file)]

    def copy(source: object, target: object) -> None:
        client = Client(port)  # it has no other store than its own memory
        text = client.ask("GET", f"/messages/{source}").json["content"]
        assert client.ask("PATCH", f"/messages/{target}", {"content": text}).status == 200

    with running(command, port, folder / "json-server.log"):
        yield Running(port, lambda: files_of(folder), copy, {})


DJANGO: Final = ROOT / ".venv-django"


@contextmanager
def django(folder: Path) -> Iterator[Running]:
    """Run Django's own server, which logs each statement of SQL."""
    port, database = free_port(), folder / "db.sqlite3"
    command = [str(DJANGO / "bin" / "python"), "-P", str(Path(__file__).parent / "django_app.py")]
    command.append(str(folder))
    subprocess.run([*command, "prepare"], check=True, capture_output=True)

    def copy(source: object, target: object) -> None:
        with closing(sqlite3.connect(database)) as connection, connection:
            connection.execute(
                "UPDATE message SET text = (SELECT text FROM message WHERE id = ?) WHERE id = ?",
                (source, target),
            )

    serve = [*command, "runserver", "--noreload", f"127.0.0.1:{port}"]
    with running(serve, port, folder / "django.log"):
        account = {"username": "ada", "password": "password-of-ada"}
        token = Client(port).ask("POST", "/api/token/", account).json["access"]
        yield Running(port, lambda: files_of(folder), copy, {"Authorization": f"Bearer {token}"})


@contextmanager
def with_postgresql(folder: Path, script: str) -> Iterator[Running]:
    """Run a server of `backends_node` on a table of PostgreSQL, which logs each statement."""
    port = free_port()
    with postgresql(folder) as database:

        def copy(source: object, target: object) -> None:
            database.copy("messages", "text", source, target)

        command = [NODE, str(NODE_FOLDER / script), str(port), database.uri]
        with running(command, port, folder / f"{script}.log"):
            yield Running(port, lambda: files_of(folder, database.files), copy, {})


FLOWS: Final[Mapping[str, Flow]] = {
    "json-server.yaml": Flow(
        software=lambda: f"json-server {version('json-server')}",
        start=json_server,
        costs=dict.fromkeys((SEARCH, FILTER, ORDER), 400),
        doors=(
            ("GET", "/db", None),
            ("GET", "/messages?q=x", None),
            ("GET", "/messages?content=x", None),
            ("GET", "/messages?content_like=x", None),
            ("GET", "/messages?callback=x", None),
            ("GET", "/rooms/one/messages", None),
            ("POST", "/rooms/one/messages", {"content": "x"}),
            ("POST", "/messages", [{"room": "one", "content": "x"}]),
            ("POST", "/messages", {"room": "one", "content": "x", "note": "x"}),
            ("PATCH", "/messages/1", {"content": "x", "author": "x"}),
            ("POST", "/other", {"content": "x"}),
            ("POST", "/db", {"content": "x"}),
        ),
        records="/messages",
        record="/messages/{}",
    ),
    "django.yaml": Flow(
        software=lambda: (
            f"Django {python_version('.venv-django', 'django')}, REST framework"
            f" {python_version('.venv-django', 'djangorestframework')}"
        ),
        start=django,
        costs={**dict.fromkeys((SEARCH, FILTER, ORDER), 400), UNIQUE: 2},
        doors=(
            ("GET", "/admin/", None),
            ("GET", "/admin/login/", None),
            ("GET", "/api/messages/?search=x", None),
            ("GET", "/api/messages/?text=x", None),
            ("GET", "/api/messages/?format=api", None),
            ("GET", "/media/one", None),
            ("POST", "/api/messages", {"room": "one", "text": "x"}),
            ("POST", "/api/messages/", {"room": "one", "text": "x", "note": "x"}),
            ("POST", "/api/messages/", [{"room": "one", "text": "x"}]),
            ("PATCH", "/api/messages/1/", {"text": "x", "scan": "x"}),
            ("POST", "/api/other/", {"text": "x"}),
        ),
        records="/api/messages/",
        record="/api/messages/{}/",
        text="text",
        needs=DJANGO,
    ),
    "feathers.yaml": Flow(
        software=lambda: f"FeathersJS {version('@feathersjs/feathers')}, its client",
        start=lambda folder: with_postgresql(folder, "feathers_server.mjs"),
        costs={**dict.fromkeys((SEARCH, FILTER, ORDER), 400), UNIQUE: 2},
        doors=(
            ("GET", "/messages?text=x", None),
            ("GET", "/messages?text[$like]=x", None),
            ("GET", "/messages?$or[0][text]=x", None),
            ("GET", "/messages?$sort[text]=1", None),
            ("POST", "/messages", {"room": "one", "text": "x", "note": "x"}),
            ("POST", "/messages", [[{"room": "one", "text": "x"}]]),
            ("PATCH", "/messages", {"text": "x"}),
            ("PATCH", "/messages/1", {"text": "x", "room": "two"}),
            ("DELETE", "/messages", None),
            ("POST", "/other", {"text": "x"}),
        ),
        records="/messages",
        record="/messages/{}",
        text="text",
    ),
}
"""Each flow by the name of its example."""
