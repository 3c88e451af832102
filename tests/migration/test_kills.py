"""A run that is killed at any point and begun again leaves what one run would have left."""

from __future__ import annotations

import secrets
import signal
import time
from pathlib import Path

import pytest

from tests.cli.conftest import invoke
from tests.migration.builders import CANARY, a_clinic, begin, sqlite_clinic, stored

KILLS = 4


@pytest.fixture
def clinic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return a_clinic(tmp_path, monkeypatch)


def finish(verb: str) -> None:
    assert begin(verb, "0").wait(60) == 0


def test_a_run_may_be_killed_at_every_border_of_batches(clinic: Path) -> None:
    before = stored(clinic)
    for verb in ("seal", "open"):
        for batches in (1, 2, 4):
            assert begin(verb, str(batches)).wait(60) == -signal.SIGKILL
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
            run = begin(verb, "0")
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
