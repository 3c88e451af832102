"""What a text says where characters of tokens and tags are spelled by escapes."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Final

from ..leaves import splice
from ..leaves.tokens import LEFT_TAGS_PATTERN, TAGS, may_spell
from ..policy import PIECE_BYTES
from ..slices import pause, paused
from .json.text import quote

# A character in hexadecimal digits, and in decimal ones. Others stay as they are, so that what is
# read has the structure of the text: escaped quotes and signs of markup are still escaped.
_HEX: Final = rb"(2[DEde]|3[0-9]|[46][1-9A-Fa-f]|5[0-9AFaf]|7[0-9AEae])"
_DECIMAL: Final = rb"(4[5689]|5[0-7]|6[5-9]|[78][0-9]|9[05789]|1[01][0-9]|12[0-26])"
# In a link (RFC 3986 section 2.1), a string of JSON or a script, and HTML; and each of them within
# itself, as a link in a link. The runs have an end, so that no text takes long.
_SPELLED: Final = re.compile(
    rb"%%(?:25){,8}+%b|(?<!\\)\\{1,64}+(?:u00|x)%b|&(?:amp;){,8}+#(?:[Xx]0{,4}+%b|0{,4}+%b);"
    % (_HEX, _HEX, _HEX, _DECIMAL)
)
_SPELLED_BYTES: Final = 80  # what either pattern matches at most
_STEP: Final = PIECE_BYTES // 8  # this search is slower than others
# The beginning of such a spelling, at the end of a piece.
_OPEN: Final = re.compile(
    rb"(?:%(?:25){,8}+[2-7]?|\\{1,64}+(?:u0{,2}[2-7]?|x[2-7]?)?"
    rb"|&(?:amp;){,8}+(?:a?|am|amp|#[Xx]?[0-9A-Fa-f]{,7})?)\Z"
)


class Said:
    """A text as it reads, and where the raw text has what is at a place of it."""

    __slots__ = ("_ends", "_longer", "raw", "text")

    def __init__(self, raw: bytes) -> None:
        """Read a text."""
        self.raw = self.text = raw
        self._ends: list[int] = []  # in the text, of each character that is spelled
        self._longer: list[int] = []  # by how much the raw text is longer up to there
        if not may_spell(raw):
            return
        pieces: list[bytes] = []
        at = longer = 0
        for one in _all_spelled(raw):
            digits = one[one.lastindex or 0]
            char = int(digits, 10 if one.lastindex == _SPELLED.groups else 16)
            pieces += (raw[at : one.start()], bytes((char,)))
            at = one.end()
            longer += at - one.start() - 1
            self._ends.append(at - longer)
            self._longer.append(longer)
        if at:
            self.text = b"".join((*pieces, raw[at:]))

    def place(self, at: int) -> int:
        """Return the place in the raw text."""
        behind = bisect_right(self._ends, at)
        return at + self._longer[behind - 1] if behind else at

    def spliced(
        self, changes: Iterable[tuple[int, int, bytes]], behind: int | None = None
    ) -> bytes:
        """Return the raw text up to `behind`, with other bytes between these places of the text."""
        found = list(changes)
        places = [self.place(at) for one in found for at in one[:2]]
        raw = self.raw[:behind]
        done = splice(raw, places, [new for _, _, new in found]) if found else raw
        assert done is not None  # noqa: S101 - places are in order
        return done


def _all_spelled(raw: bytes) -> Iterator[re.Match[bytes]]:
    at = 0
    while at < len(raw):
        pause()
        end = at + _STEP
        found = _SPELLED.search(raw, at, end + _SPELLED_BYTES)
        if found is None:
            at = end
        else:
            yield found
            at = found.end()


def whole_of(raw: bytes) -> int:
    """Return where a character begins that may be spelled, and is not whole; else the end."""
    found = _OPEN.search(raw, max(0, len(raw) - _SPELLED_BYTES))
    return len(raw) if found is None else found.start()


def tags_cut(text: bytes, members: frozenset[str], ends: Callable[[bytes], Iterator[int]]) -> bytes:
    """Return a text `without_tags`, which may have some; `ends` tells where tokens end."""
    if members:
        text = without_members(text, in_members(members))
    said = Said(text)
    found = (LEFT_TAGS_PATTERN.match(said.text, end) for end in ends(said.text))
    return said.spliced((*tags.span(), b"") for tags in found if tags is not None)


def without_members(raw: bytes, pattern: re.Pattern[bytes]) -> bytes:
    """Return a text without the tags in members of JSON, by the pattern of `in_members`."""
    said = Said(raw)
    found = paused(pattern.finditer(said.text))
    return said.spliced((one.end("name"), one.end(), b"") for one in found)


@lru_cache
def in_members(members: frozenset[str]) -> re.Pattern[bytes]:
    """Return a pattern of tags in members of JSON by these names; what is before is its `name`."""
    names = b"|".join(re.escape(quote(one).encode()) for one in sorted(members))
    return re.compile(rb"(?P<name>(?:%b)[ \t\r\n]*+:[ \t\r\n]*+\")(?:%b|~)(?=\")" % (names, TAGS))
