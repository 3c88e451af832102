"""Taking a secret out of the environment, so that it stands nowhere in it any more.

A variable stands in three places: in the block that the kernel shows as /proc/PID/environ and every
process started from here inherits, in Python's own bytes of it, and in whatever was made of those.
Unsetting it leaves all of them as they are. Here the first two are overwritten; of the third there
is nothing, if the secret is read by `taken` alone.
"""

from __future__ import annotations

import ctypes
import os
import sys
from contextlib import suppress

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
    _overwrite(value)
    return secret


def overwrite(secret: bytearray) -> None:
    """Overwrite a secret where it stands; its length stays."""
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


def _overwrite(value: bytes) -> None:
    """Overwrite bytes that nobody else uses: one of a single byte is everybody's."""
    if sys.implementation.name == "cpython" and len(value) > 1:
        ctypes.memset(id(value) + _BYTES_HEAD, 0, len(value))
