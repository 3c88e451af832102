"""Where a text has what looks like a token in one of the forms, or like the beginning of one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from heapq import merge
from typing import Final

from ..crypto.token import BASE64_PREFIX, JWE_PREFIX, SHORT_PREFIX
from ..leaves import candidates, splice
from ..leaves.tokens import TAGS, TAGS_PATTERN, may_spell
from ..policy import LARGE_BYTES, PIECE_BYTES
from ..slices import pause, paused

_PREFIXES: Final = (JWE_PREFIX, SHORT_PREFIX, BASE64_PREFIX)
_WHOLE_TAGS_PATTERN: Final = re.compile(rb"(?:%b)++" % TAGS)
_BASE64: Final = re.compile(rb"%s[A-Za-z0-9+/]*+={0,2}" % BASE64_PREFIX)
# `/` is escaped by PHP, `+` by .NET and `=` by Gson; in a string within a string once more.
_ESCAPED: Final = re.compile(
    rb"%s[A-Za-z0-9+]*+(?:(?:\\*+/|\\++u002[bBfF])[A-Za-z0-9+]*+)*+(?:=|\\++u003[dD]){0,2}"
    % BASE64_PREFIX
)
_ESCAPE: Final = re.compile(rb"\\++(?:u00(2[bBfF]|3[dD]))?")


def any_in(text: bytes) -> bool:
    """Return whether anything in a text begins as tokens do."""
    return any(_has(text, one) for one in _PREFIXES)


def _has(text: bytes, prefix: bytes) -> bool:
    if len(text) <= LARGE_BYTES:
        return prefix in text
    for at in range(0, len(text), LARGE_BYTES):
        pause()
        if text.find(prefix, at, at + LARGE_BYTES + len(prefix)) >= 0:
            return True
    return False


def candidates_in(text: bytes, *, escaped: bool = False) -> Iterator[tuple[int, int]]:
    """Yield where something in a text looks like a token, in order and apart.

    `escaped`: it is the literal of a JSON string, in which base64 may be spelled with escapes.
    """
    found = _of_other_forms(text)
    if _has(text, BASE64_PREFIX):
        pattern = _ESCAPED if escaped else _BASE64
        found = merge(found, (one.span() for one in paused(pattern.finditer(text))))
    at = 0
    for start, end in found:
        if start >= at:
            tags = TAGS_PATTERN.match(text, end) if text.startswith(b"~", end) else None
            at = end if tags is None else tags.end()
            yield start, at


def _may_spell_tags(text: bytes) -> bool:
    """Return False only where no `~` is spelled by an escape."""
    # To look for two bytes takes ninety times as long as for one.
    return may_spell(text) and any(one in text for one in (b"7e", b"7E", b"126;"))


def without_tags(text: bytes, members: frozenset[str] | None = frozenset()) -> bytes:
    """Return a text in which no tags stand behind tokens, whatever becomes of these.

    Those in `members` of JSON by these names are left out, too. What is spelled by escapes is taken
    as it reads. None: the listener makes no tags, so what is no whole tag is none.
    """
    if b"~" not in text and (members is None or not _may_spell_tags(text)):
        return text
    if members is None:
        return _without_whole_tags(text)
    if not (members or any_in(text) or may_spell(text)):
        return text
    from .spelled import tags_cut  # noqa: PLC0415 - loaded with rules that make tags

    return tags_cut(text, members, _ends)


def _without_whole_tags(text: bytes) -> bytes:
    found = (_WHOLE_TAGS_PATTERN.match(text, end) for end in _ends(text))
    places = [at for tags in found if tags is not None for at in tags.span()]
    cut = splice(text, places, [b""] * (len(places) // 2)) if places else text
    assert cut is not None  # noqa: S101 - places are in order
    return cut


def _ends(text: bytes) -> Iterator[int]:
    """Yield the ends of candidates behind which tags may stand: in base64 there are none."""
    if any_in(text):
        yield from (end for _, end in _of_other_forms(text))


def _of_other_forms(text: bytes) -> Iterator[tuple[int, int]]:
    """Yield the candidates of the forms that have no base64, a piece of the text at a time."""
    at = 0
    while at < len(text):
        pause()
        end = at + PIECE_BYTES
        places = candidates(text, at, end)
        yield from zip(places[::2], places[1::2], strict=True)
        at = max(end, places[-1]) if places else end


def without_escapes(candidate: bytes) -> bytes:
    """Return a candidate of a literal as it is read, at whatever depth of strings."""
    if b"\\" not in candidate:
        return candidate
    return _ESCAPE.sub(lambda one: bytes.fromhex(one[1].decode()) if one[1] else b"", candidate)
