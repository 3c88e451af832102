"""`sealyard keys adopt`: another deployment's keyring, from its backup to its end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import Result

from tests.cli.conftest import Run, invoke

CONFIG = """\
version: 1
keys: {keyring: {file: keyring.jwe, key: {file: root.key}}}
listeners: [{name: a, listen: 127.0.0.1:0, upstream: 'http://127.0.0.1:1', unmatched: pass}]
"""
THEIRS = ("--keyring", "t/k.jwe", "--root-file", "t/root.key", "--audit-file", "t/audit")
NAMED = ("--tenant", "clinic", "--conversation", "c1", "--field", "content")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `sealyard` in a folder with two keyrings, and a backup of the other one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SEALYARD_BACKUP_PASSPHRASE", "a phrase for backups")
    Path("sealyard.yaml").write_text(CONFIG)
    Path("t").mkdir()

    def run(*words: str, status: int = 0, stdin: str | None = None) -> Result:
        return invoke(*words, status=status, stdin=stdin)

    run("keys", "init")
    run("keys", "init", *THEIRS)
    run("keys", "export", "theirs.jwe", *THEIRS)
    return run


def listed(run: Run, *more: str) -> tuple[str, dict[str, str | None]]:
    """Return the id of a keyring, and from which keyring each of its KEKs is."""
    told = json.loads(run("keys", "list", "--json", *more).stdout)
    return told["id"], {one["id"]: one["adopted"] for one in told["keks"]}


def test_another_keyring_is_adopted_told_of_and_ended(run: Run) -> None:
    other, keks = listed(run, *THEIRS)
    (kek,) = keks
    token = run("encrypt", "hello", *NAMED, *THEIRS).stdout.strip()
    run("keys", "verify", token, *NAMED, status=1)
    asked = run("keys", "adopt", "theirs.jwe", status=2)
    assert f"keyring {other}" in asked.stderr
    assert "ephemeral sessions there, count if this is the same store" in asked.stderr
    run("keys", "adopt", "theirs.jwe", "--yes")

    assert "opens" in run("keys", "verify", token, *NAMED).stdout
    assert listed(run)[1][kek] == other
    assert f"of {other}" in run("keys", "list").stdout
    told = json.loads(run("doctor", "--json", status=3).stdout)
    found = [one["text"] for one in told if one["check"] == "adopted"]
    assert len(found) == 1
    assert f"keyring {other} is adopted since" in found[0]
    assert "1 of its 1 KEK open" in found[0]

    refused = run("keys", "adopt", "--end", other, "--yes", status=1)
    assert f"1 of its KEKs still open ({kek})" in refused.stderr
    run("keys", "disable", kek, "--yes")
    run("keys", "adopt", "--end", other, status=2)
    run("keys", "adopt", "--end", other, "--yes")
    assert kek not in listed(run)[1]
    run("keys", "verify", token, *NAMED, status=1)
    events = [json.loads(one) for one in Path("keyring.jwe.audit").read_text().splitlines()]
    assert [one["event"] for one in events if one.get("adopted") == other] == [
        "keys.adopt",
        "keys.adopt-end",
    ]


def test_a_backup_of_the_same_keyring_is_merged_and_not_adopted(run: Run) -> None:
    run("keys", "export", "ours.jwe")
    refused = run("keys", "adopt", "ours.jwe", "--yes", status=1)
    assert "import --merge" in refused.stderr
    run("keys", "adopt", status=2)
    run("keys", "adopt", "ours.jwe", "--end", "A" * 22, status=2)


def test_it_is_told_that_an_index_secret_stays_there(run: Run) -> None:
    run("keys", "rotate-index", *THEIRS)
    Path("theirs.jwe").unlink()
    run("keys", "export", "theirs.jwe", *THEIRS)
    asked = run("keys", "adopt", "theirs.jwe", status=2)
    assert "its index secret stays there" in asked.stderr
