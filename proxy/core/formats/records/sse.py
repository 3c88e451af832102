"""Server-Sent Events (WHATWG HTML section 9.2): where the data of each event lies.

The data of an event is a record. Comments, names, ids, delays and unknown fields stay as they are,
and so does every line end. Data on several lines reads as one text, joined by line feeds.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from functools import partial
from typing import ClassVar, Final, NamedTuple

from ...errors import BodyTooLarge, ForbiddenValue, InvalidBody, OpenFailed
from ...policy import EVENT_LINES
from ...slices import paused
from .. import embedded_tokens
from ..body_format import IN_JSON, Lying, PlacedToken, RecordFormat, Spell, Splitter
from ..escaping import Manner

_LINE: Final = re.compile(rb"([^\r\n]*+)(?:\r\n|\r|\n|\Z)")
_MARK: Final = b"\xef\xbb\xbf"
_NAME: Final = b"data"
_FIELDS: Final = frozenset({b"event", b"id", b"retry", b""})
"""The other fields, and comments, which have an empty name."""
_OWN_FIELD: Final = re.compile(rb"[A-Za-z][A-Za-z0-9_.-]*")
"""A field that no reader knows. No other format that is read of messages begins so."""
_OTHER_END: Final = re.compile(rb"[\x0b\x0c\x1c-\x1e]|\xc2\x85|\xe2\x80[\xa8\xa9]")
"""What ends a line to some readers. JSON has none of it outside of strings."""
_LINE_END: Final = re.compile(rb"\r\n|\r")
_CONTINUED: Final = b"\ndata: "
_EMPTY_LINES: Final = (b"\n\n", b"\r\r", b"\n\r")
"""How an empty line ends: the end of a line behind the end of another."""
_AROUND: Final = rb"(?:(?:event|id|retry|):[^\r\n\x0b\x0c\x1c-\x1e\x85\xa8\xa9]*+\n)*+"
_BEFORE: Final = re.compile(rb"%bdata: ?+(?=[^\r\n])" % _AROUND)
_BEHIND: Final = re.compile(rb"%b\n" % _AROUND)
_BETWEEN: Final = re.compile(rb"(?:(?::[^\r\n]*+)?+(?:\r\n|\r|\n))*+")
"""Comments and empty lines."""
_COMMENT_END: Final = re.compile(rb"[^\r\n]*+(?:\r\n|\r|\n)")


class SseLine(NamedTuple):
    """One line of an event's data: where its value begins in the data and in the body.

    `end` is where it ends in the body, `before` the byte in front of it. `adjoins` says that no
    other line lies between it and the one before.
    """

    place: int
    start: int
    end: int
    before: bytes
    adjoins: bool


class SseEvent:
    """The data of one event, as it reads, and where it lies."""

    __slots__ = ("_lines", "_places", "text")
    attachments = 0
    name: ClassVar[str] = ""
    renamed: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, body: bytes, lines: list[SseLine]) -> None:
        """Read the data on these `lines` of `body`."""
        self.text = b"\n".join([body[one.start : one.end] for one in lines])
        self._lines = lines
        self._places = [one.place for one in lines]

    def __getitem__(self, place: int) -> int:
        """Return where in the body a place of the data lies."""
        line = self._line(place)
        return line.start + place - line.place

    def bare(self, place: int) -> bool:
        """Return whether a reader would skip a space that begins at this place."""
        line = self._line(place)
        return line.before == b":" and line.place == place

    def spelling(self, start: int, *, plain: bool) -> Spell:
        """Return how what replaces the data from `start` is spelled: plain text, or JSON."""
        return partial(spell_text, first=self.bare(start)) if plain else spell_json

    def attachment(self, start: int, end: int) -> int | None:
        """Return None: every value is in the text."""

    def in_string(self, start: int) -> bool:
        """Return False: no value lies in a string."""
        return False

    def check_value(self, start: int, end: int) -> None:
        """Raise InvalidBody where a value cannot be replaced.

        Other lines may lie within it, or its line may have no colon behind which to begin.
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
    if body.count(b"\n") + body.count(b"\r") > EVENT_LINES:
        raise BodyTooLarge("too-many-lines")
    lines: list[SseLine] = []
    place = 0
    adjoins = True
    for match in paused(_LINE.finditer(body)):
        start, end = match.span(1)
        if start == end:
            if lines and (len(lines) > 1 or lines[0].start < lines[0].end):
                yield SseEvent(body, lines)
            lines, place, adjoins = [], 0, True
            continue
        # It may begin a stream. Elsewhere, readers skip the line: of JSON, only the first may go.
        if not lines and body.startswith(_MARK, start):
            start += len(_MARK)
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


def spell_line(text: bytes) -> bytes:
    """Return a text as a part of a line; raise OpenFailed where it would end the line."""
    if b"\n" in text or b"\r" in text:
        raise OpenFailed("line-end")
    return text


def _value_of_data(body: bytes, start: int, end: int, *, strict: bool) -> int | None:
    """Return where the value of a line begins, or None for a line that is no data."""
    colon = body.find(b":", start, end)
    name = body[start : end if colon < 0 else colon]
    if name == _NAME:
        if colon < 0:
            return end
        return colon + 2 if body.startswith(b" ", colon + 1, end) else colon + 1
    if strict:
        if name.strip(b" \t\0").lower() == _NAME:
            raise ForbiddenValue("name-variant", detail="Some parsers may read a line as data.")
        own = name in _FIELDS or (colon >= 0 and _OWN_FIELD.fullmatch(name))
        if not own or _OTHER_END.search(body, start, end):
            raise ForbiddenValue(
                "line-of-no-event", detail="A line is neither a field nor a comment."
            )
    return None


class EventSplitter(Splitter):
    """Server-sent events: an event ends with an empty line (WHATWG HTML section 9.2.6).

    It ends at a carriage return already, which a line feed may follow: readers that wait for one
    would wait for the next event. What lies between two events belongs to neither.
    """

    __slots__ = ("_in_comment", "_last")
    record_end = b"\n\n"

    def __init__(self, limit: int) -> None:
        """Begin where the stream does."""
        super().__init__(limit)
        self._last = b""
        self._in_comment = False  # part of one between two events is all that is held back

    def _border(self, data: bytes) -> int:
        if data.endswith(self.record_end):  # as most are
            self._last = b"\n"
            return len(data)
        seen = self._last + data
        self._last = data[-1:]
        end = max(seen.rfind(one) for one in _EMPTY_LINES) + 2
        cut = end - (len(seen) - len(data)) if end >= len(b"\n\n") else -1
        if data[cut - 1 : cut + 1] == b"\r\n":
            cut += 1
        if cut < 0:
            cut = self._border_between(data)
        if cut >= 0:
            # Comments keep a connection alive, so they are not kept waiting either.
            cut = _BETWEEN.match(data, cut).end()  # type: ignore[union-attr]  # it matches nothing
            self._in_comment = data.startswith(b":", cut)
        return cut

    def _border_between(self, data: bytes) -> int:
        """Return a place in `data` that lies between two events, if no event ends in it; or -1."""
        if not self._held:
            return 0
        ended = _COMMENT_END.match(data) if self._in_comment else None
        return -1 if ended is None else ended.end()


class EventFormat(RecordFormat):
    """Server-Sent Events.

    A request is one only where a rule says so: almost no client sends one, and a backend that
    ignores the type reads it as JSON. An event without its empty line is dropped, so a stream may
    end anywhere.
    """

    kind = "sse"
    example = b': begin\nid: 1\ndata: {"note":\ndata: "secret"}\n\ndata:{"note": "secret"}\r\n\r\n'
    media_types = frozenset({"text/event-stream"})
    places = IN_JSON | {"text"}
    typed_requests = False
    splitter = EventSplitter
    mixed = True
    open_ended = True

    def records(self, body: bytes, *, strict: bool, awaited: int) -> Iterator[SseEvent]:
        """Yield the events that have data."""
        return find(body, strict=strict)

    def usual(self, body: bytes, at: int) -> Lying | None:
        """Return where an event lies with one line of data, if line feeds alone end its lines."""
        before = _BEFORE.match(body, at)
        if before is None:
            return None
        start = before.end()
        end = body.find(b"\n", start)  # a pattern would step through the text
        if end < 0 or body.find(b"\r", start, end) >= 0:
            return None
        if body.startswith(b"\n", end + 1):
            return Lying(start, end, end + 2)
        behind = _BEHIND.match(body, end + 1)
        return None if behind is None else Lying(start, end, behind.end())

    def tokens(self, body: bytes, limit: int, manner: Manner) -> Iterable[PlacedToken]:
        """Return the tokens in the data of an event, which may be JSON or not."""
        return map(PlacedToken, embedded_tokens.find_in_text(body, limit, manner))


SSE: Final = EventFormat()
