"""What keeps or receives plaintext beside rows: `plan` tells, `seal` refuses, `scrub` cleans."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from proxy.config.settings import SecretReference
from proxy.keys.keyring.file import open_keyring
from proxy.keys.keyring.roots.passphrase import PassphraseRoot
from proxy.migration import report
from proxy.migration.report import SignedReport
from proxy.migration.sources import sqlite as sources_of_sqlite
from proxy.migration.sources.sqlite import SqliteSource
from tests.cli.conftest import invoke
from tests.migration import servers, tables
from tests.migration.builders import CANARY, SET
from tests.migration.tables import a_table

ROWS = 400
FLUSH_SECONDS = 60
"""A database writes its pages within them."""
FACTOR = 1.5
"""By how much what a run costs may differ from what its plan says."""
JOB = """\
version: 1
source: {source}
tables:
  - table: messages
    tenant: column:org
    conversation: const:c1
    columns: [{{column: content}}]
"""


@dataclass
class Clinic:
    """A database with a job beside it, and the folder of its files."""

    run: Callable[[str], list[tuple[Any, ...]]]
    job: Path
    files: Path

    def accept(self, *names: str) -> None:
        self.job.write_text(f"{self.job.read_text('utf-8')}accept: {json.dumps(names)}\n", "utf-8")

    def size(self, pattern: str) -> int:
        return sum(one.stat().st_size for one in self.files.glob(pattern))

    def holding(self) -> set[str]:
        """Return the files that have a canary."""
        return {
            str(one) for one in self.files.rglob("*")
            if one.is_file() and CANARY.encode() in one.read_bytes()
        }  # fmt: skip

    def without(self, places: Sequence[str]) -> list[str]:
        """Return the patterns of which no file has a canary."""
        found = self.holding()
        return [each for each in places if found.isdisjoint(map(str, self.files.glob(each)))]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SEALYARD_PASSPHRASE", SET["SEALYARD_PASSPHRASE"])
    invoke("keys", "init")
    return tmp_path


@pytest.fixture(scope="module")
def postgresql_server() -> Iterator[tuple[int, Path]]:
    settings = ("log_statement=none", "wal_level=logical", "archive_mode=on")
    with servers.postgresql(*settings, "archive_command=true") as server:
        yield server


@pytest.fixture
def postgresql(folder: Path, postgresql_server: tuple[int, Path]) -> Iterator[Clinic]:
    port, log = postgresql_server
    with tables.postgresql(port) as database:
        database.run('ALTER TABLE messages ALTER content TYPE text COLLATE "C"')
        clinic = made(folder, f"{{postgresql: '{database.address}'}}", database.run, log.parent)
        database.run(
            f"INSERT INTO messages SELECT n, 'clinic', 1, '{CANARY} ' || n || repeat('x', 9 * n),"  # noqa: S608 - of this test
            f" '[]' FROM generate_series(1, {ROWS}) n"
        )
        yield clinic
        database.run("DROP PUBLICATION IF EXISTS everything")
        database.run("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots")


@pytest.fixture(scope="module")
def mariadb_server() -> Iterator[tuple[int, Path]]:
    flushing = "--innodb-max-dirty-pages-pct=0"  # pages are written at once
    options = ("--general-log=0", "--log-bin=binlog", "--binlog-format=ROW", flushing)
    with servers.mariadb(*options, "--log-bin-trust-function-creators") as server:
        yield server


@pytest.fixture
def mariadb(folder: Path, mariadb_server: tuple[int, Path]) -> Iterator[Clinic]:
    port, log = mariadb_server
    with tables.mysql(port) as database:
        source = f"{{mysql: {{database: clinic, port: {port}, user: root}}}}"
        clinic = made(folder, source, database.run, log.parent / "data")
        database.run("ALTER TABLE messages MODIFY content TEXT")
        database.run(
            f"INSERT INTO messages SELECT seq, 'clinic', 1, concat('{CANARY} ', seq), '[]'"  # noqa: S608 - of this test
            f" FROM seq_1_to_{ROWS}"
        )
        yield clinic
        for sql in (
            "DROP VIEW IF EXISTS shown, orgs",
            "DROP TABLE IF EXISTS audit",
            *(f"DROP EVENT IF EXISTS {one}" for one in ("copies", "others")),
            *(f"DROP PROCEDURE IF EXISTS {one}" for one in ("texts", "names")),
        ):
            database.run(sql)


@pytest.fixture
def mysql(folder: Path) -> Iterator[Clinic]:
    with servers.mysql("--log-bin=binlog") as (port, files), tables.mysql(port) as database:
        source = f"{{mysql: {{database: clinic, port: {port}, user: root}}}}"
        clinic = made(folder, source, database.run, files)
        database.run("ALTER TABLE messages MODIFY content TEXT")
        for at in range(1, ROWS + 1):
            database.run(f"INSERT INTO messages VALUES ({at}, 'clinic', 1, '{CANARY} {at}', '[]')")  # noqa: S608 - of this test
        yield clinic


@pytest.fixture
def sqlite(folder: Path) -> Iterator[Clinic]:
    place = folder / "files"
    place.mkdir()
    with tables.sqlite(place / "clinic.db") as database:
        clinic = made(folder, "{sqlite: files/clinic.db}", database.run, place)
        numbers = f"WITH RECURSIVE seq(n) AS (SELECT 1 UNION SELECT n + 1 FROM seq LIMIT {ROWS})"  # noqa: S608 - of this test
        rows = f"SELECT n, 'clinic', 1, '{CANARY} ' || n, '[]' FROM seq"  # noqa: S608 - of this test
        database.run(f"{numbers} INSERT INTO messages {rows}")
        yield clinic


def made(folder: Path, source: str, run: Callable[..., Any], files: Path) -> Clinic:
    job = folder / "job.yaml"
    job.write_text(JOB.format(source=source), "utf-8")
    return Clinic(run, job, files)


def told(*words: str, status: int = 0) -> dict[str, str]:
    """Return what a plan says of keepers: the effect by the name."""
    said = json.loads(invoke("migrate", "plan", "job.yaml", "--json", *words, status=status).stdout)
    return {one["name"]: one["effect"] for one in said["keepers"]}


def signed(file: str) -> SignedReport:
    root = PassphraseRoot(SecretReference(env="SEALYARD_PASSPHRASE"), SET)
    found = report.verified(
        Path(file).read_bytes(), open_keyring(Path("keyring.jwe"), root).record_key
    )
    assert found is not None
    return found


@servers.needs_postgresql
def test_postgresql_says_all_that_depends_on_a_column_and_nothing_else(postgresql: Clinic) -> None:
    one = postgresql
    for sql in (
        "CREATE TABLE audit (old text)",
        (
            "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN INSERT INTO audit VALUES (old.content); RETURN new; END $$"
        ),
        "CREATE TRIGGER note AFTER UPDATE ON messages FOR EACH ROW EXECUTE FUNCTION note()",
        "CREATE TRIGGER added AFTER INSERT ON messages FOR EACH ROW EXECUTE FUNCTION note()",
        "CREATE TRIGGER org AFTER UPDATE OF org ON messages EXECUTE FUNCTION note()",
        "CREATE RULE kept AS ON UPDATE TO messages DO ALSO INSERT INTO audit VALUES (old.content)",
        "CREATE INDEX by_content ON messages (md5(content))",
        "CREATE INDEX by_org ON messages (org)",
        "CREATE VIEW shown AS SELECT content FROM messages",
        "CREATE VIEW orgs AS SELECT org FROM messages",
        "CREATE MATERIALIZED VIEW copied AS SELECT content FROM shown",
        "ALTER TABLE messages ADD words text GENERATED ALWAYS AS (content || 'x') STORED",
        "ALTER TABLE messages REPLICA IDENTITY FULL",
        "CREATE PUBLICATION feed FOR TABLE messages",
        "CREATE STATISTICS twice (mcv) ON content, org FROM messages",
        "SELECT pg_create_logical_replication_slot('cdc', 'test_decoding')",
        "CREATE PUBLICATION everything FOR ALL TABLES",
        "CREATE FUNCTION texts() RETURNS SETOF text BEGIN ATOMIC SELECT content FROM messages; END",
        "CREATE FUNCTION orgs_of() RETURNS SETOF text BEGIN ATOMIC SELECT org FROM messages; END",
        "CREATE POLICY readers ON messages USING (content <> 'hidden')",
        "ALTER TABLE messages ADD CONSTRAINT plain CHECK (content <> '')",
        "ALTER TABLE messages ADD CONSTRAINT known CHECK (org <> '')",
        "ANALYZE messages",
    ):
        one.run(sql)
    found = told()
    refused = invoke("migrate", "seal", "job.yaml", status=3)
    contents = one.run("SELECT count(*) FROM messages WHERE content NOT LIKE 'canary%'")

    receiving = {
        *("rule kept on table messages", "trigger note on table messages"),
        *("replica identity of messages", "WAL archive"),
    }
    keeping = {
        *("index by_content", "materialized view copied", "column words of table messages"),
        *("statistics object twice", "statistics of the planner", "WAL", "slot cdc"),
        'old versions of "messages"',
    }
    showing = {
        *("view shown", "publication feed", "publication everything", "function texts()"),
        *("policy readers on table messages", "constraint plain on table messages"),
    }
    assert found == (
        dict.fromkeys(receiving, "receives")
        | dict.fromkeys(keeping, "keeps")
        | dict.fromkeys(showing, "shows")
    )
    assert "would-receive-plaintext" in refused.output
    assert all(f'"{name}"' in refused.output for name in receiving)
    assert contents == [(0,)]


@pytest.mark.slow
@servers.needs_mariadb
def test_mariadb_says_all_that_depends_on_a_column_and_nothing_else(mariadb: Clinic) -> None:
    # Last: it allows no further change of the table.
    last = "ALTER TABLE messages ADD SYSTEM VERSIONING"
    all_is_told(mariadb, "history of `messages`", last=(last,))


@pytest.mark.slow
@servers.needs_mysql
def test_mysql_says_all_that_depends_on_a_column_and_nothing_else(mysql: Clinic) -> None:
    all_is_told(mysql)


def all_is_told(one: Clinic, *more: str, last: Sequence[str] = ()) -> None:
    """Make what keeps values of a table, and what does not; `more` receives values beside it."""
    for sql in (
        "CREATE TABLE audit (old TEXT)",
        (
            "CREATE TRIGGER note AFTER UPDATE ON messages FOR EACH ROW"
            " INSERT INTO audit VALUES (old.content)"
        ),
        (
            "CREATE TRIGGER added AFTER INSERT ON messages FOR EACH ROW"
            " INSERT INTO audit VALUES (new.content)"
        ),
        "CREATE INDEX by_content ON messages (content(20))",
        "CREATE INDEX by_org ON messages (org)",
        "CREATE VIEW shown AS SELECT content FROM messages",
        "CREATE VIEW orgs AS SELECT org FROM messages",
        (
            "CREATE EVENT copies ON SCHEDULE EVERY 1 DAY"
            " DO INSERT INTO audit SELECT content FROM messages"
        ),
        "CREATE EVENT others ON SCHEDULE EVERY 1 DAY DO DELETE FROM threads",
        "CREATE PROCEDURE texts() SELECT content FROM messages",
        "CREATE PROCEDURE names() SELECT name FROM threads",
        "ALTER TABLE messages ADD CONSTRAINT plain CHECK (content <> '')",
        "ALTER TABLE messages ADD CONSTRAINT known CHECK (org <> '')",
        "ALTER TABLE messages ADD words TEXT AS (concat(content, 'x')) STORED",
        *last,
    ):
        one.run(sql)
    found = told()
    refused = invoke("migrate", "seal", "job.yaml", status=3)

    receiving = {"trigger note", "binary log", *more}
    keeping = {"index by_content", "column words", "event copies", "old versions of `messages`"}
    assert found == (
        dict.fromkeys(receiving, "receives")
        | dict.fromkeys(keeping, "keeps")
        | dict.fromkeys(("view shown", "procedure texts", "check plain"), "shows")
    )
    assert all(f'"{name}"' in refused.output for name in receiving)


def test_sqlite_says_which_triggers_read_a_value_and_write_it(sqlite: Clinic) -> None:
    one = sqlite
    for sql in (
        "CREATE TABLE audit (old TEXT)",
        (
            "CREATE TRIGGER note AFTER UPDATE ON messages"
            " BEGIN INSERT INTO audit VALUES (old.content); END"
        ),
        (
            "CREATE TRIGGER org AFTER UPDATE ON messages"
            " BEGIN INSERT INTO audit VALUES (old.org); END"
        ),
        (
            "CREATE TRIGGER added AFTER INSERT ON messages"
            " BEGIN INSERT INTO audit VALUES (new.content); END"
        ),
        "CREATE INDEX by_content ON messages (lower(content))",
        "CREATE INDEX by_org ON messages (org)",
        "CREATE VIEW shown AS SELECT content FROM messages",
        "CREATE VIEW orgs AS SELECT org FROM messages",
    ):
        one.run(sql)
    found = told()
    invoke("migrate", "seal", "job.yaml", status=3)
    one.accept("trigger note")
    planned = invoke("migrate", "plan", "job.yaml")
    invoke("migrate", "seal", "job.yaml")

    assert found == {
        "trigger note": "receives",
        "index by_content": "keeps",
        "free pages of clinic.db": "keeps",
        "view shown": "shows",
    }
    assert "receives: trigger note (accepted): runs at each update" in planned.output


@servers.needs_postgresql
def test_no_file_of_postgresql_has_an_old_value_after_a_scrub(postgresql: Clinic) -> None:
    one = postgresql
    one.accept("WAL archive")
    for sql in (
        "CREATE INDEX by_content ON messages (left(content, 200))",
        "CREATE MATERIALIZED VIEW copied AS SELECT content FROM messages",
        "ALTER TABLE messages ALTER content SET STORAGE EXTERNAL",
        (
            f"UPDATE messages SET content = '{CANARY} ' || id || repeat(md5(id::text), 90)"  # noqa: S608 - of this test
            " WHERE id % 9 = 0"
        ),
        "ANALYZE messages",
        "CHECKPOINT",
    ):
        one.run(sql)
    relations = (
        "SELECT pg_relation_filepath(unnest(ARRAY['messages'::regclass, 'by_content', 'copied',"
        " reltoastrelid])) FROM pg_class WHERE oid = 'messages'::regclass"
    )
    places = [name for (name,) in one.run(relations)]
    scrubbed(one, [*places, "pg_wal/*"], "--data-dir", str(one.files))


@servers.needs_postgresql
def test_what_a_slot_of_postgresql_keeps_is_named_until_it_is_read(postgresql: Clinic) -> None:
    one = postgresql
    one.accept("WAL archive")
    one.run("SELECT pg_create_logical_replication_slot('cdc', 'test_decoding')")
    one.run(f"UPDATE messages SET content = '{CANARY} in the slot' WHERE id = 1")  # noqa: S608 - of this test
    ((written,),) = one.run("SELECT pg_current_wal_lsn()")
    invoke("migrate", "seal", "job.yaml")
    invoke("migrate", "verify", "job.yaml")
    changes = one.run(
        f"SELECT lsn >= '{written}', data FROM pg_logical_slot_peek_changes('cdc', NULL, NULL)"  # noqa: S608 - a number
    )
    asked = ["migrate", "scrub", "job.yaml", "--run", "--data-dir", str(one.files)]
    kept = invoke(*asked, "--report", "kept.jws", status=1)
    held = one.holding()
    one.run("SELECT pg_replication_slot_advance('cdc', pg_current_wal_lsn())")
    invoke(*asked, "--report", "clean.jws")

    # What was written before is in the slot, and nothing of what `seal` replaced.
    assert {by_seal for by_seal, data in changes if CANARY in data} == {False}
    assert sum(by_seal for by_seal, data in changes if "UPDATE" in data) >= ROWS
    assert held
    assert all("pg_wal" in file for file in held)
    assert all(f"{file}: " in kept.output for file in held)
    assert any("slot cdc" in each for each in signed("kept.jws").not_covered)
    assert one.holding() == set()


@pytest.mark.slow
@servers.needs_mariadb
def test_no_file_of_mariadb_has_an_old_value_after_a_scrub_that_the_report_does_not_name(
    mariadb: Clinic,
) -> None:
    one = mariadb
    one.run("ALTER TABLE messages ADD SYSTEM VERSIONING")
    one.accept("binary log", "history of `messages`")
    one.run("CREATE INDEX by_content ON messages (content(100))")
    one.run("CREATE FULLTEXT INDEX words ON messages (content)")
    places = ["clinic/messages.ibd", "binlog.0*", "ib_logfile0"]
    scrubbed(one, places, "--data-dir", str(one.files))


@pytest.mark.slow
@servers.needs_mysql
def test_each_file_of_mysql_that_has_an_old_value_after_a_scrub_is_named(mysql: Clinic) -> None:
    one = mysql
    one.accept("binary log")
    invoke("migrate", "seal", "job.yaml")
    invoke("migrate", "verify", "job.yaml")
    words = ("migrate", "scrub", "job.yaml", "--run", "--data-dir", str(one.files))
    cleaned = invoke(*words, "--report", "scrub.jws", status=1)
    held = one.holding()
    named = signed("scrub.jws").not_covered

    assert {"clinic/messages.ibd", "binlog.0*"} <= set(
        one.without(["clinic/messages.ibd", "binlog.0*"])
    )
    assert all(f"{file}: " in cleaned.output for file in held)
    assert all(any(file in each for each in named) for file in held)
    assert sum("not done" in each for each in named) == 2
    invoke("migrate", "verify", "job.yaml")


def test_no_file_of_sqlite_has_an_old_value_after_a_scrub(sqlite: Clinic) -> None:
    one = sqlite
    one.run("CREATE INDEX by_content ON messages (content)")
    more = "(SELECT id FROM messages LIMIT 90)"  # more pages than tokens take
    one.run(f"CREATE TABLE copied AS SELECT content FROM messages, {more}")  # noqa: S608 - of this test
    with closing(sqlite3.connect(one.files / "clinic.db")) as other:
        other.execute("PRAGMA secure_delete = OFF")
        other.execute("DROP TABLE copied")
        scrubbed(one, ["clinic.db", "clinic.db-wal"])


def test_a_log_of_sqlite_that_a_reader_holds_is_not_told_as_emptied(
    sqlite: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources_of_sqlite, "SQLITE_SECONDS", 0.1)
    invoke("migrate", "seal", "job.yaml")
    with closing(sqlite3.connect(sqlite.files / "clinic.db", isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM messages").fetchall()
        held = json.loads(
            invoke("migrate", "scrub", "job.yaml", "--run", "--json", status=1).stdout
        )
    cleaned = json.loads(invoke("migrate", "scrub", "job.yaml", "--run", "--json").stdout)

    emptied = "PRAGMA wal_checkpoint(TRUNCATE)"
    assert [(one["sql"], one["why"]) for one in held["undone"]] == [(emptied, "SQLITE_BUSY")]
    assert emptied in cleaned["done"]


def test_a_scrub_renumbers_no_rows_that_a_run_goes_through(sqlite: Clinic) -> None:
    invoke("migrate", "seal", "job.yaml")
    with closing(SqliteSource(sqlite.files / "clinic.db", a_table(name="messages"))) as run:
        run.exclude()
        assert "table-in-use" in invoke("migrate", "scrub", "job.yaml", "--run", status=3).output
        invoke("migrate", "scrub", "job.yaml", status=1)


@servers.needs_postgresql
def test_what_postgresql_skips_with_a_warning_is_not_told_as_done(postgresql: Clinic) -> None:
    one = postgresql
    one.run("DROP ROLE IF EXISTS owner")
    one.run("CREATE ROLE owner LOGIN; GRANT ALL ON SCHEMA public TO owner")
    one.run("ALTER TABLE messages OWNER TO owner")
    one.job.write_text(one.job.read_text("utf-8").replace("user=clinic", "user=owner"), "utf-8")
    said = json.loads(invoke("migrate", "scrub", "job.yaml", "--run", "--json", status=1).stdout)
    one.run("ALTER TABLE messages OWNER TO clinic")
    one.run("DROP OWNED BY owner; DROP ROLE owner")

    assert [sql for sql in said["done"] if "pg_statistic" in sql] == []
    assert sum("VACUUM" in one["sql"] for one in said["undone"]) == 2


def scrubbed(one: Clinic, places: Sequence[str], *words: str) -> None:
    """Seal, prove and scrub; no file may have a canary that the report does not name.

    Those at `places` have some before.
    """
    invoke("migrate", "seal", "job.yaml")
    proven = invoke("migrate", "verify", "job.yaml", "--report", "proof.jws")
    until = time.monotonic() + FLUSH_SECONDS
    while clean := one.without(places):
        assert time.monotonic() < until, clean
        time.sleep(0.5)
    listed = invoke("migrate", "scrub", "job.yaml", *words, status=1)
    before = one.holding()
    invoke("migrate", "scrub", "job.yaml", "--run", *words, "--report", "scrub.jws")
    proof, scrub = signed("proof.jws"), signed("scrub.jws")

    assert f"proves: the values of the columns in {ROWS:,} rows" in proven.output
    assert proof.proves in proven.output
    assert proof.not_covered
    assert all(f"does not prove: {each}" in proven.output for each in proof.not_covered)
    assert all(f"{file}: " in listed.output for file in before)
    assert one.holding() == set()
    assert scrub.verb == "scrub"
    assert "none is in" in scrub.proves
    invoke("migrate", "verify", "job.yaml")


@pytest.mark.slow
@servers.needs_postgresql
def test_a_plan_tells_what_a_run_on_postgresql_costs(postgresql: Clinic) -> None:
    one = postgresql
    one.accept("WAL archive")
    one.run("ALTER TABLE messages SET (autovacuum_enabled = off)")
    one.run(
        "INSERT INTO messages SELECT n, 'clinic', 1, repeat(md5(n::text), 6), '[]'"
        " FROM generate_series(1000, 6000) n"
    )
    one.run("CREATE INDEX by_org ON messages (org, thread)")
    one.run("CHECKPOINT")
    told = costs()
    sizes = "SELECT pg_total_relation_size('messages'), pg_current_wal_lsn() - '0/0'::pg_lsn"
    ((size, wal),) = one.run(sizes)
    invoke("migrate", "seal", "job.yaml")
    ((grown, written),) = one.run(sizes)

    assert told["log_name"] == "WAL"
    assert 1 / FACTOR < told["disk"] / (grown - size) < FACTOR
    assert 1 / FACTOR < told["log"] / float(written - wal) < FACTOR
    assert told["free"] > 0


@pytest.mark.slow
@servers.needs_mariadb
def test_a_plan_tells_what_a_run_on_mariadb_costs(mariadb: Clinic) -> None:
    one = mariadb
    one.accept("binary log")
    one.run(
        "INSERT INTO messages SELECT seq, 'clinic', 1, repeat(md5(seq), 6), '[]'"
        " FROM seq_10000_to_40000"
    )
    one.run("ANALYZE TABLE messages")
    told = costs()
    before = one.size("clinic/messages.ibd"), one.size("binlog.0*")
    invoke("migrate", "seal", "job.yaml")

    assert told["log_name"] == "binary log"
    grown = one.size("clinic/messages.ibd") - before[0]
    assert 1 / FACTOR < told["disk"] / grown < FACTOR
    assert 1 / FACTOR < told["log"] / (one.size("binlog.0*") - before[1]) < FACTOR


def test_a_plan_tells_what_a_run_on_sqlite_costs(sqlite: Clinic) -> None:
    one = sqlite
    file = one.files / "clinic.db"
    one.run(
        "WITH RECURSIVE seq(n) AS (SELECT 1000 UNION SELECT n + 1 FROM seq LIMIT 20000)"
        " INSERT INTO messages SELECT n, 'clinic', 1, printf('%0200d', n), '[]' FROM seq"
    )
    with closing(sqlite3.connect(file)) as other:  # keeps the log while it is open
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        told, size = costs(), file.stat().st_size
        invoke("migrate", "seal", "job.yaml")
        taken = Path(f"{file}-wal").stat().st_size
        other.execute("PRAGMA wal_checkpoint")

    assert told["log_name"] == "journal"
    assert 1 / FACTOR < told["disk"] / (file.stat().st_size - size) < FACTOR
    assert 1 / FACTOR < told["log"] / taken < FACTOR


def costs() -> dict[str, Any]:
    found: dict[str, Any]
    (found,) = json.loads(invoke("migrate", "plan", "job.yaml", "--json").stdout)["costs"]
    return found
