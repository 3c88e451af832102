"""`sealyard keys rotate-records`, by schedule and after a leak."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from proxy.cli.commands import keys_records
from proxy.config.settings import SecretReference
from proxy.keys.fleet import keyring_marker
from proxy.keys.keyring.file import open_keyring
from proxy.keys.keyring.keyring import Keyring
from proxy.keys.keyring.roots import FileRoot
from proxy.keys.stores import open_store
from proxy.keys.stores.records import encode_revocation
from tests.cli.conftest import Run, invoke
from tests.keys.builders import SCOPE
from tests.keys.members import Member

CONFIG = """\
version: 1
keys:
  keyring: {file: keyring.jwe, key: {file: root.key}}
  store: sqlite:sessions.db
listeners: [{name: a, listen: 127.0.0.1:0, upstream: 'http://127.0.0.1:1', unmatched: pass}]
"""
ROTATE = ("keys", "rotate-records")
NAMED = ("--tenant", "clinic", "--conversation", "c1")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `sealyard` in a folder with a keyring and a store."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SEALYARD_BACKUP_PASSPHRASE", "a phrase for the backup")
    monkeypatch.setenv("SEALYARD_PARTICIPANT_PASSPHRASE", "a phrase for the key of alice")
    Path("sealyard.yaml").write_text(CONFIG)

    def run(*words: str, status: int = 0) -> Result:
        return invoke(*words, status=status)

    run("keys", "init")
    run("participants", "add", "alice", "--use", "sig")
    return run


def a_keyring() -> Keyring:
    return open_keyring(Path("keyring.jwe"), FileRoot(SecretReference(file=Path("root.key"))))


async def a_process_of_the_keyring() -> None:
    """Leave the row of a process that uses the keyring as it is, and its marker."""
    process = Member(open_store("sqlite:sessions.db", environ={}), keyring=a_keyring())
    await keyring_marker.put(process.sessions.store, process.keyring)
    await process.lease.renew()
    await process.store.close()


def kids(run: Run) -> list[str]:
    shown: dict[str, Any] = json.loads(run("participants", "list", "alice", "--json").stdout)
    return [one["kid"] for one in shown["keys"]]


def intact(run: Run) -> dict[str, Any]:
    verdict: dict[str, Any] = json.loads(run("audit", "verify", "--json").stdout)
    assert verdict["intact"]
    return verdict


def test_three_runs_by_schedule_keep_everything(run: Run) -> None:
    receipt = first = a_keyring().record_key
    assert receipt == first
    before = kids(run)
    run("sessions", "revoke", *NAMED, "--yes")
    lines = intact(run)["lines"]
    for said in ("a record key is next", "signed with the new key", "verifies no record any more"):
        told = run(*ROTATE, "--scheduled", "--anyway").stderr
        assert said in told
    assert "1 participant, 1 revocation" in told
    assert kids(run) == before
    assert a_keyring().record_key != first
    assert [one.state for one in a_keyring().records] == ["ended"]
    assert intact(run)["lines"] > lines  # one chain, over all keys
    assert "a record key is next" in run(*ROTATE, "--scheduled").stderr


def test_after_a_leak_people_confirm_and_the_log_begins_anew(run: Run) -> None:
    before = kids(run)
    run("sessions", "revoke", *NAMED, "--yes")
    head = run("audit", "head").stdout.strip()
    refused = run(*ROTATE, "--compromised", status=1)
    assert before[0] in refused.stdout
    assert "give --fingerprints FILE" in refused.stderr
    Path("confirmed").write_text("".join(f"{one}\n" for one in before))
    leak = (*ROTATE, "--compromised", "--fingerprints", "confirmed")
    asked = run(*leak, status=2).stderr
    assert f"{len(before)} of {len(before)} keys of participants are kept" in asked
    assert "the keyring gets 1 revocations of the store" in asked
    told = run(*leak, "--yes").stderr
    assert "records signed anew: 1 participant" in told
    assert kids(run) == before
    keyring = a_keyring()
    assert [one.state for one in keyring.records] == ["leaked"]
    assert len(keyring.revocations) == 1
    verdict = intact(run)
    assert any("covers it by a hash" in one for one in verdict["notes"])
    events = [json.loads(one) for one in Path("keyring.jwe.audit").read_text().splitlines()]
    (continued,) = [one for one in events if one["event"] == "audit.continues"]
    at = [one["event"] for one in events].index("audit.continues")
    assert int(continued["head"].partition(":")[0]) >= int(head.partition(":")[0])
    assert events[at - 1]["event"] == "audit.began"


def test_a_key_that_nobody_confirmed_is_not_taken_over(run: Run) -> None:
    Path("confirmed").write_text("none\n")
    run(*ROTATE, "--compromised", "--fingerprints", "confirmed", "--yes")
    assert kids(run) == []


def test_a_run_after_a_leak_that_was_killed_is_run_again(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = kids(run)
    run("sessions", "revoke", *NAMED, "--yes")
    Path("confirmed").write_text("".join(f"{one}\n" for one in before))
    leak = (*ROTATE, "--compromised", "--fingerprints", "confirmed", "--yes")

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("proxy.cli.commands.keys_records.Signers", killed)
        run(*leak, status=1)
    assert before[0] in run(*ROTATE, "--compromised", status=1).stdout
    assert "records signed anew: 1 participant" in run(*leak).stderr
    assert kids(run) == before
    intact(run)


def test_a_leak_during_a_rotation_by_schedule_takes_over_what_people_confirm(run: Run) -> None:
    before = kids(run)
    for _ in range(2):
        run(*ROTATE, "--scheduled", "--anyway")
    Path("confirmed").write_text("".join(f"{one}\n" for one in before))
    run(*ROTATE, "--compromised", "--fingerprints", "confirmed", "--yes")
    assert kids(run) == before


def test_what_is_revoked_while_the_question_is_read_is_in_the_keyring(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    consequences = keys_records._consequences

    def meanwhile(*arguments: Any) -> Iterator[str]:  # noqa: ANN401 - passed on
        keyring, store = a_keyring(), open_store("sqlite:sessions.db", environ={})
        name = keyring.names_of(SCOPE)[0]

        async def revoke() -> None:
            await store.revoke(name, encode_revocation(9, name, keyring.record_key), 9)
            await store.close()

        asyncio.run(revoke())
        return consequences(*arguments)

    monkeypatch.setattr(keys_records, "_consequences", meanwhile)
    monkeypatch.setattr(keys_records, "ask", lambda *_: None)
    Path("confirmed").write_text("")
    run(*ROTATE, "--compromised", "--fingerprints", "confirmed")
    assert a_keyring().refused_before(SCOPE) == 9


def test_a_backup_of_before_a_leak_is_told_from_the_store(run: Run) -> None:
    """Whoever has the leaked key would be believed by what starts with it."""
    asyncio.run(a_process_of_the_keyring())
    run("keys", "export", "backup.jwe")
    Path("confirmed").write_text("")
    run(*ROTATE, "--compromised", "--fingerprints", "confirmed", "--yes")
    asyncio.run(a_process_of_the_keyring())
    Path("keyring.jwe").rename("lost.jwe")
    told = run("keys", "import", "backup.jwe", status=2).stderr
    assert "the store has records of another record key than backup.jwe" in told
    assert "name key" not in told


def test_a_backup_of_before_a_turn_of_names_is_told_from_the_processes(run: Run) -> None:
    run("keys", "export", "backup.jwe")
    for _ in range(2):
        run("keys", "rotate-names", "--anyway")
    Path("keyring.jwe").rename("lost.jwe")
    assert "name key" not in run("keys", "import", "backup.jwe", status=2).stderr
    Path("lost.jwe").rename("keyring.jwe")
    asyncio.run(a_process_of_the_keyring())
    Path("keyring.jwe").rename("lost.jwe")
    told = run("keys", "import", "backup.jwe", status=2).stderr
    assert "running processes have a name key that backup.jwe lacks" in told
    assert "another record key" not in told


def test_a_mode_is_given(run: Run) -> None:
    assert "give --scheduled or --compromised" in run(*ROTATE, status=2).stderr
    told = run(*ROTATE, "--scheduled", "--fingerprints", "x", status=2).stderr
    assert "goes with --compromised" in told


def test_receipts_of_before_are_told_apart(run: Run) -> None:
    kek = run("keys", "add").stdout.strip()
    run("keys", "disable", kek, "--yes", "--expect", "0")
    run("keys", "destroy", kek, "--yes", "--receipt", "k.jws", "--anyway")
    for _ in range(3):
        run(*ROTATE, "--scheduled", "--anyway")
    run("audit", "verify-receipt", "k.jws")
    Path("confirmed").write_text("")
    run(*ROTATE, "--compromised", "--fingerprints", "confirmed", "--yes")
    run("audit", "verify-receipt", "k.jws")  # its key ended before the leak
    kek = run("keys", "add").stdout.strip()
    run("keys", "disable", kek, "--yes", "--expect", "0")
    run("keys", "destroy", kek, "--yes", "--receipt", "l.jws", "--anyway")
    run("audit", "verify-receipt", "l.jws")
    run(*ROTATE, "--compromised", "--fingerprints", "confirmed", "--yes")
    told = run("audit", "verify-receipt", "l.jws", status=1).stderr
    assert "with a record key that has leaked" in told
