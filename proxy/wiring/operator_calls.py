"""Operators' calls in the process that has the store: who does them, and what the log reports."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ..config.settings import KeySettings, Settings
from ..keys.keyring.roots import configured
from ..keys.operations.keyring_revocations import KeyringRevocations
from ..keys.operations.session_calls import SessionCall, SessionResult
from ..keys.participants.calls import ParticipantCall
from ..keys.sessions.pending_revocations import PendingRevocation, PendingRevocations, files
from ..keys.sessions.sessions import Sessions
from ..telemetry.reporter import Reporter
from .auditing import log_of

if TYPE_CHECKING:  # for those who ask: it takes memory
    from ..keys.participants.operations import ParticipantResult

PARTICIPANT_CHANGES: Final = frozenset({"add", "rotate", "revoke", "expire", "accept"})
"""Actions that change a participant's keys: they are reported, and other workers notified."""


def keyring_revocations(
    settings: Settings,
    environ: Mapping[str, str],
    reporter: Reporter,
    clock: Callable[[], float],
) -> KeyringRevocations:
    """Return what writes revocations into the keyring's file."""
    path, log = settings.keys.keyring.file, log_of(settings, reporter, clock)
    return KeyringRevocations(path, configured(settings.keys, environ), log, clock)


@dataclass(frozen=True, slots=True)
class PendingLog:
    """Reports revocations that wait for the store."""

    reporter: Reporter

    def pending(self, one: PendingRevocation, *, kept: bool) -> None:
        """Do as PendingReporter says."""
        fields: dict[str, object] = {"scope": one.name, "not_before": one.not_before}
        self.reporter.report("key.revocation_pending", **fields, kept=kept)

    def stored(self, one: PendingRevocation, waited: float) -> None:
        """Do as PendingReporter says."""
        fields: dict[str, object] = {"scope": one.name, "not_before": one.not_before}
        self.reporter.report("key.revocation_stored", **fields, waited_s=round(waited, 1))

    def failed(self, reason: str) -> None:
        """Do as PendingReporter says."""
        self.reporter.report("key.revocations_failed", reason=reason)


def pending_revocations(
    sessions: Sessions,
    settings: Settings,
    environ: Mapping[str, str],
    reporter: Reporter,
    *,
    clock: Callable[[], float],
) -> PendingRevocations:
    """Return the revocations that the store has not taken, kept beside keyring or audit log."""
    audit = log_of(settings, reporter, clock).path
    return PendingRevocations(
        sessions,
        files(settings.keys.keyring.file, audit),
        reporter=PendingLog(reporter),
        keep=keyring_revocations(settings, environ, reporter, clock).revoke,
    )


def report_session_call(
    reporter: Reporter, call: SessionCall, result: SessionResult, keys: KeySettings
) -> None:
    """Report a revocation or an erasure; new sessions are reported where they begin."""
    if call.action == "revoke":
        reporter.report(
            "key.revoked",
            scope=result.scope,
            not_before=result.not_before,
            durable=result.durable,
            store=result.store,
            kept=result.kept,
            unknown=result.unknown,
            source="admin",
        )
    elif call.action == "erase":
        kind, number = keys.store.address.partition(":")[0], len(result.erased or ())
        reporter.report("key.erased", scope=result.scope, keys=number, store=kind, source="admin")


def report_participant_call(
    reporter: Reporter, call: ParticipantCall, result: ParticipantResult
) -> None:
    """Report a change of a participant's keys to those who trust them."""
    if call.action in PARTICIPANT_CHANGES:
        reporter.report(
            "participant.changed", participant=result.name, kid=result.kid, action=call.action
        )
