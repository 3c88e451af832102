"""Whether a KEK may be destroyed: what was proven of the stored values, and what was read since."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ..keys.keyring.kek import KekEntry
from ..keys.keyring.keyring import Keyring
from ..keys.sessions.kek_usage import Use
from ..keys.sessions.settings import MAX_AGE_SECONDS
from .report import SignedReport
from .values.states import Outcome, Tally

_UNREAD: Final = frozenset({"unreadable", "not-text", "not-json"})


@dataclass(frozen=True, slots=True)
class Retirement:
    """Whether a KEK is safe to destroy, and why not; when it was proven, in seconds since 1970."""

    safe: bool
    reason: str
    proven: int = 0


def retirement(
    kek: KekEntry, keyring: Keyring, use: Use, reports: Sequence[SignedReport]
) -> Retirement:
    """Return whether nothing that the reports are about needs a KEK.

    Each is of `verify`, and of one state of its database. A session seals for at most 24 hours:
    one that began under the KEK less than that before a report may have sealed after it.
    """
    if kek.id == keyring.primary.id:
        return Retirement(safe=False, reason="it is the primary KEK")
    if not reports:
        return Retirement(safe=False, reason="nothing was proven: give --report")
    for report in reports:
        reason = _needed(kek, keyring, report)
        if not reason and use.last_session + MAX_AGE_SECONDS > report.began:
            reason = "a session that began under it could seal within 24 hours before the proof"
        if reason:
            return Retirement(safe=False, reason=reason)
    return Retirement(safe=True, reason="", proven=min(one.began for one in reports))


def _needed(kek: KekEntry, keyring: Keyring, report: SignedReport) -> str:
    """Return why a report does not show that the KEK is needed no more, or an empty text."""
    if report.verb != "verify":
        return f"a report of `{report.verb}` proves nothing"
    if report.keyring != keyring.id:
        return "the report is of another keyring"
    if report.proof != "snapshot":
        return "the report is not of one state of the database"
    return _counted(kek, report.tally)


def _counted(kek: KekEntry, tally: Tally) -> str:
    """Return which values need the KEK or were not read, or an empty text."""
    for label, outcome, values in tally.values:
        if _names(outcome, kek):
            return f"{values:,} values of {label} are under it, or name it"
        if outcome.state in _UNREAD and not outcome.kek:
            return f"{values:,} values of {label} could not be read"
    if nowhere := sorted(tally.nowhere):
        return f"no record has {nowhere[0]}: correct its name in the job"
    return ""


def _names(outcome: Outcome, kek: KekEntry) -> bool:
    known = {kek.id, *kek.also, f"number {kek.number}"}
    return outcome.kek in known and outcome.state != "poison"
