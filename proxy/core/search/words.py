"""The words of a text as they are indexed and searched: the same on every version of Python.

Characters are those of Unicode 14.0, whose normal forms and case foldings no later version changes;
where words end (UAX #29) is read from a frozen table.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from itertools import accumulate
from typing import Final

from ..errors import NotIndexable
from ..policy import INDEXED_CHARS
from .word_table import RUNS

_RUN: Final = re.compile("([0-9a-z]+)([A-Z])")
_KNOWN: Final = re.compile("[^U]+")
_UNREADABLE: Final = re.compile("[KU]")
# WB4 to WB12: what may stand within a word counts only between two of its letters, or digits.
_LETTERS: Final = "(?:HE*+DE*+(?=H)|[AH]E*+[LBS]E*+(?=[AH])|[AH]E*+|NE*+[MBS]E*+(?=N)|NE*+)++"
# WB13: only between two parts, so that `_this_` is found without its marks.
_WORD: Final = re.compile(f"{_LETTERS}(?:(?:XE*+)++{_LETTERS})*+")
# The same for ASCII, read without a look at the table.
_ASCII_LETTERS: Final = "(?:[a-z](?:[.'](?=[a-z]))?|[0-9](?:[.',;](?=[0-9]))?)++"
_ASCII_WORD: Final = re.compile(f"{_ASCII_LETTERS}(?:_++{_ASCII_LETTERS})*+")
_HYPHENS: Final = ("-", "\u2010")
_APOSTROPHE: Final = "\u2019"
_PICTURES: Final = range(0x1F000, 0x1FB00)
"""Blocks without letters, in which later versions of Unicode have more pictures."""
_USUAL: Final = 0x3000
"""Above, classes are looked up each time, so that what clients send does not fill the memory."""


class _Classes(dict[int, str]):
    """The class of each character."""

    def __init__(self) -> None:
        """Read the runs of the table."""
        super().__init__()
        runs = _RUN.findall(RUNS)
        self._starts = [0, *accumulate(int(count, 36) for count, _ in runs)]
        self._names = [name for _, name in runs]

    def __missing__(self, character: int) -> str:
        name: str = self._names[bisect_right(self._starts, character) - 1]
        if character < _USUAL:
            self[character] = name
        return name


_CLASSES: Final = _Classes()


def folded(text: str) -> str:
    """Return a text in NFKC and case-folded; what Unicode 14.0 does not have stays as it is.

    Marks of a direction or of a variant, soft hyphens and the like are left out.
    """
    if text.isascii():
        return text.lower()
    classes = text.translate(_CLASSES)
    if "I" in classes:
        text = "".join(one for one, name in zip(text, classes, strict=True) if name != "I")
        classes = classes.replace("I", "")
    if "U" not in classes:
        return _folded(text)
    pieces: list[str] = []
    at = 0
    for known in _KNOWN.finditer(classes):
        start, end = known.span()
        pieces += (text[at:start], _folded(text[start:end]))
        at = end
    return "".join((*pieces, text[at:]))


def _folded(text: str) -> str:
    folded = unicodedata.normalize("NFKC", text).casefold()
    return unicodedata.normalize("NFKC", folded)


def require_short(text: str) -> None:
    """Raise NotIndexable for a text of more than `INDEXED_CHARS` characters."""
    if len(text) > INDEXED_CHARS:
        raise NotIndexable("too-long-to-index", detail="the text is too long to be indexed.")


def words(text: str) -> list[str]:
    """Return the distinct words of a text in their order, folded.

    Words with hyphens are there in parts and as a whole. Raises NotIndexable where a letter is of a
    script that has no breaks between words, or of a later version of Unicode, and for a text that
    takes too long.
    """
    require_short(text)
    if text.isascii() and "-" not in text:
        return list(dict.fromkeys(_ASCII_WORD.findall(text.lower())))
    text = folded(text).replace(_APOSTROPHE, "'")
    classes = text.translate(_CLASSES)
    for one in _UNREADABLE.finditer(classes):
        at = one.start()
        if classes[at] == "K" or ord(text[at]) not in _PICTURES:
            raise NotIndexable("no-word-breaks", detail="a script has no breaks between words.")
    spans = [one.span() for one in _WORD.finditer(classes)]
    found = dict.fromkeys([text[start:end] for start, end in spans])
    if any(one in text for one in _HYPHENS):
        found |= dict.fromkeys(_compounds(text, spans))
    return list(found)


def _compounds(text: str, spans: list[tuple[int, int]]) -> list[str]:
    """Return the wholes of words that hyphens join."""
    wholes: list[str] = []
    parts: list[str] = []
    behind = -1
    for start, end in [*spans, (-1, -1)]:
        if start != behind + 1 or not parts or not text.startswith(_HYPHENS, behind):
            if len(parts) > 1:
                wholes.append("-".join(parts))
            parts = []
        parts.append(text[start:end])
        behind = end
    return wholes
