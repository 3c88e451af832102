"""Where a text has what looks like a token in one of the forms, or like the beginning of one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from heapq import merge
from typing import Final

from ..crypto.token import BASE64_PREFIX, JWE_PREFIX, SHORT_PREFIX
from ..leaves import candidates
from ..leaves.tokens import LEFT_TAGS_PATTERN, TAGS, TAGS_PATTERN
from ..policy import LARGE_BYTES, PIECE_BYTES
from ..slices import pause, paused
from .json.text import quote
from .spelled import Said, may_spell_tags

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


def without_tags(text: bytes, members: frozenset[str] | None = frozenset()) -> bytes:
    """Return a text in which no tags stand behind tokens, whatever becomes of these.

    Those in `members` of JSON by these names are left out, too. What is spelled by escapes is taken
    as it reads. None: the listener makes no tags, so what is no whole tag is none.
    """
    if b"~" not in text and (members is None or not may_spell_tags(text)):
        return text
    if members is None:
        return _cut_behind_tokens(Said(text, escapes=False), _WHOLE_TAGS_PATTERN)
    if members:
        text = without_members(text, in_members(members))
    return _cut_behind_tokens(Said(text), LEFT_TAGS_PATTERN)


def without_members(raw: bytes, pattern: re.Pattern[bytes]) -> bytes:
    """Return a text without the tags in members of JSON, by the pattern of `in_members`."""
    said = Said(raw)
    found = paused(pattern.finditer(said.text))
    return said.spliced((one.end("name"), one.end(), b"") for one in found)


def _cut_behind_tokens(said: Said, pattern: re.Pattern[bytes]) -> bytes:
    if not any_in(said.text):
        return said.raw
    ends = (end for _, end in _of_other_forms(said.text))  # in base64 none stand behind it
    found = (pattern.match(said.text, end) for end in ends)
    return said.spliced((*tags.span(), b"") for tags in found if tags is not None)


@lru_cache
def in_members(members: frozenset[str]) -> re.Pattern[bytes]:
    """Return a pattern of tags in members of JSON by these names; what is before is its `name`."""
    names = b"|".join(re.escape(quote(one).encode()) for one in sorted(members))
    return re.compile(rb"(?P<name>(?:%b)[ \t\r\n]*+:[ \t\r\n]*+\")(?:%b|~)(?=\")" % (names, TAGS))


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
