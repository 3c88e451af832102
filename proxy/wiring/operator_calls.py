"""Revocations in the process that has the store: what keeps them, and what the log reports."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..config.settings import Settings
from ..keys.keyring.roots import configured
from ..keys.operations.keyring_revocations import KeyringRevocations
from ..keys.sessions.sessions import Sessions
from ..telemetry.reporter import Reporter
from .auditing import log_of

if TYPE_CHECKING:  # only for a store that processes share: it takes memory
    from ..keys.sessions.ledger import FenceLedger
    from ..keys.sessions.pending_revocations import PendingRevocation, PendingRevocations


def keyring_revocations(
    sessions: Sessions,
    settings: Settings,
    environ: Mapping[str, str],
    reporter: Reporter,
    clock: Callable[[], float],
) -> KeyringRevocations:
    """Return what writes revocations into the keyring's file."""
    path, log = settings.keys.keyring.file, log_of(settings, reporter, clock)
    roots = configured(settings.keys, environ)
    return KeyringRevocations(path, roots, log, lambda: sessions.keyring.id, clock)


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
) -> PendingRevocations | None:
    """Return the revocations that the store has not taken, kept beside keyring or audit log.

    None where no other process has the store: there is nobody to tell.
    """
    if not sessions.store.shared:
        return None
    from ..keys.sessions.pending_revocations import (  # noqa: PLC0415 - as it says
        PendingRevocations,
        files,
    )

    audit = log_of(settings, reporter, clock).path
    return PendingRevocations(
        sessions,
        files(settings.keys.keyring.file, audit),
        reporter=PendingLog(reporter),
        keep=keyring_revocations(sessions, settings, environ, reporter, clock).revoke,
    )


def ledger_of(
    sessions: Sessions,
    settings: Settings,
    reporter: Reporter,
    *,
    clock: Callable[[], float],
) -> FenceLedger | None:
    """Return what keeps revocations and erasures for a store that may lose them.

    None where no other process has the store.
    """
    if not sessions.store.shared:
        return None
    from ..keys.sessions import ledger  # noqa: PLC0415 - as it says

    audit = log_of(settings, reporter, clock).path
    paths = ledger.files(settings.keys.keyring.file, audit)
    return ledger.FenceLedger(sessions, paths, clock=clock)
