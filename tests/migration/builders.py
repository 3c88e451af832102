"""What the tests of migration share: jobs, databases, and runs of the real command."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest

from proxy.keys.keyring.keyring import Keyring
from proxy.keys.sessions.sessions import Sessions, SessionSettings
from proxy.keys.stores import MemoryStore
from proxy.migration.job.model import Column, StoredTable, Verb
from proxy.migration.job.names import Binding, ColumnSource, ConstSource
from proxy.migration.values.cells import Cell
from proxy.migration.values.sealing import RunSessions
from proxy.migration.values.treatment import StoredRow, Treated, Treatment
from tests.cli.conftest import invoke
from tests.keys.builders import NOW
from tests.tree import ROOT

CANARY: Final = "canary-pelargonium"
BINDING: Final = Binding(ColumnSource("org"), ColumnSource("thread"), "content")
NAMES: Final = ("clinic", "c1")
SEALYARD: Final = (sys.executable, "-m", "proxy")
SET: Final = {"SEALYARD_PASSPHRASE": "seven violins under glass 41", "PYTHONPATH": str(ROOT)}
"""The environment of what runs in a process of its own."""


def a_table(*columns: Column, binding: Binding = BINDING, **options: object) -> StoredTable:
    """Return a table of messages with one column, `content`, unless others are given."""
    return StoredTable("messages", columns or (Column("content", binding),), **options)  # type: ignore[arg-type] # as the test says


def of_const(tenant: str = "clinic", field: str = "content") -> Binding:
    """Return a binding that needs no other column."""
    return Binding(ConstSource(tenant), None, field)


def a_row(*cells: Cell, names: Sequence[str | None] = NAMES, key: int = 1) -> StoredRow:
    """Return a row."""
    return StoredRow((key,), tuple(names), cells)


class Bench:
    """Treats rows with one keyring."""

    def __init__(self, keyring: Keyring, now: float = NOW) -> None:
        """Use a clock that does not go on."""
        self.keyring = keyring
        self.now = now

    async def treat(
        self,
        verb: Verb,
        table: StoredTable,
        *rows: StoredRow,
        widths: Sequence[int | None] = (),
        only: str | None = None,
    ) -> list[Treated]:
        """Return what a verb makes of rows."""
        sessions = Sessions(
            self.keyring,
            MemoryStore(self.clock),
            SessionSettings(),
            clock=self.clock,
            random=os.urandom,
        )
        sealing = RunSessions(self.keyring, clock=self.clock, random=os.urandom)
        return await Treatment(table, verb, sessions, sealing, widths, only=only).treat(rows)

    def clock(self) -> float:
        """Return the time."""
        return self.now


def a_clinic(folder: Path, monkeypatch: pytest.MonkeyPatch, rows: int = 10) -> Path:
    """Return the database of a clinic beside a job and a keyring, in the folder of the test."""
    monkeypatch.chdir(folder)
    for name, value in SET.items():
        monkeypatch.setenv(name, value)
    (folder / "job.yaml").write_text(SQLITE_JOB, "utf-8")
    invoke("keys", "init")
    sqlite_clinic(folder / "clinic.db", rows)
    return folder / "clinic.db"


def begin(verb: str, *words: str) -> subprocess.Popen[bytes]:
    """Run the job in a process of its own, which kills itself after so many batches."""
    command = [sys.executable, "-m", "tests.migration.killed", "job.yaml", verb, *words]
    return subprocess.Popen(command, env=os.environ | SET)  # noqa: S603 - ourselves


def sqlite_clinic(file: Path, rows: int = 10) -> None:
    """Make the database of a clinic, whose texts all hold the canary."""
    with closing(sqlite3.connect(file)) as database:
        database.execute("CREATE TABLE threads (id INTEGER PRIMARY KEY, name TEXT)")
        database.execute(
            "CREATE TABLE messages (id INTEGER PRIMARY KEY, org TEXT COLLATE NOCASE,"
            " thread INTEGER, content TEXT COLLATE NOCASE, history TEXT)"
        )
        database.executemany("INSERT INTO threads VALUES (?, ?)", [(1, "c1"), (2, "c2")])
        database.executemany(
            "INSERT INTO messages VALUES (?, 'clinic', ?, ?, ?)",
            [
                (at, at % 2 + 1, f"{CANARY} {at}", f'[{{"text": "{CANARY} \\u00e9 {at}"}}, {{}}]')
                for at in range(1, rows + 1)
            ],
        )
        database.commit()


def stored(file: Path) -> list[tuple[object, ...]]:
    """Return every row of the messages of a clinic."""
    with closing(sqlite3.connect(file)) as database:
        return database.execute("SELECT * FROM messages ORDER BY id").fetchall()


SQLITE_JOB: Final = """\
version: 1
source:
  sqlite: clinic.db
tables:
  - table: messages
    batch: 3
    tenant: column:org
    conversation: sql:(SELECT name FROM threads WHERE threads.id = messages.thread)
    columns:
      - column: content
      - column: history
        select: $[*].text
        field: content
"""
