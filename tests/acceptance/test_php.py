"""Sealyard in front of PHP's own server, whose answers end with their connection."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import free_port

from .conftest import Client, running, sidecar

PHP = shutil.which("php")
pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.skipif(PHP is None, reason="no PHP: install the package php-cli"),
]

_SCRIPT = """\
<?php
header('Content-Type: application/json');
if ($_SERVER['REQUEST_METHOD'] === 'POST') {
    file_put_contents('note.json', file_get_contents('php://input'));
}
$note = file_get_contents('note.json');
echo isset($_GET['cut']) ? substr($note, 0, -5) : $note;
"""
_CONFIGURATION = """\
version: 1
keys:
  keyring: {file: keyring.jwe, passphrase: {env: SEALYARD_PASSPHRASE}}
  store: memory
admin: {listen: 127.0.0.1:9901, token: {file: admin.token}}
listeners:
  - name: notes
    listen: 127.0.0.1:8080
    upstream: http://127.0.0.1:8000
    unmatched: reject
    defaults: {tenant: const:clinic, bind: [tenant, field]}
    rules:
      - name: write
        match: POST /note
        request: {encrypt: $.content}
        response: {decrypt: $.content}
      - name: read
        match: GET /note
        query: {cut: plain}
        response: {decrypt: $.content, accept: undelimited}
"""
NOTE = {"content": "the text of a note"}


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    """Run a script that keeps one note, and sends it with neither a length nor chunks."""
    port, script, file = free_port(), tmp_path / "index.php", tmp_path / "notes.yaml"
    script.write_text(_SCRIPT)
    file.write_text(_CONFIGURATION)
    command = [str(PHP), "-n", "-S", f"127.0.0.1:{port}", str(script)]
    with running(command, port, tmp_path / "php.log"), sidecar(tmp_path, str(file), port) as front:
        yield Client(front.port)


def test_an_answer_without_an_end_is_refused_after_the_text_was_sealed(
    client: Client, tmp_path: Path
) -> None:
    answer = client.ask("POST", "/note", NOTE)

    assert answer.status == 502
    assert answer.json["type"] == "urn:sealyard:error:upstream-failed"
    kept = json.loads((tmp_path / "note.json").read_text())
    assert kept["content"].startswith("eyJ")


def test_a_rule_that_accepts_such_answers_opens_them(client: Client) -> None:
    client.ask("POST", "/note", NOTE)

    answer = client.ask("GET", "/note")

    assert (answer.status, answer.json) == (200, NOTE)


def test_one_that_was_cut_is_still_refused(client: Client) -> None:
    client.ask("POST", "/note", NOTE)

    answer = client.ask("GET", "/note?cut=1")

    assert answer.status == 502
    assert answer.header("Sealyard-Error") is not None
