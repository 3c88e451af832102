"""What 75 wrong inputs are answered with, frozen: a change of a message is seen and read.

`SEALYARD_FREEZE=1 pytest tests/cli/test_wrong_inputs.py` writes the file anew; read the difference.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from proxy.cli import main

FROZEN = Path(__file__).with_name("wrong_inputs.txt")
CONFIGURATION = """\
version: 1
keys:
  keyring: {file: keyring.jwe, key: {file: root.key}}
admin: {listen: "127.0.0.1:9901", token: {file: admin.token}}
fields: {content: {max_chars: 1000}}
listeners:
  - name: api
    listen: 127.0.0.1:8080
    upstream: http://127.0.0.1:3000
    unmatched: pass
    defaults: {tenant: const:clinic, bind: [tenant, field]}
    rules:
      - name: send
        match: POST /messages
        request: {encrypt: $.content}
      - name: rest
        match: POST,PUT,PATCH /**
        request: reject
"""
MISTAKES = {
    "an unknown key": ("unmatched: pass", "unmatched: pass\n    unmatchd: pass"),
    "an unknown section": ("fields:", "field: {}\nfields:"),
    "a section that is missing": ("listeners:", "listener:"),
    "a key given twice": ("unmatched: pass", "unmatched: pass\n    unmatched: reject"),
    "a tab": ("    unmatched", "\tunmatched"),
    "a brace that is not closed": ("{encrypt: $.content}", "{encrypt: $.content"),
    "a bracket that is not closed": ("bind: [tenant, field]", "bind: [tenant, field"),
    "a name in braces without quotes": ("POST /messages", "{POST /messages/{id}}"),
    "a colon in a value": ("name: send", "name: send: now"),
    "an anchor": ("name: send", "name: &a send"),
    "a merge key": ("    defaults:", "    <<: {}\n    defaults:"),
    "a second document": ("version: 1", "version: 1\n---\nversion: 1"),
    "a number for a name": ("name: send", "name: 012"),
    "a flag for a name": ("name: send", "name: no"),
    "an unknown version": ("version: 1", "version: 2"),
    "a misspelt action": ("encrypt: $.content", "encript: $.content"),
    "a misspelt method": ("POST /messages", "PSOT /messages"),
    "a path without a slash": ("POST /messages", "POST messages"),
    "a selector without a dollar": ("encrypt: $.content", "encrypt: content"),
    "a selector that ends too early": ("encrypt: $.content", "encrypt: $."),
    "an unknown place of a selector": ("encrypt: $.content", "encrypt: cookie:content"),
    "a query in a response": ("request: {encrypt: $.content}", "response: {decrypt: query:a}"),
    "json and form together": ("encrypt: $.content", 'encrypt: [$.content, "form:b"]'),
    "an unknown source": ("tenant: const:clinic", "tenant: cookie:t"),
    "a tenant that clients choose": ("tenant: const:clinic", "tenant: header:x-tenant"),
    "an unknown part of bind": ("bind: [tenant, field]", "bind: [tenant, room]"),
    "a part of bind without a source": ("bind: [tenant, field]", "bind: [conversation]"),
    "an unknown mode": ("encrypt: $.content", "encrypt: $.content, mode: watch"),
    "a date that is none": ("encrypt: $.content", "encrypt: $.content, mode: permissive until x"),
    "a type that is none": ("encrypt: $.content", "encrypt: $.content, type: json"),
    "a status that is none": (
        "request: {encrypt: $.content}",
        "response: {decrypt: $.a, status: 99}",
    ),
    "a block of optional items": ("encrypt: $.content", "encrypt: optional $.content"),
    "an empty block": ("{encrypt: $.content}", "{}"),
    "a rule named twice": ("name: rest", "name: send"),
    "a rule that is never reached": ("match: POST,PUT,PATCH /**", "match: POST /messages"),
    "unmatched that is none": ("unmatched: pass", "unmatched: forward"),
    "no unmatched": ("    unmatched: pass\n", ""),
    "an address without a port": ("127.0.0.1:8080", "127.0.0.1"),
    "a port that is too high": ("127.0.0.1:8080", "127.0.0.1:80800"),
    "an upstream without a scheme": ("http://127.0.0.1:3000", "127.0.0.1:3000"),
    "an upstream with a path": ("http://127.0.0.1:3000", "http://127.0.0.1:3000/api"),
    "an upstream that is the listener": ("127.0.0.1:3000", "127.0.0.1:8080"),
    "TLS settings of a plain upstream": ("unmatched", "upstream_tls: {ca: a.pem}\n    unmatched"),
    "a duration without a unit": ("unmatched", "timeouts: {response: 60}\n    unmatched"),
    "a size without a unit": ("unmatched", "limits: {body: 16}\n    unmatched"),
    "a limit of zero": ("unmatched", "limits: {connections: 0}\n    unmatched"),
    "a misspelt limit": ("unmatched", "limits: {conections: 5}\n    unmatched"),
    "a network that is none": ("unmatched", "trusted_proxies: [10.0.0.0/33]\n    unmatched"),
    "an admin API on all addresses": ('"127.0.0.1:9901"', '"0.0.0.0:9901"'),
    "an admin API without a token": (", token: {file: admin.token}", ""),
    "a secret in the file": ("token: {file: admin.token}", "token: abc"),
    "a variable that is not set": ("127.0.0.1:8080", "${env:NOT_SET}"),
    "a reference that is none": ("name: send", 'name: "${HOME}"'),
    "an unknown store": ("admin:", "  store: mysql://db\nadmin:"),
    "ephemeral keys in memory": ("admin:", "  sessions: {mode: ephemeral}\nadmin:"),
    "a time to live that is too long": ("admin:", "  sessions: {ttl: 48h}\nadmin:"),
    "no keyring": ("  keyring: {file: keyring.jwe, key: {file: root.key}}", "  store: memory"),
    "max_chars that holds nothing": ("max_chars: 1000", "max_chars: 10"),
    "a form that is unknown": ("max_chars: 1000", "form: long"),
    "a body in the form for narrow columns": ("encrypt: $.content", "encrypt: body as content"),
}
COMMANDS = [
    ["serv"],
    ["keys", "lst"],
    ["explain"],
    ["explain", "POST"],
    ["explain", "POST", "/messages", "-H", "no colon", "--config", "CONFIG"],
    ["explain", "POST", "/messages", "-d", "@/no/such/file", "--config", "CONFIG"],
    ["explain", "POST", "/messages", "-d", '{"content":', "--config", "CONFIG"],
    ["explain", "POST", "/messages", "--message", "x", "--config", "CONFIG"],
    ["explain", "GET", "/", "--listener", "none", "--config", "CONFIG"],
    ["validate", "--config", "/no/such/file"],
    ["inspect", "hello"],
    ["decrypt", "hello", "--keyring", "/no/such/keyring"],
    ["keys", "list", "--keyring", "/no/such/keyring"],
    ["test", "/no/such/cases.yaml"],
    ["sessions", "show", "--config", "CONFIG"],
]


def answered(folder: Path, name: str, words: list[str]) -> str:
    """Return what a command line is answered with, paths of this machine left out."""
    result = CliRunner().invoke(main, words, prog_name="sealyard")
    text = result.output.replace(str(folder), "FOLDER").rstrip()
    return f"== {name} (exit {result.exit_code})\n{text}\n"


def test_wrong_inputs_are_answered_as_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.chdir(tmp_path)
    config = tmp_path / "sealyard.yaml"
    made = []
    for name, (old, new) in MISTAKES.items():
        assert old in CONFIGURATION, name
        config.write_text(CONFIGURATION.replace(old, new, 1))
        made.append(answered(tmp_path, name, ["validate", "--config", str(config)]))
    config.write_text(CONFIGURATION)
    for words in COMMANDS:
        line = [str(config) if word == "CONFIG" else word for word in words]
        made.append(answered(tmp_path, "sealyard " + " ".join(words), line))
    text = "\n".join(made)
    if os.environ.get("SEALYARD_FREEZE"):
        FROZEN.write_text(text)
    assert len(made) >= 75
    assert text == FROZEN.read_text()
