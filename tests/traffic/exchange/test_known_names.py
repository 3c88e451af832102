from __future__ import annotations

from pathlib import Path

from proxy.config.load import load
from proxy.traffic.exchange.place_names import known_names

RULES = """\
version: 1
keys:
  keyring: {file: keyring.jwe, passphrase: {env: P}}
listeners:
  - name: api
    listen: 127.0.0.1:8080
    upstream: http://127.0.0.1:3000
    unmatched: pass
    rules:
      - name: send
        match: POST /a
        tenant: const:t
        conversation: [$.conversationId, $.room.id]
        request:
          encrypt: ["$.content", "$.items.*.text", "query:q"]
          plain: $.plain
      - name: form
        match: POST /b
        tenant: const:t
        conversation: const:c
        request: {encrypt: "form:note"}
        response: reject
"""


def test_only_what_rules_select_and_read_is_known(tmp_path: Path) -> None:
    file = tmp_path / "sealyard.yaml"
    file.write_text(RULES.replace("        response: reject\n", ""))
    rules = load(file, {"P": "x"}).settings.listeners[0].rules

    assert known_names(rules) == {
        *("conversationId", "room", "id", "content", "items", "text", "plain", "q", "note"),
    }
