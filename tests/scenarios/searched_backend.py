"""A backend that tells all that backends tell of what they have found: counts, cursors, validators.

It runs as a process of its own (`tests.servers.module`): messages of rooms, found by a text that
they contain. `GET /seen` returns what it keeps, and what it was asked.
"""

from __future__ import annotations

import hashlib
import json
import sys
import threading
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import parse_qs, quote, urlsplit

ROOMS: Final[dict[str, list[dict[str, Any]]]] = defaultdict(list)
ASKED: Final[list[str]] = []


class Handler(BaseHTTPRequestHandler):
    """Answers `/KIND/ROOM/messages`: rooms are the same for every kind."""

    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16  # head and body in one piece: two wait for each other

    def do_POST(self) -> None:
        """Keep a message; the token of the member that it names as `broken` is damaged."""
        made = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if broken := made.pop("broken", ""):
            token, mark, tags = made[broken].partition("~")
            made[broken] = f"{token[:-8]}AAAAAAAA{mark}{tags}"
        ROOMS[self.path.split("/")[2]].append(made)
        self._answer({})

    def do_GET(self) -> None:
        """Find messages behind an id, with as many headers as there are to tell of them."""
        if self.path == "/seen":
            self._answer({"rooms": ROOMS, "asked": ASKED})
            return
        ASKED.append(f"{self.command} {self.path}\n{self.headers}")
        parts = urlsplit(self.path)
        asked = {name: found[0] for name, found in parse_qs(parts.query).items()}
        text, limit, after = asked.get("q", ""), int(asked["limit"]), int(asked.get("after", "0"))
        found = [one for one in ROOMS[parts.path.split("/")[2]] if text in one["content"]]
        page = [one for one in found if one["id"] > after][:limit]
        link = None
        if len(page) == limit:
            link = f"{parts.path}?q={quote(text)}&limit={limit}&after={page[-1]['id']}"
        answer = {"data": page, "total": len(found), "page": {"found": len(found)}, "next": link}
        content = json.dumps(answer).encode()
        headers = {
            # Express begins a tag with the length of the body.
            "ETag": f'W/"{len(content):x}-{hashlib.sha256(content).hexdigest()[:27]}"',
            "Last-Modified": f"Wed, 02 Dec 2026 00:00:{len(found):02} GMT",
            "Content-Digest": f"sha-256=:{hashlib.sha256(content).hexdigest()}:",
            "Cache-Control": "private, max-age=60",
            "X-Total-Count": str(len(found)),
        }
        if link is not None:
            headers["Link"] = f'<{link}>; rel="next"'
        if self.headers["If-None-Match"] == headers["ETag"] or self.headers["If-Modified-Since"]:
            self.send_response(304)
            self.end_headers()
            return
        self._answer(answer, headers)

    do_HEAD = do_GET  # noqa: N815 - the name in http.server

    def _answer(self, value: object, headers: dict[str, str] | None = None) -> None:
        content = json.dumps(value).encode()
        self.send_response(200)
        for name, text in (headers or {}).items():
            self.send_header(name, text)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Write nothing."""


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_address[1], flush=True)  # noqa: T201 - that is how its starter learns it
    sys.stdin.read()
