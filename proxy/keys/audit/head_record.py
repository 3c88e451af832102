"""The head record: the last line that was safely written, kept beside the log and sealed.

Without it, lines cut off at the end would leave no trace. Restoring older copies of both files
still leaves none here: only a head that is kept elsewhere shows that.

It has a fixed size and place, and is written at once within one disk sector. Writers lock it, since
the log itself is renamed when it is rotated.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from ...core.crypto import base64url
from ...core.crypto.secret import AuditKey
from ..keyring.jwk_set import parse_object
from ..policy import LINE_BYTES
from .line import LineReader

_LABEL: Final = b"sealyard/v1/audit/head\x00"
_BYTES: Final = 512
_MAC: Final = re.compile(r"[A-Za-z0-9_-]{43}")


class Head(NamedTuple):
    """The last line: its number and MAC, and the file and offset (bytes) at which it ends."""

    seq: int
    mac: str
    device: int = 0
    inode: int = 0
    end: int = 0

    @property
    def anchor(self) -> str:
        """`SEQ:MAC`, to be kept where those who can write the log cannot write."""
        return f"{self.seq}:{self.mac}"


def beside(log: Path) -> Path:
    """Return the path of the head record of a log."""
    return log.with_name(f".{log.name}.head")


def parse_anchor(text: str) -> Head | None:
    """Return the head that an anchor names; None for any other text."""
    seq, _, mac = text.partition(":")
    if not seq.isascii() or not seq.isdecimal() or not _MAC.fullmatch(mac):
        return None
    return Head(int(seq), mac)


def load(descriptor: int, key: AuditKey) -> Head | None:
    """Return the head that the open file holds; None where there is none of this key's."""
    data = os.pread(descriptor, _BYTES, 0)
    text, _, tag = data.rstrip(b" \n").rpartition(b".")
    if not any(hmac.compare_digest(_tag(text, one), tag) for one in key.all):
        return None
    members = parse_object(text)
    return None if members is None else Head(**members)


def load_beside(log: Path, key: AuditKey) -> Head | None:
    """Return what the head record beside a log says; None without one of this key's."""
    try:
        descriptor = os.open(beside(log), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return load(descriptor, key)
    finally:
        os.close(descriptor)


def store(descriptor: int, head: Head, key: AuditKey) -> None:
    """Put the head in the place of the one before; raises OSError."""
    text = json.dumps(head._asdict(), separators=(",", ":")).encode("ascii")
    record = (text + b"." + _tag(text, key)).ljust(_BYTES - 1) + b"\n"
    if os.pwrite(descriptor, record, 0) != _BYTES:
        raise OSError(0, "short write")


def _tag(text: bytes, key: AuditKey) -> bytes:
    return base64url.encode(hmac.digest(key.reveal(), _LABEL + text, "sha256"))


CUT: Final = "audit.cut"
"""The line of a writer that found the log shorter than it had been."""

HEADLESS: Final = "audit.headless"
"""The line of a writer that found lines and no head record: there may have been more lines."""

TORN_BYTES: Final = "torn_bytes"
TORN_HASH: Final = "torn_sha256"
TORN_FIELDS: Final = (TORN_BYTES, TORN_HASH)


class Torn:
    """Bytes between two lines."""

    def __init__(self) -> None:
        """Begin with none."""
        self.size = 0
        self.whole = False
        """Whether they contain a line feed."""
        self._hash = hashlib.sha256()

    def add(self, piece: bytes) -> None:
        """Take more of them."""
        self.size += len(piece)
        self.whole = self.whole or b"\n" in piece
        self._hash.update(piece)

    def fields(self) -> dict[str, str | int]:
        """Return the fields of the next line about them; none where there are none."""
        if not self.size:
            return {}
        digest = base64url.encode(self._hash.digest()).decode()
        return {TORN_BYTES: self.size, TORN_HASH: digest}


class Tail(NamedTuple):
    """The last valid line (None: there is none), and what follows it.

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


def find_tail(file: BinaryIO, known: Head | None, key: AuditKey, *, begun: bool) -> Tail:
    """Return where the open log ends. `known` is the last line that is remembered.

    What comes before it is not read again; the verifier checks that it is still there. `begun`
    says that the file did not exist before: it then is another one than that of `known`, even if
    it has its inode. File systems such as ext4 use the inode of a deleted file again at once.
    """
    device, inode, size = _place(file)
    torn = Torn()
    same = known is not None and not begun and (known.device, known.inode) == (device, inode)
    at = known.end if known is not None and same else 0
    if size < at:
        file.seek(max(size - 1, 0))
        return Tail(known, torn, open_ended=file.read(1) not in {b"", b"\n"}, cut=True)
    file.seek(at)
    reader, piece = LineReader(key), b"\n"
    for piece in pieces(file):
        at += len(piece)
        line = reader.read(piece)
        if line is None or (known is not None and line.seq <= known.seq):
            torn.add(piece)
        else:
            known, torn = Head(line.seq, line.mac, device, inode, at), Torn()
    return Tail(known, torn, open_ended=not piece.endswith(b"\n"))


def _place(file: BinaryIO) -> tuple[int, int, int]:
    status = os.fstat(file.fileno())
    return status.st_dev, status.st_ino, status.st_size
