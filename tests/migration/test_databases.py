"""Real databases: what their logs show, what a plan says of their columns, what a run leaves."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pymysql
import pytest

from tests.cli.conftest import invoke
from tests.migration import servers
from tests.migration.builders import CANARY
from tools.bench.migration import measure
from tools.bench.migration.places import PLACES

KINDS = [
    pytest.param("postgresql", marks=servers.needs_postgresql),
    pytest.param("mariadb", marks=servers.needs_mariadb),
    "sqlite",
]


@pytest.mark.parametrize("kind", KINDS)
def test_beside_a_writer_and_under_kills_nothing_is_lost_plain_or_doubled(
    kind: str, tmp_path: Path
) -> None:
    with PLACES[kind](tmp_path) as database:
        found = measure.in_database(tmp_path, database, 600, updates=20, kills=1)

    assert found["updates"] > 0
    assert {one: found[one] for one in ("rows", "plain", "doubled", "lost", "not_byte_equal")} == {
        "rows": 600,
        "plain": 0,
        "doubled": 0,
        "lost": 0,
        "not_byte_equal": 0,
    }
    assert (found["verify"]["status"], found["open"]["status"]) == (0, 0)
    assert max(found[one]["memory_kib"] for one in ("seal", "verify", "open")) <= 64 * 1024


JOB = """\
version: 1
source: {source}
tables:
  - table: Letters
    tenant: column:org
    conversation: sql:(SELECT name FROM threads WHERE id = thread AND name LIKE '%')
    where: id % 2 = 1
    columns:
      - column: subject
      - column: content
        form: short
      - column: history
"""
STREAM = """\
version: 1
source: {pipe: csv}
tables:
  - table: Letters
    tenant: column:org
    conversation: column:conv
    columns: [{column: content, form: short}]
"""
SCHEMA = (
    "CREATE TABLE threads (id integer PRIMARY KEY, name varchar(20))",
    "INSERT INTO threads VALUES (1, 'c1')",
    (
        'CREATE TABLE "Letters" (id integer PRIMARY KEY, org varchar(20), thread integer,'
        " subject varchar(100), content varchar(255), history {json})"
    ),
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SEALYARD_PASSPHRASE", "seven violins under glass 41")
    invoke("keys", "init")
    return tmp_path


def insert(number: int) -> str:
    history = f'[{{"text": "{CANARY}", "at": {number}}}]'
    values = f"{number}, 'clinic', 1, '{CANARY}', '{CANARY} 100%', '{history}'"
    return f'INSERT INTO "Letters" VALUES ({values})'  # noqa: S608 - of this test


@pytest.fixture
def clinic(folder: Path) -> Iterator[tuple[psycopg.Connection, Path]]:
    with servers.postgresql() as (port, log):
        address = f"host=127.0.0.1 port={port} user=clinic dbname=postgres"
        (folder / "job.yaml").write_text(JOB.format(source=f"{{postgresql: {address}}}"), "utf-8")
        with psycopg.connect(address, autocommit=True) as database:
            for sql in SCHEMA:
                database.execute(sql.format(json="jsonb").encode())
            for number in range(1, 5):
                database.execute(insert(number).encode())
            yield database, log


def statements(log: Path, before: int) -> str:
    return log.read_bytes()[before:].decode("utf-8", "replace")


@servers.needs_postgresql
def test_no_log_of_postgresql_has_a_value_whatever_is_done(
    clinic: tuple[psycopg.Connection, Path], folder: Path
) -> None:
    database, log = clinic
    before = log.stat().st_size
    plain = database.execute('SELECT * FROM "Letters" ORDER BY id').fetchall()
    database.execute('ALTER TABLE "Letters" ALTER COLUMN subject TYPE varchar(400)')
    for verb in ("plan", "seal", "verify", "reseal", "open", "seal"):
        invoke("migrate", verb, "job.yaml")
        if verb == "open":
            assert database.execute('SELECT * FROM "Letters" ORDER BY id').fetchall() == plain
    said = statements(log, before)

    assert "UPDATE" in said
    assert CANARY not in said
    sealed = database.execute('SELECT * FROM "Letters" WHERE id % 2 = 1').fetchall()
    assert CANARY not in str(sealed)
    rest = database.execute('SELECT content FROM "Letters" WHERE id % 2 = 0').fetchall()
    assert rest == [(f"{CANARY} 100%",)] * 2


@servers.needs_postgresql
def test_a_plan_says_which_column_of_postgresql_is_too_narrow(
    clinic: tuple[psycopg.Connection, Path], folder: Path
) -> None:
    database, _ = clinic
    planned = invoke("migrate", "plan", "job.yaml", status=1)
    (alter,) = (one for one in planned.output.splitlines() if one.startswith("ALTER"))
    (width,) = re.findall(r"varchar\(([0-9]+)\)", alter)
    assert f"Letters.subject: up to {width} characters, and 100 fit" in planned.output
    sealed = invoke("migrate", "seal", "job.yaml", status=1)
    assert "Letters.subject: 2 too-long" in sealed.output
    database.execute(alter.encode())
    invoke("migrate", "seal", "job.yaml")

    invoke("migrate", "verify", "job.yaml")


@servers.needs_postgresql
@pytest.mark.parametrize("kind", ["char(400)", "name", "bytea USING content::bytea"])
def test_a_column_of_postgresql_that_would_change_a_token_is_refused(
    clinic: tuple[psycopg.Connection, Path], folder: Path, kind: str
) -> None:
    database, _ = clinic
    database.execute(f'ALTER TABLE "Letters" ALTER COLUMN content TYPE {kind}'.encode())
    before = database.execute('SELECT * FROM "Letters" ORDER BY id').fetchall()
    refused = invoke("migrate", "seal", "job.yaml", status=3)

    assert "not-a-text-column" in refused.output
    assert database.execute('SELECT * FROM "Letters" ORDER BY id').fetchall() == before


@servers.needs_postgresql
def test_who_may_only_read_gets_a_plan_without_a_time(
    clinic: tuple[psycopg.Connection, Path], folder: Path
) -> None:
    database, _ = clinic
    for sql in (
        "CREATE ROLE reader LOGIN",
        'GRANT SELECT ON "Letters", threads TO reader',
        "REVOKE TEMPORARY ON DATABASE postgres FROM PUBLIC",
    ):
        database.execute(sql.encode())
    job = folder / "job.yaml"
    timed = invoke("migrate", "plan", "job.yaml", status=1)
    job.write_text(job.read_text("utf-8").replace("user=clinic", "user=reader"), "utf-8")
    planned = invoke("migrate", "plan", "job.yaml", status=1)

    assert "`seal` will take about 1 s for 2 rows: as a trial" in timed.output
    assert "a trial failed: sqlstate 42501" in planned.output
    assert "Letters.content: 2 plain" in planned.output


@servers.needs_postgresql
def test_what_postgresql_refuses_is_reported_by_its_code_alone(
    clinic: tuple[psycopg.Connection, Path], folder: Path
) -> None:
    database, _ = clinic
    database.execute(
        "ALTER TABLE \"Letters\" ADD CHECK (id <> 3 OR content LIKE 'canary%'),"
        " ALTER COLUMN subject TYPE text"
    )
    sealed = invoke("migrate", "seal", "job.yaml", status=1)

    for column in ("subject", "content"):
        assert f"Letters.{column}: 1 refused (sqlstate 23514)" in sealed.output
        assert f"Letters.{column}: 1 sealed-now" in sealed.output
    assert CANARY not in sealed.output


@servers.needs_postgresql
def test_a_token_whose_text_postgresql_cannot_hold_is_left_and_all_others_are_opened(
    clinic: tuple[psycopg.Connection, Path], folder: Path
) -> None:
    database, _ = clinic
    database.execute('ALTER TABLE "Letters" ALTER COLUMN subject TYPE text')
    database.execute(insert(5).encode())
    before = database.execute('SELECT content FROM "Letters" WHERE id IN (1, 5)').fetchall()
    invoke("migrate", "seal", "job.yaml")
    (folder / "stream.yaml").write_text(STREAM, "utf-8")
    made = invoke("migrate", "seal", "stream.yaml", stdin=b"org,conv,content\nclinic,c1,a\0b\n")
    token = made.stdout.splitlines()[1].split(",")[2]
    database.execute('UPDATE "Letters" SET content = %s WHERE id = 3', (token,))
    opened = invoke("migrate", "open", "job.yaml", status=1)

    assert "Letters.content: 2 opened" in opened.output
    assert re.search(r"Letters.content: 1 refused under \w+ \(DataError\)", opened.output)
    after = database.execute('SELECT content FROM "Letters" WHERE id % 2 = 1 ORDER BY id')
    assert after.fetchall() == [before[0], (token,), before[1]]


@servers.needs_postgresql
def test_a_state_of_another_database_that_the_environment_names_is_refused(
    clinic: tuple[psycopg.Connection, Path], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database, _ = clinic
    job = folder / "job.yaml"
    job.write_text(job.read_text("utf-8").replace(" dbname=postgres", ""), "utf-8")
    monkeypatch.setenv("PGDATABASE", "postgres")
    database.execute("ALTER DATABASE postgres SET default_transaction_read_only = on")
    invoke("migrate", "seal", "job.yaml", status=3)
    database.execute("CREATE DATABASE hospital TEMPLATE template0")
    monkeypatch.setenv("PGDATABASE", "hospital")
    with psycopg.connect(f"{database.info.dsn} dbname=hospital", autocommit=True) as other:
        for sql in SCHEMA:
            other.execute(sql.format(json="jsonb").encode())
        refused = invoke("migrate", "seal", "job.yaml", status=3)

    assert "state-refused" in refused.output


@servers.needs_mariadb
def test_a_row_of_mariadb_is_never_compared_with_its_old_value(folder: Path) -> None:
    with servers.mariadb() as (port, log):
        source = f"{{mysql: {{database: clinic, port: {port}, user: clinic}}}}"
        (folder / "job.yaml").write_text(JOB.format(source=source), "utf-8")
        database = pymysql.connect(
            host="127.0.0.1", port=port, user="clinic", database="clinic", autocommit=True
        )
        with database, database.cursor() as cursor:
            cursor.execute("SET sql_mode = 'ANSI_QUOTES'")
            for sql in SCHEMA:
                cursor.execute(sql.format(json="longtext"))
            for number in range(1, 5):
                cursor.execute(insert(number))
            before = log.stat().st_size
            planned = invoke("migrate", "plan", "job.yaml", status=1)
            (alter,) = (one for one in planned.output.splitlines() if one.startswith("ALTER"))
            cursor.execute(alter.replace("`", '"'))
            for verb in ("seal", "verify", "reseal"):
                invoke("migrate", verb, "job.yaml")
            said = statements(log, before)
            invoke("migrate", "open", "job.yaml")
            cursor.execute('SELECT content FROM "Letters"')
            found = cursor.fetchall()

    assert "UPDATE" in said
    assert CANARY not in said
    assert found == ((f"{CANARY} 100%",),) * 4


def test_a_password_must_not_be_in_the_job(folder: Path) -> None:
    for address in ("host=db password=s3cr3t", "postgresql://clinic:s3cr3t@db/clinic"):
        (folder / "job.yaml").write_text(JOB.format(source=f"{{postgresql: '{address}'}}"), "utf-8")
        refused = invoke("migrate", "plan", "job.yaml", status=3)

        assert "a password must not be written in the file" in refused.output
        assert "s3cr3t" not in refused.output


def test_a_server_that_is_not_there_is_reported(folder: Path) -> None:
    (folder / "job.yaml").write_text(
        JOB.format(source="{postgresql: host=127.0.0.1 port=9 user=clinic}"), "utf-8"
    )

    assert "OperationalError" in invoke("migrate", "plan", "job.yaml", status=3).output
