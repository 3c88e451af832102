"""Keep keys in memory: no core dumps, no access by other processes, private files."""

from __future__ import annotations

import ctypes
import os
import resource
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

PRIVATE_UMASK: Final = 0o077
_PR_GET_DUMPABLE: Final = 3
_PR_SET_DUMPABLE: Final = 4


@dataclass(frozen=True, slots=True)
class Hardening:
    """The hardening in force; `missing` names what this machine does not support."""

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
    core_dumps, dumpable = guard_memory()
    os.umask(PRIVATE_UMASK)
    return Hardening(core_dumps, dumpable, PRIVATE_UMASK, unguarded())


def unguarded() -> tuple[str, ...]:
    """Return which of the two guards of the memory is not in force in this process."""
    missing = []
    if resource.getrlimit(resource.RLIMIT_CORE)[0] != 0:
        missing.append("RLIMIT_CORE")
    prctl = _prctl()
    if prctl is None or prctl(_PR_GET_DUMPABLE, 0, 0, 0, 0) != 0:
        missing.append("PR_SET_DUMPABLE")
    return tuple(missing)


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
    prctl = _prctl()
    if prctl is None:
        return None
    prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    return bool(prctl(_PR_GET_DUMPABLE, 0, 0, 0, 0) != 0)


def _prctl() -> Callable[..., Any] | None:
    """Return prctl(2) of Linux; None on another machine, or without a C library to ask."""
    if sys.platform != "linux":
        return None
    try:
        found: Callable[..., Any] = ctypes.CDLL(None, use_errno=True).prctl
    except (OSError, AttributeError):
        return None
    return found


_BYTES_HEAD = bytes.__basicsize__ - 1
"""How far into a bytes object of CPython its content begins."""


def taken(name: str) -> bytearray | None:
    """Return the value of a variable and remove it from the environment; None where it is not set.

    The caller overwrites what it gets once it is used.
    """
    key = os.fsencode(name)
    try:
        value = os.environb[key]
    except KeyError:
        return None
    secret = bytearray(value)
    with suppress(OSError, AttributeError, ValueError):  # no C library to ask, or an odd one
        _overwrite_block(key + b"=")
    del os.environb[key]
    overwrite_bytes(value)
    return secret


def overwrite(secret: bytearray) -> None:
    """Overwrite a secret in place; its length stays."""
    secret[:] = bytes(len(secret))


def _overwrite_block(prefix: bytes) -> None:
    """Overwrite the value of every entry of the process' own block that begins with `prefix`."""
    libc = ctypes.CDLL(None)
    libc.strlen.restype = ctypes.c_size_t
    libc.strlen.argtypes = (ctypes.c_void_p,)
    libc.strncmp.argtypes = (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t)
    entries = ctypes.POINTER(ctypes.c_void_p).in_dll(libc, "environ")
    at = 0
    while entries and (entry := entries[at]):
        if libc.strncmp(entry, prefix, len(prefix)) == 0:
            ctypes.memset(entry + len(prefix), 0, libc.strlen(entry) - len(prefix))
        at += 1


_TEXT_HEAD = sys.getsizeof("") - 1
"""How far into a str of ASCII, as CPython has it, its content begins."""


def overwrite_text(value: str) -> None:
    """Overwrite a str of ASCII that is not shared; CPython shares those of one character."""
    if sys.implementation.name == "cpython" and len(value) > 1 and value.isascii():
        ctypes.memset(id(value) + _TEXT_HEAD, 0, len(value))


def overwrite_bytes(value: bytes) -> None:
    """Overwrite a bytes object that is not shared; CPython shares those of one byte."""
    if sys.implementation.name == "cpython" and len(value) > 1:
        ctypes.memset(id(value) + _BYTES_HEAD, 0, len(value))
