"""Reports: signed statements of what a run found and did, for whoever must prove it later.

A compact JWS as erase receipts are, by the same key, so that any JOSE library verifies it with the
public JWK of `sealyard audit receipt-key`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from ..core.crypto.secret import RecordKey
from ..keys.keyring.keyring import Keyring
from ..keys.operations import erase_receipt
from .job.model import Job, StoredTable, Verb
from .job.places import Http, Pipe
from .sources.keepers import Cost, Keeper
from .values.states import Outcome, Tally

TYP: Final = "sealyard-migration+jwt"
_NOT_IN_DATABASE: Final = (
    "backups, snapshots, replicas and logs (WAL, binary log) of the database",
    "files: what rows held before stays in them until `migrate scrub`",
    "other tables and columns than those of the job",
)
_NOT_IN_STREAM: Final = (
    "what the stream was made from, and copies of it",
    "other columns than those of the job",
)
_NOT_IN_BACKEND: Final = (
    "what the backend keeps and does not list: former versions, deleted elements, caches, indexes",
    "backups, replicas and logs of the backend and of its database",
    "other lists, and other members than those that the rules seal",
)
_PROVEN: Final = {
    "snapshot": "the values of the columns in {:,} rows, all that one state of the database has",
    "pages": "the values of the columns in {:,} rows, each as it was when its page was read",
}
Proof = Literal["snapshot", "pages"]
"""What a run has read: one state of each table at a time that is known, or else pages.

Rows that were written while pages were read, or since a stream was made, may have been missed.
"""


@dataclass(frozen=True, slots=True)
class MigrationRun:
    """What one run did; times are seconds since 1970.

    `advice` is what is said beside the counts; `seconds`, how long `seal` will take, and `costs`,
    by table, are of a plan. `keepers` are what else has values, where the verb asks.
    """

    verb: Verb
    job: Job
    places: tuple[str, ...]
    tally: Tally
    proof: Proof
    began: int
    ended: int
    advice: tuple[str, ...] = ()
    seconds: float | None = None
    costs: tuple[Cost, ...] = ()
    keepers: tuple[Keeper, ...] = ()

    @property
    def left(self) -> int:
        """How many values are not as the verb is to leave them."""
        return self.tally.left(self.verb)

    @property
    def proves(self) -> str:
        """What a verified run proves of values, and when; empty for other verbs."""
        return _PROVEN[self.proof].format(self.tally.rows) if self.verb == "verify" else ""

    @property
    def not_covered(self) -> tuple[str, ...]:
        """What the report is not about."""
        place = self.job.place
        if isinstance(place, Pipe):
            return _NOT_IN_STREAM
        if isinstance(place, Http):
            return _NOT_IN_BACKEND
        kept = (f"{one.name}: {one.told}" for one in self.keepers if one.effect != "shows")
        return (*_NOT_IN_DATABASE, *kept)


@dataclass(frozen=True, slots=True)
class SignedReport:
    """A report that was verified. Times are seconds since 1970.

    `indexed` are the columns whose values are to have tags.
    """

    verb: Verb
    job: str
    indexed: tuple[str, ...]
    keyring: str
    primary: str
    proof: Proof
    began: int
    ended: int
    tally: Tally
    excluded: tuple[str, ...]
    not_covered: tuple[str, ...]
    proves: str


def sign(run: MigrationRun, keyring: Keyring) -> str:
    """Return the report of a run."""
    said = {
        "migration": run.verb,
        "job": run.job.digest,
        "places": list(run.places),
        "keyring": keyring.id,
        "generation": keyring.generation,
        "primary": keyring.primary.id,
        "proof": run.proof,
        "began": run.began,
        "ended": run.ended,
        "rows": run.tally.rows,
        "left": run.left,
        "values": [
            {"column": one.label, **one.outcome._asdict(), "count": one.values}
            for one in run.tally.values
        ],
        "indexed": [
            label for one in run.job.tables if isinstance(one, StoredTable) for label in one.indexed
        ],
        "excluded": [one.excluded for one in run.job.tables if one.excluded],
        "not_covered": list(run.not_covered),
    }
    if run.proves:
        said["proves"] = run.proves
    return erase_receipt.sign(said, keyring.record_key, now=run.ended, typ=TYP)


def verified(text: bytes, record_key: RecordKey) -> SignedReport | None:
    """Return what a report says; None unless the holder of this keyring has signed it."""
    jwks = map(erase_receipt.public_jwk, record_key.all)
    found = (erase_receipt.verified(text, jwk, typ=TYP) for jwk in jwks)
    said = next(filter(None, found), None)
    return None if said is None else _report(said)


def _report(said: Mapping[str, Any]) -> SignedReport:
    tally = Tally()
    tally.rows = said["rows"]
    for one in said["values"]:
        tally.add(one["column"], Outcome(one["state"], one["kek"], one["reason"]), one["count"])
    return SignedReport(
        said["migration"],
        said["job"],
        tuple(said["indexed"]),
        said["keyring"],
        said["primary"],
        said["proof"],
        said["began"],
        said["ended"],
        tally,
        tuple(said["excluded"]),
        tuple(said["not_covered"]),
        said.get("proves", ""),
    )
