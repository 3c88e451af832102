"""The escapes of JSON strings."""

from __future__ import annotations

import json
from json.encoder import encode_basestring
from typing import Final

from ...leaves import unquote

_MARKUP: Final = ((b"<", rb"\u003c"), (b">", rb"\u003e"), (b"&", rb"\u0026"))


def unescape(literal: bytes) -> str:
    """Return the text of a JSON string literal, quotes included."""
    if b"\\" not in literal:
        return literal[1:-1].decode()
    text: str = json.loads(literal)
    return text


def unescaped(literal: bytes) -> bytes:
    """Return the text of a JSON string literal, quotes included, as UTF-8.

    For short ones faster than `unescape`, which finds out the encoding first.
    """
    text = unquote(literal)
    return unescape(literal).encode() if text is None else text


def quote(text: str) -> str:
    """Return `text` as a JSON string: only what must be escaped is."""
    quoted: str = encode_basestring(text)
    return quoted


def escape(text: str) -> str:
    """Return `text` as the inside of a JSON string."""
    return quote(text)[1:-1]


def shield(text: bytes) -> bytes:
    """Return a JSON text with no character that begins a tag or a reference: each is escaped."""
    for mark, spelled in _MARKUP:
        text = text.replace(mark, spelled)
    return text
