"""The one way in which bytes change: spans replaced, everything else as it was."""

from __future__ import annotations

from operator import itemgetter
from typing import Final

from .edits import Change
from .errors import InvalidBody

_BY_START: Final = itemgetter(0)


def splice(body: bytes, changes: list[Change]) -> bytes:
    """Return `body` with each span replaced; raise InvalidBody where two spans overlap."""
    if len(changes) == 1:
        start, end, text, _, _, _ = changes[0]
        return b"".join((body[:start], text or b"", body[end:]))
    pieces: list[bytes] = []
    at = 0
    for start, end, text, _, _, _ in sorted(changes, key=_BY_START):
        if start < at:
            raise InvalidBody("spans-overlap")
        pieces += (body[at:start], text or b"")
        at = end
    pieces.append(body[at:])
    return b"".join(pieces)
