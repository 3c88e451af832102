"""Masks of texts: what stays of them is counted in grapheme clusters, what goes is bullets."""

from __future__ import annotations

import re
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
_DOMAIN: Final = re.compile(
    r"(?=.{4,253}\Z)(?:[^\W_][\w-]{,62}+\.)++[^\W\d_][\w-]{1,62}+"
).fullmatch
"""What stays of an address. What stands behind `@` in any other text is no domain, and hidden."""
_MARKS: Final = frozenset({"Mn", "Me", "Mc", "Cf"})
_OWN_KIND: Final = re.compile(
    "(?P<R>\r)|(?P<N>\n)|(?P<Z>\u200d)|(?P<M>[\U0001f3fb-\U0001f3ff])|(?P<F>[\U0001f1e6-\U0001f1ff])"
    "|(?P<J>[\u1100-\u115f])|(?P<L>[\u1160-\u11ff])|(?P<H>[\uac00-\ud7a3])"
).match
"""Characters that have a rule of their own: line ends, the joiner, modifiers, flags, Hangul."""
_ALONE: Final = frozenset("CHNOS")  # they join nothing but other kinds
_CLUSTER: Final = re.compile(
    "RN|[RNC]|(?:FF?|[^RNCF])(?:[MZ]|(?<=Z)(?:S|FF?)|(?<=[HJL])L|(?<=[JL])H)*+"
).finditer
"""A cluster as the kinds of its characters; a search for the next one takes no step back."""


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
    local, _, domain = text.rpartition("@")
    bullets = BULLET * _EMAIL_BULLETS
    if not local or _DOMAIN(domain) is None:
        return bullets
    first = clusters(local)
    kept = first[0] if len(first) > 1 else ""
    return f"{kept}{bullets}@{domain}"


def clusters(text: str) -> list[str]:
    """Return the grapheme clusters of a text, so that no part of a sign stays without the rest.

    As UAX #29 has them, but for scripts whose clusters are longer there; such a sign is cut.
    """
    if (text.isascii() and "\r" not in text) or _ALONE.issuperset(map(_kind, set(text))):
        return list(text)
    kinds = "".join(map(_kind, text))
    return [text[one.start() : one.end()] for one in _CLUSTER(kinds)]


@lru_cache(maxsize=4096)
def _kind(one: str) -> str:
    """Return a letter for what decides whether a character is of a cluster with its neighbours."""
    if (own := _OWN_KIND(one)) is not None:
        return str(own.lastgroup)
    category = unicodedata.category(one)
    return "M" if category in _MARKS else {"Cc": "C", "So": "S"}.get(category, "O")
