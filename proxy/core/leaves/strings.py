"""JSON strings (RFC 8259 section 7) of UTF-8 text."""

from __future__ import annotations

import codecs
import json
import re
from json.encoder import encode_basestring
from typing import Final

from ..slices import LARGE_BYTES, PIECE_BYTES, pieces

_UTF8: Final = codecs.getincrementaldecoder("utf-8")
# Each byte as it is, but for those that a JSON string must escape: they become another.
_UNESCAPED: Final = bytes.maketrans(bytes(range(ord(" "))) + b'"\\', b"?" * (ord(" ") + 2))
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


def is_plain_text(text: bytes) -> bool:
    """Return whether a text is ASCII that a JSON string spells as it reads, and not too long."""
    return len(text) <= LARGE_BYTES and text.isascii() and text.translate(_UNESCAPED) == text


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
