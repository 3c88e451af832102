"""A small message service that keeps its rows in a database and searches them with `LIKE`."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qs, quote, urlsplit

import psycopg

from tests.servers import free_port

Row = tuple[int, str]


class Store(Protocol):
    """The rows of all rooms."""

    def close(self) -> None: ...

    def add(self, room: str, rows: Sequence[Row]) -> None: ...

    def find(self, room: str, text: str, after: int, limit: int) -> tuple[list[Row], int]:
        """Return rows that contain a text behind an id, and how many there are in all."""


class Sqlite:
    """Rows in SQLite, searched by LIKE."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._database = sqlite3.connect(path, check_same_thread=False)
        self._database.execute(
            "CREATE TABLE messages (room TEXT, id INTEGER PRIMARY KEY, content TEXT)"
        )

    def close(self) -> None:
        self._database.close()

    def add(self, room: str, rows: Sequence[Row]) -> None:
        with self._lock, self._database as database:
            database.executemany(
                "INSERT INTO messages VALUES (?, ?, ?)", [(room, *row) for row in rows]
            )

    def find(self, room: str, text: str, after: int, limit: int) -> tuple[list[Row], int]:
        where = "FROM messages WHERE room = ? AND content LIKE '%' || ? || '%'"
        with self._lock:
            (total,) = self._database.execute(f"SELECT count(*) {where}", (room, text)).fetchone()
            rows = self._database.execute(
                f"SELECT id, content {where} AND id > ? ORDER BY id LIMIT ?",
                (room, text, after, limit),
            )
            return rows.fetchall(), total


class Postgresql:
    """Rows in PostgreSQL, searched by ILIKE, with or without an index by trigrams."""

    def __init__(self, uri: str, *, trigrams: bool) -> None:
        self._lock = threading.Lock()
        self._database = psycopg.connect(uri, autocommit=True)
        create = "CREATE TABLE messages (room TEXT, id INTEGER PRIMARY KEY, content TEXT)"
        self._database.execute(create)
        if trigrams:
            self._database.execute("CREATE EXTENSION pg_trgm")
            self._database.execute("CREATE INDEX ON messages USING gin (content gin_trgm_ops)")

    def close(self) -> None:
        self._database.close()

    def add(self, room: str, rows: Sequence[Row]) -> None:
        with self._lock, self._database.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO messages VALUES (%s, %s, %s)", [(room, *row) for row in rows]
            )

    def find(self, room: str, text: str, after: int, limit: int) -> tuple[list[Row], int]:
        where = "FROM messages WHERE room = %s AND content ILIKE '%%' || %s || '%%'"
        with self._lock, self._database.cursor() as cursor:
            (total,) = cursor.execute(f"SELECT count(*) {where}", (room, text)).fetchone() or (0,)
            cursor.execute(
                f"SELECT id, content {where} AND id > %s ORDER BY id LIMIT %s",
                (room, text, after, limit),
            )
            return cursor.fetchall(), total


@contextmanager
def served(store: Store) -> Iterator[tuple[int, list[str]]]:
    """Serve rows at `/rooms/ROOM/messages`; yield the port and the targets that were asked for."""
    port, targets = free_port(), list[str]()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 1 << 16  # head and body in one piece: two wait for each other

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            rows = [(one["id"], one["content"]) for one in body["messages"]]
            store.add(self.path.split("/")[2], rows)
            self._answer({"added": len(rows)})

        def do_GET(self) -> None:
            targets.append(self.path)
            parts = urlsplit(self.path)
            asked = {name: found[0] for name, found in parse_qs(parts.query).items()}
            text, limit = asked.get("q", ""), int(asked.get("limit", "100"))
            room = parts.path.split("/")[2]
            rows, total = store.find(room, text, int(asked.get("after", "0")), limit)
            data = [{"id": number, "content": content} for number, content in rows]
            answer: dict[str, Any] = {"data": data, "total": total, "next": None}
            if len(rows) == limit:
                more = f"after={rows[-1][0]}&limit={limit}"
                more += f"&q={quote(text)}" if text else ""
                answer["next"] = f"{parts.path}?{more}"
            self._answer(answer)

        def _answer(self, value: object) -> None:
            text = json.dumps(value).encode()
            self.send_response(200)
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
        yield port, targets
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
