"""A real HTTP server that a test answers for, and what it was asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True)
class Asked:
    """A request: the names of its headers in small letters, its body as it came."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes

    def json(self) -> dict[str, Any]:
        """Return its body as JSON."""
        found: dict[str, Any] = json.loads(self.body)
        return found

    def form(self) -> dict[str, str]:
        """Return its body as a form whose names come once."""
        return {name: value for name, (value,) in parse_qs(self.body.decode()).items()}


class Refused(Exception):
    """The status and the JSON that the service answers with."""

    def __init__(self, status: int, found: object) -> None:
        super().__init__(status, found)
        self.status, self.found = status, found


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # its end waits for them, and so for their sockets

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of clients that leave: some answers are too long to be read."""


@contextmanager
def served(answer: Callable[[Asked], object]) -> Iterator[tuple[str, list[Asked]]]:
    """Serve on 127.0.0.1; give the URL and the list of requests. JSON is answered, bytes as is."""
    asked: list[Asked] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            size = int(self.headers.get("Content-Length", 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            query = parse_qs(parts.query)
            one = Asked(self.command, parts.path, query, headers, self.rfile.read(size))
            asked.append(one)
            status = 200
            try:
                found = answer(one)
            except Refused as refused:
                status, found = refused.status, refused.found
            body = found if isinstance(found, bytes) else json.dumps(found).encode()
            self.send_response(status)
            self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815 - the base class names it

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - see above
            """Say nothing."""

    server = _Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
    finally:
        server.shutdown()
        server.server_close()
