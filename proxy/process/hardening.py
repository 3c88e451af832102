"""Keep keys in memory from leaving it: no core dumps, no reader of the memory, private files."""

from __future__ import annotations

import ctypes
import os
import resource
import sys
from dataclasses import dataclass
from typing import Final

PRIVATE_UMASK: Final = 0o077
_PR_GET_DUMPABLE: Final = 3
_PR_SET_DUMPABLE: Final = 4


@dataclass(frozen=True, slots=True)
class Hardening:
    """What is now in force; `missing` names what this machine does not offer."""

    core_dumps: bool
    dumpable: bool | None
    umask: int
    missing: tuple[str, ...]

    def fields(self) -> dict[str, object]:
        """Return the fields of the event `process.hardened`."""
        return {
            "core_dumps": self.core_dumps,
            "dumpable": self.dumpable,
            "umask": f"{self.umask:03o}",
            "missing": ",".join(self.missing) or None,
        }


def guard_memory() -> tuple[bool, bool | None]:
    """Forbid core dumps, and reading of memory and environment by other processes of this user.

    Every command does it before all else: it may be about to read a secret. Returns whether there
    may still be core dumps, and whether the process is still dumpable (None: the machine has no
    such switch). A process started by this one inherits the limit alone.
    """
    return not _forbid_core_dumps(), _forbid_dumping()


def harden() -> Hardening:
    """Guard the memory, and let others read no file that is written from now on.

    A process started by this one inherits umask and limit.
    """
    missing = []
    core_dumps, dumpable = guard_memory()
    if core_dumps:
        missing.append("RLIMIT_CORE")
    if dumpable is not False:
        missing.append("PR_SET_DUMPABLE")
    os.umask(PRIVATE_UMASK)
    return Hardening(core_dumps, dumpable, PRIVATE_UMASK, tuple(missing))


def _forbid_core_dumps() -> bool:
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (OSError, ValueError):
        return False
    return True


def _forbid_dumping() -> bool | None:
    """Return whether the process is still dumpable; None where the machine has no such switch."""
    # A core limit of 0 does not stop a core_pattern that pipes to a program, nor ptrace and
    # /proc/PID/mem of the same user: this does.
    if sys.platform != "linux":
        return None
    try:
        prctl = ctypes.CDLL(None, use_errno=True).prctl
    except (OSError, AttributeError):
        return None
    prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    return bool(prctl(_PR_GET_DUMPABLE, 0, 0, 0, 0) != 0)
