"""What a command says of an answer that is none of Sealyard's."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tests.cli.conftest import invoke

CONFIGURATION = """\
version: 1
admin: {{listen: "127.0.0.1:{port}", token: {{file: admin.token}}}}
keys: {{keyring: {{file: keyring.jwe, key: {{file: root.key}}}}}}
listeners: [{{name: api, listen: "127.0.0.1:1", upstream: "http://127.0.0.1:2", unmatched: pass}}]
"""


class Another(BaseHTTPRequestHandler):
    """Answers every request with the same body."""

    body = b""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(params=[b"{", b"<html>", b"[]", b"\xff", b"[" * 100_000])
def another(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[int]:
    """Run another program where the configuration has the admin listener; return its port."""
    handler = type("Handler", (Another,), {"body": request.param})
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        port = int(server.server_address[1])
        monkeypatch.chdir(tmp_path)
        Path("sealyard.yaml").write_text(CONFIGURATION.format(port=port))
        Path("admin.token").write_text("token-of-the-tests-0123456789\n")
        Path("admin.token").chmod(0o600)
        running = threading.Thread(target=server.serve_forever, daemon=True)
        running.start()
        yield port
        server.shutdown()
        running.join()


def test_an_answer_that_is_no_json_object_is_told_and_no_defect(another: int) -> None:
    for words in (("sessions", "show", "--tenant", "t"), ("status",)):
        told = invoke(*words, "--config", "sealyard.yaml", status=3).stderr
        assert f"127.0.0.1:{another}: the answer is not a JSON object" in told
        assert "admin.listen" in told
        assert "defect" not in told
