"""The head of a part of a form, which changes with its content."""

from __future__ import annotations

from typing import Final

from ..formats.multipart.reader import Part

Span = tuple[int, int, bytes]
"""Where something is replaced, and what takes its place."""

_CRLF: Final = b"\r\n"


def of_content(part: Part, media: str | None, length: int | None) -> tuple[Span, ...]:
    """Return the changes in the head of a part whose content has another type and length now.

    `media` is the new type (None: it stays, empty: none), `length` None where it is not known.
    """
    changes = [] if media is None else [_retyped(part, media.encode("ascii"))]
    if part.length is not None:
        changes.append((part.length.value, part.length.end, b"%d" % (length or 0)))
    return tuple(changes)


def without_length(part: Part) -> tuple[Span, ...]:
    """Return the change of a part of whose content none knows how long it will be."""
    line = part.length
    return () if line is None else ((line.start, line.end + len(_CRLF), b""),)


def _retyped(part: Part, media: bytes) -> Span:
    line = part.kind
    if line is None:
        text = b"\r\nContent-Type: " + media if media else b""
        return part.head_end, part.head_end, text
    if not media:
        return line.start, line.end + len(_CRLF), b""
    return line.value, line.end, media
