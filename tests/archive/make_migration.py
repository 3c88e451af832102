"""The archive's migration: the state of a run that was ended early, and a signed report."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from proxy.keys.keyring.keyring import Keyring
from proxy.migration.engine import RowRange
from proxy.migration.job.model import Job, StoredTable
from proxy.migration.job.places import Sqlite
from proxy.migration.report import MigrationRun, sign
from proxy.migration.state import StateFile
from proxy.migration.values.states import Outcome, Tally

IDENTITY: Final = "the digest of a job, its verb, keyring and place"


def write_migration(folder: Path, kept: Keyring, now: int) -> dict[str, Any]:
    """Write a state with keys of every kind, and a report, and what they must say."""
    tally = Tally()
    tally.rows = 9
    tally.grew("letters.content", 431)
    for state, kek in (("sealed", "k1"), ("sealed-now", kept.primary.id), ("too-long", "")):
        tally.add("letters.content", Outcome(state, kek), 3)  # type: ignore[arg-type]  # one of STATES
    parts = [
        RowRange(0, None, ("clinic", 7), done=True, tally=tally),
        RowRange(0, ("clinic", 7), (b"\x00\xff", 2.5)),
        RowRange(1, ("Grüße", "9223372036854775807"), None),
    ]
    state, report = "letters.yaml.seal.state", "report-verify.jws"
    StateFile(folder / state, IDENTITY, kept.record_key).write(parts)
    job = Job(Sqlite(Path("clinic.db")), (StoredTable("letters", (), where="id > 1"),), "digest")
    run = MigrationRun("verify", job, ("clinic.db",), tally, "snapshot", now, now + 60)
    (folder / report).write_text(sign(run, kept) + "\n")
    return {
        "state": {"file": state, "parts": [one.to_json() for one in parts]},
        "report": {
            "file": report,
            "verb": "verify",
            "keyring": kept.id,
            "proof": "snapshot",
            "began": now,
            "tally": tally.to_json(),
            "excluded": ["rows of letters other than: id > 1"],
        },
    }
