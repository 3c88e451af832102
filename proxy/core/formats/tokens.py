"""Tokens found anywhere in the strings of a JSON text: whole, inside other text, nested, or cut."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from .. import token
from ..errors import OpenFailed
from ..token import Token
from . import json as json_format

_CANDIDATE: Final = re.compile(
    rb"%b|%b|%b"
    % tuple(
        re.sub(rb"\((?!\?)", b"(?:", one.pattern)
        for one in (token.JWE_PATTERN, token.SHORT_PATTERN, token.CUT_PATTERN)
    )
)
_LITERAL: Final = re.compile(rb'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_MAX_NESTING: Final = 8


@dataclass(frozen=True, slots=True)
class FoundToken:
    """A token's place; `token` is None where it was cut.

    `depth` counts the strings around it: 1 in a plain string, 2 in a JSON text that is itself a
    string, and so on. `fills` says that it is all of its innermost string.
    """

    start: int
    end: int
    token: Token | None
    depth: int
    fills: bool


def find(body: bytes) -> list[FoundToken]:
    """Return every token in `body`, in order; raise InvalidBody where that is not JSON.

    What looks like a token and is none (a wrong header, say) is not returned: it stays as it is.
    """
    if token.JWE_PREFIX not in body and token.SHORT_PREFIX not in body:
        return []
    json_format.validate(body)
    found: list[FoundToken] = []
    for literal in _LITERAL.finditer(body):
        inside = literal[0]
        if token.JWE_PREFIX in inside or token.SHORT_PREFIX in inside:
            found.extend(_in_literal(inside, literal.start()))
    return found


def replacement(one: FoundToken, plaintext: str, *, is_json: bool) -> tuple[int, int, bytes]:
    """Return what takes the token's place, and that place.

    A JSON value replaces its string with the quotes; text is escaped once for each string around.
    """
    if is_json and one.fills:
        quote = len(_escape('"', one.depth - 1).encode())
        text = _escape(plaintext, one.depth - 1)
        return one.start - quote, one.end + quote, text.encode()
    return one.start, one.end, _escape(plaintext, one.depth).encode()


def _in_literal(literal: bytes, offset: int) -> Iterator[FoundToken]:
    # A token has no character that JSON escapes, so it is spelled the same at every depth. One that
    # is spelled with escapes all the same stands in the decoded text only, and stays as it is.
    places = _places(json_format.unescape(literal), 1)
    for match in _CANDIDATE.finditer(literal):
        place = next((one for one in places if one.text == match[0]), None)
        decoded = _decode(match[0])
        if place is not None and (decoded is not None or _is_cut(match[0])):
            start, end = match.span()
            yield FoundToken(offset + start, offset + end, decoded, place.depth, place.fills)


def _decode(text: bytes) -> Token | None:
    try:
        return token.decode(text)
    except OpenFailed:
        return None


def _is_cut(text: bytes) -> bool:
    return text.startswith(token.JWE_PREFIX) and token.JWE_PATTERN.fullmatch(text) is None


class _Place(NamedTuple):
    text: bytes
    depth: int
    fills: bool


def _places(text: str, depth: int) -> Iterator[_Place]:
    """Yield each candidate in the decoded text of a string, in order."""
    encoded = text.encode()
    if depth < _MAX_NESTING and text.lstrip(" \t\n\r")[:1] in {"{", "["} and _is_json(text):
        for literal in _LITERAL.finditer(encoded):
            yield from _places(json_format.unescape(literal[0]), depth + 1)
        return
    for match in _CANDIDATE.finditer(encoded):
        yield _Place(match[0], depth, match.span() == (0, len(encoded)))


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _escape(text: str, times: int) -> str:
    for _ in range(times):
        text = json_format.escape(text)
    return text
