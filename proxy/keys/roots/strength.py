"""Whether a new passphrase is more than a dozen characters that anybody would try first.

What can be told from what stands before counts for nothing: repeats, steps along the alphabet, the
digits or a row of keys, all but the first character of a word that everybody takes, and a beginning
that comes again. That is no measure of entropy; it keeps out what guessing begins with.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ...process.wiping import overwrite

LEAST_CHARS: Final = 12
_LEAST_DIFFERENT: Final = 6
_LEAST_COUNTING: Final = 8
_SHORTEST_RUN: Final = 3
_ROWS: Final = (
    b"abcdefghijklmnopqrstuvwxyz",
    b"12345678901",
    b"qwertyuiop",
    b"qwertzuiop",
    b"azertyuiop",
    b"asdfghjkl",
    b"qsdfghjklm",
    b"zxcvbnm",
    b"yxcvbnm",
    b"wxcvbn",
)
_COMMON: Final = (
    b"administrator",
    b"admin",
    b"baseball",
    b"changeme",
    b"changeit",
    b"correcthorsebatterystaple",
    b"correct horse battery staple",
    b"default",
    b"dragon",
    b"football",
    b"iloveyou",
    b"letmein",
    b"login",
    b"master",
    b"monkey",
    b"passphrase",
    b"password",
    b"passwort",
    b"princess",
    b"sealyard",
    b"secret",
    b"sunshine",
    b"superman",
    b"trustno",
    b"welcome",
)
_FOLDED: Final = bytes(
    ord(chr(one).lower()) if one < 128 else one  # noqa: PLR2004 - ASCII
    for one in range(256)
)
_SPELLED: Final = _FOLDED.translate(bytes.maketrans(b"@4301!$57", b"aaeoiisst"))


def weakness(text: bytearray) -> str | None:
    """Return what a passphrase (UTF-8) lacks to guard something new; None where it will do.

    It makes copies, which it overwrites.
    """
    size = sum(byte & 0xC0 != 0x80 for byte in text)  # noqa: PLR2004 - UTF-8
    if size < LEAST_CHARS:
        return f"has at least {LEAST_CHARS} characters"
    if len(set(text)) < _LEAST_DIFFERENT:
        return f"has at least {_LEAST_DIFFERENT} different characters"
    folded, spelled = text.translate(_FOLDED), text.translate(_SPELLED)
    try:
        told = set(_runs(folded)) | set(_words(folded)) | set(_words(spelled))
        counting = len(set(range(_period(folded))) - told)
    finally:
        overwrite(folded)
        overwrite(spelled)
    if counting < _LEAST_COUNTING:
        return "is no common word, no row of keys and no repetition; take a few random words"
    return None


def _period(text: bytearray) -> int:
    """Return after how many bytes a text begins again and goes on so to its end."""
    for period in range(1, len(text) // 2 + 1):
        if all(text[at] == text[at - period] for at in range(period, len(text))):
            return period
    return len(text)


def _runs(text: bytearray) -> Iterator[int]:
    """Yield the places that go on with a run of equal bytes, or along a row, in one direction."""
    for row in _ROWS:
        for way in (row, row[::-1]):
            begun = 0
            for at in range(1, len(text) + 1):
                if at < len(text) and _goes_on(text[at - 1], text[at], way):
                    continue
                if at - begun >= _SHORTEST_RUN:
                    yield from range(begun + 1, at)
                begun = at


def _goes_on(before: int, after: int, way: bytes) -> bool:
    if before == after:
        return True
    place = way.find(before)
    return 0 <= place < len(way) - 1 and way[place + 1] == after


def _words(text: bytearray) -> Iterator[int]:
    """Yield the places within common words, but for their first."""
    for word in _COMMON:
        at = text.find(word)
        while at >= 0:
            yield from range(at + 1, at + len(word))
            at = text.find(word, at + 1)
