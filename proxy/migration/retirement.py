"""Whether a key may go: what was proven of the stored values, and what was read since."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ..core.crypto.token import KeyId
from ..keys.keyring.kek import KekEntry
from ..keys.keyring.keyring import Keyring
from ..keys.sessions.kek_usage import Use, Uses
from ..keys.sessions.settings import MAX_AGE_SECONDS
from .report import SignedReport
from .values.states import HOLDS_ONE, Outcome, Tally

_UNREAD: Final = frozenset({"unreadable", "not-text", "not-json"})


@dataclass(frozen=True, slots=True)
class Retirement:
    """Whether a KEK is safe to destroy, and why not; when it was proven, in seconds since 1970."""

    safe: bool
    reason: str
    proven: int = 0


def retirement(
    kek: KekEntry, keyring: Keyring, uses: Uses, reports: Sequence[SignedReport]
) -> Retirement:
    """Return whether nothing that the reports are about needs a KEK.

    Each is of `verify`, of one state of its database, and made when another KEK was the primary. A
    session seals for at most 24 hours: one that began under the KEK less than that before a report
    may have sealed after it. `uses` is what is known of that; its `since` is 0 where nothing is.
    """
    if kek.id == keyring.primary.id:
        return Retirement(safe=False, reason="it is the primary KEK")
    if not reports:
        return Retirement(safe=False, reason="nothing was proven: give --report")
    last = uses.of.get(kek.number, Use()).last_session
    for report in reports:
        reason = _needed(kek, keyring, report) or _may_have_sealed(last, uses.since, report.began)
        if reason:
            return Retirement(safe=False, reason=reason)
    return Retirement(safe=True, reason="", proven=min(one.began for one in reports))


def needs_index(keyring: Keyring, reports: Sequence[SignedReport]) -> str:
    """Return why values may need the older of two generations of the index, or an empty text.

    Each report is of `verify`, of one state of its database, and made after every process had
    turned to the newer generation: no value of the older one is sealed after that.
    """
    former, latest = keyring.index
    if not reports:
        return "nothing was proven: give --report"
    for report in reports:
        reason = _proves(keyring, report)
        if not latest.settled or report.began <= latest.settled:
            reason = reason or (
                "values in the form `equal` may be sealed by it since: --turn, and again once every"
                " process has turned, before `verify`"
            )
        reason = reason or _of_index(former.generation, report.tally)
        if reason:
            return reason
    return ""


def has_tags(keyring: Keyring, report: SignedReport, since: int) -> str:
    """Return why a report does not show that no tags are left, or an empty text.

    It is of `verify` by a job without `index`, begun after `since` (seconds since 1970).
    """
    reason = _proves(keyring, report)
    if report.began <= since:
        reason = reason or "the report is older than the receipt"
    if report.indexed:
        reason = reason or "its job has an `index`, so that values are to have tags"
    for label, outcome, values in report.tally.values:
        if outcome.state == "untagged" or (outcome.state in _UNREAD and not outcome.kek):
            reason = reason or f"{values:,} values of {label} have tags, or could not be read"
    return reason or _nowhere(report.tally)


def _of_index(generation: int, tally: Tally) -> str:
    name = KeyId(b"", kek_number=generation).key
    for label, outcome, values in tally.values:
        if outcome.kek == name:
            return f"{values:,} values of {label} are of generation {generation}"
        if outcome.state in _UNREAD or outcome.state == "untagged":
            return f"{values:,} values of {label} are {outcome.state}"
        if outcome.reason == HOLDS_ONE:
            return f"{values:,} values of {label} hold a token within their text"
    return _nowhere(tally)


def _may_have_sealed(last_session: int, since: int, proven: int) -> str:
    """Return why a session could seal under the KEK after the proof, or an empty text."""
    if not since or since + MAX_AGE_SECONDS > proven:
        return "no process has counted its sessions for all of the 24 hours before the proof"
    if last_session + MAX_AGE_SECONDS > proven:
        return "a session that began under it could seal within 24 hours before the proof"
    return ""


def _needed(kek: KekEntry, keyring: Keyring, report: SignedReport) -> str:
    """Return why a report does not show that the KEK is needed no more, or an empty text."""
    if report.primary == kek.id:
        return "the report was made when it was the primary KEK"
    return _proves(keyring, report) or _counted(kek, report.tally)


def _proves(keyring: Keyring, report: SignedReport) -> str:
    """Return why a report proves nothing for a keyring, or an empty text."""
    if report.verb != "verify":
        return f"a report of `{report.verb}` proves nothing"
    if report.keyring != keyring.id:
        return "the report is of another keyring"
    if report.proof != "snapshot":
        return "the report is not of one state of the database"
    return ""


def _counted(kek: KekEntry, tally: Tally) -> str:
    """Return which values need the KEK or were not read, or an empty text."""
    for label, outcome, values in tally.values:
        if _names(outcome, kek):
            return f"{values:,} values of {label} are under it, or name it"
        if outcome.state in _UNREAD and not outcome.kek:
            return f"{values:,} values of {label} could not be read"
        if outcome.reason == HOLDS_ONE:
            return f"{values:,} values of {label} hold a token within their text"
    return _nowhere(tally)


def _nowhere(tally: Tally) -> str:
    if nowhere := sorted(tally.nowhere):
        return f"nothing is found where {nowhere[0]} says: correct its name or `select` in the job"
    return ""


def _names(outcome: Outcome, kek: KekEntry) -> bool:
    known = {kek.id, f"number {kek.number}"}
    return outcome.kek in known and outcome.state != "poison"
