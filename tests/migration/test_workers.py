"""Several workers leave what one leaves, whichever of them is killed."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.migration import servers
from tests.migration.builders import (
    CANARY,
    SEALYARD,
    SET,
    SQLITE_JOB,
    a_clinic,
    begin,
    stored,
)
from tools.bench.migration import measure
from tools.bench.migration.places import PLACES

ROWS = 40


@pytest.fixture
def clinic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return a_clinic(tmp_path, monkeypatch, ROWS)


def sealyard(*words: str, status: int = 0) -> subprocess.CompletedProcess[bytes]:
    """Run the command in a process of its own, since workers are forked from it."""
    done = subprocess.run(  # noqa: S603 - ourselves
        [*SEALYARD, *words], capture_output=True, timeout=120, check=False, env=os.environ | SET
    )
    assert done.returncode == status, done.stderr
    assert CANARY.encode() not in done.stdout + done.stderr
    return done


def counts(verb: str, workers: int, status: int = 0) -> dict[str, object]:
    words = ("migrate", verb, "job.yaml", "--json", "--workers", str(workers))
    said: dict[str, object] = json.loads(sealyard(*words, status=status).stdout)
    return said


def test_several_workers_count_and_leave_what_one_does(clinic: Path) -> None:
    before = stored(clinic)
    for verb, others in (("verify", 1), ("seal", 0), ("seal", 0), ("verify", 0), ("reseal", 0)):
        copy = clinic.read_bytes()
        alone = counts(verb, 1, others)
        clinic.write_bytes(copy)
        together = counts(verb, 3, others)

        assert together["rows"] == ROWS
        how = {"proof": "", "proves": ""}  # one worker reads one state of SQLite, several do not
        assert {**together, **how} == {**alone, **how}
    assert CANARY not in clinic.read_bytes().decode("latin-1")
    counts("open", 3)

    assert stored(clinic) == before


def test_a_run_of_several_workers_may_be_killed_at_every_border_of_batches(clinic: Path) -> None:
    before = stored(clinic)
    for verb in ("seal", "open"):
        for batches in range(1, 6):
            assert begin(verb, str(batches), "3").wait(120) == -signal.SIGKILL
        assert begin(verb, "0", "3").wait(120) == 0
        if verb == "seal":
            sealyard("migrate", "verify", "job.yaml")

    assert stored(clinic) == before


def test_what_a_killed_worker_leaves_is_done_by_another(clinic: Path) -> None:
    before = stored(clinic)
    for verb in ("seal", "open"):
        assert begin(verb, "2", "3", "a-worker").wait(120) == 0
        if verb == "seal":
            sealyard("migrate", "verify", "job.yaml")

    assert stored(clinic) == before


def test_where_all_workers_are_killed_the_next_run_goes_on(clinic: Path) -> None:
    slow = [*SEALYARD, "migrate", "seal", "job.yaml", "--workers", "2", "--rate", "6"]
    with subprocess.Popen(slow, stderr=subprocess.PIPE, env=os.environ | SET) as run:  # noqa: S603 - ourselves
        workers = awaited(run.pid, 2)
        await_rows(clinic, 2)
        for one in workers:
            os.kill(one, signal.SIGKILL)
        assert run.stderr is not None
        said = run.stderr.read()
    assert (run.returncode, b"workers-killed" in said) == (3, True)
    told = json.loads(sealyard("migrate", "status", "job.yaml", "--json").stdout)
    assert 0 < told["rows"] < ROWS

    assert counts("seal", 2)["rows"] == ROWS
    sealyard("migrate", "verify", "job.yaml")


def test_workers_end_when_their_run_is_killed(clinic: Path) -> None:
    slow = [*SEALYARD, "migrate", "seal", "job.yaml", "--workers", "3", "--rate", "6"]
    with subprocess.Popen(slow, env=os.environ | SET) as run:  # noqa: S603 - ourselves
        workers = awaited(run.pid, 3)
        await_rows(clinic, 3)
        run.kill()
    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{one}").exists() for one in workers):
        assert time.monotonic() < deadline
        time.sleep(0.05)

    counts("seal", 3)
    sealyard("migrate", "verify", "job.yaml")


def test_workers_whose_run_is_killed_do_not_write_what_they_are_at(clinic: Path) -> None:
    slow = [*SEALYARD, "migrate", "seal", "job.yaml", "--workers", "3", "--rate", "20"]
    with subprocess.Popen(slow, env=os.environ | SET) as run:  # noqa: S603 - ourselves
        workers = awaited(run.pid, 3)
        await_rows(clinic, 3)
        with closing(sqlite3.connect(clinic, isolation_level=None)) as database:
            database.execute("BEGIN IMMEDIATE")
            time.sleep(1)  # each of them is at a batch by then, and waits for the lock
            run.kill()
            run.wait()
            before = stored(clinic)
            database.execute("ROLLBACK")
    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{one}").exists() for one in workers):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert stored(clinic) == before


@pytest.mark.parametrize("workers", [1, 3])
def test_ctrl_c_ends_a_run_and_its_workers_and_the_next_goes_on(clinic: Path, workers: int) -> None:
    words = ("migrate", "seal", "job.yaml", "--workers", str(workers), "--rate", "6")
    command = [*SEALYARD, *words]
    with subprocess.Popen(command, env=os.environ | SET, start_new_session=True) as run:  # noqa: S603 - ourselves
        begun = awaited(run.pid, workers) if workers > 1 else []
        await_rows(clinic, workers)
        os.killpg(run.pid, signal.SIGINT)
        run.wait(20)
    assert not any(Path(f"/proc/{one}").exists() for one in begun)
    told = json.loads(sealyard("migrate", "status", "job.yaml", "--json").stdout)
    assert 0 < told["rows"] < ROWS

    assert counts("seal", workers)["rows"] == ROWS
    sealyard("migrate", "verify", "job.yaml")


@pytest.mark.parametrize("workers", [1, 2])
def test_a_run_ends_when_another_kek_becomes_the_primary(clinic: Path, workers: int) -> None:
    words = ("migrate", "seal", "job.yaml", "--workers", str(workers), "--rate", "3")
    command = [*SEALYARD, *words]
    with subprocess.Popen(command, stderr=subprocess.PIPE, env=os.environ | SET) as run:  # noqa: S603 - ourselves
        await_rows(clinic, workers)
        new = sealyard("keys", "add").stdout.decode().strip()
        assert run.poll() is None
        sealyard("keys", "promote", new)
        _, said = run.communicate(timeout=60)
    assert (run.returncode, b"primary-changed" in said) == (3, True)

    assert counts("seal", workers)["rows"] == ROWS
    keks = {kek for _, _, kek, _, _ in counts("verify", 1)["values"]}  # type: ignore[attr-defined] # JSON
    assert new in keks
    assert len(keks) == 2


def await_rows(clinic: Path, workers: int) -> None:
    """Wait until some worker has gone on after its first batch of three rows."""
    deadline = time.monotonic() + 60
    with closing(sqlite3.connect(clinic)) as database:
        sql = "SELECT count(*) FROM messages WHERE content NOT LIKE 'canary%'"
        while database.execute(sql).fetchone()[0] <= 3 * workers:
            assert time.monotonic() < deadline
            time.sleep(0.02)


def awaited(pid: int, workers: int) -> list[int]:
    """Return the workers of a run, once it has them."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = measure.children(pid)
        if len(found) == workers:
            return found
        time.sleep(0.02)
    raise TimeoutError


def test_the_rate_is_that_of_all_workers_together(clinic: Path) -> None:
    began = time.monotonic()
    sealyard("migrate", "plan", "job.yaml", "--rate", "20", "--workers", "4")

    assert time.monotonic() - began >= 0.8 * ROWS / 20


def test_what_ends_one_worker_ends_the_run_with_its_reason(clinic: Path) -> None:
    with closing(sqlite3.connect(clinic)) as database, database:
        database.execute(
            "CREATE TRIGGER fail BEFORE UPDATE ON messages WHEN old.id = 31"
            " BEGIN SELECT abs(-9223372036854775807 - 1); END"
        )
    failed = sealyard("migrate", "seal", "job.yaml", "--workers", "3", status=3)
    assert b"SQLITE_ERROR" in failed.stderr
    with closing(sqlite3.connect(clinic)) as database, database:
        database.execute("DROP TRIGGER fail")

    assert counts("seal", 3)["rows"] == ROWS
    sealyard("migrate", "verify", "job.yaml")


def test_a_stream_has_one_reader(clinic: Path) -> None:
    job = SQLITE_JOB.replace("sqlite: clinic.db", "pipe: csv").replace("    batch: 3\n", "")
    clinic.with_name("csv.yaml").write_text(
        job.replace("sql:(SELECT name FROM threads WHERE threads.id = messages.thread)", "const:c"),
        "utf-8",
    )
    refused = sealyard("migrate", "seal", "csv.yaml", "--workers", "2", status=2)

    assert b"a stream has one reader" in refused.stderr


@pytest.mark.parametrize(
    ("kind", "proof"),
    [
        pytest.param("postgresql", "snapshot", marks=servers.needs_postgresql),
        pytest.param("mariadb", "pages", marks=servers.needs_mariadb),
        ("sqlite", "pages"),
    ],
)
def test_beside_a_writer_several_workers_lose_and_double_nothing(
    kind: str, proof: str, tmp_path: Path
) -> None:
    with PLACES[kind](tmp_path) as database:
        found = measure.in_database(tmp_path, database, 3000, updates=50, kills=4, workers=3)

    assert found["updates"] > 0
    assert {one: found[one] for one in ("rows", "plain", "doubled", "lost", "not_byte_equal")} == {
        "rows": 3000,
        "plain": 0,
        "doubled": 0,
        "lost": 0,
        "not_byte_equal": 0,
    }
    assert (found["verify"]["status"], found["open"]["status"]) == (0, 0)
    assert found["proof"] == proof
