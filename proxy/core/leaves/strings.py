"""JSON strings (RFC 8259 section 7) of UTF-8 text."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from json.encoder import encode_basestring
from typing import Final

from ..policy import LARGE_BYTES, PIECE_BYTES
from ..slices import pause, pieces

_UTF8: Final = codecs.getincrementaldecoder("utf-8")
# Each byte as it is, but for those that a JSON string must escape: they become another.
_UNESCAPED: Final = bytes.maketrans(bytes(range(ord(" "))) + b'"\\', b"?" * (ord(" ") + 2))
_UNITS: Final = re.compile(rb'(?:[^"\\\x00-\x1f]++|\\(?:["\\/bfnrt]|u[0-9A-Fa-f]{4}))*+')
# What a piece would cut off: the rest of a character, and the second half of a surrogate pair.
_CUT_OFF: Final = re.compile(rb"[\x80-\xbf]{0,3}(?:\\u[dD][c-fC-F][0-9A-Fa-f]{2})?")
_PLAIN: Final = re.compile(rb'"[^"\\\x00-\x1f]*+"')


def is_utf8(text: bytes) -> bool:
    """Return whether a text is UTF-8."""
    try:
        if len(text) <= PIECE_BYTES:
            text.decode()
            return True
        decoder = _UTF8()
        for piece in pieces(text):
            decoder.decode(piece)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def quote(utf8: bytes, /) -> bytes | None:
    """Return UTF-8 as a JSON string: only what must be escaped is. None for other bytes."""
    if not utf8.isascii() and not is_utf8(utf8):
        return None
    if utf8.translate(_UNESCAPED) == utf8:  # as nearly always, and four times as fast
        return b"".join((b'"', utf8, b'"'))
    return encode_basestring(utf8.decode()).encode()


def unquote(literal: bytes, /) -> bytes | None:
    """Return the text of a JSON string literal, quotes included.

    None for what is none, is no UTF-8, or names half of a surrogate pair.
    """
    if len(literal) > LARGE_BYTES:
        try:
            return b"".join(one.encode() for one in unquoted(literal))
        except ValueError:
            return None
    if _PLAIN.fullmatch(literal):
        return literal[1:-1] if literal.isascii() or is_utf8(literal) else None
    # Blanks around a literal are none of it.
    if not literal.startswith(b'"') or not literal.endswith(b'"'):
        return None
    try:
        text: str = json.loads(literal.decode())
        return text.encode()
    except ValueError:
        return None


def unquoted(literal: bytes) -> Iterator[str]:
    """Yield the text of a JSON string literal, quotes included, in pieces, each after a pause.

    Raises ValueError for what is none, or is no UTF-8. Halves of surrogate pairs are in one piece.
    """
    at, last = 1, len(literal) - 1
    if last < 1 or not literal.startswith(b'"') or not literal.endswith(b'"'):
        raise ValueError("no string")
    while at < last:
        pause()
        end = _end(_UNITS.match(literal, at, min(at + PIECE_BYTES, last)))
        if end == at:
            raise ValueError("no string")
        end = _end(_CUT_OFF.match(literal, end, last))
        piece = literal[at:end].decode()
        yield json.loads(f'"{piece}"') if "\\" in piece else piece
        at = end


def _end(match: re.Match[bytes] | None) -> int:
    assert match is not None  # noqa: S101 - both patterns match nothing, too
    return match.end()
