"""Values in the equal form, in databases that compare them: `=`, UNIQUE and JOIN."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import psycopg
import pytest

from tests.migration.servers import needs_postgresql, postgresql
from tests.servers import free_port

from .conftest import PASSPHRASE, ROOT, running
from .test_search import Reader

pytestmark = pytest.mark.acceptance

CONFIG = """\
version: 1
keys: {keyring: {file: keyring.jwe, passphrase: {env: SEALYARD_PASSPHRASE}}}
fields: {email: {form: equal, bind: [tenant, field], accept_leakage: true, max_chars: 100}}
listeners:
  - name: api
    listen: 127.0.0.1:PORT
    upstream: http://127.0.0.1:UPSTREAM
    unmatched: reject
    defaults: {tenant: const:clinic, conversation: const:all}
    rules:
      - name: add
        match: POST /{table}
        request: {plain: [$.id], encrypt: $.email}
      - name: find
        match: GET /users
        request: {encrypt: ['query:email']}
        response: {decrypt: '$.*.email'}
      - name: join
        match: GET /bought
        response: {decrypt: '$.*.email'}
"""
JOB = """\
version: 1
source: SOURCE
tables:
  - {table: users, tenant: const:clinic, columns: [COLUMN]}
  - {table: orders, tenant: const:clinic, columns: [COLUMN]}
""".replace("COLUMN", "{column: email, form: equal, bind: [tenant, field]}")
SCHEMA = (
    "CREATE TABLE users (id INTEGER PRIMARY KEY, email VARCHAR(100) UNIQUE)",
    "CREATE TABLE orders (id INTEGER PRIMARY KEY, email VARCHAR(100))",
)
INSERT = {
    "/users": "INSERT INTO users VALUES (?, ?)",
    "/orders": "INSERT INTO orders VALUES (?, ?)",
}
JOIN = "SELECT o.id, u.email FROM orders o JOIN users u ON u.email = o.email ORDER BY o.id"
Run = Callable[[str, Sequence[object]], list[tuple[Any, ...]]]


@dataclass
class Database:
    """A database: how a statement runs, its jobs' source, and what it raises for a double."""

    run: Run
    source: str
    double: type[Exception]


@contextmanager
def in_sqlite(folder: Path) -> Iterator[Database]:
    file, lock = folder / "db.sqlite3", threading.Lock()
    with closing(
        sqlite3.connect(file, check_same_thread=False, isolation_level=None)
    ) as connection:

        def run(statement: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
            with lock:
                return connection.execute(statement, values).fetchall()

        yield Database(run, f"{{sqlite: {file}}}", sqlite3.IntegrityError)


@contextmanager
def in_postgresql(_: Path) -> Iterator[Database]:
    lock = threading.Lock()
    with postgresql() as (port, _):
        uri = f"postgres://clinic@127.0.0.1:{port}/postgres"
        with psycopg.connect(uri, autocommit=True) as connection:

            def run(statement: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
                with lock:
                    done = connection.execute(statement.replace("?", "%s"), values)
                    return done.fetchall() if done.description else []

            yield Database(run, f"{{postgresql: '{uri}'}}", psycopg.errors.UniqueViolation)


@contextmanager
def served(database: Database) -> Iterator[int]:
    port = free_port()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 1 << 16  # head and body in one piece: two wait for each other

        def do_POST(self) -> None:
            one = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            try:
                database.run(INSERT[self.path], (one["id"], one["email"]))
            except database.double:
                self._answer(409, {})
            else:
                self._answer(201, {})

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            statement, values = JOIN, []
            if parts.path == "/users":
                statement = "SELECT id, email FROM users WHERE email = ?"
                values = parse_qs(parts.query)["email"]
            rows = database.run(statement, values)
            self._answer(200, [{"id": number, "email": email} for number, email in rows])

        def _answer(self, status: int, value: object) -> None:
            text = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None:
            """Write nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Sealyard:
    """The commands of Sealyard, and its process, in one folder."""

    def __init__(self, folder: Path, upstream: int) -> None:
        self._folder, self._port = folder, free_port()
        text = CONFIG.replace("PORT", str(self._port)).replace("UPSTREAM", str(upstream))
        (folder / "sealyard.yaml").write_text(text)
        self._environment = {"SEALYARD_PASSPHRASE": PASSPHRASE, "PYTHONPATH": str(ROOT)}

    def command(self, *words: str, status: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "proxy", *words],
            env={**os.environ, **self._environment},
            cwd=self._folder,
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout + done.stderr

    @contextmanager
    def reader(self) -> Iterator[Reader]:
        file = self._folder / "sealyard.yaml"
        serve = [sys.executable, "-P", "-m", "proxy", "serve", "--config", str(file)]
        log = self._folder / "sealyard.log"
        with (
            running(serve, self._port, log, **self._environment) as process,
            closing(Reader(process.port)) as reader,
        ):
            yield reader


def add(reader: Reader, table: str, number: int, email: str) -> int:
    return reader.answer("POST", f"/{table}", {"id": number, "email": email})[0]


def got(reader: Reader, target: str) -> object:
    status, _, text = reader.answer("GET", target)
    return status, json.loads(text)


def found(reader: Reader, email: str) -> object:
    return got(reader, f"/users?email={quote(email)}")


def email(number: int) -> str:
    return f"ann.{number}@example.com"


def compared(folder: Path, database: Database) -> None:
    for statement in SCHEMA:
        database.run(statement, ())
    with served(database) as upstream:
        front = Sealyard(folder, upstream)
        (folder / "job.yaml").write_text(JOB.replace("SOURCE", database.source))
        for words in ("init", "rotate-index", "rotate-index"):
            front.command("keys", words)
        joined = [{"id": at, "email": email(at % 20)} for at in range(40)]
        with front.reader() as reader:
            assert {add(reader, "users", at, email(at)) for at in range(20)} == {201}
            assert add(reader, "users", 99, email(7)) == 409
            for at in range(40):
                assert add(reader, "orders", at, email(at % 20)) == 201
            for at in range(20):
                assert found(reader, email(at)) == (200, [{"id": at, "email": email(at)}])
            assert found(reader, email(20)) == (200, [])
            assert got(reader, "/bought") == (200, joined)
        for _ in range(2):  # no process runs: all have turned
            front.command("keys", "rotate-index", "--turn")
        with front.reader() as reader:
            assert add(reader, "users", 20, email(20)) == 201
            assert add(reader, "users", 98, email(7)) == 201  # UNIQUE holds for one generation
            assert "'status': 503" in str(found(reader, email(20)))
            drop = ("keys", "rotate-index", "--drop", "--yes")
            assert "nothing was proven" in front.command(*drop, status=1)
            told = front.command("migrate", "verify", "job.yaml", "--report", "early.jws", status=1)
            assert "untagged" in told
            assert "60 values" not in front.command(*drop, "--report", "early.jws", status=1)
            # What became a double in between is told and left, for an operator to mend.
            assert "refused" in front.command("migrate", "index", "job.yaml", status=1)
            database.run("DELETE FROM users WHERE id = ?", (98,))
            front.command("migrate", "index", "job.yaml")
            front.command("migrate", "verify", "job.yaml", "--report", "proof.jws")
            assert got(reader, "/bought") == (200, joined)
        front.command(*drop, "--report", "proof.jws")
        with front.reader() as reader:
            assert add(reader, "users", 97, email(7)) == 409
            for at in range(21):
                assert found(reader, email(at)) == (200, [{"id": at, "email": email(at)}])
            assert got(reader, "/bought") == (200, joined)
    stored = database.run("SELECT email FROM users UNION ALL SELECT email FROM orders", ())
    assert {one[:8] for (one,) in stored} == {"sy1.CAAC"}  # of generation 2
    assert b"ann.1@" not in b"".join(one.read_bytes() for one in folder.rglob("*") if one.is_file())


def test_sqlite_compares_what_is_sealed(tmp_path: Path) -> None:
    with in_sqlite(tmp_path) as database:
        compared(tmp_path, database)


@needs_postgresql
def test_postgresql_compares_what_is_sealed(tmp_path: Path) -> None:
    with in_postgresql(tmp_path) as database:
        compared(tmp_path, database)
