"""The one way in which bytes change: spans replaced, everything else as it was."""

from __future__ import annotations

from operator import attrgetter
from typing import Final

from .. import leaves
from ..errors import InvalidBody
from ..slices import paused
from .edits import Change

_BY_START: Final = attrgetter("start")


def splice(body: bytes, changes: list[Change]) -> bytes:
    """Return `body` with each span replaced; raise InvalidBody where two spans overlap."""
    places: list[int] = []
    texts: list[bytes] = []
    for change in paused(sorted(changes, key=_BY_START)):
        places += (change.start, change.end)
        texts.append(change.text or b"")
    spliced = leaves.splice(body, places, texts)
    if spliced is None:
        raise InvalidBody("spans-overlap")
    return spliced
