"""`sealyard sessions` and `sealyard keys usage`, over a store of one machine."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from proxy.config.settings import SecretReference
from proxy.core.crypto.context import Context, Scope
from proxy.core.crypto.token import decode
from proxy.core.errors import KeyringError
from proxy.core.values.key_needs import Needs
from proxy.keys.keyring.file import open_keyring
from proxy.keys.keyring.roots import FileRoot
from proxy.keys.operations.keyring_revocations import KeyringRevocations
from proxy.keys.sessions.kek_usage import KekUse
from proxy.keys.sessions.sessions import Sessions, SessionSettings
from proxy.keys.sessions.settings import MAX_AGE_SECONDS
from proxy.keys.stores import Store, open_store
from tests.cli.conftest import Run, invoke

NAMED = ("--tenant", "clinic", "--conversation", "c1")
SCOPE = Scope("clinic", "c1")
CONTEXT = Context(SCOPE, field="content")
CONFIGURATION = """\
version: 1
keys:
  keyring: {{file: keyring.jwe, key: {{file: root.key}}}}
  store: {store}
listeners: [{{name: api, listen: "127.0.0.1:1", upstream: "http://127.0.0.1:2", unmatched: pass}}]
"""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command in a folder with a keyring and a store of this machine."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SEALYARD_CONFIG", raising=False)

    invoke("keys", "init", "--root-file", "root.key")
    configure("sqlite:keys.db")
    return invoke


def configure(store: str) -> None:
    Path("sealyard.yaml").write_text(CONFIGURATION.format(store=store))


@contextmanager
def a_process() -> Iterator[tuple[Sessions, asyncio.Runner]]:
    """Return the sessions of a process that works on the same keyring and store."""
    keyring = open_keyring(Path("keyring.jwe"), FileRoot(SecretReference(file=Path("root.key"))))
    store: Store = open_store(f"sqlite:{Path.cwd()}/keys.db")
    sessions = Sessions(
        keyring, store, SessionSettings(), clock=time.time, random=lambda size: b"r" * size
    )
    with asyncio.Runner() as runner:
        yield sessions, runner
        runner.run(store.close())


def audited() -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path("keyring.jwe.audit").read_text().splitlines()]


def a_token() -> bytes:
    """Return a token of the conversation, and let the store know its session."""
    with a_process() as (sessions, runner):
        session = runner.run(sessions.resolve(Needs({SCOPE: 1}))).sealing[SCOPE]
        return session.seal(b"hello", CONTEXT)


def opens(text: bytes) -> bool:
    need = (SCOPE, decode(text).key_id)
    with a_process() as (sessions, runner):
        return need in runner.run(sessions.resolve(Needs({}, frozenset({need})))).opening


def test_a_rotation_is_in_the_store_and_old_tokens_open(run: Run) -> None:
    before = a_token()
    answer = json.loads(run("sessions", "rotate", *NAMED, "--json").stdout)
    after = a_token()
    assert decode(before).key_id.sid != decode(after).key_id.sid
    assert (answer["agreed"], opens(before), opens(after)) == (True, True, True)
    assert answer["sessions"][0]["began"] == int.from_bytes(decode(after).key_id.sid[:4])
    assert "seals until 20" in run("sessions", "rotate", *NAMED).stdout
    assert [line["event"] for line in audited()[2:]] == ["sessions.rotate"] * 2


def test_a_revocation_is_in_the_store_and_in_the_keyring(run: Run) -> None:
    text = a_token()
    answer = json.loads(run("sessions", "revoke", "--yes", *NAMED, "--json").stdout)
    assert (answer["durable"], answer["store"]["master"], opens(text)) == (True, True, False)
    Path("keys.db").unlink()
    assert not opens(text)
    words = ("keys", "verify", text.decode(), *NAMED, "--field", "content", "--json")
    assert json.loads(run(*words, status=1).stdout)["reason"] == "revoked-session"
    run("keys", "derive", text.decode(), *NAMED, status=1)
    run("decrypt", text.decode(), *NAMED, "--field", "content", status=1)
    events = [line["event"] for line in audited()[2:]]
    assert events == ["sessions.revoke", "keys.revoke", *["open.refused"] * 3]
    assert "clinic" not in Path("keyring.jwe.audit").read_text()


def test_a_time_may_be_said_and_spares_what_began_after_it(run: Run) -> None:
    text = a_token()
    began = time.strftime(
        "%Y-%m-%dT%H:%M:%SZ", time.gmtime(int.from_bytes(decode(text).key_id.sid[:4]))
    )
    told = run("sessions", "revoke", "--yes", *NAMED, "--not-before", began).stdout.splitlines()
    assert told[0].endswith(f"sessions that began before {began} are revoked")
    assert told[1].startswith("keyring  ")
    assert told[2] == "store    sqlite: every process applies it within 30 s"
    assert opens(text)


def test_revocations_are_counted_where_keks_are_listed(run: Run) -> None:
    run("sessions", "revoke", "--yes", *NAMED)
    told = json.loads(run("keys", "list", "--json").stdout)["revocations"]
    assert told == {"held": 1, "most": 10_000, "idle": 0}
    assert (
        "1 of at most 10000 revocations; the next removes 0 of them" in run("keys", "list").stderr
    )


def test_without_a_shared_store_only_the_keyring_is_changed(run: Run) -> None:
    configure("memory")
    run("sessions", "rotate", *NAMED, status=1)
    run("keys", "usage", status=1)
    answer = json.loads(run("sessions", "revoke", "--yes", *NAMED, "--json").stdout)
    assert (answer["durable"], "store" in answer) == (True, False)
    assert "read it from the keyring" in run("sessions", "revoke", "--yes", *NAMED).stdout


def test_sessions_of_each_process_are_changed_by_its_admin_api(run: Run) -> None:
    configure("memory")
    assert (
        "its admin API, POST /v1/sessions/rotate"
        in run("sessions", "rotate", *NAMED, status=1).stderr
    )
    configure("memory\n  sessions: {mode: ephemeral, accept_loss: true}")
    assert (
        "its admin API, DELETE /v1/sessions"
        in run("sessions", "erase", "--yes", *NAMED, status=1).stderr
    )


def test_a_scope_is_called_unknown_only_by_a_store_that_would_know_it(run: Run) -> None:
    shared = run("sessions", "revoke", "--yes", *NAMED)
    configure("memory")
    alone = run("sessions", "revoke", "--yes", "--tenant", "clinic", "--conversation", "c2")
    said = run(
        "sessions", "revoke", "--yes", "--tenant", "clinic", "--conversation", "c3", "--json"
    )

    assert "warning: this scope is unknown" in shared.stderr
    assert "this scope is unknown" not in alone.stderr
    assert "does not see which scopes have sessions" in alone.stderr
    assert "unknown" not in json.loads(said.stdout)


def test_a_keyring_that_cannot_be_written_says_so_and_the_store_is(run: Run) -> None:
    text = a_token()
    Path(".keyring.jwe.lock").unlink()
    Path(".keyring.jwe.lock").mkdir()  # nobody can take this lock
    result = run("sessions", "revoke", "--yes", *NAMED, status=1)
    assert "keyring  NOT WRITTEN: " in result.stdout
    assert not opens(text)
    configure("memory")
    result = run("sessions", "revoke", "--yes", *NAMED, status=3)
    assert "neither the keyring nor the store accepted the revocation" in result.stderr


def test_a_store_that_fails_says_so_and_the_keyring_is_changed(run: Run) -> None:
    text = a_token()
    Path("keys.db").chmod(0o666)  # which the store refuses to use
    result = run("sessions", "revoke", "--yes", *NAMED, status=1)
    assert "store    NOT WRITTEN: store-failed" in result.stdout
    # In the conversation itself no session begins before the second of its revocation has passed.
    run("sessions", "rotate", *NAMED[:-1], "c2", status=1)
    run("keys", "usage", status=3)
    Path("keys.db").chmod(0o600)
    assert not opens(text)


def test_what_is_not_written_down_is_not_done(run: Run) -> None:
    text, before = a_token(), Path("keyring.jwe").read_bytes()
    for command in (("revoke", "--yes"), ("rotate",)):
        run("sessions", *command, *NAMED, "--audit-file", "missing/audit", status=3)
    assert (Path("keyring.jwe").read_bytes(), opens(text)) == (before, True)
    assert decode(a_token()).key_id.sid == decode(text).key_id.sid


@pytest.mark.parametrize(
    "words",
    [
        ("revoke",),
        ("rotate",),
        ("revoke", *NAMED, "--not-before", "yesterday"),
        ("revoke", *NAMED, "--not-before", "2026-11-24T18:00:00"),
        ("revoke", *NAMED, "--not-before", "9999-11-24T18:00:00Z"),
    ],
)
def test_what_is_not_said_clearly_is_a_mistake_of_usage(run: Run, words: tuple[str, ...]) -> None:
    before = Path("keyring.jwe").read_bytes()
    run("sessions", *words, status=2)
    assert Path("keyring.jwe").read_bytes() == before


def test_which_store_is_shared_says_the_configuration(run: Run) -> None:
    Path("sealyard.yaml").unlink()
    assert (
        "give --config"
        in run("sessions", "revoke", "--yes", *NAMED, "--root-file", "root.key", status=2).stderr
    )


def test_usage_tells_of_each_kek_what_processes_have_noted(run: Run) -> None:
    assert "nothing counted yet" in run("keys", "usage").stderr
    text = a_token()
    with a_process() as (sessions, runner):
        need = Needs({}, frozenset({(SCOPE, decode(text).key_id)}))
        sessions.remember(dict.fromkeys(runner.run(sessions.resolve(need)).opening.values(), 1))
        key = sessions.keyring.record_key
        runner.run(sessions.use.flush(sessions.store, key, time.time(), notice=pytest.fail))
    second = run("keys", "add").stdout.strip()
    answer = json.loads(run("keys", "usage", "--json").stdout)
    first = answer["keks"][0]["id"]
    assert [(kek["id"], kek["opened"]) for kek in answer["keks"]] == [(first, 1), (second, 0)]
    told = run("keys", "usage")
    assert "counted since 20" in told.stderr
    assert [line.split()[0] for line in told.stdout.splitlines()] == ["KEK", first, second]
    assert told.stdout.splitlines()[2].split()[2:4] == ["0", "never"]


def a_job(run: Run, source: str, stdin: bytes = b"") -> None:
    """Make a report of the one letter that is stored, which is plain."""
    Path("job.yaml").write_text(
        f"version: 1\nsource: {{{source}}}\n"
        "tables: [{table: t, tenant: const:clinic, columns: [{column: content}]}]\n"
    )
    run("migrate", "verify", "job.yaml", "--report", "proof.jws", stdin=stdin, status=1)


def count_for_two_days() -> None:
    """Note what a process has counted that began two days ago."""
    use = KekUse(time.time() - 2 * MAX_AGE_SECONDS)
    use.opened(1, time.time())
    with a_process() as (sessions, runner):
        key = sessions.keyring.record_key
        runner.run(use.flush(sessions.store, key, time.time(), notice=pytest.fail))


def test_usage_joins_proofs_of_what_is_stored(run: Run) -> None:
    with closing(sqlite3.connect("clinic.db")) as database, database:
        database.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, content TEXT)")
        database.execute("INSERT INTO t (content) VALUES ('hello')")
    first = json.loads(run("keys", "usage", "--json").stdout)["keks"][0]["id"]
    second = run("keys", "add").stdout.strip()
    a_job(run, "sqlite: clinic.db")
    unknown = run("keys", "usage", "--report", "proof.jws").stdout
    count_for_two_days()
    told = run("keys", "usage", "--report", "proof.jws")
    answer = json.loads(run("keys", "usage", "--report", "proof.jws", "--json").stdout)
    Path("proof.jws").write_text("e30.e30.e30")

    assert f"safe to retire {second}: no, because no process has counted" in unknown
    assert f"safe to retire {first}: no, because it is the primary KEK" in told.stdout
    assert f"safe to retire {second}: yes, proven at 20" in told.stdout
    assert "not covered: backups" in told.stderr
    assert [kek["retire"]["safe"] for kek in answer["keks"]] == [False, True]
    run("keys", "usage", "--report", "proof.jws", status=1)


def test_a_stream_proves_nothing_of_what_is_stored_since_it_was_made(run: Run) -> None:
    second = run("keys", "add").stdout.strip()
    a_job(run, "pipe: csv", b"content\nhello\n")
    count_for_two_days()
    told = run("keys", "usage", "--report", "proof.jws")

    assert f"safe to retire {second}: no, because the report is not of one state" in told.stdout
    assert "not covered: what the stream was made from" in told.stderr


def test_a_conversation_without_packages_is_told(run: Run) -> None:
    configure("sqlite:keys.db")
    words = (
        "sessions",
        "package",
        "--tenant",
        "clinic",
        "--conversation",
        "c1",
        "--recipient",
        "bob",
    )
    result = run(*words, status=1)
    assert json.loads(result.stdout) == {"packages": []}


EPHEMERAL = "  sessions: {mode: ephemeral}\n"


def test_what_is_erased_opens_no_more_and_the_receipt_tells(run: Run) -> None:
    config = Path("sealyard.yaml")
    run("sessions", "erase", "--yes", *NAMED, status=1)  # durable
    config.write_text(config.read_text().replace("listeners:", EPHEMERAL + "listeners:", 1))
    run("sessions", "rotate", *NAMED)
    answer = json.loads(
        run("sessions", "erase", "--yes", *NAMED, "--receipt", "r.jws", "--json").stdout
    )
    assert answer["erased"]
    assert (answer["store"]["master"], answer["durable"]) == (True, True)
    told = run("audit", "verify-receipt", "r.jws", *NAMED).stdout
    assert answer["erased"][0] in told
    assert "not_covered" in told
    run("audit", "verify-receipt", "r.jws", "--tenant", "another", status=1)
    Path("key.jwk").write_text(run("audit", "receipt-key").stdout)
    said = run("audit", "verify-receipt", "r.jws", "--key", "key.jwk", "--json").stdout
    assert json.loads(said)["scope"] == answer["scope"]
    run(
        "sessions", "erase", "--yes", *NAMED, "--receipt", "r.jws", status=3
    )  # nothing is overwritten
    assert run("sessions", "erase", "--yes", *NAMED).stdout.count(".") == 2
    events = [line["event"] for line in audited()]
    erasing = ["sessions.erase", "sessions.revoke", "keys.revoke", "sessions.erased"]
    assert events[-4:] == erasing
    assert "clinic" not in Path("keyring.jwe.audit").read_text() + Path("r.jws").read_text()


@pytest.mark.parametrize("more", [(), ("--json",)])
def test_what_is_erased_and_not_revoked_is_a_negative_result(
    run: Run, monkeypatch: pytest.MonkeyPatch, more: tuple[str, ...]
) -> None:
    """A copy of a key from a backup would open what it sealed."""

    def refuse(*_: object) -> None:
        raise KeyringError("keyring.jwe: Read-only file system")

    config = Path("sealyard.yaml")
    config.write_text(config.read_text().replace("listeners:", EPHEMERAL + "listeners:", 1))
    run("sessions", "rotate", *NAMED)
    monkeypatch.setattr(KeyringRevocations, "revoke", refuse)
    told = run("sessions", "erase", "--yes", *NAMED, *more, status=1)
    assert "Read-only file system" in told.output


def test_nothing_is_erased_without_a_place_for_its_receipt(run: Run) -> None:
    run("sessions", "erase", "--yes", *NAMED, "--receipt", "r.jws", status=1)  # durable
    config = Path("sealyard.yaml")
    config.write_text(config.read_text().replace("listeners:", EPHEMERAL + "listeners:", 1))
    run("sessions", "rotate", *NAMED)
    for more in ((), ("--json",)):
        words = ("sessions", "erase", "--yes", *NAMED, "--receipt", "missing/r.jws", *more)
        assert "missing/r.jws: No such file" in run(*words, status=3).stderr
    assert "sessions.erase" not in [line["event"] for line in audited()]
    run("sessions", "erase", *NAMED, "--receipt", "r.jws", status=2)  # nobody confirms it
    assert not Path("r.jws").exists()
