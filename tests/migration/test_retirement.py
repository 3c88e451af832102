from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from proxy.keys.keyring.keyring import Keyring
from proxy.keys.sessions.kek_usage import Use, Uses
from proxy.keys.sessions.settings import MAX_AGE_SECONDS
from proxy.migration.job.model import Job, StoredTable, Verb
from proxy.migration.job.places import Http, Pipe, Place, Sqlite
from proxy.migration.report import MigrationRun, Proof, SignedReport, sign, verified
from proxy.migration.retirement import Retirement, needs_index, retirement
from proxy.migration.values.states import HOLDS_ONE, Outcome, Tally
from tests.keys.builders import NOW, a_keyring

KEYRING = a_keyring("k2").promote("k2")
OLD = KEYRING.entry("k1")
UNUSED = Uses(NOW - MAX_AGE_SECONDS, {})


def a_report(
    *outcomes: Outcome,
    verb: Verb = "verify",
    proof: Proof = "snapshot",
    keyring: Keyring = KEYRING,
) -> SignedReport:
    tally = Tally()
    for one in outcomes:
        tally.add("messages.content", one, 3)
    job = Job(Sqlite(Path("a.db")), (StoredTable("messages", (), where="id > 1"),), "digest")
    run = MigrationRun(verb, job, ("a",), tally, proof, NOW, NOW + 5)
    found = verified(sign(run, keyring).encode(), KEYRING.record_key)
    assert found is not None
    return found


SEALED = Outcome("sealed", "k2")


def test_a_kek_is_safe_to_retire_where_nothing_names_it() -> None:
    report = a_report(
        SEALED,
        Outcome("plain"),
        Outcome("null"),
        Outcome("absent"),
        Outcome("unselected"),
        Outcome("poison", "k1"),
    )

    found = retirement(OLD, KEYRING, UNUSED, [report])

    assert found == Retirement(safe=True, reason="", proven=NOW)
    assert report.excluded == ("rows of messages other than: id > 1",)


@pytest.mark.parametrize(
    ("report", "reason"),
    [
        (a_report(SEALED, Outcome("sealed", "k1")), "3 values of messages.content are under it"),
        (a_report(Outcome("former", "k1")), "are under it"),
        (a_report(Outcome("misplaced", "k1")), "are under it"),
        (a_report(Outcome("unreadable", "k1", "bad-tag")), "or name it"),
        (a_report(Outcome("unreadable", "number 1", "bad-tag")), "or name it"),
        (a_report(Outcome("unreadable", "", "malformed-token")), "could not be read"),
        (a_report(Outcome("plain", "", "holds-a-token")), "3 values of messages.content hold a"),
        (a_report(Outcome("sealed", "k2", "holds-a-token")), "hold a token within their text"),
        (a_report(Outcome("not-json")), "could not be read"),
        (a_report(Outcome("not-text")), "could not be read"),
        (a_report(Outcome("absent")), "nothing is found where messages.content says"),
        (a_report(Outcome("unselected")), "nothing is found where messages.content says"),
        (a_report(Outcome("null"), Outcome("unselected")), "nothing is found where"),
        (a_report(SEALED, verb="reseal"), "a report of `reseal` proves nothing"),
        (a_report(SEALED, proof="pages"), "not of one state"),
        (a_report(SEALED, keyring=KEYRING.promote("k1")), "when it was the primary KEK"),
        (replace(a_report(SEALED), keyring="another"), "of another keyring"),
    ],
)
def test_a_kek_is_not_safe_to_retire(report: SignedReport, reason: str) -> None:
    found = retirement(OLD, KEYRING, UNUSED, [a_report(SEALED), report])

    assert not found.safe
    assert reason in found.reason


def test_the_primary_kek_is_not_safe_and_nothing_is_without_a_proof() -> None:
    assert not retirement(KEYRING.primary, KEYRING, UNUSED, [a_report()]).safe
    assert retirement(OLD, KEYRING, UNUSED, []).reason == "nothing was proven: give --report"


def test_a_session_of_less_than_a_day_before_the_proof_may_have_sealed_after_it() -> None:
    report = a_report(SEALED)
    recent, older = (
        replace(UNUSED, of={OLD.number: Use(last_session=NOW - MAX_AGE_SECONDS + one)})
        for one in (1, 0)
    )

    assert not retirement(OLD, KEYRING, recent, [report]).safe
    assert retirement(OLD, KEYRING, older, [report]).safe


def test_nothing_is_safe_where_no_process_counted_for_the_day_before_the_proof() -> None:
    report = a_report(SEALED)
    lost, young = Uses(0, {}), Uses(NOW - MAX_AGE_SECONDS + 1, {})

    for uses in (lost, young):
        found = retirement(OLD, KEYRING, uses, [report])
        assert not found.safe
        assert "no process has counted" in found.reason


def test_a_report_of_another_keyring_does_not_verify() -> None:
    job = Job(Sqlite(Path("a.db")), (), "digest")
    run = MigrationRun("verify", job, (), Tally(), "snapshot", NOW, NOW)

    assert verified(sign(run, KEYRING).encode(), a_keyring().record_key) is None


@pytest.mark.parametrize(
    ("place", "said"),
    [
        (Sqlite(Path("a.db")), "backups, snapshots, replicas and logs"),
        (Pipe("csv"), "what the stream was made from"),
        (Http(None, None), "former versions, deleted elements"),  # type: ignore[arg-type]  # not asked
    ],
)
def test_a_report_says_what_it_does_not_cover_where_it_was_made(place: Place, said: str) -> None:
    job = Job(place, (), "digest")
    run = MigrationRun("verify", job, ("a",), Tally(), "pages", NOW, NOW)
    found = verified(sign(run, KEYRING).encode(), KEYRING.record_key)

    assert found is not None
    assert said in found.not_covered[0]
    assert all("tables" not in one or isinstance(place, Sqlite) for one in found.not_covered)


def some(size: int) -> bytes:
    return bytes(size)


BOTH = KEYRING.rotate_index(now=NOW - 9, random=some).rotate_index(now=NOW - 5, random=some)
TURNED = BOTH.turn_index(now=NOW - 2).turn_index(now=NOW - 1)
OF_NEW = Outcome("sealed", "index 2")


def test_a_generation_of_the_index_may_go_where_a_proof_shows_no_value_of_it() -> None:
    assert not needs_index(TURNED, [a_report(SEALED, OF_NEW)])
    assert needs_index(TURNED, []) == "nothing was proven: give --report"


@pytest.mark.parametrize(
    ("report", "keyring", "reason"),
    [
        (a_report(OF_NEW), BOTH, "may be sealed by it since: --turn"),
        (a_report(OF_NEW), BOTH.turn_index(now=NOW - 2), "once every process has turned"),
        (a_report(OF_NEW), TURNED.turn_index(now=NOW), "once every process has turned"),
        (a_report(Outcome("sealed", "index 1")), TURNED, "are of generation 1"),
        (a_report(Outcome("untagged", "k2")), TURNED, "are untagged"),
        (a_report(Outcome("unreadable", "", "malformed-token")), TURNED, "are unreadable"),
        (a_report(Outcome("plain", "", HOLDS_ONE)), TURNED, "hold a token within their text"),
        (a_report(Outcome("absent")), TURNED, "nothing is found where"),
        (a_report(OF_NEW, verb="index"), TURNED, "a report of `index` proves nothing"),
        (a_report(OF_NEW, proof="pages"), TURNED, "not of one state"),
    ],
)
def test_a_generation_of_the_index_may_be_needed(
    report: SignedReport, keyring: Keyring, reason: str
) -> None:
    assert reason in needs_index(keyring, [a_report(OF_NEW), report])
