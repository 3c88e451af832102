from __future__ import annotations

import gzip
import json
from base64 import b64decode
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from proxy.config.settings import SecretReference
from proxy.core.crypto import derivation
from proxy.keys.audit import AuditLog
from proxy.keys.audit.opened import Question
from proxy.keys.audit.verification import Read
from proxy.keys.keyring.file import open_keyring
from proxy.keys.keyring.roots import FileRoot, Roots
from tests.factories import forged

from ..conftest import Run, invoke

CANARY = "canary-7f3a"
ROOT = SecretReference(file=Path("root.key"))


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SEALYARD_PASSPHRASE", "correct horse")
    invoke("init", ".")
    return invoke


def test_what_init_and_the_commands_write_is_intact(run: Run) -> None:
    run("keys", "promote", run("keys", "add").stdout.strip())
    result = json.loads(run("audit", "verify", "--json").stdout)
    assert (result["intact"], result["lines"], result["problems"]) == (True, 4, [])
    assert "intact: 4 lines" in run("audit", "verify").stdout
    events = [
        json.loads(line)["event"] for line in run("audit", "show", "--json").stdout.splitlines()
    ]
    assert events == ["audit.began", "keys.init", "keys.add", "keys.promote"]
    assert not Path("keyring.jwe.audit").exists()


def test_an_edit_ends_with_1_and_the_line(run: Run) -> None:
    run("keys", "add")
    log = Path("audit.log")
    log.write_text(log.read_text().replace('"keys.init"', '"keys.list"'))
    result = run("audit", "verify", status=1)
    assert "BROKEN" in result.stdout
    assert "audit.log:2 was edited or inserted" in result.stdout
    broken = run("audit", "show", "--event", "keys", status=1)
    assert [line[0] for line in broken.stdout.splitlines()] == ["!", " "]
    assert "audit.log:2 was edited or inserted" in broken.stderr


def test_no_text_of_a_line_begins_a_row_that_looks_authentic(run: Run) -> None:
    row = "\n       9 2026-12-03T00:00:00.000+00:00 keys.promote uid=0"
    with Path("audit.log").open("a") as log:
        log.write(json.dumps({"seq": row, "at": row, "event": row, row: [row]}) + "\n")
    shown = run("audit", "show").stdout.splitlines()
    assert [line[0] for line in shown] == [" ", " ", "!"]


def test_an_inserted_line_of_any_members_hides_no_others(run: Run) -> None:
    with Path("audit.log").open("a") as log:
        log.write('{"event": "keys.list", "scope": ["c1"], "seq": null}\n')
    shown = run("audit", "show", "--event", "keys")
    assert [line[0] for line in shown.stdout.splitlines()] == [" ", "!"]
    assert "audit.log:3 the last line is torn" in shown.stderr
    run("audit", "show", "--tenant", CANARY)


def test_a_head_that_was_kept_shows_a_cut(run: Run) -> None:
    run("keys", "add")
    anchor = run("audit", "head").stdout.strip()
    assert json.loads(run("audit", "head", "--json").stdout)["seq"] == int(anchor.split(":")[0])
    run("audit", "verify", "--anchor", anchor)
    log = Path("audit.log")
    log.write_text("".join(log.read_text().splitlines(keepends=True)[:-1]))
    Path(".audit.log.head").unlink()
    assert "no head record" in run("audit", "verify").stdout
    assert "anchor is missing" in run("audit", "verify", "--anchor", anchor, status=1).stdout
    run("audit", "head", status=1)
    run("audit", "verify", "--anchor", "nonsense", status=2)


def test_whoever_has_the_key_of_the_log_verifies_without_the_keyring(run: Run) -> None:
    run("audit", "key", "audit.jwk")
    run("audit", "key", "audit.jwk", status=3)
    Path("keyring.jwe").unlink()
    run("audit", "verify", status=3)
    assert "intact" in run("audit", "verify", "--key", "audit.jwk", "audit.log").stdout
    Path("audit.jwk").write_text('{"kid": "sealyard:audit", "k": "AA"}')
    run("audit", "verify", "--key", "audit.jwk", status=3)
    Path("audit.jwk").write_text("nothing")
    run("audit", "verify", "--key", "audit.jwk", status=3)


def test_lines_are_found_by_conversation_and_tell_no_name(run: Run) -> None:
    named = ("--tenant", CANARY, "--conversation")
    show = partial(run, "audit", "show", "--json", *named)
    for conversation in ("c1", "c2"):
        run("sessions", "revoke", "--yes", *named, conversation)
    found = [json.loads(line) for line in show("c1").stdout.splitlines()]
    assert [line["event"] for line in found] == ["sessions.revoke", "keys.revoke"]
    assert len(run("audit", "show", "--last", "1").stdout.splitlines()) == 1
    assert CANARY not in Path("audit.log").read_text()


PURPOSES = "purposes_of_use: [treatment, research]\n"
OPENED = ("--tenant", CANARY, "--conversation")


def opened(run: Run, conversation: str) -> None:
    bound = (*OPENED, conversation, "--field", "content")
    token = run("encrypt", *bound, f"{CANARY} of {conversation}").stdout.strip()
    assert CANARY in run("decrypt", *bound, token).stdout


def found_by(run: Run, *options: str) -> list[dict[str, Any]]:
    shown = run("audit", "show", "--json", "--event", "open.attempted", *options)
    return [json.loads(line) for line in shown.stdout.splitlines()]


def test_who_opened_what_is_found_over_rotated_files(run: Run) -> None:
    opened(run, "c1")
    log = Path("audit.log")
    text = log.read_bytes()
    Path("audit.log.2.gz").write_bytes(gzip.compress(text))
    log.unlink()
    opened(run, "c2")
    log.rename("audit.log.1")
    opened(run, "c1")
    Path("audit.log.old").write_text("nothing of ours\n")
    first, last = found_by(run, *OPENED, "c1")
    assert (first["seq"], last["seq"]) == (3, 7)
    assert first["fields"] == ["content:value:1"]
    assert (first["source"], first["delivered"], first["authentic"]) == ("cli", "whole", True)
    assert len(found_by(run)) == 3
    files = "".join(one.read_text() for one in map(Path, ("audit.log", "audit.log.1")))
    assert CANARY not in files
    assert CANARY not in text.decode()
    Path("audit.log.1").unlink()
    broken = run("audit", "show", *OPENED, "c1", status=1)
    assert "lines 5 to 6 are missing" in broken.stderr


@pytest.mark.parametrize(
    ("option", "time", "found"),
    [
        ("--since", "2030-03-17T17:46:40.7Z", ["r-1", "r-2"]),
        ("--since", "2030-03-17T17:46:40.7004Z", ["r-2"]),
        ("--since", "2030-03-17T18:46:40.9+01:00", ["r-2"]),
        ("--until", "2030-03-17T17:46:40.9Z", ["r-1"]),
        ("--until", "2030-03-17T17:46:40.7Z", []),
        ("--until", "2030-03-17T17:46:41Z", ["r-1", "r-2"]),
    ],
)
def test_lines_are_found_by_fractions_of_seconds(
    run: Run, option: str, time: str, found: list[str]
) -> None:
    keyring = open_keyring(Path("keyring.jwe"), Roots.of(FileRoot(ROOT)))
    key = derivation.audit_key(keyring.record_key)
    for name, at in (("r-1", 1_900_000_000.7), ("r-2", 1_900_000_000.95)):
        AuditLog(Path("audit.log"), lambda at=at: at).write(key, "open.attempted", request_id=name)  # type: ignore[misc]  # mypy cannot infer lambdas with defaults
    assert [one["request_id"] for one in found_by(run, option, time)] == found


@pytest.mark.parametrize("at", ["2030-03-17T17:46:40", "x", 7])
def test_a_line_without_a_time_is_before_all_others(at: object) -> None:
    line = Read({"event": "x", "at": at}, authentic=False)
    assert Question(until=0.0)(line)
    assert not Question(since=0.0)(line)


def test_lines_are_found_by_when_and_by_whom(run: Run) -> None:
    opened(run, "c1")
    keyring = open_keyring(Path("keyring.jwe"), Roots.of(FileRoot(ROOT)))
    key = derivation.caller_key(keyring.record_key)
    mac, key_id = derivation.caller_name(key, "https://id.clinic", "anna")
    who = {"subject_hash": mac, "subject_key": key_id, "caller": "doctor"}
    log = AuditLog(Path("audit.log"), lambda: 1_900_000_000.0)
    lines_key = derivation.audit_key(keyring.record_key)
    log.write(lines_key, "open.attempted", request_id="r-1", scopes=("x",), **who)
    log.write(lines_key, "open.attempted", request_id="r-2", **who)
    log.write(lines_key, "open.over", delivered=(), cut=("r-1",))
    by = ("--issuer", "https://id.clinic", "--subject", "anna")
    assert [one["delivered"] for one in found_by(run, *by)] == ["part", "unknown"]
    assert [one["request_id"] for one in found_by(run, "--caller", "doctor")] == ["r-1", "r-2"]
    assert found_by(run, *by[:3], "bert") == []
    assert len(found_by(run, "--until", "2030-01-01T00:00:00Z")) == 1
    assert len(found_by(run, "--since", "2030-01-01T00:00:00Z")) == 2
    assert found_by(run, "--since", "2031-01-01T00:00:00Z") == []
    run("audit", "show", "--subject", "anna", status=2)
    assert "delivered=part" in run("audit", "show", "--caller", "doctor").stdout
    run("keys", "rotate-records", "--scheduled")
    assert len(found_by(run, *by)) == 2


def test_what_a_token_is_opened_for_is_asked_where_the_configuration_does(run: Run) -> None:
    config = Path("sealyard.yaml")
    config.write_text(config.read_text().replace("version: 1\n", "version: 1\n" + PURPOSES, 1))
    bound = (*OPENED, "c1", "--field", "content")
    token = run("encrypt", *bound, CANARY).stdout.strip()
    for more in ((), ("--purpose-of-use", "curiosity")):
        refused = run("decrypt", *bound, *more, token, status=2)
        assert "research, treatment" in refused.stderr
        assert CANARY not in refused.stdout
    assert run("decrypt", *bound, "--purpose-of-use", "treatment", token).stdout == CANARY
    (one,) = found_by(run)
    assert one["purpose_of_use"] == "treatment"


def test_another_keyring_than_the_configured_has_a_log_of_its_own(run: Run) -> None:
    before = Path("audit.log").read_text()
    run("keys", "init", "--keyring", "other.jwe", "--passphrase-env", "SEALYARD_PASSPHRASE")
    assert Path("other.jwe.audit").exists()
    assert Path("audit.log").read_text() == before


def test_a_file_that_is_not_there_ends_with_3() -> None:
    invoke("audit", "verify", "none", status=3)


def test_who_opens_a_poison_token_by_hand_is_written_down(run: Run) -> None:
    made = json.loads(run("audit", "plant", "--label", "row 17", "--json").stdout)
    bound = ("--tenant", "t", "--conversation", "c")
    answer = run("decrypt", *bound, "--field", "f", made["token"], status=1)
    run("keys", "verify", made["token"], *bound, status=1)
    run("keys", "derive", made["token"], *bound, status=1)
    other = run("decrypt", *bound, "--field", "f", forged(made["token"]), status=1)
    assert answer.output == other.output  # nothing tells that it is one
    shown = run("audit", "show", "--event", "poison", "--json").stdout.splitlines()
    lines = [json.loads(line) for line in shown]
    assert [line["event"] for line in lines] == ["poison.planted"] + ["poison.opened"] * 4
    assert {line["sid"] for line in lines} == {made["sid"]}
    assert lines[0]["label"] == "row 17"
    refused = run("audit", "show", "--event", "open", "--json").stdout.splitlines()
    assert len(refused) == 4


def test_a_poison_token_in_base64_form_is_noticed_as_a_backend_stores_it(run: Run) -> None:
    made = json.loads(run("audit", "plant", "--form", "base64", "--json").stdout)
    for stored in (made["token"].encode(), b64decode(made["token"])):
        run("decrypt", "--tenant", "t", "--field", "f", "-", stdin=stored, status=1)
    shown = run("audit", "show", "--event", "poison", "--json").stdout.splitlines()
    found = [json.loads(line)["event"] for line in shown]
    assert found == ["poison.planted"] + ["poison.opened"] * 2
    run("audit", "plant", "--form", "base64", "--json-value", status=2)


def test_a_poison_token_is_of_the_past(run: Run) -> None:
    run("audit", "plant", "--at", "2999-01-01T00:00:00Z", status=2)
    one = run("audit", "plant", "--form", "short", "--at", "2026-01-01T00:00:00Z").stdout.strip()
    assert one.startswith("sy1.")
