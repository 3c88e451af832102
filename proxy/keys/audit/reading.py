"""Reading an audit log for people: lines by what they tell, its head record, an exported key."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from ...core.crypto.secret import AuditKey
from ...core.errors import UnfitEnvironment
from ..jwk_set import decoded, parse_object
from . import head as heads
from .head import Head
from .tail import line_of, pieces

FRAME: Final = frozenset({"seq", "at", "event", "mac", "prev"})
"""What every line has."""


class Read(NamedTuple):
    """A line as it stands there, and whether it is as it was written."""

    members: dict[str, Any]
    authentic: bool

    @property
    def event(self) -> str:
        """What it tells of."""
        return str(self.members.get("event", "?"))


def select(
    files: Sequence[Path], key: AuditKey, wanted: Callable[[Read], bool], *, last: int | None = None
) -> Iterable[Read]:
    """Return the lines that are wanted, the `last` of them where that is given.

    What is no JSON object has no members. Raises UnfitEnvironment for a file that cannot be read.
    """
    found: deque[Read] = deque(maxlen=last)
    for path in files:
        try:
            with path.open("rb") as file:
                for piece in pieces(file):
                    authentic = line_of(piece, key) is not None
                    read = Read(parse_object(piece.rstrip(b"\n")) or {}, authentic)
                    if wanted(read):
                        found.append(read)
        except OSError as error:
            raise UnfitEnvironment(f"{path}: {error.strerror}") from None
    return found


def head(log: Path, key: AuditKey) -> Head | None:
    """Return what the head record beside a log says; None without one of this key's."""
    try:
        descriptor = os.open(heads.beside(log), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return heads.load(descriptor, key)
    finally:
        os.close(descriptor)


def key_material(text: bytes) -> bytes:
    """Return the key of a JWK that was exported; raise ValueError for anything else."""
    members = parse_object(text) or {}
    material = decoded(members.get("k")) if members.get("kid") == "sealyard:audit" else None
    if material is None:
        raise ValueError("not a JWK of the audit log")
    return material
