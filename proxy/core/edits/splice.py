"""The one way in which bytes change: spans replaced, everything else as it was."""

from __future__ import annotations

from operator import attrgetter
from typing import Final

from ..errors import InvalidBody
from ..slices import paused
from .edits import Change

_JOINED: Final = 1024
"""So many pieces are joined at a time."""
_BY_START: Final = attrgetter("start")


def splice(body: bytes, changes: list[Change]) -> bytes:
    """Return `body` with each span replaced; raise InvalidBody where two spans overlap."""
    if len(changes) == 1:
        only = changes[0]
        return b"".join((body[: only.start], only.text or b"", body[only.end :]))
    joined: list[bytes] = []
    pieces: list[bytes] = []
    at = 0
    for change in paused(sorted(changes, key=_BY_START)):
        if change.start < at:
            raise InvalidBody("spans-overlap")
        pieces += (body[at : change.start], change.text or b"")
        at = change.end
        if len(pieces) >= _JOINED:
            joined.append(b"".join(pieces))
            pieces.clear()
    return b"".join((*joined, *pieces, body[at:]))
