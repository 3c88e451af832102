from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from base64 import b64decode, b64encode
from pathlib import Path

import pytest

import proxy
from proxy.keys.fleet import command_lease
from tests.cli.conftest import Run, invoke

BOUND = ("--tenant", "clinic", "--conversation", "c1", "--field", "content")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command in a folder that `sealyard init` has filled."""
    monkeypatch.chdir(tmp_path)
    invoke("init")
    return invoke


@pytest.mark.parametrize("form", ["jwe", "short"])
def test_what_was_sealed_opens(run: Run, form: str) -> None:
    token = run("encrypt", *BOUND, "--form", form, "Grüße").stdout.strip()
    assert run("decrypt", *BOUND, token).stdout == "Grüße"


def test_base64_is_opened_as_text_and_as_what_a_backend_decoded(run: Run) -> None:
    content = b"\xff\n\x00scan\n"
    text = b64encode(content).decode()
    token = run("encrypt", *BOUND, "--form", "base64", "-", stdin=text.encode() + b"\n").stdout
    assert token.startswith("iVNZMUI2NA0K")
    assert run("decrypt", *BOUND, token.strip()).stdout == text
    assert run("decrypt", *BOUND, "-", stdin=token.encode()).stdout == text
    stored = b64decode(token)
    assert run("decrypt", *BOUND, "-", stdin=stored).stdout_bytes == content
    run("decrypt", *BOUND, "-", stdin=stored + b"\n", status=1)
    run("decrypt", *BOUND, "-", stdin=stored[:30], status=1)


def test_what_is_no_base64_is_not_sealed_as_such(run: Run) -> None:
    for value in ("c2Nhbg", "c2Nh\nbg==", "scan!", "c2Nhbh=="):
        assert "not-base64" in run("encrypt", *BOUND, "--form", "base64", value, status=1).stderr
    run("encrypt", *BOUND, "--form", "base64", "--json-value", "1234", status=1)


def test_a_stored_token_that_is_too_long_is_wrong_usage(run: Run) -> None:
    run("decrypt", *BOUND, "-", stdin=b"x" * ((16 << 20) + 1), status=2)


def test_values_and_tokens_are_read_from_stdin(run: Run) -> None:
    token = run("encrypt", *BOUND, "-", stdin=b"two\nlines\n").stdout
    assert run("decrypt", *BOUND, "-", stdin=token.encode()).stdout == "two\nlines"


def test_a_value_steers_no_terminal(run: Run, tmp_path: Path) -> None:
    token = run("encrypt", *BOUND, "-", stdin="Grüße\x1b[2J\n日".encode() + b"\xff").stdout.strip()
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "proxy", "decrypt", *BOUND, token]
    environ = {**os.environ, "PYTHONPATH": str(Path(proxy.__file__).parent.parent)}
    subprocess.run(command, check=True, stdout=theirs, cwd=tmp_path, env=environ)  # noqa: S603 - Sealyard itself
    os.close(theirs)
    shown = os.read(ours, 4096)
    os.close(ours)
    assert shown.decode() == "Grüße\\u001b[2J\r\n日\\xff\r\n"


def test_it_opens_for_no_other_context(run: Run) -> None:
    token = run("encrypt", *BOUND, "hello").stdout.strip()
    result = run("decrypt", "--tenant", "clinic", "--field", "content", token, status=1)
    assert (result.stdout, "does not open" in result.stderr) == ("", True)


def test_a_json_value_must_be_json(run: Run) -> None:
    token = run("encrypt", *BOUND, "--json-value", "[1.10]").stdout.strip()
    assert run("decrypt", *BOUND, token).stdout == "[1.10]"
    run("encrypt", *BOUND, "--json-value", "[1.10", status=1)


def test_opening_is_written_down_before_it_is_shown(run: Run, tmp_path: Path) -> None:
    token = run("encrypt", *BOUND, "hello").stdout.strip()
    run("decrypt", *BOUND, token)
    assert "open.attempted" in (tmp_path / "audit.log").read_text()
    missing = str(tmp_path / "missing" / "audit")
    result = run("decrypt", *BOUND, "--audit-file", missing, token, status=3)
    assert "hello" not in result.stdout


LIST, MEMBERS = '["alice", "bob"]', '{"members": ["bob", "alice"]}'


def test_joined_names_are_spelled_in_json(run: Run) -> None:
    named = ("--tenant", "clinic", "--conversation-json")
    token = run("encrypt", *named, MEMBERS, "--message-json", LIST, "hello").stdout.strip()
    same = '{"members": ["alice", "bob"]}'
    assert run("decrypt", *named, same, "--message-json", LIST, token).stdout == "hello"
    for other in (LIST, '"5:alice3:bob"', '["5:alice3:bob"]'):
        run("decrypt", *named, other, "--message-json", LIST, token, status=1)
    text = run("encrypt", "--conversation", "5:alice3:bob", "hello").stdout.strip()
    assert run("decrypt", "--conversation-json", '"5:alice3:bob"', text).stdout == "hello"
    run("keys", "verify", token, *named, MEMBERS, "--message-json", LIST)


@pytest.mark.parametrize(
    ("spelled", "complaint"),
    [
        ("alice", "not JSON"),
        ("[]", "a name is a text"),
        ("7", "a name is a text"),
        ("[" * 9999, "not JSON"),
    ],
)
def test_what_spells_no_name_is_a_usage_error(run: Run, spelled: str, complaint: str) -> None:
    result = run("encrypt", "--conversation-json", spelled, "hello", status=2)
    assert complaint in result.stderr


def test_a_name_is_given_once(run: Run) -> None:
    twice = ("--conversation", "c1", "--conversation-json", LIST)
    assert "not both" in run("encrypt", *twice, "hello", status=2).stderr


def test_with_an_old_keyring_nothing_is_sealed_where_the_fleet_has_a_later_one(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command_lease, "LEASE_SECONDS", 0.5)
    config = tmp_path / "sealyard.yaml"
    config.write_text(config.read_text().replace("store: memory", "store: sqlite:keys.db"))
    token = run("encrypt", *BOUND, "hello").stdout.strip()
    assert run("decrypt", *BOUND, token).stdout == "hello"
    old = (tmp_path / "keyring.jwe").read_bytes()
    (kek,) = [one["id"] for one in json.loads(run("keys", "list", "--json").stdout)["keks"]]
    run("keys", "promote", run("keys", "add").stdout.strip(), "--expect", "0")
    run("keys", "disable", kek, "--yes", "--expect", "0")
    assert run("encrypt", *BOUND, "hello").stdout
    (tmp_path / "keyring.jwe").write_bytes(old)
    refused = run("encrypt", *BOUND, "hello", status=3)
    assert (refused.stdout, "lease-ended" in refused.stderr) == ("", True)
