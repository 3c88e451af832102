"""Bodies of many JSON texts: NDJSON, a line each, and JSON text sequences (RFC 7464)."""

from __future__ import annotations

from typing import Final

from ...errors import BodyTooLarge, InvalidBody
from ..kinds import Kind

RECORDS_MAX: Final = 30_000
"""So many records may a body have: each takes as long to begin with as a value to seal."""

_SEPARATOR: Final = b"\x1e"


def find(body: bytes, kind: Kind) -> list[tuple[int, int]]:
    """Return where each record begins and ends; what is empty is none.

    Raises InvalidBody where a sequence does not begin with a separator or a text in it not end with
    a line feed (it may be cut), BodyTooLarge for more than thirty thousand records.
    """
    separator = b"\n" if kind == "ndjson" else _SEPARATOR
    if body.count(separator) > RECORDS_MAX:
        raise BodyTooLarge("too-many-records")
    found: list[tuple[int, int]] = []
    at = 0
    for text in body.split(separator):
        end = at + len(text)
        if text.strip(b" \t\r\n"):
            if kind == "json-seq":
                _check_text(text, at)
            found.append((at, end))
        at = end + len(separator)
    return found


def on_one_line(text: bytes) -> bytes:
    """Return a JSON text without line breaks: none can stand in a string of it."""
    return text.replace(b"\n", b" ").replace(b"\r", b" ")


def as_it_is(text: bytes) -> bytes:
    """Return a JSON text for a sequence, which may have line breaks and never a separator."""
    return text


def _check_text(text: bytes, at: int) -> None:
    if at == 0:
        raise InvalidBody("not-a-sequence")
    if not text.endswith(b"\n"):
        raise InvalidBody("record-not-ended")
