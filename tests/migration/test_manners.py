"""How a run behaves beside others: it holds locks briefly, waits, obeys, and is alone."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import psycopg
import pymysql
import pytest

from proxy.migration.job.places import Mysql
from proxy.migration.policy import LOCK_SECONDS
from proxy.migration.sources.mysql import MysqlSource
from proxy.migration.sources.postgresql import PostgresqlSource
from proxy.migration.sources.sqlite import SqliteSource
from tests.cli.conftest import invoke
from tests.migration import servers, tables
from tests.migration.builders import SEALYARD, SET, SQLITE_JOB, a_clinic
from tests.migration.tables import Database, a_table

JOB = """\
version: 1
source: {source}
tables:
  - table: messages
    batch: 3
    tenant: column:org
    conversation: const:c1
    columns: [{{column: content}}]
"""
SLACK = 5.0
"""Seconds beside those of a lock: what starting and asking takes on a busy machine."""


@pytest.fixture(scope="module")
def ports() -> Iterator[Callable[[str], int]]:
    with tables.ports() as held:
        yield held


POSTGRESQL = pytest.param("postgresql", marks=servers.needs_postgresql)
MARIADB = pytest.param("mariadb", marks=[servers.needs_mariadb, pytest.mark.slow])
MYSQL = pytest.param("mysql", marks=[servers.needs_mysql, pytest.mark.slow])


@pytest.fixture(params=[POSTGRESQL, MARIADB, MYSQL])
def database(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    ports: Callable[[str], int],
) -> Iterator[Database]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SEALYARD_PASSPHRASE", SET["SEALYARD_PASSPHRASE"])
    invoke("keys", "init")
    port = ports(request.param)
    made = tables.postgresql if request.param == "postgresql" else tables.mysql
    with made(port) as found:
        source = f"{{mysql: {{database: clinic, port: {port}, user: clinic}}}}"
        if request.param == "postgresql":
            source = f"{{postgresql: '{found.address}'}}"
        (tmp_path / "job.yaml").write_text(JOB.format(source=source), "utf-8")
        yield found


def started(*words: str) -> subprocess.Popen[str]:
    command = [*SEALYARD, "migrate", *words]
    return subprocess.Popen(command, env=os.environ | SET, stderr=subprocess.PIPE, text=True)  # noqa: S603 - ourselves


def frozen_after(calls: int) -> subprocess.Popen[bytes] | None:
    """Return a run that has stopped itself after so many calls; None for one that ended before."""
    run = subprocess.Popen(  # noqa: S603 - ourselves
        [sys.executable, "-m", "tests.migration.frozen", str(calls)],
        env=os.environ | SET,
        stdout=subprocess.DEVNULL,
    )
    _, status = os.waitpid(run.pid, os.WUNTRACED)
    if os.WIFSTOPPED(status):
        return run
    run.returncode = os.waitstatus_to_exitcode(status)
    return None


def test_a_run_that_is_frozen_at_any_call_keeps_no_row_for_longer_than_said(
    database: Database,
) -> None:
    database.fill(3)
    bounded = "SET lock_timeout = '20s'; " if database.address else ""  # MySQL has a bound
    waited: list[float] = []
    while (run := frozen_after(len(waited) + 1)) is not None:
        began = time.monotonic()
        database.run(bounded + "UPDATE messages SET thread = thread + 1")  # noqa: S608 - of this test
        waited.append(time.monotonic() - began)
        run.kill()
        run.wait(10)
        database.run("UPDATE messages SET content = 'text'")

    assert len(waited) >= 3
    assert max(waited) < LOCK_SECONDS + SLACK


@pytest.mark.parametrize("database", [POSTGRESQL], indirect=True)
def test_a_statement_that_takes_too_long_is_parted_until_it_does_not(database: Database) -> None:
    database.fill(3)
    database.run(
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN PERFORM pg_sleep(2); RETURN new; END $$"
    )
    database.run(
        "CREATE TRIGGER slow BEFORE UPDATE ON messages FOR EACH ROW EXECUTE FUNCTION slow()"
    )
    job = Path("job.yaml")
    job.write_text(job.read_text("utf-8") + "accept: trigger slow on table messages\n", "utf-8")

    assert "3 sealed-now" in invoke("migrate", "seal", "job.yaml").output


@pytest.mark.parametrize("database", [MARIADB, MYSQL], indirect=True)
def test_what_takes_long_is_written_in_several_transactions(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.fill(3)
    monkeypatch.setattr("proxy.migration.sources.sql_table.TRANSACTION_SECONDS", -1.0)
    ran: list[str] = []
    run = MysqlSource._run

    def noted(self: MysqlSource, sql: str, values: Any = ()) -> Any:  # noqa: ANN401 - as what is wrapped
        ran.append(sql)
        return run(self, sql, values)

    monkeypatch.setattr(MysqlSource, "_run", noted)

    assert "3 sealed-now" in invoke("migrate", "seal", "job.yaml").output
    assert ran.count("COMMIT") == 3


def test_two_runs_over_one_table_exclude_each_other(database: Database) -> None:
    database.fill(3)
    other = database.opened(a_table())
    other.exclude()
    refused = invoke("migrate", "seal", "job.yaml", status=3)
    other.close()
    invoke("migrate", "seal", "job.yaml")

    assert "table-in-use: messages" in refused.output


@servers.needs_postgresql
def test_a_run_over_a_part_of_a_table_excludes_one_over_the_whole(
    tmp_path: Path, ports: Callable[[str], int]
) -> None:
    with tables.postgresql(ports("postgresql")) as database:
        database.run("CREATE TABLE part (CHECK (id < 5)) INHERITS (messages)")
        database.run("ALTER TABLE part ADD PRIMARY KEY (id)")
        database.opened(a_table(name="part")).exclude()
        with pytest.raises(Exception, match="table-in-use"):
            database.opened(a_table()).exclude()


def test_two_runs_over_one_file_exclude_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = a_clinic(tmp_path, monkeypatch)
    with tables.closings() as opened:
        opened(SqliteSource(file, a_table())).exclude()
        refused = invoke("migrate", "open", "job.yaml", status=3)
    invoke("migrate", "seal", "job.yaml")

    assert "table-in-use: messages" in refused.output


def test_a_run_pauses_goes_on_and_stops_as_it_is_told_from_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_clinic(tmp_path, monkeypatch, rows=30)
    invoke("migrate", "tell", "job.yaml", "pause")
    with started("seal", "job.yaml") as run:
        assert run.stderr is not None
        assert json.loads(run.stderr.readline()) == {"waits": "somebody told it to pause"}
        left = unsealed()
        time.sleep(1.5)
        assert unsealed() == left
        invoke("migrate", "tell", "job.yaml", "stop")
        told = run.stderr.read()
        assert run.wait(30) == 3
    assert 0 < unsealed() == left
    assert "stopped: somebody told it to; run it again to go on" in told
    invoke("migrate", "tell", "job.yaml", "stop")  # no run is there to hear it
    invoke("migrate", "seal", "job.yaml")

    assert unsealed() == 0


def test_no_run_but_the_one_that_holds_the_table_hears_that_it_is_to_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = a_clinic(tmp_path, monkeypatch)
    with tables.closings() as opened:
        opened(SqliteSource(file, a_table())).exclude()
        invoke("migrate", "tell", "job.yaml", "stop")
        invoke("migrate", "plan", "job.yaml")
        invoke("migrate", "verify", "job.yaml", status=1)
        invoke("migrate", "open", "job.yaml", status=3)

        assert Path("job.yaml.told").read_text("utf-8") == "stop\n"


def test_only_the_runs_of_a_job_that_exists_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_clinic(tmp_path, monkeypatch)
    invoke("migrate", "tell", "jbo.yaml", "stop", status=2)

    assert not Path("jbo.yaml.told").exists()


def test_what_a_run_has_found_is_told_though_its_report_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_clinic(tmp_path, monkeypatch)
    lost = invoke("migrate", "verify", "job.yaml", "--report", "nowhere/proof.jws", status=3)

    assert "10 rows, 20 values not sealed" in lost.output


@pytest.mark.parametrize("mark", ["{}", "[]", "7", '{"verb": "seal"}'])
def test_a_mark_that_says_nothing_is_none(
    mark: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_clinic(tmp_path, monkeypatch)
    Path("job.yaml.mark").write_text(mark, "utf-8")
    invoke("migrate", "seal", "job.yaml")

    assert unsealed() == 0


def unsealed() -> int:
    """Return how many rows of the clinic are not sealed."""
    with closing(sqlite3.connect("clinic.db")) as database:
        sql = "SELECT count(*) FROM messages WHERE content LIKE 'canary%'"
        return int(database.execute(sql).fetchone()[0])


def test_a_run_waits_while_the_machine_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_clinic(tmp_path, monkeypatch)
    (tmp_path / "job.yaml").write_text(f"{SQLITE_JOB}throttle: {{load: 5}}\n", "utf-8")
    loads = iter([9.0, 9.0, *[1.0] * 20])
    monkeypatch.setattr(os, "getloadavg", lambda: (next(loads), 0.0, 0.0))
    began = time.monotonic()
    invoke("migrate", "seal", "job.yaml")

    assert time.monotonic() - began >= 2


def test_a_file_has_no_sessions_to_wait_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_clinic(tmp_path, monkeypatch)
    (tmp_path / "job.yaml").write_text(f"{SQLITE_JOB}throttle: {{sessions: 5}}\n", "utf-8")

    assert "throttle-blind" in invoke("migrate", "seal", "job.yaml", status=3).output


def test_a_run_waits_while_too_many_sessions_are_active(database: Database) -> None:
    database.fill(9)
    job = Path("job.yaml")
    job.write_text(job.read_text("utf-8") + "throttle: {sessions: 1}\n", "utf-8")
    others = [threading.Thread(target=asleep, args=(database,)) for _ in range(2)]
    for one in others:
        one.start()
    while len(sleepers(database)) < len(others):
        time.sleep(0.1)
    with started("seal", "job.yaml") as run:
        told = run.stderr.readline() if run.stderr is not None else ""
        for session in sleepers(database):
            database.run(
                f"SELECT pg_cancel_backend({session})"
                if database.address
                else f"KILL QUERY {session}"
            )
        assert run.wait(60) == 0
    for one in others:
        one.join()

    assert json.loads(told) == {"waits": "2 sessions are active"}


def asleep(database: Database) -> None:
    """Be an active session until it is cancelled."""
    with suppress(psycopg.Error, pymysql.Error):
        database.run("SELECT pg_sleep(300)" if database.address else "SELECT sleep(300)")


def sleepers(database: Database) -> list[int]:
    """Return the sessions that are asleep."""
    sql = "SELECT id FROM information_schema.processlist WHERE info LIKE 'SELECT sleep%'"
    if database.address:
        sql = "SELECT pid FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'"
        sql += " AND state = 'active'"
    return [one for (one,) in database.run(sql)]


@servers.needs_postgresql
def test_who_may_not_see_sessions_cannot_bound_them(
    tmp_path: Path, ports: Callable[[str], int]
) -> None:
    with tables.postgresql(ports("postgresql")) as database:
        for sql in (
            "DROP ROLE IF EXISTS blind",
            "CREATE ROLE blind LOGIN",
            "GRANT USAGE ON SCHEMA public TO blind",
            "GRANT SELECT ON messages, threads TO blind",
        ):
            database.run(sql)
        address = database.address.replace("user=clinic", "user=blind")
        with (
            closing(PostgresqlSource(address, None, a_table())) as source,
            pytest.raises(Exception, match="throttle-blind"),
        ):
            source.sessions()


@pytest.mark.slow
@servers.needs_postgresql
def test_the_lag_of_a_replica_of_postgresql_is_seen(tmp_path: Path) -> None:
    with servers.postgresql("wal_level=replica") as (port, _), tables.postgresql(port) as found:
        source = found.opened(a_table())
        assert source.lag() == 0
        with servers.postgresql_replica(port, "recovery_min_apply_delay=4s"):
            assert lag_after(found.fill, source.lag) > 0.5


@pytest.mark.slow
@servers.needs_mariadb
def test_the_lag_of_a_replica_of_mariadb_is_seen(tmp_path: Path) -> None:
    with servers.mariadb("--log-bin", "--server-id=1") as (port, _), tables.mysql(port) as found:
        root = Mysql("clinic", port=port, user="root")
        with servers.mariadb_replica(port, delay=4):
            source = MysqlSource(root, None, a_table())
            with closing(source):
                assert lag_after(found.fill, source.lag) > 0.5


def lag_after(fill: Callable[[int], None], lag: Callable[[], float]) -> float:
    """Return the longest lag that is seen while a replica applies what was written."""
    fill(3)
    seen = 0.0
    until = time.monotonic() + 20
    while seen <= 0.5 and time.monotonic() < until:
        time.sleep(0.2)
        seen = max(seen, lag())
    return seen
