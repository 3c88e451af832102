"""What the metrics say of the reports of `migrate verify`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from proxy.keys.keyring.keyring import Keyring
from proxy.migration.job.model import Job, Verb
from proxy.migration.job.places import Sqlite
from proxy.migration.report import MigrationRun, sign
from proxy.migration.values.states import Outcome, State, Tally
from proxy.telemetry.metrics import table
from proxy.telemetry.metrics.samples import Samples
from proxy.wiring.sidecar.verify_reports import VerifyReports
from tests.keys.builders import NOW, a_keyring

KEYRING = a_keyring()


def write(
    file: Path,
    counts: dict[State, int],
    *,
    by: Keyring = KEYRING,
    verb: Verb = "verify",
    at: int = NOW,
) -> Path:
    tally = Tally()
    for state, count in counts.items():
        tally.add("letters.content", Outcome(state), count)
    run = MigrationRun(verb, Job(Sqlite(Path("a.db")), (), "digest"), (), tally, "pages", at, at)
    file.write_text(sign(run, by))
    return file


def counted(reports: VerifyReports, *files: Path) -> dict[Any, float]:
    samples = Samples()
    reports.count(files, KEYRING.record_key, samples)
    return {labels or name: values[0] for name, labels, values in samples}


AT = table.VERIFY_AT.name
PLAIN, SEALED = ("letters.content", "plain"), ("letters.content", "sealed")


def test_the_counts_of_all_reports_are_added_and_the_oldest_tells_the_time(tmp_path: Path) -> None:
    one = write(tmp_path / "one", {"plain": 3, "sealed": 5})
    two = write(tmp_path / "two", {"plain": 4}, at=NOW - 60)

    assert counted(VerifyReports(), one, two) == {PLAIN: 7, SEALED: 5, AT: NOW - 60}


def test_a_report_that_is_replaced_is_read_again(tmp_path: Path) -> None:
    reports, file = VerifyReports(), write(tmp_path / "one", {"plain": 3})
    before = counted(reports, file)
    write(file, {"sealed": 3}, at=NOW + 60)
    os.utime(file, ns=(1, 1))

    assert before == {PLAIN: 3, AT: NOW}
    assert counted(reports, file) == {SEALED: 3, AT: NOW + 60}


def test_what_is_no_report_of_verify_by_this_keyring_proves_nothing(tmp_path: Path) -> None:
    strange = write(tmp_path / "strange", {"sealed": 3}, by=a_keyring())
    other = write(tmp_path / "other", {"sealed": 3}, verb="seal")
    forged = tmp_path / "forged"
    forged.write_text("e30.e30.e30")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for file in (strange, other, forged, pipe, tmp_path, tmp_path / "none"):
        assert counted(VerifyReports(), file) == {AT: 0}


def test_without_reports_nothing_is_said() -> None:
    assert counted(VerifyReports()) == {}
