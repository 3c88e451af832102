"""What a supervisor took out of its environment, handed to a worker over a pipe.

The environment that the worker inherits holds no passphrase any more, and a command line would show
it to everybody.
"""

from __future__ import annotations

import os
from typing import Final

from ..core.errors import InternalError
from ..keys.keyring.roots import passphrase
from ..process.wiping import overwrite

# What a pipe takes while nobody reads (pipe(7)): whoever offers must not wait for the worker.
_MOST_SECRET_BYTES: Final = 65_536


def offer() -> int | None:
    """Return what the worker reads it from, to be passed on and closed; None where it is nothing.

    Raises InternalError where it is more than a pipe holds.
    """
    data = passphrase.handed_over()
    try:
        if not data:
            return None
        if len(data) > _MOST_SECRET_BYTES:
            raise InternalError("too-many-passphrases")
        ours, theirs = os.pipe()
        try:
            os.write(theirs, data)
        finally:
            os.close(theirs)
        return ours
    finally:
        overwrite(data)


def accept(descriptor: int) -> None:
    """Take over what the supervisor has offered."""
    buffer = bytearray(_MOST_SECRET_BYTES)
    try:
        with memoryview(buffer) as view:
            size = 0
            while read := os.readv(descriptor, [view[size:]]):
                size += read
            data = bytearray(view[:size])
    finally:
        overwrite(buffer)
        os.close(descriptor)
    passphrase.take_over(data)
