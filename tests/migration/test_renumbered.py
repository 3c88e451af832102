"""A table of SQLite without a key, to whose rows VACUUM gives other numbers meanwhile."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from proxy.migration.progress import Progress
from tests.cli.conftest import invoke
from tests.migration.builders import CANARY, a_clinic

ROWS = 12


@pytest.fixture
def clinic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a clinic whose messages have no key, and gaps between their numbers."""
    file = a_clinic(tmp_path, monkeypatch, 2 * ROWS)
    with closing(sqlite3.connect(file)) as database, database:
        columns = "org, thread, content, history"
        database.execute(f"CREATE TABLE old AS SELECT {columns} FROM messages")  # noqa: S608 - constants
        database.execute("DROP TABLE messages")
        database.execute("ALTER TABLE old RENAME TO messages")
        database.execute("DELETE FROM messages WHERE rowid % 2 = 1")
    return file


def vacuum(file: Path) -> None:
    with closing(sqlite3.connect(file)) as database:
        database.execute("VACUUM")
        rows = database.execute("SELECT count(*), max(rowid) FROM messages").fetchone()
    assert rows == (ROWS, ROWS)  # they have other numbers: without that, nothing is tried


def contents(file: Path) -> list[str]:
    with closing(sqlite3.connect(file)) as database:
        return [one for (one,) in database.execute("SELECT content FROM messages")]


def expect_all_sealed_once(file: Path) -> None:
    sealed = contents(file)
    assert not any(CANARY in one for one in sealed)
    assert len(set(sealed)) == ROWS
    invoke("migrate", "verify", "job.yaml")
    invoke("migrate", "open", "job.yaml")
    opened = sorted(contents(file))
    assert opened == sorted(f"{CANARY} {at}" for at in range(2, 2 * ROWS + 1, 2))


@pytest.mark.parametrize("batches", [1, 2, 4])
def test_a_run_that_vacuum_meets_fails_and_the_next_begins_anew(
    batches: int, clinic: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = batches

    def reached(*_: Any) -> None:  # noqa: ANN401 - not asked for
        nonlocal left
        left -= 1
        if not left:
            vacuum(clinic)

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(Progress, "reached", reached)
        failed = invoke("migrate", "seal", "job.yaml", status=3)
    assert "rows-renumbered: messages: VACUUM may have given rows other numbers" in failed.output
    invoke("migrate", "seal", "job.yaml")
    expect_all_sealed_once(clinic)
