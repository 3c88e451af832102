"""What the tests of the audit log share."""

from __future__ import annotations

from pathlib import Path

from proxy.core.crypto.secret import AuditKey
from proxy.keys.audit import AuditLog, head_record
from proxy.keys.audit.verification import AuditVerdict, verify

KEY = AuditKey(b"k" * 32)
NOW = 1_800_000_000.5


def a_log(folder: Path, lines: int = 0) -> AuditLog:
    """Return a log with so many lines besides its first, which tells that it begins."""
    log = AuditLog(folder / "audit.log", lambda: NOW)
    for number in range(lines):
        log.write(KEY, "keys.add", kek=f"k{number}")
    return log


def checked(log: AuditLog, *earlier: Path) -> AuditVerdict:
    """Return the verdict on a log, by its head record."""
    return verify((*earlier, log.path), KEY, head=head_record.load_beside(log.path, KEY))
