from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
import time
from base64 import b64decode
from pathlib import Path
from shutil import copy
from typing import Any

import pytest
from click.testing import CliRunner, Result
from joserfc import jwe
from joserfc.jwk import OctKey

from proxy.cli import main
from proxy.cli.support.console import utc
from proxy.config.settings import SecretReference
from proxy.core.crypto.token import Form
from proxy.keys.keyring.file import open_keyring
from proxy.keys.keyring.roots import FileRoot
from proxy.keys.sessions.durable import durable_session
from tests.cli.conftest import Run, invoke

from ...keys.builders import CONTEXT, SCOPE

ROOT = Path(__file__).parents[3]
BOUND = ("--tenant", "clinic", "--conversation", "c1")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `sealyard keys ...` in an empty folder with a root file, which is faster to open."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SEALYARD_BACKUP_PASSPHRASE", "canary backup phrase")

    def run(*args: str, status: int = 0, stdin: bytes = b"") -> Result:
        result = invoke("keys", *args, "--root-file", "root.key", status=status, stdin=stdin)
        assert "canary" not in result.output
        return result

    return run


def a_stored_token(keyring: str = "keyring.jwe", form: Form = "jwe") -> str:
    ring = open_keyring(Path(keyring), FileRoot(SecretReference(file=Path("root.key"))))
    sid = int(time.time()).to_bytes(4) + b"12345678"
    return durable_session(ring.primary, sid, SCOPE).seal(b"hello", CONTEXT, form=form).decode()


def listed(run: Run) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(run("list", "--json").stdout)
    return told


def states(run: Run) -> list[tuple[str, str]]:
    return [(row["id"], row["state"]) for row in listed(run)["keks"]]


def test_the_life_of_a_keyring(run: Run) -> None:
    run("init")
    ((first, _),) = states(run)
    second = run("add").stdout.strip()
    run("promote", second)
    run("disable", "--yes", first)
    spare = run("add", "--id", "spare").stdout.strip()
    assert re.fullmatch(r"spare-[a-z2-7]{4}", spare)
    assert states(run) == [(first, "disabled"), (second, "primary"), (spare, "decrypt")]
    assert second in run("list").stdout


def test_every_answer_tells_which_keyring_it_is_and_of_which_generation(run: Run) -> None:
    made = run("init")
    told = listed(run)
    assert (len(told["id"]), told["generation"]) == (22, 1)
    assert f"keyring {told['id']}, generation 1" in made.stderr
    assert f"keyring {told['id']}, generation 1" in run("list").stderr
    run("add")
    verified = json.loads(run("verify", "--json").stdout)
    assert (verified["id"], verified["generation"]) == (told["id"], 2)


def test_a_token_in_base64_form_is_verified_as_text_and_as_bytes(run: Run) -> None:
    run("init")
    text = a_stored_token(form="base64")
    (kek,) = (one for one, _ in states(run))
    for stored in (text.encode(), b64decode(text)):
        opened = run("verify", "-", *BOUND, "--field", "content", stdin=stored)
        assert opened.stdout == f"KEK {kek}: opens\n"


def test_a_passphrase_opens_the_keyring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    runner = CliRunner(env={"SEALYARD_PASSPHRASE": "correct horse battery"})
    assert runner.invoke(main, ["keys", "init"]).exit_code == 0
    told = json.loads(runner.invoke(main, ["keys", "verify", "--json"]).stdout)
    assert (told["keks"], told["generation"], told["primary"][0]) == (1, 1, "k")
    for phrase in ("", "wrong wrong wrong"):
        wrong = CliRunner(env={"SEALYARD_PASSPHRASE": phrase}).invoke(main, ["keys", "verify"])
        assert (wrong.exit_code, wrong.stdout) == (3, "")


def test_what_the_keyring_forbids_is_a_negative_answer(run: Run) -> None:
    run("init")
    ((first, _),) = states(run)
    for args in (("disable", "--yes", first), ("promote", "k9"), ("add", "--id", "/")):
        assert run(*args, status=1).stdout == ""


def test_a_second_init_touches_nothing(run: Run) -> None:
    run("init")
    before = Path("keyring.jwe").read_bytes()
    Path("root.key").rename("kept.key")
    run("init", status=3)
    assert (Path("keyring.jwe").read_bytes(), Path("root.key").exists()) == (before, False)


def test_two_roots_are_a_mistake_of_usage(run: Run) -> None:
    run("list", "--passphrase-file", "pass", status=2)


def test_verify_tells_whether_a_token_opens_and_not_what_it_holds(run: Run) -> None:
    run("init")
    ((kek, _),) = states(run)
    text = a_stored_token()
    good = run("verify", text, *BOUND, "--field", "content")
    assert good.stdout == f"KEK {kek}: opens\n"
    piped = run("verify", "-", *BOUND, "--field", "content", "--json", stdin=text.encode() + b"\n")
    assert json.loads(piped.stdout) == {"kek": kek, "opens": True, "reason": "opens"}
    unbound = run("verify", text, *BOUND, status=1)
    assert unbound.stdout == f"KEK {kek}: wrong-context\n"
    assert "tenant and conversation are right; give --field" in unbound.stderr
    moved = run("verify", text, "--tenant", "clinic", "--conversation", "c2", status=1)
    assert "sealed for another --tenant or --conversation" in moved.stderr
    run("verify", "hello", *BOUND, status=1)
    assert "hello" not in good.output


def test_derive_prints_the_key_of_a_token_and_writes_it_down_first(run: Run) -> None:
    run("init")
    text = a_stored_token()
    jwk = json.loads(run("derive", "-", *BOUND, stdin=text.encode()).stdout)
    registry = jwe.JWERegistry(strict_check_header=False, algorithms=["dir", "A256GCM"])
    opened = jwe.decrypt_compact(text, OctKey.import_key(jwk), registry=registry)
    assert opened.plaintext == b"hello"
    last = json.loads(Path("keyring.jwe.audit").read_text().splitlines()[-1])
    assert (last["event"], last["kid"]) == ("keys.derive", jwk["kid"])
    assert jwk["k"] not in Path("keyring.jwe.audit").read_text()


def test_derive_writes_a_file_that_nobody_else_can_read(run: Run) -> None:
    run("init")
    text, out = a_stored_token(), Path("session.jwk")
    assert run("derive", text, *BOUND, "--output", str(out)).stdout == ""
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert out.read_text() == run("derive", text, *BOUND).stdout
    before, lines = out.read_bytes(), len(Path("keyring.jwe.audit").read_text().splitlines())
    run("derive", text, *BOUND, "--output", str(out), status=3)
    Path("link").symlink_to("elsewhere")
    run("derive", text, *BOUND, "--output", "link", status=3)
    assert out.read_bytes() == before
    assert not Path("elsewhere").exists()
    assert len(Path("keyring.jwe.audit").read_text().splitlines()) == lines


@pytest.mark.parametrize(
    ("mode", "status"), [(0o644, 3), (0o640, 3), (0o606, 3), (0o600, 0), (0o400, 0), (None, 0)]
)
def test_derive_writes_into_no_file_that_others_can_read(
    run: Run, mode: int | None, status: int
) -> None:
    """A shell's `>` has made the file before the command begins."""
    run("init")
    text, out = a_stored_token(), Path("session.jwk")
    command = [sys.executable, "-P", "-m", "proxy", "keys", "derive", "-", *BOUND]
    command += ["--root-file", "root.key"]
    with out.open("wb") as file:
        if mode is not None:
            out.chmod(mode)
        done = subprocess.run(  # noqa: S603 - Sealyard itself
            command,
            input=text.encode(),
            stdout=subprocess.PIPE if mode is None else file,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            timeout=60,
            check=False,
        )
    assert done.returncode == status, done.stderr
    if status:
        assert b"--output FILE" in done.stderr
        assert out.read_bytes() == b""
        assert "keys.derive" not in Path("keyring.jwe.audit").read_text()
    else:
        assert b'"kty"' in (done.stdout or out.read_bytes())


def test_derive_refuses_a_token_that_does_not_verify(run: Run) -> None:
    run("init")
    assert run("derive", a_stored_token(), "--tenant", "other", status=1).stdout == ""


def test_without_the_audit_line_there_is_no_result(run: Run) -> None:
    run("init")
    text, before = a_stored_token(), Path("keyring.jwe").read_bytes()
    closed = ("--audit-file", "missing/audit")
    assert run("derive", text, *BOUND, *closed, status=3).stdout == ""
    run("add", *closed, status=3)
    run("export", "backup.jwe", *closed, status=3)
    assert not Path("backup.jwe").exists()
    assert Path("keyring.jwe").read_bytes() == before


def test_the_drill_back_up_lose_restore_verify(run: Run) -> None:
    run("init")
    text = a_stored_token()
    run("export", "backup.jwe")
    Path("keyring.jwe").unlink()
    Path("root.key").unlink()
    run("verify", text, *BOUND, "--field", "content", status=3)
    run("import", "--yes", "backup.jwe")
    run("verify", text, *BOUND, "--field", "content")


def test_without_a_shared_store_the_audit_log_tells_what_an_older_backup_lacks(run: Run) -> None:
    run("init")
    run("export", "backup.jwe")
    newer = run("add").stdout.strip()
    run("promote", newer, "--anyway")
    Path("keyring.jwe").rename("newer.jwe")
    told = run("import", "--yes", "backup.jwe").stderr
    assert f"the audit log has that {newer} was promoted, which backup.jwe lacks" in told
    Path("keyring.jwe").unlink()
    Path("newer.jwe").rename("keyring.jwe")
    run("export", "later.jwe")
    Path("keyring.jwe").unlink()
    assert "promoted" not in run("import", "--yes", "later.jwe").stderr


def test_a_backup_does_not_overwrite_and_merges_what_is_unknown(run: Run) -> None:
    run("init")
    ((first, _),) = states(run)
    second = run("add").stdout.strip()
    run("export", "backup.jwe")
    run("export", "backup.jwe", status=3)
    run("promote", second)
    run("import", "--yes", "backup.jwe", status=3)
    run("import", "--yes", "backup.jwe", "--merge")
    assert states(run) == [(first, "decrypt"), (second, "primary")]


def test_a_fork_is_merged_and_opens_what_it_sealed(run: Run) -> None:
    run("init")
    copy(Path("keyring.jwe"), Path("fork.jwe"))
    for keyring in ("keyring.jwe", "fork.jwe"):
        run("promote", run("add", "--keyring", keyring).stdout.strip(), "--keyring", keyring)
    text = a_stored_token("fork.jwe")
    run("export", "backup.jwe", "--keyring", "fork.jwe")
    run("verify", text, *BOUND, "--field", "content", status=1)
    run("import", "--yes", "backup.jwe", "--merge")
    run("verify", text, *BOUND, "--field", "content")


def test_another_keyring_is_not_merged(run: Run) -> None:
    run("init")
    run("init", "--keyring", "other.jwe")
    run("export", "backup.jwe", "--keyring", "other.jwe")
    before = listed(run)
    told = run("import", "--yes", "backup.jwe", "--merge", status=1).stderr
    assert "it is another keyring" in told
    assert "`sealyard keys adopt`" in told
    assert listed(run) == before


def test_a_kek_that_is_destroyed_leaves_a_receipt(run: Run) -> None:
    run("init")
    ((first, _),) = states(run)
    second = run("add").stdout.strip()
    number = listed(run)["keks"][1]["number"]
    run("destroy", "--yes", second, status=1)  # it is not disabled
    run("disable", "--yes", second)
    text = run("destroy", "--yes", second, "--receipt", "k2.jws").stdout.strip()
    assert Path("k2.jws").read_text() == text + "\n"
    verify = ("audit", "verify-receipt", "k2.jws", "--root-file", "root.key")
    said = json.loads(invoke(*verify, "--json").stdout)
    assert (said["destroyed"], said["kek"], said["number"]) == ("kek", second, number)
    signed, _, signature = text.rpartition(".")
    # Not at its end: the last byte of an Ed25519 signature is often 0.
    other = "A" if signature[0] != "A" else "B"
    Path("k2.jws").write_text(f"{signed}.{other}{signature[1:]}")
    invoke(*verify, status=1)
    run("destroy", "--yes", first, "--receipt", "k2.jws", status=3)
    assert states(run) == [(first, "primary")]


def test_a_receipt_that_a_killed_command_did_not_write_is_there_after_another_run(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("init")
    second = run("add").stdout.strip()
    row = listed(run)["keks"][1]
    run("disable", "--yes", second)

    def killed_there(*_: object, now: int) -> None:
        raise SystemExit(1)

    with monkeypatch.context() as killed:
        killed.setattr("proxy.keys.operations.erase_receipt.sign", killed_there)
        run("destroy", "--yes", second, status=1)
    assert second not in dict(states(run))
    text = run("destroy", second, "--receipt", "k2.jws").stdout
    assert Path("k2.jws").read_text() == text
    verify = ("audit", "verify-receipt", "k2.jws", "--root-file", "root.key")
    said = json.loads(invoke(*verify, "--json").stdout)
    assert (said["destroyed"], said["kek"], said["number"]) == ("kek", second, row["number"])
    assert utc(said["created"]) == row["created"]
    run("destroy", "k3-abcd", "--receipt", "k3.jws", status=1)  # none was destroyed
    log = Path("keyring.jwe.audit")
    log.write_text(log.read_text().replace(f'"kek":"{second}"', '"kek":"k3-abcd"'))
    run("destroy", "k3-abcd", "--receipt", "k3.jws", status=1)  # nobody with the key wrote that


def test_nothing_is_destroyed_without_a_place_for_its_receipt(run: Run) -> None:
    run("init")
    ((first, _),) = states(run)
    second = run("add").stdout.strip()
    run("disable", "--yes", second)
    run("destroy", "--yes", second, "--receipt", "missing/k2.jws", status=3)
    assert states(run) == [(first, "primary"), (second, "disabled")]
    run("destroy", "--yes", first, "--receipt", "k1.jws", status=1)
    run("destroy", second, "--receipt", "k1.jws", status=2)  # nobody confirms it
    assert not Path("k1.jws").exists()
