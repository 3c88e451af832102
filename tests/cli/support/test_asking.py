"""What cannot be taken back is shown and asked for, or takes `--yes`."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.conftest import Run, invoke

ROOT = Path(__file__).parents[3]
PATIENCE_SECONDS = 30.0
NAMED = ("--tenant", "clinic", "--conversation", "c1")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `sealyard` in a folder with a configuration and a keyring of two KEKs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SEALYARD_BACKUP_PASSPHRASE", "sechs rote Enten am Teich")

    invoke("init", ".")
    written = Path("sealyard.yaml").read_text().replace("store: memory", "store: sqlite:keys.db")
    Path("sealyard.yaml").write_text(written)
    invoke("keys", "add", "--id", "spare")
    return invoke


def spare(run: Run) -> tuple[str, str]:
    """Return the id and the state of the second KEK."""
    row = json.loads(run("keys", "list", "--json").stdout)["keks"][1]
    return row["id"], row["state"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("keys", "disable", "SPARE"), "does not open until it is enabled"),
        (("keys", "destroy", "SPARE"), "does not open ever again"),
        (("keys", "import", "backup.jwe", "--merge"), "backup.jwe: keyring "),
        (("sessions", "revoke", *NAMED), "tenant clinic, conversation c1: sessions that began"),
        (("sessions", "erase", *NAMED), "what they sealed never opens again"),
        (
            ("participants", "revoke", "alice", "k", "--reason", "lost"),
            "the key can never be added again",
        ),
    ],
)
def test_without_a_terminal_it_takes_yes(run: Run, words: tuple[str, ...], told: str) -> None:
    run("keys", "export", "backup.jwe")
    kek, state = spare(run)
    files = {path: path.read_bytes() for path in Path().iterdir() if path.suffix != ".lock"}

    result = run(*(kek if one == "SPARE" else one for one in words), status=2)

    assert result.stdout == ""
    assert told in result.stderr
    assert "give --yes" in result.stderr
    assert {path: path.read_bytes() for path in files} == files
    assert spare(run) == (kek, state)


def test_a_restored_keyring_is_asked_for_too(run: Run) -> None:
    run("keys", "export", "backup.jwe")
    Path("keyring.jwe").unlink()
    assert "keyring.jwe is created" in run("keys", "import", "backup.jwe", status=2).stderr
    assert not Path("keyring.jwe").exists()
    run("keys", "import", "backup.jwe", "--yes")
    assert Path("keyring.jwe").exists()


def test_what_is_disabled_can_be_enabled(run: Run) -> None:
    kek, _ = spare(run)
    run("keys", "enable", kek, status=1)  # it is not disabled
    run("keys", "disable", kek, "--yes")
    assert spare(run) == (kek, "disabled")
    run("keys", "enable", kek)
    assert spare(run) == (kek, "decrypt")
    assert '"keys.enable"' in Path("audit.log").read_text()
    run("keys", "enable", "unknown", status=1)
    run("keys", "disable", "unknown", status=1)


@pytest.mark.parametrize(
    ("answer", "status", "state"),
    [
        (b"y\n", 0, "disabled"),
        (b"n\n", 1, "decrypt"),
        (b"\n", 1, "decrypt"),
        (b"\x04", 1, "decrypt"),
    ],
)
def test_at_a_terminal_it_asks(run: Run, answer: bytes, status: int, state: str) -> None:
    kek, _ = spare(run)
    ours, theirs = pty.openpty()
    command = [sys.executable, "-P", "-m", "proxy", "keys", "disable", kek]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(  # noqa: S603 - Sealyard itself
        command, stdin=theirs, stdout=subprocess.DEVNULL, stderr=theirs, env=environment
    ) as process:
        os.close(theirs)
        told = _until(ours, b"Continue? [y/N]")
        os.write(ours, answer)
        code = process.wait(PATIENCE_SECONDS)
    os.close(ours)
    assert f"KEK {kek} of".encode() in told
    assert (code, spare(run)) == (status, (kek, state))


def _until(terminal: int, words: bytes) -> bytes:
    """Return what a terminal shows up to some words."""
    seen, deadline = b"", time.monotonic() + PATIENCE_SECONDS
    while words not in seen:
        assert time.monotonic() < deadline, seen
        if select.select([terminal], [], [], 0.5)[0]:
            seen += os.read(terminal, 4096)
    return seen
