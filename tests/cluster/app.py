"""What the pods of the cluster's tests run; the standard library alone, in Sealyard's own image.

app.py backend PORT URL   a backend: passes each message on to the collector, and answers with it
app.py collector PORT     keeps all that backends were sent; GET returns it, a message a line
app.py ask URL RATE SECONDS CANARY
                          posts messages with a number each; prints {"200": n, "error": n, ...}
"""

from __future__ import annotations

import json
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KEPT: list[bytes] = []


class Handler(BaseHTTPRequestHandler):
    """One request of either server."""

    protocol_version = "HTTP/1.1"
    onward = ""

    def do_POST(self) -> None:
        """Keep a message, or pass it on."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.onward:
            with urllib.request.urlopen(self.onward, body, timeout=10):  # noqa: S310 - the collector
                pass
        else:
            KEPT.append(body)
        self._answer(body)

    def do_GET(self) -> None:
        """Return what was kept."""
        self._answer(b"\n".join(KEPT))

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
        """Say nothing."""


def ask(url: str, rate: float, seconds: float, canary: str) -> Counter[str]:
    """Post messages at a steady rate; count what came of them."""
    found: Counter[str] = Counter()
    end = time.monotonic() + seconds
    number = 0
    while time.monotonic() < end:
        number += 1
        message = {"conversationId": "c1", "content": f"{canary}-{number}"}
        request = urllib.request.Request(  # noqa: S310 - the Service of the tests
            url, json.dumps(message).encode(), {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - as above
                same = json.loads(answer.read())["content"] == message["content"]
                found[str(answer.status) if same else "other content"] += 1
        except urllib.error.HTTPError as error:
            found[str(error.code)] += 1
        except OSError:
            found["error"] += 1
        time.sleep(1 / rate)
    return found


if __name__ == "__main__":
    role, *rest = sys.argv[1:]
    if role == "ask":
        sys.stdout.write(json.dumps(ask(rest[0], float(rest[1]), float(rest[2]), rest[3])) + "\n")
    else:
        Handler.onward = rest[1] if role == "backend" else ""
        ThreadingHTTPServer(("0.0.0.0", int(rest[0])), Handler).serve_forever()  # noqa: S104 - in a pod of its own
