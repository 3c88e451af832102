"""Spans of a body, replaced."""

from __future__ import annotations

from typing import Final

from ..slices import paused

_JOINED: Final = 1024
"""So many pieces are joined at a time."""


def splice(body: bytes, places: list[int], texts: list[bytes], /) -> bytes | None:
    """Return `body` with each span replaced by its text.

    `places` has the start and the end of each span, in order. None where they overlap, are not in
    order, lie outside the body, or are not as many as the texts.
    """
    if len(places) != 2 * len(texts):
        return None
    joined: list[bytes] = []
    pieces: list[bytes] = []
    at = 0
    ends = iter(places)
    for start, end, text in paused(zip(ends, ends, texts, strict=True)):
        if not at <= start <= end:
            return None
        pieces += (body[at:start], text)
        at = end
        if len(pieces) >= _JOINED:
            joined.append(b"".join(pieces))
            pieces.clear()
    return b"".join((*joined, *pieces, body[at:])) if at <= len(body) else None
