"""The audit log of key operations: one JSON line each, on the disk before the result is given."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from ..core.errors import UnfitEnvironment

_FLAGS: Final = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class AuditLog:
    """Appends to `path` (mode 0600). `clock` returns seconds since 1970."""

    path: Path
    clock: Callable[[], float]

    def write(self, event: str, **values: str | int) -> None:
        """Append one line with `event` and its values: names and numbers, never key material.

        Raises UnfitEnvironment when the line is not safely on the disk; the caller then refuses.
        """
        at = datetime.fromtimestamp(self.clock(), UTC).isoformat(timespec="milliseconds")
        line = json.dumps({"at": at, "event": event, "uid": os.getuid(), **values}) + "\n"
        try:
            self._append(line.encode())
        except OSError as error:
            reason = error.strerror or "short write"
            raise UnfitEnvironment(
                f"{self.path}: the audit line was not written: {reason}"
            ) from None

    def _append(self, line: bytes) -> None:
        descriptor = os.open(self.path, _FLAGS | os.O_NONBLOCK, 0o600)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise OSError(0, "not a regular file")
            # One write, so that lines of two processes never mix.
            if os.write(descriptor, line) != len(line):
                raise OSError
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def file_beside(keyring: Path) -> Path:
    """Return where operations with a keyring are written down unless something else is said."""
    return keyring.with_name(keyring.name + ".audit")
