"""`sealyard keys sign`, and what the other commands do with a keyring that is to be signed."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from click.testing import Result

from tests.cli.conftest import Run, invoke

CONFIG = """\
version: 1
keys:
  keyring: {file: keyring.jwe, key: {file: root.key}, signed_by: ['PUBLIC']}
listeners: [{name: a, listen: 127.0.0.1:0, upstream: 'http://127.0.0.1:1', unmatched: pass}]
"""


def openssl(*words: str) -> str:
    done = subprocess.run(("openssl", *words), capture_output=True, text=True, check=True)  # noqa: S603, S607 - as the page says
    return done.stdout


def a_key(name: str, *kind: str) -> str:
    """Make a private key as the page says, and return its public key."""
    openssl("genpkey", *kind, "-out", name)
    Path(name).chmod(0o600)
    return "".join(openssl("pkey", "-in", name, "-pubout").splitlines()[1:-1])


@pytest.fixture(
    params=[("-algorithm", "ed25519"), ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")]
)
def run(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `sealyard keys` in a folder with a keyring that is to be signed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SEALYARD_BACKUP_PASSPHRASE", "a phrase for backups")
    public = a_key("signing.pem", *request.param)
    Path("sealyard.yaml").write_text(CONFIG.replace("PUBLIC", public))

    def run(*words: str, status: int = 0) -> Result:
        return invoke("keys", *words, status=status)

    run("init")
    return run


def signed(run: Run) -> bool:
    found: bool = json.loads(run("list", "--json").stdout)["signed"]
    return found


def test_a_keyring_is_signed_changed_and_signed_again(run: Run) -> None:
    assert not signed(run)
    for words in (("add",), ("roots", "rewrap"), ("export", "backup.jwe")):
        refused = run(*words, status=1)
        assert "sealyard keys sign" in refused.stderr
    asked = run("sign", "--signing-key", "signing.pem", status=2)
    assert "roots that open it: `file`" in asked.stderr
    assert not signed(run)
    run("sign", "--signing-key", "signing.pem", "--yes")
    assert signed(run)
    kek = run("add").stdout.strip()
    assert not signed(run)
    assert (
        "follows from generation 1" in run("sign", "--signing-key", "signing.pem", status=2).stderr
    )
    run("sign", "--signing-key", "signing.pem", "--yes")
    run("promote", kek)
    events = [
        json.loads(one)["event"] for one in Path("keyring.jwe.audit").read_text().splitlines()
    ]
    assert events.count("keys.sign") == 2


def test_the_doctor_tells_of_a_file_that_nobody_signed(run: Run) -> None:
    def found() -> list[str]:
        told = json.loads(invoke("doctor", "--json", status=3).stdout)
        return [one["text"] for one in told if "sealyard keys sign" in one["text"]]

    assert len(found()) == 1
    run("sign", "--signing-key", "signing.pem", "--yes")
    assert not found()


def test_a_signature_is_made_elsewhere(run: Run) -> None:
    run("sign", "--to-sign", "head.json")
    how = (
        ("-rawin",)
        if "ed25519" in openssl("pkey", "-in", "signing.pem", "-noout", "-text").lower()
        else ("-rawin", "-digest", "sha256")
    )
    openssl(
        "pkeyutl", "-sign", *how, "-inkey", "signing.pem", "-in", "head.json", "-out", "head.sig"
    )
    Path("head.sig").chmod(0o600)
    run("sign", "--signature", "head.sig", "--yes")
    assert signed(run)


def test_what_is_no_signature_of_a_configured_key_is_refused(run: Run) -> None:
    a_key("other.pem", "-algorithm", "ed25519")
    before = Path("keyring.jwe").read_bytes()
    refused = run("sign", "--signing-key", "other.pem", "--yes", status=1)
    assert "no key of keys.keyring.signed_by made this signature" in refused.stderr
    Path("head.sig").write_bytes(b"x" * 64)
    Path("head.sig").chmod(0o600)
    assert "made this signature" in run("sign", "--signature", "head.sig", "--yes", status=1).stderr
    run("sign", status=2)
    run("sign", "--signature", "head.sig", "--to-sign", "head.json", status=2)
    assert Path("keyring.jwe").read_bytes() == before


def test_a_backup_is_believed_by_the_signature_of_what_it_was_made_of(run: Run) -> None:
    run("sign", "--signing-key", "signing.pem", "--yes")
    run("export", "backup.jwe")
    thief = ("--keyring", "stolen.jwe", "--root-file", "root.key", "--audit-file", "stolen.audit")
    Path("stolen.jwe").write_bytes(Path("keyring.jwe").read_bytes())
    Path("stolen.jwe").chmod(0o600)
    run("add", "--id", "planted", *thief)
    run("export", "planted.jwe", *thief)
    Path("keyring.jwe").unlink()

    refused = run("import", "planted.jwe", "--yes", status=1)
    assert (
        "no key of keys.keyring.signed_by signed the keyring that it was made of" in refused.stderr
    )
    assert not Path("keyring.jwe").exists()
    run("import", "backup.jwe", "--yes")
    assert not signed(run)
    head = json.loads(Path("keyring.jwe").read_text())["head"]
    assert [one[0] for one in head["former"]] == [1]
    run("sign", "--signing-key", "signing.pem", "--yes")
    assert signed(run)
