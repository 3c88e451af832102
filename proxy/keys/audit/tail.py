"""Where a log ends: the last line that counts, and what stands behind it that is no line of ours.

A writer that was killed in the midst of a line leaves a piece of it. The next line tells how long
that piece is and its SHA-256, so that the chain covers it too and nothing can hide in it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from typing import BinaryIO, Final, NamedTuple

from ...core.crypto import base64url
from ...core.crypto.secret import AuditKey
from .head import Head
from .line import LINE_BYTES, Line, decode

CUT: Final = "audit.cut"
"""The line of a writer that found the log shorter than it had been."""

HEADLESS: Final = "audit.headless"
"""The line of a writer that found lines and no head record: it cannot tell whether more were."""

TORN_BYTES: Final = "torn_bytes"
TORN_HASH: Final = "torn_sha256"
TOLD: Final = (TORN_BYTES, TORN_HASH)


class Torn:
    """Bytes between two lines."""

    def __init__(self) -> None:
        """Begin with none."""
        self.size = 0
        self.whole = False
        """Whether a line feed stands among them."""
        self._hash = hashlib.sha256()

    def add(self, piece: bytes) -> None:
        """Take more of them."""
        self.size += len(piece)
        self.whole = self.whole or b"\n" in piece
        self._hash.update(piece)

    def told(self) -> dict[str, str | int]:
        """Return what the next line tells of them; nothing where there are none."""
        if not self.size:
            return {}
        digest = base64url.encode(self._hash.digest()).decode()
        return {TORN_BYTES: self.size, TORN_HASH: digest}


class Tail(NamedTuple):
    """The last line that counts (None: there is none), and what stands behind it.

    `open_ended` says that the file does not end with a line feed; `cut` that it is shorter than it
    was.
    """

    head: Head | None
    torn: Torn
    open_ended: bool = False
    cut: bool = False


def pieces(file: BinaryIO) -> Iterator[bytes]:
    """Yield the lines with their line feeds; what is too long for one comes in pieces."""
    while piece := file.readline(LINE_BYTES + 1):
        yield piece


def line_of(piece: bytes, key: AuditKey) -> Line | None:
    """Return the line of a piece of the file; None for anything else, such as a torn one.

    Of the very last line, the line feed may be missing: it is whole all the same.
    """
    return decode(piece.removesuffix(b"\n"), key)


def find_tail(file: BinaryIO, known: Head | None, key: AuditKey) -> Tail:
    """Return where the open log ends. `known` is the last line that somebody remembers.

    What was remembered is not read again; that it still stands there is for the verifier to say.
    """
    device, inode, size = _place(file)
    torn = Torn()
    same = known is not None and (known.device, known.inode) == (device, inode)
    at = known.end if known is not None and same else 0
    if size < at:
        file.seek(max(size - 1, 0))
        return Tail(known, torn, open_ended=file.read(1) not in {b"", b"\n"}, cut=True)
    file.seek(at)
    piece = b"\n"
    for piece in pieces(file):
        at += len(piece)
        line = line_of(piece, key)
        if line is None or (known is not None and line.seq <= known.seq):
            torn.add(piece)
        else:
            known, torn = Head(line.seq, line.mac, device, inode, at), Torn()
    return Tail(known, torn, open_ended=not piece.endswith(b"\n"))


def _place(file: BinaryIO) -> tuple[int, int, int]:
    status = os.fstat(file.fileno())
    return status.st_dev, status.st_ino, status.st_size
