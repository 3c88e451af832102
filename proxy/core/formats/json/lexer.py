"""The smallest parts of a JSON text: white space, members, separators."""

from __future__ import annotations

import re
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from json.decoder import scanstring  # type: ignore[attr-defined]  # the C scanner of strings
from typing import Final, NamedTuple, Protocol

from ...errors import InvalidBody, UnlistedName
from ...leaves.strict_json import after_space, scan
from ...policy import PIECE_BYTES
from ...slices import pause
from .text import unescape

NOT_JSON: Final = "not-json"
_WS: Final = r"[ \t\n\r]*+"
_CHARS: Final = r'[^"\\\x00-\x1f]*+(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*+)*+'
# Longer strings are left to the C scanner, which is faster from about a hundred characters on.
_SHORT: Final = (
    r'"[^"\\\x00-\x1f]{0,80}+"'
    r"|-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?+(?:[eE][+-]?+[0-9]++)?+|true|false|null"
)
# One member up to its value; of a short scalar also the value, and the comma or brace behind it.
_MEMBER: Final = re.compile(rf'{_WS}"({_CHARS})"{_WS}:{_WS}()(?:(?:{_SHORT}){_WS}([,}}]))?+')
# Members and elements with short values, each with the comma behind it. A name that is not ASCII or
# has escapes is none of them, nor is one as long as any that may be selected.
_MEMBERS: Final = re.compile(
    rf'(?:{_WS}"[ !#-\[\]-~]{{0,200}}+"{_WS}:{_WS}(?:{_SHORT}){_WS},){{8,400}}+'
)
_ELEMENTS: Final = re.compile(rf"(?:{_WS}(?:{_SHORT}){_WS},){{8,1000}}+")
_INSIDE: Final = re.compile(_CHARS)
AFTER_MEMBER: Final = re.compile(rf"{_WS}([,}}])")
AFTER_ELEMENT: Final = re.compile(rf"{_WS}([,\]])")


def enter(text: str, at: int, closing: str) -> tuple[int, str]:
    """Return the place behind an opening bracket, or behind an empty pair with its closing one."""
    inside = after_space(text, at + 1)
    if text.startswith(closing, inside):
        return inside + 1, closing
    return inside, ","


def member(text: str, at: int) -> tuple[str, int, int, str]:
    """Return a member's name, where its value begins, how far it was read, and what follows it.

    The name is as it is spelled. A short scalar is read to behind the comma or brace that follows
    it; of any other value only the beginning is known, and the last part is empty.
    """
    match = _MEMBER.match(text, at)
    if match is None:
        raise InvalidBody(NOT_JSON)
    name, _, closing = match.groups()
    return name, match.start(2), match.end(), closing or ""


def read_name(spelled: str) -> str:
    """Return a member's name as it reads; an ASCII one without escapes reads as it is spelled."""
    return unescape(f'"{spelled}"'.encode("latin-1"))


def after(pattern: re.Pattern[str], text: str, at: int) -> tuple[int, str]:
    """Return the place behind a separator, and the separator."""
    if text.startswith(",", at):  # as nearly always
        return at + 1, ","
    match = pattern.match(text, at)
    if match is None:
        raise InvalidBody(NOT_JSON)
    return match.end(), match[1]


class LongText:
    """A long text, of which the C scanner, which does not pause, reads pieces of 64 KiB alone."""

    __slots__ = ("_began", "_piece", "_text", "_too_long")

    def __init__(self, text: str) -> None:
        self._text = text
        self._piece = ""
        self._began = 0
        self._too_long = -PIECE_BYTES

    def value(self, at: int) -> tuple[object, int]:
        """Return an object or array as the scanner reads it, and where it ends.

        The value is None where it does not end within a piece, or is none that the scanner reads.
        """
        if at < self._too_long + PIECE_BYTES // 2:
            return None, at  # it lies in one that was too long, and may be nearly as long
        if not self._began <= at <= self._began + PIECE_BYTES // 2:
            self._began, self._piece = at, self._text[at : at + PIECE_BYTES]
        try:
            value, end = scan(self._piece, at - self._began)
        except (ValueError, StopIteration):
            self._too_long = at
            return None, at
        return value, self._began + end

    def end(self, at: int) -> int:
        """Return where the value at `at` ends; raise as the scanner does, or InvalidBody."""
        text = self._text
        around: list[str] = []
        while True:
            pause()
            closing = _CLOSING.get(text[at : at + 1])
            if closing is None:
                at = _end_of_string(text, at) if text.startswith('"', at) else scan(text, at)[1]
            elif (end := self.value(at)[1]) > at:
                at = end
            else:
                at, found = enter(text, at, closing)
                if found == ",":
                    around.append(closing)
                    at = self._next(at, closing)
                    continue
            while around:
                at, found = after(_AFTER[around[-1]], text, at)
                if found == ",":
                    at = self._next(at, around[-1])
                    break
                around.pop()
            else:
                return at

    def _next(self, at: int, closing: str) -> int:
        """Return where the value of the next member or element begins that is not a short one."""
        in_object = closing == "}"
        pattern = _MEMBERS if in_object else _ELEMENTS
        while (match := pattern.match(self._text, at)) is not None:
            pause()
            at = match.end()
        return member(self._text, at)[1] if in_object else after_space(self._text, at)

    def members(self, at: int) -> tuple[dict[str, object], int] | None:
        """Return some members with short values of which one begins at `at`, and where they end.

        Behind them, and the comma that follows, comes another.
        """
        match = _MEMBERS.match(self._text, at)
        if match is None:
            return None
        end = match.end()
        return scan(f"{{{self._text[at : end - 1]}}}", 0)[0], end


def _end_of_string(text: str, at: int) -> int:
    at += 1
    while True:
        pause()
        end = text.find('"', at, at + PIECE_BYTES)
        last = end if end >= 0 else min(at + PIECE_BYTES, len(text))
        if text.find("\\", at, last) < 0:  # as nearly always, and three times as fast
            scanstring(f'{text[at:last]}"', 0)
            if end >= 0:
                return end + 1
            if last == len(text):
                raise InvalidBody(NOT_JSON)
            at = last
            continue
        match = _INSIDE.match(text, at, at + PIECE_BYTES)
        assert match is not None  # noqa: S101 - the pattern matches everywhere, if only emptily
        if match.end() == at or match.end() < at + PIECE_BYTES - _ESCAPE:
            break
        at = match.end()
    if not text.startswith('"', match.end()):
        raise InvalidBody(NOT_JSON)
    return match.end() + 1


_ESCAPE: Final = len(r"\u0000")
_CLOSING: Final = {"{": "}", "[": "]"}
_AFTER: Final = {"}": AFTER_MEMBER, "]": AFTER_ELEMENT}

Path = tuple[str | int, ...]


class PlaceMap(Protocol):
    """For each place in what is read, the place in what is spelled."""

    def __getitem__(self, place: int, /) -> int:
        """Return where a place lies."""


class Layer(NamedTuple):
    """A text within another: where each of its bytes begins there, and how others are spelled."""

    places: PlaceMap
    spell: Callable[[bytes], bytes]


class Within(NamedTuple):
    """Where a value lies that a `text` holds: in the innermost of these layers.

    A value may be most of its text, so it is copied only where it is asked for.
    """

    text: bytes
    start: int
    end: int
    layers: tuple[Layer, ...]

    @property
    def raw(self) -> bytes:
        """The value as the text has it."""
        return self.text[self.start : self.end]


class FoundValue(NamedTuple):
    """One selected value: the path to it, and its bytes' place; what it is `within` of the body."""

    path: Path
    start: int
    end: int
    within: Within | None = None

    def raw(self, body: bytes) -> bytes:
        """Return the value as its text has it, which is the body or lies in that."""
        return body[self.start : self.end] if self.within is None else self.within.raw


class Twin(NamedTuple):
    """A member that some readers take for a selected one: the path to its object, and for which."""

    path: Path
    selectors: AbstractSet[int]


class Misfit(NamedTuple):
    """What stood where selectors lead on: those that are `lacking` have another type there.

    Those that are `fitting` lead on from it.
    """

    lacking: frozenset[int]
    fitting: frozenset[int]


class Findings:
    """What a walk found, by the index of the selector.

    `missing` holds each selector that somewhere had no value to select (null counts as none),
    `misfits` tell, after a walk, of a list, an object or a text of JSON in the place of another,
    `variants` each whose member stood there in another spelling, `hidden` each of which a member
    may occur under another name (`__proto__`), in the place of an element, or twice. `twins`
    tells where. `others` are the values that are neither selected nor listed, and to be sealed;
    `refusal` says what is not listed and must not be sealed either.
    """

    __slots__ = ("found", "hidden", "misfits", "missing", "others", "refusal", "twins", "variants")

    def __init__(self, selectors: int) -> None:
        """Begin with nothing found for that many selectors."""
        self.found: list[list[FoundValue]] = [[] for _ in range(selectors)]
        self.missing: set[int] = set()
        self.misfits: set[Misfit] = set()
        self.variants: set[int] = set()
        self.hidden: set[int] = set()
        self.twins: set[Twin] = set()
        self.others: list[FoundValue] = []
        self.refusal: UnlistedName | None = None

    def tell_of_variant(self, path: Path, selectors: frozenset[int]) -> None:
        """Note that members of an object read as others that are selected there."""
        self.variants |= selectors
        self.twins.add(Twin(path, selectors))

    def misfit(self, wanted: AbstractSet[int]) -> bool:
        """Return whether some of these selectors lack the type that they have, and none fits."""
        return any(wanted & lacking and not wanted & fitting for lacking, fitting in self.misfits)

    def tell_of_hidden(self, path: Path, selectors: frozenset[int]) -> None:
        """Note that what is selected in an object may be read from another place of it."""
        self.hidden |= selectors
        self.twins.add(Twin(path, selectors))
