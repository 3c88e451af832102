from __future__ import annotations

import json
from pathlib import Path

import pytest

from proxy.admin.redacted_settings import redacted
from proxy.config.load import load

ROOT = Path(__file__).parents[2]
CANARY = "canary-of-the-environment"


@pytest.mark.parametrize(
    "file",
    [ROOT / "config" / "sealyard.yaml", *sorted((ROOT / "config" / "examples").glob("*.yaml"))],
    ids=lambda path: path.stem,
)
def test_a_configuration_is_shown_with_references_in_place_of_secrets(file: Path) -> None:
    environ = {"SEALYARD_PASSPHRASE": CANARY, "SEALYARD_ADMIN_TOKEN": CANARY}
    settings = load(file, environ).settings
    shown = json.loads(json.dumps(redacted(settings)))

    assert CANARY not in json.dumps(shown)
    assert [one["name"] for one in shown["listeners"]] == [one.name for one in settings.listeners]
    keyring = shown["keys"]["keyring"]
    assert keyring.keys() == {"file", "roots"}
    assert keyring["file"].endswith(".jwe")


def test_rules_are_shown_by_what_they_do(tmp_path: Path) -> None:
    text = (ROOT / "config" / "sealyard.yaml").read_text("utf-8")
    closed = "      - name: search\n        match: GET /api/search\n        request: reject\n"
    file = tmp_path / "sealyard.yaml"
    file.write_text(text.replace("      - name: list\n", f"{closed}      - name: list\n"), "utf-8")
    settings = load(file, {"SEALYARD_PASSPHRASE": CANARY}).settings
    send, search, *_ = redacted(settings)["listeners"][0]["rules"]

    assert send["match"] == ["POST /api/messages"]
    assert send["request"] == [{"encrypt": ["content", "subject"]}]
    assert search["request"] == "reject"


def test_callers_are_shown_by_the_keys_of_the_file() -> None:
    file = ROOT / "tests" / "archive" / "configuration" / "every-key.yaml"
    settings = load(file, {"SEALYARD_PASSPHRASE": CANARY}).settings
    doctor, partner, former, reports, *_, portal, _ = redacted(settings)["listeners"][0]["callers"]

    assert doctor["jwt"]["claims"] == {"roles": "doctor"}
    assert doctor["jwt"]["jwks"]["url"] == "https://id.example/jwks"
    assert doctor["jwt"]["tenants"] == {"claim": "org", "allow": ["clinic"], "one_of": "path:org"}
    assert partner["jwt"]["tenants"]["prefix"] == "partner:"
    assert partner["jwt"]["jwks"]["file"].endswith("partner.json")
    assert former["jwt"]["tenants"]["map"].endswith("tenants.json")
    assert reports["certificate"] == {"uri": "spiffe://example/ns/reports/sa/*"}
    assert portal["header"] == {"name": "X-Role", "equals": "portal"}
    assert portal["over"] == {"certificate": {"dns": "gateway.example"}}
