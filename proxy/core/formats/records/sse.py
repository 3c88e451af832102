"""Server-Sent Events (WHATWG HTML section 9.2): where the data of each event lies.

The data of an event is a record. Comments, names, ids, delays and unknown fields stay as they are,
and so does every line end. Data on several lines reads as one text, joined by line feeds.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from typing import Final, NamedTuple

from ...errors import BodyTooLarge, ForbiddenValue, InvalidBody, OpenFailed

LINES_MAX: Final = 120_000
"""So many lines may be read at once: four for each record that a body may have."""

_LINE: Final = re.compile(rb"([^\r\n]*+)(?:\r\n|\r|\n|\Z)")
_MARK: Final = b"\xef\xbb\xbf"
_NAME: Final = b"data"
_FIELDS: Final = frozenset({b"event", b"id", b"retry", b""})
"""The other fields, and comments, which have an empty name."""
_OWN_FIELD: Final = re.compile(rb"[A-Za-z][A-Za-z0-9_.-]*")
"""A field that no reader knows. No other format that is read of messages begins so."""
_LINE_END: Final = re.compile(rb"\r\n|\r")
_CONTINUED: Final = b"\ndata: "


class SseLine(NamedTuple):
    """One line of an event's data: where its value begins in the data and in the body.

    `end` is where it ends in the body, `before` the byte in front of it. `adjoins` says that no
    other line stands between it and the one before.
    """

    place: int
    start: int
    end: int
    before: bytes
    adjoins: bool


class SseEvent:
    """The data of one event, as it reads, and where it stands."""

    __slots__ = ("_lines", "_places", "text")

    def __init__(self, body: bytes, lines: list[SseLine]) -> None:
        """Read the data that stands on `lines` of `body`."""
        self.text = b"\n".join([body[one.start : one.end] for one in lines])
        self._lines = lines
        self._places = [one.place for one in lines]

    def __getitem__(self, place: int) -> int:
        """Return where in the body a place of the data lies."""
        line = self._line(place)
        return line.start + place - line.place

    def bare(self, place: int) -> bool:
        """Tell whether a reader would skip a space that begins at this place."""
        line = self._line(place)
        return line.before == b":" and line.place == place

    def refuse_parted(self, start: int, end: int) -> None:
        """Raise InvalidBody where a value cannot be replaced.

        Other lines may stand within it, or its line may have no colon behind which to begin.
        """
        first, last = (bisect_right(self._places, one) for one in (start, end))
        has_colon = self._lines[first - 1].before in {b":", b" "}
        if not has_colon or not all(one.adjoins for one in self._lines[first:last]):
            raise InvalidBody("value-parted-by-lines")

    def _line(self, place: int) -> SseLine:
        return self._lines[bisect_right(self._places, place) - 1]


def find(body: bytes, *, strict: bool) -> Iterator[SseEvent]:
    """Yield the events that have data, in order.

    The last one may lack its empty line: readers that are lax take it. Raises BodyTooLarge for more
    than 120,000 lines and, where `strict`, ForbiddenValue for a field that only lax readers take
    for data, and for a line that is neither field nor comment: others may read all as JSON.
    """
    if body.count(b"\n") + body.count(b"\r") > LINES_MAX:
        raise BodyTooLarge("too-many-lines")
    lines: list[SseLine] = []
    place = 0
    adjoins = True
    for match in _LINE.finditer(body):
        start, end = match.span(1)
        if start == end:
            if lines and (len(lines) > 1 or lines[0].start < lines[0].end):
                yield SseEvent(body, lines)
            lines, place, adjoins = [], 0, True
            continue
        value = _value_of_data(body, start, end, strict=strict)
        if value is None:
            adjoins = False
            continue
        lines.append(SseLine(place, value, end, body[value - 1 : value], adjoins))
        place += end - value + 1
        adjoins = True


def spell_json(text: bytes) -> bytes:
    """Return a JSON text as data: each of its lines on a line of its own."""
    return _LINE_END.sub(b"\n", text).replace(b"\n", _CONTINUED)


def spell_text(text: bytes, *, first: bool) -> bytes:
    """Return a text as data; raise OpenFailed for a carriage return, which data cannot hold.

    `first` says that it begins right behind a field's colon, where readers skip one space.
    """
    if b"\r" in text:
        raise OpenFailed("carriage-return")
    space = b" " if first and text[:1] in {b"", b" "} else b""
    return space + text.replace(b"\n", _CONTINUED)


def _value_of_data(body: bytes, start: int, end: int, *, strict: bool) -> int | None:
    """Return where the value of a line begins, or None for a line that is no data.

    A mark of the byte order may stand before a stream, and here it may stand before any line: what
    no reader takes for data does no harm as such.
    """
    if body.startswith(_MARK, start):
        start += len(_MARK)
    colon = body.find(b":", start, end)
    name = body[start : end if colon < 0 else colon]
    if name == _NAME:
        if colon < 0:
            return end
        return colon + 2 if body.startswith(b" ", colon + 1, end) else colon + 1
    if strict and name not in _FIELDS:
        if name.strip(b" \t\0").lower() == _NAME:
            raise ForbiddenValue("name-variant", detail="A line may be read as data by some.")
        if colon < 0 or not _OWN_FIELD.fullmatch(name):
            raise ForbiddenValue("line-of-no-event", detail="A line is no field and no comment.")
    return None
