"""What a text says where characters of tokens and tags are spelled by escapes."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import Final

from ..policy import PIECE_BYTES
from ..slices import pause

# A character in hexadecimal digits, and in decimal ones. Others stay as they are, so that what is
# read has the structure of the text: escaped quotes and signs of markup are still escaped.
_HEX: Final = rb"(2[DEde]|3[0-9]|[46][1-9A-Fa-f]|5[0-9AFaf]|7[0-9AEae])"
_DECIMAL: Final = rb"(4[5689]|5[0-7]|6[5-9]|[78][0-9]|9[05789]|1[01][0-9]|12[0-26])"
# In a link (RFC 3986 section 2.1), a string of JSON or a script, and HTML; and each of them within
# itself, as a link in a link. The runs have an end, so that no text takes long.
_SPELLED: Final = re.compile(
    rb"%%(?:25){,8}+%b|\\{1,64}+(?:u00|x)%b|&(?:amp;){,8}+#(?:[Xx]0{,4}+%b|0{,4}+%b);"
    % (_HEX, _HEX, _HEX, _DECIMAL)
)
_LONGEST: Final = 80
# The beginning of such a spelling, at the end of a piece.
_OPEN: Final = re.compile(
    rb"(?:%(?:25){,8}+[2-7]?|\\{1,64}+(?:u0{,2}[2-7]?|x[2-7]?)?"
    rb"|&(?:amp;){,8}+(?:a?|am|amp|#[Xx]?[0-9A-Fa-f]{,7})?)\Z"
)


def _may_spell(raw: bytes) -> bool:
    """Return False only where no character is spelled by an escape."""
    return b"%" in raw or b"\\" in raw or b"&" in raw


def may_spell_tags(raw: bytes) -> bool:
    """Return False only where no `~` is spelled by an escape."""
    # To look for two bytes takes ninety times as long as for one.
    return _may_spell(raw) and any(one in raw for one in (b"7e", b"7E", b"126;"))


class Said:
    """A text as it reads, and where the raw text has what is at a place of it."""

    __slots__ = ("_ends", "_longer", "raw", "text")

    def __init__(self, raw: bytes, *, escapes: bool = True) -> None:
        """Read a text; without `escapes`, it is taken as it stands."""
        self.raw = self.text = raw
        self._ends: list[int] = []  # in the text, of each character that is spelled
        self._longer: list[int] = []  # by how much the raw text is longer up to there
        if not (escapes and _may_spell(raw)):
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

    def spliced(self, changes: Iterable[tuple[int, int, bytes]], end: int | None = None) -> bytes:
        """Return the raw text up to `end`, with other bytes between these places.

        It is the raw text itself where nothing changes.
        """
        pieces: list[bytes] = []
        at = 0
        for start, behind, new in changes:
            pieces += (self.raw[at : self.place(start)], new)
            at = self.place(behind)
        return b"".join((*pieces, self.raw[at:end])) if at else self.raw[:end]


def _all_spelled(raw: bytes) -> Iterator[re.Match[bytes]]:
    at = 0
    while at < len(raw):
        pause()
        end = at + PIECE_BYTES
        found = _SPELLED.search(raw, at, end + _LONGEST)
        if found is None:
            at = end
        else:
            yield found
            at = found.end()


def whole_of(raw: bytes) -> int:
    """Return where a character begins that may be spelled, and is not whole; else the end."""
    found = _OPEN.search(raw, max(0, len(raw) - _LONGEST))
    return len(raw) if found is None else found.start()
