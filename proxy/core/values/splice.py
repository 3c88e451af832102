"""The one way in which bytes change: spans replaced, everything else as it was."""

from __future__ import annotations

from collections.abc import Sequence

from .. import leaves
from ..errors import InvalidBody

Span = tuple[int, int, bytes]
"""Where something is replaced, and what takes its place."""


def splice(body: bytes, changes: Sequence[Span]) -> bytes:
    """Return `body` with each span replaced; raise InvalidBody where two spans overlap."""
    starts, ends, texts = ([one[at] for one in changes] for at in range(3))
    return spliced(body, starts, ends, texts)  # type: ignore[arg-type]  # each column has its type


def spliced(body: bytes, starts: list[int], ends: list[int], texts: list[bytes]) -> bytes:
    """Do as `splice` for spans whose places and texts are apart, in any order."""
    if len(starts) == 1:  # as in most messages
        return b"".join((body[: starts[0]], texts[0], body[ends[0] :]))
    if sorted(starts) != starts:  # those of a list are in order
        order = sorted(range(len(starts)), key=starts.__getitem__)
        starts, ends, texts = ([one[at] for at in order] for one in (starts, ends, texts))  # type: ignore[assignment]  # each column has its type
    places = [0] * (2 * len(starts))
    places[::2], places[1::2] = starts, ends
    new = leaves.splice(body, places, texts)
    if new is None:
        raise InvalidBody("spans-overlap")
    return new
