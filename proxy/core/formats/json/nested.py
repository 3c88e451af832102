"""JSON within texts: a string of JSON, a pair or a part of a form that is a JSON text itself.

A text is read as strictly as a body is. Where its values lie is said in bytes of the body, whatever
escapes there are in between: these are kept, and only the spelling of a changed value is new.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, Protocol

from ...errors import BodyTooLarge, InvalidBody, OpenFailed
from ...expressions.selectors import Inside
from ...leaves import quote
from ...policy import MOST_SELECTED
from ...slices import paused
from .lexer import Findings, FoundValue, Layer, Misfit, Path, Twin, Within
from .text import unescaped

_ONE_ESCAPE: Final = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\[^u]"
)


class Finds(Protocol):
    """What finds values in a JSON text."""

    def find(self, body: bytes, *, lenient: bool = False) -> Findings:
        """Return where the selected values lie."""


class Text(NamedTuple):
    """A text in a body, and the path to it. `text` is None where the value is no string."""

    path: Path
    text: bytes | None
    layer: Layer


class Shifted:
    """Places in a text that occurs in another as it is, from `start`."""

    __slots__ = ("_start",)

    def __init__(self, start: int) -> None:
        """Begin there."""
        self._start = start

    def __getitem__(self, place: int, /) -> int:
        """Return where a place lies."""
        return self._start + place


class Mapped:
    """Places in a text whose bytes are spelled with some more, from `start`.

    A map takes some bytes for each of these, so it is made once a place is asked for.
    """

    __slots__ = ("_map", "_places", "_spelled", "_start")

    def __init__(
        self, start: int, spelled: bytes, places: Callable[[bytes], Sequence[int]]
    ) -> None:
        """Take what returns where each byte begins that a spelling reads as."""
        self._start = start
        self._spelled = spelled
        self._map = places
        self._places: Sequence[int] = ()

    def __getitem__(self, place: int, /) -> int:
        """Return where a place lies."""
        self._places = self._places or self._map(self._spelled)
        return self._start + self._places[place]


class Escaped:
    """Places in the text of a JSON string, by where its escapes are; they are looked for if asked.

    For the end of each escape, `read` is where it is in what is read, `behind` in what is spelled.
    """

    __slots__ = ("_behind", "_literal", "_read", "_start")

    def __init__(self, literal: bytes, start: int) -> None:
        """Take a string literal, which begins at `start`, quotes included."""
        self._start = start + 1
        self._literal = literal
        self._read, self._behind = array("I"), array("I")

    def _find(self) -> None:
        shorter = 0
        self._read.append(0)
        self._behind.append(0)
        for match in paused(_ONE_ESCAPE.finditer(self._literal[1:-1])):
            shorter += len(match[0]) - _read_size(match[0])
            self._read.append(match.end() - shorter)
            self._behind.append(match.end())

    def __getitem__(self, place: int, /) -> int:
        """Return where a place lies that is within no escape."""
        if not self._read:
            self._find()
        at = bisect_right(self._read, place) - 1
        return self._start + self._behind[at] + place - self._read[at]


def _read_size(escape: bytes) -> int:
    """Return how many bytes of UTF-8 an escape, or a pair of surrogates, reads as."""
    if escape[1:2] != b"u":
        return 1
    if len(escape) > len(rb"\u0000"):
        return 4
    return len(chr(int(escape[-4:], base=16)).encode("utf-8", "surrogatepass"))


def in_string(body: bytes, found: FoundValue) -> Text:
    """Return the text of a JSON value of a body, if it is a string."""
    literal = body[found.start : found.end]
    path = (*found.path, Inside.JSON.value)
    if not literal.startswith(b'"'):
        return Text(path, None, Layer(Shifted(found.start), spell_in_string))
    if b"\\" not in literal:
        return Text(path, literal[1:-1], Layer(Shifted(found.start + 1), spell_in_string))
    return Text(path, unescaped(literal), Layer(Escaped(literal, found.start), spell_in_string))


def spell_in_string(text: bytes) -> bytes:
    """Return a text as the inside of a JSON string; raise OpenFailed where it is no text."""
    quoted = quote(text)
    if quoted is None:
        raise OpenFailed("not-text")
    return quoted[1:-1]


def look_within(
    inner: Finds, indexes: Sequence[int], one: Text, findings: Findings, *, lenient: bool
) -> None:
    """Add to findings what is selected within a text, at these indexes in the inner one's order.

    Raises InvalidBody where it is no JSON text. Where that is `lenient` nothing is found there, as
    in an element that lacks the value: one stored text is not the end of all others.
    """
    try:
        found = _find(inner, one.text, lenient=lenient)
    except InvalidBody:
        if not lenient:
            raise
        findings.missing.update(indexes)
        findings.hidden.update(indexes)  # laxer readers may find it there
        return
    text = one.text or b""
    for index, values in zip(indexes, found.found, strict=True):
        outer = findings.found[index]
        if len(outer) + len(values) > MOST_SELECTED:
            raise BodyTooLarge("too-many-selected-values")
        outer += (_moved(value, one, text) for value in paused(values))
    findings.missing.update(indexes[at] for at in found.missing)
    findings.misfits |= {
        Misfit(*(frozenset(indexes[at] for at in each) for each in one)) for one in found.misfits
    }
    findings.variants.update(indexes[at] for at in found.variants)
    findings.hidden.update(indexes[at] for at in found.hidden)
    for path, selectors in found.twins:
        findings.twins.add(Twin((*one.path, *path), frozenset(indexes[at] for at in selectors)))


def _find(inner: Finds, text: bytes | None, *, lenient: bool) -> Findings:
    if text is None:
        raise InvalidBody("nested-json-no-string")
    return inner.find(text, lenient=lenient)


def _moved(value: FoundValue, outer: Text, text: bytes) -> FoundValue:
    """Return a value of a text as one of what holds that."""
    path, start, end, within = value
    if within is None:
        within = Within(text, start, end, (outer.layer,))
    else:
        within = within._replace(layers=(outer.layer, *within.layers))
    places = outer.layer.places
    return FoundValue((*outer.path, *path), places[start], places[end], within)
