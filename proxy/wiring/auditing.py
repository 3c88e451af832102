"""The audit log of this process: where it is, how failures are handled, what is recorded."""

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
from ..keys.audit.head_record import Head
from ..keys.audit.trail import LineLimit
from ..keys.keyring.file import open_keyring
from ..keys.keyring.roots import serving
from ..telemetry.metrics import table
from ..telemetry.metrics.samples import Check, Samples
from ..telemetry.reporter import Reporter
from .policy import LOWEST_ERROR, READ_LINES, REFUSED_LINES


def log_of(settings: Settings, reporter: Reporter, clock: Callable[[], float]) -> AuditLog:
    """Return the audit log of the configuration, by default the one beside the keyring."""
    audit = settings.audit
    path = audit.file if audit else file_beside(settings.keys.keyring.file)

    def warn(reason: str) -> None:
        reporter.report("audit.failed", file=str(path), reason=_short(reason), blocks=False)

    return AuditLog(path, clock, warn=warn if audit and not audit.block else None)


def open_trail(
    settings: Settings, record_key: RecordKey, reporter: Reporter, clock: Callable[[], float]
) -> Trail | None:
    """Return the audit log of a process.

    Without `audit`, it is the one beside the keyring, whose failures block nothing; None where that
    is not writable, as beside a keyring mounted read-only.
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

    def gone(reason: str) -> None:
        reporter.report("audit.gone", file=file, reason=reason)

    trail = Trail(log, audit_key(record_key), block=block, failed=failed, anchored=anchored)
    trail.gone = gone
    return trail


async def open_own(
    settings: Settings,
    environ: Mapping[str, str],
    reporter: Reporter,
    clock: Callable[[], float],
) -> Trail | None:
    """Return the audit log of a process without keys; its keyring is opened once for it.

    The KEKs are overwritten at once.
    """
    roots = serving(settings.keys, environ)
    keyring = await asyncio.to_thread(open_keyring, settings.keys.keyring.file, roots)
    keyring.give_up()
    return open_trail(settings, keyring.record_key, reporter, clock)


def count(trail: Trail | None, samples: Samples) -> None:
    """Add the samples of the audit log."""
    if trail is not None:
        samples.add(table.AUDIT_FAILURES, trail.failures)
        samples.add(table.AUDIT_LOSSES, trail.losses)
        samples.add(table.AUDIT_LINES, trail.written)
        samples.add(table.AUDIT_BLOCKED, int(trail.blocked))
        samples.add(table.AUDIT_SEQUENCE, trail.sequence)


def checks(trail: Trail | None) -> tuple[Check, ...]:
    """Return a check for an audit log that cannot be written.

    Where it blocks, the process is not ready: it refuses whatever would open a value or begin a
    session. Elsewhere it is only degraded.
    """
    if trail is None or not trail.failing:
        return ()
    effect = "nothing is opened until it can" if trail.blocks else "calls are not recorded"
    text = f"the audit log cannot be written: {effect}"
    return (Check("audit", not trail.blocks, text, degraded=True),)


def _short(reason: str) -> str:
    # Without the path, which the event has in its own key.
    return reason.rpartition(": ")[2]


def _writable(path: Path) -> bool:
    return os.access(path.parent, os.W_OK) and (not path.exists() or os.access(path, os.W_OK))


_PROBES: Final = frozenset({"/livez", "/readyz", "/metrics"})


class AuditedCalls:
    """Records calls of the admin API. Reads above a rate are only counted.

    `clock` returns monotonic seconds.
    """

    def __init__(self, trail: Trail, clock: Callable[[], float]) -> None:
        self._trail = trail
        self._reads = LineLimit(trail, READ_LINES, clock=clock)
        self._refused = LineLimit(trail, REFUSED_LINES, clock=clock)

    async def record(self, call: Mapping[str, Value]) -> None:
        """Record a call; raise UnfitEnvironment where it must not be answered.

        Successful probes and scrapes come every few seconds and are left out.
        """
        good = int(call["status"]) < LOWEST_ERROR
        if "caller" not in call:
            if not good:
                self._refused.note("admin.refused", _some(call, "status", "error"), **_rest(call))
        elif call["method"] != "GET":
            await self._trail.write("admin.called", **call)
        elif good and call.get("route") in _PROBES:
            return
        elif self._reads.admits():
            await self._trail.write("admin.called", **call)
        elif self._trail.blocked:
            raise UnfitEnvironment("the audit log cannot be written")
        else:
            self._reads.count("admin.called", _some(call, "caller", "route", "method"))

    def close(self) -> None:
        """Record the counts of what was above the rate."""
        self._reads.flush()
        self._refused.flush()


def _some(call: Mapping[str, Value], *names: str) -> dict[str, Value]:
    return {name: call[name] for name in names if name in call}


def _rest(call: Mapping[str, Value]) -> dict[str, Value]:
    return {name: value for name, value in call.items() if name not in {"status", "error"}}
