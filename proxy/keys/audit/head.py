"""The head record: the last line that was safely written, kept beside the log and sealed.

Without it, lines cut off at the end would leave no trace. Whoever can put back an older copy of
both files still leaves none here: that shows only against a head that was kept elsewhere.

It stands at one place of a fixed size and is written in one piece of one disk sector. It is also
what writers lock, since the log itself is renamed when it is rotated.
"""

from __future__ import annotations

import hmac
import json
import os
import re
from pathlib import Path
from typing import Final, NamedTuple

from ...core.crypto import base64url
from ...core.crypto.secret import AuditKey
from ..jwk_set import parse_object

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
        """`SEQ:MAC`, to be kept where nobody who can write the log can write."""
        return f"{self.seq}:{self.mac}"


def beside(log: Path) -> Path:
    """Return where the head record of a log stands."""
    return log.with_name(f".{log.name}.head")


def parse_anchor(text: str) -> Head | None:
    """Return the head that an anchor tells of; None where it is none."""
    seq, _, mac = text.partition(":")
    if not seq.isascii() or not seq.isdecimal() or not _MAC.fullmatch(mac):
        return None
    return Head(int(seq), mac)


def load(descriptor: int, key: AuditKey) -> Head | None:
    """Return the head that the open file holds; None where there is none of this key's."""
    data = os.pread(descriptor, _BYTES, 0)
    text, _, tag = data.rstrip(b" \n").rpartition(b".")
    if not hmac.compare_digest(_tag(text, key), tag):
        return None
    members = parse_object(text)
    return None if members is None else Head(**members)


def store(descriptor: int, head: Head, key: AuditKey) -> None:
    """Put the head in the place of the one before; raises OSError."""
    text = json.dumps(head._asdict(), separators=(",", ":")).encode("ascii")
    record = (text + b"." + _tag(text, key)).ljust(_BYTES - 1) + b"\n"
    if os.pwrite(descriptor, record, 0) != _BYTES:
        raise OSError(0, "short write")


def _tag(text: bytes, key: AuditKey) -> bytes:
    return base64url.encode(hmac.digest(key.reveal(), _LABEL + text, "sha256"))
