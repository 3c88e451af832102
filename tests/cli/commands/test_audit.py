from __future__ import annotations

import json
from base64 import b64decode
from functools import partial
from pathlib import Path

import pytest

from tests.factories import forged

from ..conftest import Run, invoke

CANARY = "canary-7f3a"


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
    shown = run("audit", "show", "--event", "keys").stdout.splitlines()
    assert [line[0] for line in shown] == ["!", " "]


def test_an_inserted_line_of_any_members_hides_no_others(run: Run) -> None:
    with Path("audit.log").open("a") as log:
        log.write('{"event": "keys.list", "scope": ["c1"], "seq": null}\n')
    shown = run("audit", "show", "--event", "keys").stdout.splitlines()
    assert [line[0] for line in shown] == [" ", "!"]
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
