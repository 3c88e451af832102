"""Masks of texts: what stays of them is counted in grapheme clusters, what goes is bullets."""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from typing import Final

from ..errors import CallerMayNotOpen, MaskedValue
from ..rules.audience import Mask

BULLET: Final = "\u2022"
"""U+2022. A value of a masked field that has one may be a mask that comes back."""
_IN_BYTES: Final = BULLET.encode()
_ESCAPED: Final = rb"\u2022"
_EMAIL_BULLETS: Final = 3
_MARKS: Final = frozenset({"Mn", "Me", "Mc", "Cf"})
_JOINER: Final = "\u200d"
_MODIFIERS: Final = range(0x1F3FB, 0x1F400)
_FLAGS: Final = range(0x1F1E6, 0x1F200)
_HANGUL: Final = range(0xAC00, 0xD7A4)
_JAMO: Final = range(0x1100, 0x1200)
_LATER_JAMO: Final = range(0x1160, 0x1200)


def is_masked(text: bytes) -> bool:
    """Return whether a text, or JSON, may be a mask: it has a bullet, be it escaped."""
    return _IN_BYTES in text or _ESCAPED in text


def refuse_mask(field: str, text: bytes) -> None:
    """Raise MaskedValue for a value that may be a mask of this field."""
    if is_masked(text):
        raise MaskedValue("mask-comes-back", detail=f"{field}: the value is a mask.")


def of_value(mask: Mask, text: bytes, cty: str | None) -> str:
    """Return the mask of a text; raise CallerMayNotOpen for what is none."""
    try:
        if cty is None:
            return masked(mask, text.decode())
    except UnicodeDecodeError:
        pass
    raise CallerMayNotOpen("no-text")


def masked(mask: Mask, text: str) -> str:
    """Return a text with all hidden that its mask does not keep.

    A text that has no more than what would be kept is hidden whole.
    """
    if mask.email:
        return _email(text)
    found = clusters(text)
    if len(found) <= mask.first + mask.last:
        return BULLET * (len(found) if mask.length is None else mask.length)
    hidden = len(found) - mask.first - mask.last
    bullets = BULLET * (hidden if mask.length is None else mask.length)
    return "".join((*found[: mask.first], bullets, *found[len(found) - mask.last :]))


def _email(text: str) -> str:
    local, at, domain = text.rpartition("@")
    first = clusters(local)
    kept = first[0] if len(first) > 1 else ""
    bullets = BULLET * _EMAIL_BULLETS
    return f"{kept}{bullets}@{domain}" if at and local and domain else bullets


def clusters(text: str) -> list[str]:
    """Return the grapheme clusters of a text, so that no part of a sign stays without the rest.

    As UAX #29 has them, but for scripts whose clusters are longer there; such a sign is cut.
    """
    if (text.isascii() and "\r" not in text) or all(map(_is_alone, text)):
        return list(text)
    found: list[str] = []
    before, calm, flags = "", True, 0
    for one in text:
        flags = flags + 1 if ord(one) in _FLAGS else 0
        alone = _is_alone(one)
        if not (alone and calm) and before and _joins(before, one, flags):
            found[-1] += one
        else:
            found.append(one)
        before, calm = one, alone
    return found


@lru_cache(maxsize=4096)
def _is_alone(one: str) -> bool:
    """Return whether a character joins no other such character, before it or after it."""
    code = ord(one)
    parts = code in _MODIFIERS or code in _FLAGS or code in _JAMO or one == "\r"
    return not parts and unicodedata.category(one) not in _MARKS


def _joins(before: str, one: str, flags: int) -> bool:
    """Return whether a character is of the same cluster as the one before it.

    `flags` counts regional indicators up to this one: two of them are one flag.
    """
    if one == "\n" and before == "\r":
        return True
    if unicodedata.category(before) == "Cc":
        return False
    code = ord(one)
    if code in _MODIFIERS or unicodedata.category(one) in _MARKS:
        return True
    if before == _JOINER:
        return unicodedata.category(one) == "So"
    if code in _FLAGS:
        return not flags % 2
    syllable = ord(before) in _HANGUL or ord(before) in _JAMO
    return syllable and (code in _LATER_JAMO or (ord(before) in _JAMO and code in _HANGUL))
