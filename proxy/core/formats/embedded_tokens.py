"""Tokens found anywhere in the strings of a JSON text: whole, inside other text, nested, or cut."""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from ..crypto import token
from ..crypto.token import Token
from ..errors import InvalidBody, OpenFailed
from ..leaves import unquote
from ..leaves.strings import unquoted
from ..policy import PIECE_BYTES, TEXT_NESTING
from ..slices import pause, paused
from . import escaping, token_places
from . import json as json_format
from .escaping import AS_IT_IS, EXACT, Manner, TextPlace

_ELLIPSIS: Final = re.compile(rb"\.\.\.|\xe2\x80\xa6|\\+u2026")
_INSIDE: Final = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)
_COLON: Final = re.compile(rb"[ \t\n\r]*:")
_QUOTE, _BACKSLASH = b'"\\'
_BEGINS: Final = frozenset({b"{", b"[", b'"'})
_ENDS_OF_VALUES: Final = frozenset({b",", b"]", b"}"})
_FREED: Final = 4096
_PLAIN_QUOTES: Final = (1, 1)
# A quote is spelled with one more backslash for every string around it, each itself escaped.
_QUOTES: Final = tuple(
    re.compile(rb'\\{%d}(?:"|u0022)' % ((1 << depth) - 1) if depth else b'"')
    for depth in range(TEXT_NESTING)
)


class FoundToken(NamedTuple):
    """A token's place; `token` is None where it was cut.

    `depth` counts the strings around it: 0 in a text that is no JSON, 1 in a plain string, 2 in a
    JSON text that is itself a string, and so on. Where it is all of a value, `quotes` has the bytes
    that the quotes before and behind it take. `trails_off`: it is in the short form, whose length
    says nothing, and an ellipsis follows it; so it was cut if it does not open. `place` tells
    how what takes its place is written.
    """

    start: int
    end: int
    token: Token | None
    depth: int
    quotes: tuple[int, int] | None
    trails_off: bool = False
    place: TextPlace = EXACT


def find(body: bytes, limit: int, manner: Manner = AS_IT_IS) -> list[FoundToken]:
    """Return every token in `body`, in order, each to be written in this manner.

    What looks like a token and is none (a wrong header, say) is not returned: it stays as it is.
    Raises InvalidBody where a body with tokens is not JSON, or has more of them than `limit`.
    """
    if not token_places.any_in(body):
        return []
    json_format.validate(body)
    found = None if manner.heeds_whole_values else _all_plain(body, limit)
    return _anywhere(body, limit, manner) if found is None else found


def find_in_text(text: bytes, limit: int, manner: Manner = AS_IT_IS) -> list[FoundToken]:
    """Do as `find` in a text, which may be JSON or not.

    A token that no string holds is at depth 0: what replaces it is spelled as it reads.
    """
    if not token_places.any_in(text):
        return []
    if text.lstrip(b" \t\n\r")[:1] in _BEGINS and json_format.is_valid(text):
        return find(text, limit, manner)
    found: list[FoundToken] = []
    spans = list(token_places.candidates_in(text))
    places = escaping.places(text, spans, manner)
    for (start, end), place in paused(zip(spans, places, strict=True)):
        decoded = _decode(text[start:end])
        if decoded is not None or token.is_cut(text[start:end]):
            trails_off = _trails_off(decoded, text, end)
            found.append(FoundToken(start, end, decoded, 0, None, trails_off, place))
            if len(found) > limit:
                raise InvalidBody("too-many-tokens")
    return found


def _all_plain(body: bytes, limit: int) -> list[FoundToken] | None:
    """Return the tokens of a body in which each is all of a value, the usual case; else None.

    In valid JSON, a quote before a token that no backslash escapes opens a string, since behind one
    that closes a string no token may follow.
    """
    if token.SHORT_PREFIX in body or token.BASE64_PREFIX in body:
        return None
    found: list[FoundToken] = []
    start = body.find(token.JWE_PREFIX)
    while start != -1:
        pause()
        end = body.find(b'"', start)
        decoded = _decode(body[start:end])
        opened = body[start - 1] == _QUOTE and body[start - 2] != _BACKSLASH
        is_value = body[end + 1 : end + 2] in _ENDS_OF_VALUES or not _COLON.match(body, end + 1)
        if decoded is None or not opened or not is_value:
            return None
        found.append(FoundToken(start, end, decoded, 1, _PLAIN_QUOTES))
        if len(found) > limit:
            raise InvalidBody("too-many-tokens")
        start = body.find(token.JWE_PREFIX, end)
    return found


def _anywhere(body: bytes, limit: int, manner: Manner) -> list[FoundToken]:
    """Return the tokens of a body, wherever they lie in its strings."""
    found: list[FoundToken] = []
    for start, end in paused(_literals(body)):
        inside = body[start:end]
        if token_places.any_in(inside):
            is_name = _COLON.match(body, end) is not None
            here = manner.of_string(start)
            for one in _in_literal(inside, start, here, is_name=is_name):
                found.append(one)
                if len(found) > limit:
                    raise InvalidBody("too-many-tokens")
    return found


def _literals(text: bytes) -> Iterator[tuple[int, int]]:
    """Yield where the strings of a JSON text lie, with their quotes."""
    start = text.find(b'"')
    while start != -1:
        end = start + 1
        while text[end] != _QUOTE:
            # A piece ends before a backslash whose character is not in it. It is of several bytes,
            # so each piece begins behind the one before.
            piece = _INSIDE.match(text, end, end + PIECE_BYTES)
            assert piece is not None  # noqa: S101 - the pattern matches nothing, too
            end = piece.end()
            pause()
        yield start, end + 1
        start = text.find(b'"', end + 1)


def span_of(one: FoundToken) -> tuple[int, int]:
    """Return what is replaced with a token, which may be the quotes around it as well."""
    before, behind = around(one)
    return one.start - before, one.end + behind


def around(one: FoundToken) -> tuple[int, int]:
    """Return how many bytes before and behind a token are replaced with it: quotes, or none."""
    if one.quotes is not None and (one.quotes is _PLAIN_QUOTES or _is_json_value(one)):
        return one.quotes
    return 0, 0


def written_in(one: FoundToken, text: str, *, opened: bool) -> bytes | None:
    """Return what takes the place of a token, as `span_of` has it; None where nothing can be.

    It is the text that was `opened`, or another. A JSON value replaces its string with the quotes;
    text is escaped once for each string around.
    """
    is_json = opened and _is_json_value(one)
    if one.place is not EXACT:
        written = escaping.written(text, one.place, as_json=is_json and one.quotes is not None)
        if written is None:
            return None
        text = written
    if is_json and one.quotes is not None:
        return _escape(text, one.depth - 1).encode()
    if one.quotes is _PLAIN_QUOTES:
        return json_format.quote(text).encode()
    return _escape(text, one.depth).encode()


def _is_json_value(one: FoundToken) -> bool:
    return one.token is not None and one.token.cty == token.CTY_JSON


def _in_literal(
    literal: bytes, offset: int, manner: Manner, *, is_name: bool
) -> Iterator[FoundToken]:
    # A token has no character that JSON must escape, so it is spelled the same at every depth. One
    # that has escapes all the same is in the decoded text only, and stays as it is. But base64 has
    # characters that many encoders escape.
    places = list(_candidates(_text_of(literal), 1, manner, is_name=is_name))
    numbers: dict[bytes, list[int]] = {}
    for number, place in enumerate(paused(places)):
        numbers.setdefault(place.text, []).append(number)
    try:
        yield from _matched(literal, offset, places, numbers)
    finally:  # a million of them take a tenth of a second to free
        lots: list[list[Any]] = [places, *numbers.values()]
        for lot in lots:
            while lot:
                pause()
                del lot[-_FREED:]
        while numbers:
            pause()
            numbers.popitem()


def _matched(
    literal: bytes, offset: int, places: Sequence[_Candidate], numbers: Mapping[bytes, list[int]]
) -> Iterator[FoundToken]:
    """Yield the tokens of a literal that are among the candidates of its text."""
    at = 0
    for start, end in paused(token_places.candidates_in(literal, escaped=True)):
        looks = token_places.without_escapes(literal[start:end])
        alike = numbers.get(looks, ())
        first = bisect_left(alike, at)
        if first == len(alike):
            continue
        here = alike[first]
        at = here + 1
        decoded = _decode(looks)
        if decoded is not None or token.is_cut(looks):
            found = places[here]
            quotes = _quotes(literal, start, end, found.depth) if found.fills else None
            trails_off = _trails_off(decoded, literal, end)
            yield FoundToken(
                offset + start,
                offset + end,
                decoded,
                found.depth,
                quotes,
                trails_off,
                found.place,
            )


def _trails_off(decoded: Token | None, text: bytes, end: int) -> bool:
    if decoded is None or decoded.form not in {"short", "equal"}:
        return False
    return _ELLIPSIS.match(text, end) is not None


def _quotes(literal: bytes, start: int, end: int, depth: int) -> tuple[int, int] | None:
    """Return how many bytes the quotes around a token take, so deep in strings."""
    spelled = _QUOTES[depth - 1]
    behind = spelled.match(literal, end)
    before = next(
        (one for one in _widths(depth) if spelled.fullmatch(literal[start - one : start])), 0
    )
    return (before, behind.end() - end) if before and behind is not None else None


def _widths(depth: int) -> tuple[int, ...]:
    backslashes = (1 << (depth - 1)) - 1
    return (backslashes + 1, backslashes + len("u0022"))


def _decode(text: bytes) -> Token | None:
    try:
        return token.decode(text)
    except OpenFailed:
        return None


class _Candidate(NamedTuple):
    text: bytes
    depth: int
    fills: bool
    place: TextPlace


def _candidates(text: bytes, depth: int, manner: Manner, *, is_name: bool) -> Iterator[_Candidate]:
    """Yield each candidate in the decoded text of a string, in order.

    A member's name cannot be anything but a string, so no token fills one.
    """
    pause()
    if depth < TEXT_NESTING and text.lstrip(b" \t\n\r")[:1] in _BEGINS and _is_json(text):
        for start, end in paused(_literals(text)):
            inner_name = _COLON.match(text, end) is not None
            inner = _text_of(text[start:end])
            yield from _candidates(inner, depth + 1, manner, is_name=inner_name)
        return
    spans = list(token_places.candidates_in(text))
    places = escaping.places(text, spans, manner)
    spans.reverse()
    places.reverse()
    while spans:  # each is freed when it is used, and not a million at once
        pause()
        start, end = spans.pop()
        fills = not is_name and (start, end) == (0, len(text))
        yield _Candidate(text[start:end], depth, fills, places.pop())


def _text_of(literal: bytes) -> bytes:
    """Return the text of a JSON string, as UTF-8."""
    text = unquote(literal)
    # A document in a string may spell half a surrogate pair; it has no UTF-8, and no token has it.
    if text is not None:
        return text
    return b"".join(piece.encode(errors="replace") for piece in unquoted(literal))


def _is_json(text: bytes) -> bool:
    try:
        json.loads(text.decode())
    except (ValueError, RecursionError):
        return False
    return True


def _escape(text: str, times: int) -> str:
    for _ in range(times):
        text = json_format.escape(text)
    return text
