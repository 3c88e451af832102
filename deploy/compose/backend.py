"""A message backend without any change for Sealyard: `backend.py PORT FILE [ADDRESS]`.

POST /api/messages keeps a message, GET /api/conversations/{id}/messages lists those of one
conversation. FILE holds what it was sent, one message a line.
"""

from __future__ import annotations

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

MOST_BYTES = 1_000_000


class Backend(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    file = Path()

    def do_POST(self) -> None:
        """Keep a message."""
        length = int(self.headers.get("Content-Length", 0))
        if self.path != "/api/messages" or length > MOST_BYTES:
            self._answer(404, {})
            return
        message = json.loads(self.rfile.read(length))
        with self.file.open("a") as file:
            file.write(json.dumps(message) + "\n")
        self._answer(201, message)

    def do_GET(self) -> None:
        """List the messages of one conversation."""
        _, _, _, conversation, *rest = f"{self.path}////".split("/")
        if not self.path.startswith("/api/conversations/") or rest[0] != "messages":
            self._answer(404, {})
            return
        lines = self.file.read_text().splitlines() if self.file.exists() else []
        rows = [json.loads(line) for line in lines]
        self._answer(200, [one for one in rows if one.get("conversationId") == conversation])

    def _answer(self, status: int, value: Any) -> None:  # noqa: ANN401 - JSON
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    Backend.file = Path(sys.argv[2])
    address = sys.argv[3] if sys.argv[3:] else "0.0.0.0"  # noqa: S104 - in a container of its own
    ThreadingHTTPServer((address, int(sys.argv[1])), Backend).serve_forever()
