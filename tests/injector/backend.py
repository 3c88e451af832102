"""An application that nobody prepared for Sealyard: it keeps what it is sent and gives it back.

`python backend.py PORT FILE` answers on IPv4 and IPv6, and writes every request's body to FILE.
"""

from __future__ import annotations

import json
import socket
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Application(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    rows: tuple[bytes, ...] = ()
    file = Path()

    def do_POST(self) -> None:
        """Keep a message."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        Application.rows = (*Application.rows, body)
        with self.file.open("ab") as file:
            file.write(body + b"\n")
        if self.path.endswith("slow"):
            time.sleep(2)
        self._answer(body)

    def do_GET(self) -> None:
        """Tell all messages, or who asks, or how it is."""
        if self.path == "/who":
            peer = self.client_address[0].removeprefix("::ffff:")
            told = {"peer": peer, "forwarded": self.headers["X-Forwarded-For"]}
            port = self.connection.getsockname()[1]
            self._answer(json.dumps({**told, "port": port}).encode())
        elif self.path == "/up":
            self._answer(b"{}", 200 if self.headers["X-Probe"] == "yes" else 500)
        else:
            self._answer(b"[" + b",".join(self.rows) + b"]")

    def log_message(self, *_: object) -> None:
        """Keep quiet."""

    def _answer(self, body: bytes, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Server(ThreadingHTTPServer):
    """Listens on both families."""

    address_family = socket.AF_INET6
    daemon_threads = True

    def server_bind(self) -> None:
        """Bind."""
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()


if __name__ == "__main__":
    Application.file = Path(sys.argv[2])
    Server(("::", int(sys.argv[1])), Application).serve_forever()
