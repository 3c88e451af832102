"""Spans of a body, replaced."""

from __future__ import annotations

from typing import Final

from ..slices import paused
from .strings import is_plain_text, quote

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


def splice_quoted(body: bytes, places: list[int], texts: list[bytes], /) -> bytes | None:
    """Do as `splice` with each text as a JSON string; None, too, where one is no UTF-8."""
    if len(texts) > 1 and is_plain_text(b"".join(texts)):
        return splice(body, places, [b'"%b"' % one for one in paused(texts)])
    quoted: list[bytes] = []
    for text in paused(texts):
        one = quote(text)
        if one is None:
            return None
        quoted.append(one)
    return splice(body, places, quoted)
