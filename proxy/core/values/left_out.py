"""Members of JSON that are left out: which bytes of a body go with their values."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from .hows import Span

_WHITE: Final = b" \t\r\n"
_NULL: Final = b"null"


def left_out(body: bytes, values: Iterable[tuple[int, int]]) -> list[Span]:
    """Return what is replaced where values of a JSON text are left out; `values` are in order.

    A member goes with its name and one comma. An element of a list becomes null, so that those
    behind it stay where they are, as does a value around which there is anything else.
    """
    spans: list[Span] = []
    behind = 0
    for start, end in values:
        span = _member(body, start, end, behind) or (start, end, _NULL)
        behind = span[1]
        spans.append(span)
    return spans


def _member(body: bytes, start: int, end: int, behind: int) -> Span | None:
    """Return the bytes of the member that a value lies in; None where it is no plain member.

    What lies before `behind` is gone already.
    """
    colon = _back(body, start)
    if body[colon : colon + 1] != b":":
        return None
    quote = _back(body, colon)
    name = _opening(body, quote)
    if name is None or name < behind:
        return None
    before, after = _back(body, name), _forth(body, end)
    if body[before : before + 1] == b"," and before >= behind:
        return before, end, b""
    if body[before : before + 1] != b"{" and before >= behind:
        return None  # as in a record whose text lies on several lines
    follows = body[after : after + 1]
    if follows == b",":
        return name, after + 1, b""
    return (name, end, b"") if follows == b"}" else None


def _back(body: bytes, at: int) -> int:
    """Return where the last byte before a place is that is no white space; -1 for none."""
    at -= 1
    while at >= 0 and body[at] in _WHITE:
        at -= 1
    return at


def _forth(body: bytes, at: int) -> int:
    while at < len(body) and body[at] in _WHITE:
        at += 1
    return at


def _opening(body: bytes, quote: int) -> int | None:
    """Return where the string begins that ends with this quote; None where there is none."""
    at = quote
    while at > 0 and body[quote : quote + 1] == b'"':
        at = body.rfind(b'"', 0, at)
        escapes = at - len(body[:at].rstrip(b"\\")) if at > 0 else 0
        if not escapes % 2:
            return at if at >= 0 else None
    return None
