"""The smallest parts of a JSON text: white space, members, separators, and the C scanner."""

from __future__ import annotations

import json
import re
from collections.abc import Set as AbstractSet
from json.scanner import c_make_scanner  # type: ignore[attr-defined]  # the C scanner itself
from typing import Final, NamedTuple, NoReturn

from ...errors import InvalidBody
from .text import unescape

_WS: Final = r"[ \t\n\r]*+"
_CHARS: Final = r'[^"\\\x00-\x1f]*+(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*+)*+'
# Longer strings are left to the C scanner, which is faster from about a hundred characters on.
_SHORT: Final = (
    r'"[^"\\\x00-\x1f]{0,80}+"'
    r"|-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?+(?:[eE][+-]?+[0-9]++)?+|true|false|null"
)
_SPACE: Final = re.compile(_WS)
# One member up to its value; of a short scalar also the value, and the comma or brace behind it.
_MEMBER: Final = re.compile(rf'{_WS}"({_CHARS})"{_WS}:{_WS}()(?:(?:{_SHORT}){_WS}([,}}]))?+')
AFTER_MEMBER: Final = re.compile(rf"{_WS}([,}}])")
AFTER_ELEMENT: Final = re.compile(rf"{_WS}([,\]])")


def _refuse_constant(name: str) -> NoReturn:
    message = f"{name} is not JSON"
    raise ValueError(message)


# `len` swallows numbers without converting them: no digits limit, no overflow, no rounding.
_DECODER: Final = json.JSONDecoder(parse_int=len, parse_float=len, parse_constant=_refuse_constant)
scan: Final = c_make_scanner(_DECODER)


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
        raise InvalidBody("not-json")
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
        raise InvalidBody("not-json")
    return match.end(), match[1]


def after_space(text: str, at: int) -> int:
    """Return the place behind white space."""
    if text[at : at + 1] > " ":
        return at
    match = _SPACE.match(text, at)
    assert match is not None  # noqa: S101 - the pattern matches everywhere, if only emptily
    return match.end()


def value_start(text: str, at: int) -> int:
    """Return where a member's value begins; its name ends at `at`."""
    at = at + 1 if text[at] == ":" else text.index(":", at) + 1
    if text[at] == " ":
        at += 1
    return at if text[at] > " " else after_space(text, at)


def value_end(text: str, value: object, at: int) -> int:
    """Return where the value at `at` ends, which the scanner has read as `value`."""
    if type(value) is str:
        end = at + len(value) + 1
        # Spelled as long as it reads and without escapes: that quote closes it.
        if text.startswith('"', end) and text.find("\\", at, end) < 0:
            return end + 1
    end_of_value: int = scan(text, at)[1]
    return end_of_value


Path = tuple[str | int, ...]


class FoundValue(NamedTuple):
    """One selected value: the path to it, and its bytes' place."""

    path: Path
    start: int
    end: int


class Twin(NamedTuple):
    """A member that some readers take for a selected one: the path to its object, and for which."""

    path: Path
    selectors: AbstractSet[int]


class Findings:
    """What a walk found, by the index of the selector.

    `missing` holds each selector that somewhere had no value to select (null counts as none),
    `variants` each whose member stood there in another spelling, `hidden` each of which a member
    may occur under another name (`__proto__`), in the place of an element, or twice. `twins`
    tells where.
    """

    __slots__ = ("found", "hidden", "missing", "twins", "variants")

    def __init__(self, selectors: int) -> None:
        """Begin with nothing found for that many selectors."""
        self.found: list[list[FoundValue]] = [[] for _ in range(selectors)]
        self.missing: set[int] = set()
        self.variants: set[int] = set()
        self.hidden: set[int] = set()
        self.twins: set[Twin] = set()

    def tell_of_variant(self, path: Path, selectors: frozenset[int]) -> None:
        """Note that members of an object read as others that are selected there."""
        self.variants |= selectors
        self.twins.add(Twin(path, selectors))

    def tell_of_hidden(self, path: Path, selectors: frozenset[int]) -> None:
        """Note that what is selected in an object may be read from another place of it."""
        self.hidden |= selectors
        self.twins.add(Twin(path, selectors))
