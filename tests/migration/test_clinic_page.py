"""The clinic of docs/how-to/migrate.md: its job, as it is written there, on a real PostgreSQL."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.cli.conftest import invoke
from tests.migration import servers
from tests.migration.builders import CANARY
from tests.tree import ROOT

PAGE = ROOT / "docs" / "how-to" / "migrate.md"
SCHEMA = (
    "CREATE TABLE threads (id integer PRIMARY KEY, public_id text)",
    "INSERT INTO threads VALUES (1, 'th-1'), (2, 'th-2')",
    (
        "CREATE TABLE messages (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), org_id text,"
        " thread_id integer, content varchar(255), history jsonb)"
    ),
)
ROWS = 12


@pytest.fixture
def clinic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[psycopg.Connection]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SEALYARD_PASSPHRASE", "seven violins under glass 41")
    monkeypatch.setenv("CLINIC_PASSWORD", "not asked for here")
    invoke("keys", "init")
    (job,) = re.findall(r"## A job file\n.*?```yaml\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    with servers.postgresql() as (port, _):
        address = f"host=127.0.0.1 port={port} user=clinic dbname=postgres"
        job, made = re.subn(r"postgresql: .*", f"postgresql: {address}", job)
        assert made == 1
        (tmp_path / "job.yaml").write_text(job, "utf-8")
        with psycopg.connect(address, autocommit=True) as database:
            for sql in SCHEMA:
                database.execute(sql.encode())
            for at in range(ROWS):
                history = f'[{{"at": 1.50, "text": "{CANARY} é {at}"}}, {{"at": 2, "text": ""}}]'
                database.execute(
                    "INSERT INTO messages (org_id, thread_id, content, history)"
                    " VALUES ('clinic', %s, %s, %s)",
                    (at % 2 + 1, f"{CANARY} {at}".ljust(60 if at else 250, "x"), history),
                )
            yield database


def rows(database: psycopg.Connection) -> list[tuple[object, ...]]:
    return database.execute(
        "SELECT id, org_id, thread_id, content, history::text FROM messages ORDER BY id"
    ).fetchall()


@servers.needs_postgresql
def test_the_clinic_is_planned_widened_sealed_proven_and_taken_out(
    clinic: psycopg.Connection,
) -> None:
    before = rows(clinic)
    planned = invoke("migrate", "plan", "job.yaml", status=1).output
    assert rows(clinic) == before
    assert "1 too-long" in planned
    (alter,) = (line for line in planned.splitlines() if line.startswith("ALTER TABLE"))
    assert re.fullmatch(
        r'ALTER TABLE "messages" ALTER COLUMN "content" TYPE varchar\([0-9]+\);', alter
    )
    clinic.execute(alter.encode())
    assert "too-long" not in invoke("migrate", "plan", "job.yaml").output
    invoke("migrate", "seal", "job.yaml")
    proven = invoke("migrate", "verify", "job.yaml", "--report", "proof.jws").output
    assert f"messages.content: {ROWS} sealed" in proven
    assert f"messages.history $[*].text: {2 * ROWS} sealed" in proven
    assert CANARY not in str(rows(clinic))
    assert clinic.execute("SELECT DISTINCT history -> 0 ->> 'at' FROM messages").fetchall() == [
        ("1.50",)
    ]
    invoke("migrate", "open", "job.yaml")

    assert rows(clinic) == before
