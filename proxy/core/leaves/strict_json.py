"""What holds for a JSON text as a whole: encoding, depth, size; and the scanner of values."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import accumulate
from json.scanner import c_make_scanner  # type: ignore[attr-defined]  # the C scanner itself
from typing import Final, NoReturn

from ..errors import BodyTooLarge, InvalidBody
from ..policy import JSON_DEPTH, JSON_VALUES, LARGE_BYTES, PIECE_BYTES
from ..slices import pause, pieces
from .strings import is_utf8

_FEW: Final = 8
_PAIR: Final = len(rb"\ud83d\ude00")

_SURROGATE_ESCAPE: Final = re.compile(rb"\\u[dD][89a-fA-F]")
# A first half that no second half follows, or a second half that no first half precedes. To look
# costs no memory; to cut out the pairs would cost ten times the body.
_LONE_SURROGATE: Final = re.compile(
    rb"\\u[dD][89abAB](?![0-9a-fA-F]{2}\\u[dD][c-fC-F])"
    rb"|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F]"
)
_NOT_MARKS: Final = bytes(set(range(256)) - set(b'[]{}"'))
_STEPS: Final = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")  # as signed bytes: 1 and -1
_SPACE: Final = re.compile(r"[ \t\n\r]*+")
_SKIPPED: Final = r"(?:[\s\x00]|\ufeff|\xef\xbb\xbf)*"
_JSON_TEXT: Final = re.compile(
    rf'{_SKIPPED}(?:\{{{_SKIPPED}["}}]|\[{_SKIPPED}(?:["{{\[\]0-9-]|true|false|null))', re.ASCII
)
"""How a text begins that is an object or a list of JSON to whoever parses it."""


def _refuse_constant(name: str) -> NoReturn:
    message = f"{name} is not JSON"
    raise ValueError(message)


# `len` swallows numbers without converting them: no digits limit, no overflow, no rounding.
_DECODER: Final = json.JSONDecoder(parse_int=len, parse_float=len, parse_constant=_refuse_constant)
scan: Final = c_make_scanner(_DECODER)


def is_json_text(text: str) -> bool:
    """Return whether a text begins as an object or a list of JSON does."""
    return _JSON_TEXT.match(text) is not None


def after_space(text: str, at: int) -> int:
    """Return the place behind white space."""
    if text[at : at + 1] > " ":
        return at
    match = _SPACE.match(text, at)
    assert match is not None  # noqa: S101 - the pattern matches everywhere, if only emptily
    return match.end()


def check(body: bytes) -> str:
    """Return `body` with one character for each byte, once its encoding and depth are in order.

    Raises as `decoded` does, and InvalidBody for nesting beyond 128 levels, BodyTooLarge for more
    than a million commas and brackets.
    """
    text = decoded(body)
    most = JSON_DEPTH if len(body) <= JSON_VALUES else JSON_VALUES
    brackets = _count(body, b"[", most) + _count(body, b"{", most)
    if brackets > JSON_DEPTH and is_too_deep(body):
        raise InvalidBody("nested-too-deeply")
    if most == JSON_VALUES and brackets + _count(body, b",", most) > most:
        raise BodyTooLarge("too-many-values")
    return text


def decoded(body: bytes) -> str:
    """Return `body` with one character for each byte, once its encoding is in order.

    latin-1 gives one character a byte, so that places in the text are places in the bytes. Raises
    InvalidBody for bad UTF-8, a byte order mark, or lone surrogates.
    """
    if not body.isascii():
        require_utf8(body)
        if body.startswith(b"\xef\xbb\xbf"):
            raise InvalidBody(
                "byte-order-mark",
                detail="It begins with a byte order mark: `accept: byte-order-mark` takes it.",
            )
    if body.find(b"\\") >= 0:  # `in` takes four times as long
        _check_surrogates(body)
    return body.decode("latin-1")


def require_utf8(text: bytes) -> None:
    """Raise InvalidBody for what is no UTF-8."""
    if not is_utf8(text):
        raise InvalidBody("not-utf-8")


def _count(body: bytes, mark: bytes, most: int) -> int:
    """Return how often a byte occurs, or one more than `most`.

    To take it out goes from one to the next, where `bytes.count` checks each byte; to look for a
    few spares a large text the copy.
    """
    if len(body) > JSON_VALUES:
        at = -1
        for count in range(_FEW):
            at = body.find(mark, at + 1)
            if at < 0:
                return count
    if len(body) <= LARGE_BYTES:
        return len(body) - len(body.replace(mark, b"", most + 1))
    count = 0
    for piece in pieces(body, LARGE_BYTES):
        count += len(piece) - len(piece.replace(mark, b"", most + 1))
        if count > most:
            break
    return count


def _check_surrogates(body: bytes) -> None:
    r"""Raise InvalidBody where a \u escape names half of a surrogate pair."""
    # An escaped backslash begins no escape; blanking it, not cutting it, keeps halves apart.
    first = _search(_SURROGATE_ESCAPE, body, 0)
    if first is None:
        return
    text = b"".join(piece.replace(rb"\\", b"__") for piece in _apart_from_escapes(body))
    if _search(_LONE_SURROGATE, text, first) is not None:
        raise InvalidBody(
            "lone-surrogate",
            detail="A text has half of a surrogate pair: `accept: lone-surrogates` takes it.",
        )


def _search(pattern: re.Pattern[bytes], text: bytes, at: int) -> int | None:
    """Return where the first match of at most a dozen bytes begins."""
    for start in range(at, len(text), PIECE_BYTES):
        pause()
        end = start + PIECE_BYTES
        match = pattern.search(text, start, end + _PAIR)
        if match is not None and match.start() < end:
            return match.start()
    return None


def _apart_from_escapes(text: bytes) -> Iterator[bytes]:
    """Yield a text in pieces that do not end between a backslash and what it escapes."""
    at = 0
    while at < len(text):
        pause()
        piece = text[at : at + PIECE_BYTES]
        if (len(piece) - len(piece.rstrip(b"\\"))) % 2:
            piece = text[at : at + PIECE_BYTES + 1]
        yield piece
        at += len(piece)


def is_too_deep(body: bytes) -> bool:
    """Return whether there are more than 128 levels, without recursion and at the speed of C.

    Only quotes and brackets are read, and no escaped quotes. Pairs of neighbouring quotes go
    first: they are strings without brackets, or the border between two strings, and either way what
    is inside stays inside. Every bracket that is left outside is a step down or up. Whether
    brackets fit each other is for the scanner to tell.
    """
    depth, inside = 0, 0
    for piece in _apart_from_escapes(body):
        plain = piece
        if b"\\" in piece:
            plain = piece.replace(b"\\\\", b"").replace(b'\\"', b"")
        parts = plain.translate(_STEPS, _NOT_MARKS).replace(b'""', b"").split(b'"')
        steps = memoryview(b"".join(parts[inside::2])).cast("b")
        inside ^= (len(parts) - 1) & 1
        if max(accumulate(steps, initial=depth)) > JSON_DEPTH:
            return True
        depth += sum(steps)
    return False
