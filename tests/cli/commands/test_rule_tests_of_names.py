"""`sealyard test` and `explain` of rules whose names the backend tells, and of records."""

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import invoke

CONFIGURATION = """\
version: 1
keys: {keyring: {file: keyring.jwe, key: {file: root.key}}}
listeners:
  - name: api
    listen: 127.0.0.1:8080
    upstream: http://127.0.0.1:3000
    unmatched: pass
    defaults: {tenant: const:clinic}
    rules:
      - name: create
        match: POST /notes
        conversation: $.room
        request: {records: one-or-many, encrypt: $.text, plain: $.done}
      - name: change
        match: PATCH /notes/{id}
        conversation: {ask: 'GET /notes/{id}', select: $.room}
        request: {encrypt: $.text}
        response: {decrypt: $.text}
"""
CASES = """\
config: sealyard.yaml
cases:
  - request: POST /notes
    body: [{room: a, text: x}, {room: b, text: y, done: true}]
    expect: {rule: create, request: {"$[0].text": sealed, "$[1].text": sealed}}
  - name: one
    request: POST /notes
    body: {room: a, text: x}
    expect: {request: {$.text: sealed}}
  - request: PATCH /notes/n1
    body: {text: x}
    response: {body: {text: <sealed>, room: asked}}
    expect: {rule: change, request: {$.text: sealed}, response: {$.text: opened}}
  - name: another room
    request: PATCH /notes/n1
    body: {text: x, room: c2}
    asked: {body: {room: c1}}
    expect: {refused: ambiguous-request}
  - name: moved
    request: PATCH /notes/n1
    body: {text: x}
    asked: {body: {room: c1}}
    response: {body: {text: <sealed>, room: c2}}
    expect: {refused: missing-value}
  - name: not there
    request: PATCH /notes/n9
    body: {text: x}
    asked: {status: 404}
    expect: {refused: ask-not-found}
"""


def test_cases_tell_what_the_backend_is_asked(tmp_path: Path) -> None:
    (tmp_path / "sealyard.yaml").write_text(CONFIGURATION)
    (tmp_path / "cases.yaml").write_text(CASES)
    result = invoke("test", str(tmp_path / "cases.yaml"))
    assert result.exit_code == 0, result.output


def test_what_is_explained_is_sealed_for_a_name_that_is_made_up(tmp_path: Path) -> None:
    (tmp_path / "sealyard.yaml").write_text(CONFIGURATION)
    given = ("--config", str(tmp_path / "sealyard.yaml"), "-d", '{"text": "hello"}')
    result = invoke("explain", "PATCH", "/notes/n1", *given)
    assert result.exit_code == 0, result.output
    assert "sealed" in result.output
    assert "asked_ms" not in result.output
