"""The audit log of this process: where it is, what becomes of its failures, what is counted."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from ..config.settings import Settings
from ..core.crypto.derivation import audit_key
from ..core.crypto.secret import RecordKey
from ..core.errors import UnfitEnvironment
from ..keys.audit import AuditLog, Trail, Value, file_beside
from ..keys.audit.head import Head
from ..keys.audit.trail import LineLimit
from ..keys.keyring.file import open_keyring
from ..telemetry.metrics import table
from ..telemetry.metrics.samples import Check, Samples
from ..telemetry.reporter import Reporter
from .reload.material import root_provider


def log_of(settings: Settings, reporter: Reporter, clock: Callable[[], float]) -> AuditLog:
    """Return the log that the configuration names, or else the one beside the keyring."""
    audit = settings.audit
    path = audit.file if audit else file_beside(settings.keys.keyring)

    def warn(reason: str) -> None:
        reporter.report("audit.failed", file=str(path), reason=_short(reason), blocks=False)

    return AuditLog(path, clock, warn=warn if audit and not audit.block else None)


def open_trail(
    settings: Settings, record_key: RecordKey, reporter: Reporter, clock: Callable[[], float]
) -> Trail | None:
    """Return the audit log of a process.

    Where none is configured, it is the one beside the keyring, and keeps nothing from being done;
    None where that cannot be written, as with a keyring that is mounted to be read.
    """
    log = log_of(settings, reporter, clock)
    file = str(log.path)
    block = settings.audit is not None and settings.audit.block
    if settings.audit is None and not _writable(log.path):
        reporter.report("audit.off", file=file, reason="not-writable")
        return None

    def failed(reason: str) -> None:
        reporter.report("audit.failed", file=file, reason=_short(reason), blocks=block)

    def anchored(head: Head) -> None:
        reporter.report("audit.anchored", file=file, sequence=head.seq, mac=head.mac)

    return Trail(log, audit_key(record_key), block=block, failed=failed, anchored=anchored)


async def open_own(
    settings: Settings,
    environ: Mapping[str, str],
    reporter: Reporter,
    clock: Callable[[], float],
) -> Trail | None:
    """Return the audit log of a process that has no keyring open; it is opened for a moment."""
    root = root_provider(settings, environ)
    keyring = await asyncio.to_thread(open_keyring, settings.keys.keyring, root)
    return open_trail(settings, keyring.record_key, reporter, clock)


def count(trail: Trail | None, samples: Samples) -> None:
    """Add what there is to say of the audit log."""
    if trail is not None:
        samples.add(table.AUDIT_FAILURES, trail.failures)
        samples.add(table.AUDIT_LINES, trail.written)
        samples.add(table.AUDIT_BLOCKED, int(trail.blocked))
        samples.add(table.AUDIT_SEQUENCE, trail.sequence)


def checks(trail: Trail | None) -> tuple[Check, ...]:
    """Return what a log that cannot be written means: nothing is opened, or nothing at all.

    The process stays in service: what seals goes on.
    """
    if trail is None or not trail.failing:
        return ()
    what = "nothing is opened until it can" if trail.blocks else "what is done is not written down"
    text = f"the audit log cannot be written: {what}"
    return (Check("audit", True, text, degraded=True),)  # noqa: FBT003 - the check's own `ok`


def _short(reason: str) -> str:
    # The path stands beside it; it is a sentence for those who run a command.
    return reason.rpartition(": ")[2]


def _writable(path: Path) -> bool:
    return os.access(path.parent, os.W_OK) and (not path.exists() or os.access(path, os.W_OK))


_PROBES: Final = frozenset({"/livez", "/readyz", "/metrics"})
_LOWEST_ERROR: Final = 400


class AuditedCalls:
    """Writes calls down. What only looks is written one by one up to a rate, and counted beyond.

    `clock` returns seconds that never go back.
    """

    def __init__(self, trail: Trail, clock: Callable[[], float]) -> None:
        self._trail = trail
        self._looks = LineLimit(trail, per_second=1, burst=100, clock=clock)
        self._refused = LineLimit(trail, per_second=1, burst=50, clock=clock)

    async def write_down(self, told: Mapping[str, Value]) -> None:
        """Write a call down; raise UnfitEnvironment where it must not be answered.

        Probes and scrapers come every few seconds and are shown numbers alone: they are left out.
        """
        good = int(told["status"]) < _LOWEST_ERROR
        if "caller" not in told:
            if not good:
                self._refused.note("admin.refused", _some(told, "status", "error"), **_rest(told))
        elif told["method"] != "GET":
            await self._trail.write("admin.called", **told)
        elif good and told.get("route") in _PROBES:
            return
        elif self._looks.admits():
            await self._trail.write("admin.called", **told)
        elif self._trail.blocked:
            raise UnfitEnvironment("the audit log cannot be written")
        else:
            self._looks.count("admin.called", _some(told, "caller", "route", "method"))

    def close(self) -> None:
        """Have written down what was only counted."""
        self._looks.tell()
        self._refused.tell()


def _some(told: Mapping[str, Value], *names: str) -> dict[str, Value]:
    return {name: told[name] for name in names if name in told}


def _rest(told: Mapping[str, Value]) -> dict[str, Value]:
    return {name: value for name, value in told.items() if name not in {"status", "error"}}
