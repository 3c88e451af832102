"""A run that is killed at any point and begun again leaves what one run would have left."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.conftest import invoke
from tests.migration.builders import CANARY, SQLITE_JOB, sqlite_clinic, stored
from tests.tree import ROOT

KILLS = 4
SET = {"SEALYARD_PASSPHRASE": "seven violins under glass 41", "PYTHONPATH": str(ROOT)}


@pytest.fixture
def clinic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the database of a clinic beside a job and a keyring."""
    monkeypatch.chdir(tmp_path)
    for name, value in SET.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "job.yaml").write_text(SQLITE_JOB, "utf-8")
    invoke("keys", "init")
    sqlite_clinic(tmp_path / "clinic.db")
    return tmp_path / "clinic.db"


def begin(verb: str, batches: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.migration.killed", "job.yaml", verb, str(batches)]
    return subprocess.Popen(command, env=os.environ | SET)  # noqa: S603 - ourselves


def finish(verb: str) -> None:
    assert begin(verb, 0).wait(60) == 0


def test_a_run_may_be_killed_at_every_border_of_batches(clinic: Path) -> None:
    before = stored(clinic)
    for verb in ("seal", "open"):
        for batches in (1, 2, 4):
            assert begin(verb, batches).wait(60) == -signal.SIGKILL
        finish(verb)
        if verb == "seal":
            assert CANARY not in clinic.read_bytes().decode("latin-1")
            invoke("migrate", "verify", "job.yaml")

    assert stored(clinic) == before


def test_a_run_may_be_killed_at_any_time(clinic: Path) -> None:
    sqlite_clinic_more(clinic)
    before = stored(clinic)
    for verb in ("seal", "open"):
        for _ in range(KILLS):
            run = begin(verb, 0)
            time.sleep(0.3 + secrets.randbelow(1000) / 1000)
            run.kill()
            assert run.wait(60) in {0, -signal.SIGKILL}
        finish(verb)
        if verb == "seal":
            invoke("migrate", "verify", "job.yaml")

    assert stored(clinic) == before


def sqlite_clinic_more(clinic: Path) -> None:
    clinic.unlink()
    sqlite_clinic(clinic, 3000)
