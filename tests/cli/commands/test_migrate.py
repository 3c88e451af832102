from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from proxy.migration import runner
from tests.cli.conftest import Run
from tests.migration.builders import CANARY, SET, SQLITE_JOB, sqlite_clinic, stored

CSV = f"org,conv,content\r\nclinic,c1,{CANARY}\r\nclinic,c2,\r\n"
CSV_JOB = """\
version: 1
source: {pipe: csv}
tables:
  - table: letters
    tenant: column:org
    conversation: column:conv
    columns: [{column: content}]
"""


@pytest.fixture
def clinic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run) -> Path:
    """Return the database of a clinic beside a job and a keyring."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SEALYARD_PASSPHRASE", "seven violins under glass 41")
    (tmp_path / "job.yaml").write_text(SQLITE_JOB, "utf-8")
    (tmp_path / "csv.yaml").write_text(CSV_JOB, "utf-8")
    run("keys", "init")
    sqlite_clinic(tmp_path / "clinic.db")
    return tmp_path / "clinic.db"


def counts(output: str) -> dict[str, int]:
    said = json.loads(output.splitlines()[-1])
    return {f"{label} {state}": count for label, state, _, _, count in said["values"]}


def change(clinic: Path, sql: str) -> None:
    with closing(sqlite3.connect(clinic)) as database, database:
        database.execute(sql)


def test_a_database_is_sealed_proven_and_taken_out_again(clinic: Path, run: Run) -> None:
    before = stored(clinic)
    planned = run("migrate", "plan", "job.yaml", "--json")
    assert stored(clinic) == before
    assert counts(planned.stdout) == {
        "messages.content plain": 10,
        "messages.history $[*].text plain": 10,
    }
    run("migrate", "verify", "job.yaml", status=1)
    run("migrate", "seal", "job.yaml")
    assert CANARY not in clinic.read_bytes().decode("latin-1")
    proven = run("migrate", "verify", "job.yaml", "--json")
    assert json.loads(proven.stdout)["proof"] == "snapshot"
    assert counts(proven.stdout) == {
        "messages.content sealed": 10,
        "messages.history $[*].text sealed": 10,
    }
    again = run("migrate", "seal", "job.yaml", "--json")
    assert counts(again.stdout) == counts(proven.stdout)
    run("migrate", "open", "job.yaml")

    assert stored(clinic) == before


def test_a_plan_says_how_long_sealing_takes_and_leaves_every_byte(clinic: Path, run: Run) -> None:
    before = clinic.read_bytes()
    told = run("migrate", "plan", "job.yaml")
    said = json.loads(run("migrate", "plan", "job.yaml", "--json", "--rate", "10").stdout)

    assert "`seal` will take about 1 s for 10 rows: as a trial on a temporary copy" in told.output
    assert said["seconds"] == 1.0  # ten rows, ten a second
    assert clinic.read_bytes() == before


def test_a_plan_of_a_stream_is_as_long_as_the_run(clinic: Path, run: Run) -> None:
    told = run("migrate", "plan", "csv.yaml", stdin=CSV.encode())

    assert "`seal` will take about 1 s for 2 rows: as this plan" in told.output


@pytest.mark.parametrize("verb", ["plan", "seal", "verify", "reseal", "open"])
def test_a_member_that_no_record_has_is_not_taken_for_done(
    clinic: Path, run: Run, verb: str
) -> None:
    clinic.with_name("csv.yaml").write_text(CSV_JOB.replace("csv", "ndjson"), "utf-8")
    misnamed = b'{"org": "clinic", "conv": "c1", "note": "hello"}\n\n'
    sparse = misnamed + b'{"org": "clinic", "conv": "c1", "content": null}\n'

    told = run("migrate", verb, "csv.yaml", stdin=misnamed, status=1)
    run("migrate", verb, "csv.yaml", stdin=sparse)

    assert "letters.content: 2 absent: the record has no such member" in told.output
    assert "2 rows, 2 values" in told.output


@pytest.mark.parametrize("verb", ["plan", "seal", "verify", "reseal", "open"])
def test_a_select_that_finds_nothing_in_any_cell_is_not_taken_for_done(
    clinic: Path, run: Run, verb: str
) -> None:
    clinic.with_name("csv.yaml").write_text(
        CSV_JOB.replace("column: content", "column: content, select: '$[*].txt', field: content")
    )
    head = b"org,conv,content\n"
    misnamed = b'clinic,c1,"[{""text"": ""hello""}]"\nclinic,c1,[]\n'
    empty = b"clinic,c1,[]\nclinic,c1,{}\nclinic,c1, null\nclinic,c1,[ ] \n"

    told = run("migrate", verb, "csv.yaml", stdin=head + misnamed, status=1)
    done = run("migrate", verb, "csv.yaml", stdin=head + empty)

    assert "letters.content $[*].txt: 1 unselected" in told.output
    assert "2 rows, 1 values" in told.output
    assert "4 null: there is no value" in done.output


def test_a_plan_tells_what_would_be_sealed_as_a_text_and_what_would_not_fit(
    clinic: Path, run: Run
) -> None:
    job = clinic.with_name("job.yaml")
    job.write_text(
        SQLITE_JOB.replace(
            "- column: content", "- column: content\n        lookalikes: seal"
        ).replace("field: content", "field: content\n        max_chars: 90"),
        "utf-8",
    )
    change(clinic, "UPDATE messages SET content = 'sy1. is a name' WHERE id = 3")
    planned = counts(run("migrate", "plan", "job.yaml", "--json", status=1).stdout)
    sealed = counts(run("migrate", "seal", "job.yaml", "--json", status=1).stdout)

    assert planned == {
        "messages.content lookalike": 1,
        "messages.content plain": 9,
        "messages.history $[*].text too-long": 10,
    }
    assert sealed == {
        "messages.content sealed-now": 10,
        "messages.history $[*].text too-long": 10,
    }


def test_nothing_but_positions_and_counts_is_said_or_kept(clinic: Path, run: Run) -> None:
    said = ""
    for verb in ("plan", "verify", "seal", "verify", "reseal", "open"):
        status = 1 if verb == "verify" and "seal:" not in said else 0
        result = run("migrate", verb, "job.yaml", "--report", f"{verb}.jws", status=status)
        said += f"{verb} {result.output}"
    kept = [
        one.read_text("latin-1")
        for one in clinic.parent.iterdir()
        if one.is_file() and one != clinic
    ]

    assert "20" in said
    assert CANARY not in said
    assert all(CANARY not in one for one in kept)


def test_a_value_that_is_left_is_an_exit_status_of_one(clinic: Path, run: Run) -> None:
    change(clinic, "UPDATE messages SET org = NULL WHERE id = 3")
    change(clinic, "UPDATE messages SET history = 'no json' WHERE id = 4")
    change(clinic, "UPDATE messages SET content = 17 WHERE id = 5")
    result = run("migrate", "seal", "job.yaml", "--json", status=1)
    found = counts(result.stdout)

    assert found["messages.content nameless"] == 1
    assert found["messages.history $[*].text not-json"] == 1
    assert found["messages.content sealed-now"] == 9
    assert json.loads(result.stdout)["left"] == 3


def test_a_token_within_a_text_is_left_and_keeps_every_kek(clinic: Path, run: Run) -> None:
    run("migrate", "seal", "job.yaml")
    change(clinic, "UPDATE messages SET content = 'Re: ' || content WHERE id = 3")
    opened = run("migrate", "open", "job.yaml", status=1)
    again = run("migrate", "open", "job.yaml", status=1)

    for told in (opened.output, again.output):
        assert "messages.content: 1 plain (holds-a-token): not sealed" in told
        assert "10 rows, 1 values left" in told


def test_a_run_goes_on_where_a_failure_ended_it(clinic: Path, run: Run) -> None:
    change(
        clinic,
        "CREATE TRIGGER fail BEFORE UPDATE ON messages WHEN old.id = 8"
        " BEGIN SELECT abs(-9223372036854775807 - 1); END",
    )
    failed = run("migrate", "seal", "job.yaml", status=3)
    assert "SQLITE_ERROR" in failed.output
    told = run("migrate", "status", "job.yaml")
    assert "6 rows" in told.output
    change(clinic, "DROP TRIGGER fail")
    # What the state says is done is not looked at again.
    change(clinic, "UPDATE messages SET content = 'plain again' WHERE id = 1")
    done = run("migrate", "seal", "job.yaml", "--json")
    assert json.loads(done.stdout)["rows"] == 10
    run("migrate", "verify", "job.yaml", status=1)
    assert run("migrate", "status", "job.yaml").output == ""
    run("migrate", "seal", "job.yaml")

    run("migrate", "verify", "job.yaml")


def fail_at(clinic: Path, run: Run, row: int, *words: str) -> None:
    """Let a run come as far as the batch that has a row."""
    change(
        clinic,
        f"CREATE TRIGGER fail BEFORE UPDATE ON messages WHEN old.id = {row}"
        " BEGIN SELECT abs(-9223372036854775807 - 1); END",
    )
    run("migrate", *words, status=3)
    change(clinic, "DROP TRIGGER fail")


@pytest.mark.parametrize("state", [(), ("--state", "s")])
@pytest.mark.parametrize(("verb", "other"), [("seal", "open"), ("open", "seal")])
def test_a_run_begins_anew_after_another_verb_has_undone_its_work(
    clinic: Path, run: Run, verb: str, other: str, state: tuple[str, ...]
) -> None:
    before = stored(clinic)
    if verb == "open":
        run("migrate", "seal", "job.yaml")
    fail_at(clinic, run, 8, verb, "job.yaml", *state)
    run("migrate", other, "job.yaml")
    assert run("migrate", "status", "job.yaml").output == ""
    run("migrate", verb, "job.yaml", *state)

    if verb == "seal":
        run("migrate", "verify", "job.yaml")
    else:
        assert stored(clinic) == before


def test_a_state_of_before_is_not_gone_on_with_after_a_run_that_kept_its_own(
    clinic: Path, run: Run
) -> None:
    fail_at(clinic, run, 8, "seal", "job.yaml", "--state", "s")
    run("migrate", "open", "job.yaml")
    fail_at(clinic, run, 2, "seal", "job.yaml")
    run("migrate", "seal", "job.yaml", "--state", "s")

    run("migrate", "verify", "job.yaml")


@pytest.mark.parametrize("edit", ["job", "variable", "state", "keyring"])
def test_a_state_of_something_else_is_refused(
    clinic: Path, run: Run, edit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, state = clinic.with_name("job.yaml"), clinic.with_name("job.yaml.seal.state")
    where = "    where: org = '${env:ORG}'\n    tenant"
    job.write_text(SQLITE_JOB.replace("    tenant", where), "utf-8")
    monkeypatch.setenv("ORG", "clinic")
    fail_at(clinic, run, 8, "seal", "job.yaml")
    if edit == "job":
        job.write_text(job.read_text("utf-8") + "\n", "utf-8")
    elif edit == "variable":
        monkeypatch.setenv("ORG", "hospital")
    elif edit == "state":
        state.write_bytes(state.read_bytes().replace(b'"after": [6]', b'"after": [9]'))
    else:
        clinic.with_name("keyring.jwe").unlink()
        run("keys", "init")

    refused = run("migrate", "seal", "job.yaml", status=3)

    assert "another job, place or keyring" in refused.output


def test_a_report_is_verified_by_the_keyring_that_signed_it(clinic: Path, run: Run) -> None:
    run("migrate", "verify", "job.yaml", "--report", "proof.jws", status=1)
    shown = run("migrate", "status", "job.yaml", "--report", "proof.jws")
    file = clinic.with_name("proof.jws")
    head, _, tag = file.read_text("utf-8").split(".")
    forged = clinic.with_name("forged.jws")
    forged.write_text(f"{head}.e30.{tag}", "utf-8")
    run("migrate", "status", "job.yaml", "--report", "forged.jws", status=1)
    as_json = run("migrate", "status", "job.yaml", "--report", "proof.jws", "--json")

    assert "messages.content: 10 plain" in shown.output
    assert counts(as_json.stdout)["messages.content plain"] == 10


def test_a_report_of_another_job_is_refused(clinic: Path, run: Run) -> None:
    run("migrate", "verify", "csv.yaml", "--report", "proof.jws", stdin=CSV.encode(), status=1)

    refused = run("migrate", "status", "job.yaml", "--report", "proof.jws", status=1)

    assert "proof.jws: of another job than job.yaml is now" in refused.stderr
    assert refused.stdout == ""
    run("migrate", "status", "csv.yaml", "--report", "proof.jws")


def promoted(run: Run) -> str:
    """Return the id of a new primary KEK."""
    new = run("keys", "add").stdout.strip()
    run("keys", "promote", new)
    return new


def keks_in_use(run: Run) -> set[str]:
    result = run("migrate", "verify", "job.yaml", "--json")
    return {kek for _, _, kek, _, _ in json.loads(result.stdout)["values"]}


def test_reseal_leaves_nothing_under_the_old_kek(clinic: Path, run: Run) -> None:
    run("migrate", "seal", "job.yaml")
    new = promoted(run)
    run("migrate", "reseal", "job.yaml")

    assert keks_in_use(run) == {new}


def test_reseal_begins_anew_once_another_kek_is_the_primary(clinic: Path, run: Run) -> None:
    run("migrate", "seal", "job.yaml")
    second = promoted(run)
    fail_at(clinic, run, 8, "reseal", "job.yaml", "--state", "s")
    fail_at(clinic, run, 8, "reseal", "job.yaml")
    assert "reseal: ended early" in run("migrate", "status", "job.yaml").output
    third = promoted(run)
    assert run("migrate", "status", "job.yaml").output == ""
    run("migrate", "reseal", "job.yaml")
    assert keks_in_use(run) == {third}
    run("keys", "promote", second)
    run("migrate", "reseal", "job.yaml", "--state", "s")

    assert keks_in_use(run) == {second}


def test_another_primary_kek_that_comes_while_a_run_waits_ends_it(
    clinic: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    came: list[str] = []

    def wait(_: float) -> None:
        if not came:
            came.append(promoted(run))

    monkeypatch.setattr(runner, "sleep", wait)
    ended = run("migrate", "seal", "job.yaml", "--rate", "1", status=3)
    sealed = [row for row in stored(clinic) if CANARY not in str(row)]

    assert "primary-changed" in ended.output
    assert len(sealed) == 3


def test_the_audit_log_records_a_run_before_and_after(clinic: Path, run: Run) -> None:
    run("migrate", "open", "job.yaml")
    lines = clinic.with_name("keyring.jwe.audit").read_text("utf-8").splitlines()
    events = [json.loads(one)["event"] for one in lines]

    assert events[-2:] == ["migrate.open", "migrate.open.done"]


def test_a_stream_is_sealed_and_opened_byte_for_byte(clinic: Path, run: Run) -> None:
    sealed = run("migrate", "seal", "csv.yaml", stdin=CSV.encode())
    assert CANARY not in sealed.output
    assert sealed.stdout_bytes.startswith(b"org,conv,content\r\nclinic,c1,eyJ")
    run("migrate", "verify", "csv.yaml", stdin=sealed.stdout_bytes)
    opened = run("migrate", "open", "csv.yaml", stdin=sealed.stdout_bytes)

    assert opened.stdout_bytes == CSV.encode()


@pytest.mark.parametrize("verb", ["seal", "reseal", "open"])
@pytest.mark.parametrize(("form", "data"), [("csv", b"org,conv,content\n"), ("ndjson", b"")])
def test_what_is_said_of_a_stream_does_not_go_into_it(
    clinic: Path, run: Run, verb: str, form: str, data: bytes
) -> None:
    clinic.with_name("stream.yaml").write_text(CSV_JOB.replace("csv", form), "utf-8")

    for words in ((), ("--json",)):
        done = run("migrate", verb, "stream.yaml", *words, stdin=data)
        assert "letters: nothing was read" in done.stderr
        assert done.stdout_bytes == data


def test_a_stream_that_ends_within_a_record_is_an_error(clinic: Path, run: Run) -> None:
    broken = run("migrate", "seal", "csv.yaml", stdin=b'org,conv,content\nclinic,c1,"x', status=3)

    assert "quote-not-closed" in broken.output


def test_the_rate_limits_how_fast_rows_are_read(clinic: Path, run: Run) -> None:
    import time  # noqa: PLC0415 - for this test alone

    began = time.monotonic()
    run("migrate", "plan", "job.yaml", "--rate", "20")

    assert time.monotonic() - began >= 0.4


def test_a_run_loads_no_library_that_it_does_not_use() -> None:
    code = "import sys, proxy.cli.commands.migrate; print(*sys.modules)"
    loaded = subprocess.run(  # noqa: S603 - ourselves
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True, env=SET
    ).stdout.split()

    assert "proxy.migration.runner" in loaded
    heavy = {"structlog", "sqlite3", "psycopg", "pymysql", "proxy.config.sections.document"}
    assert heavy.isdisjoint(loaded)
