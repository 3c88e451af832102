"""Text that is spelled in ASCII: encoded words (RFC 2047) and extended values (RFC 8187).

Clients spell what is not ASCII so in headers and filenames. Each has one reading here, or is
refused: readers differ in what they make of a malformed one.
"""

from __future__ import annotations

import binascii
import re
from typing import Final
from urllib.parse import unquote_to_bytes

from ..errors import InvalidBody

_WORD: Final = re.compile(rb"=\?([A-Za-z0-9-]+)\?([BbQq])\?([!->@-~]+)\?=")
_BLANKS: Final = re.compile(rb"[ \t]+")
_LOOKS_ENCODED: Final = re.compile(rb"=\?[^?]*\?[^?]*\?[^?]*\?=")
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f]")
_Q: Final = re.compile(rb"(?:=[0-9A-Fa-f]{2}|[!-<>@-~])+")
_ATTR_CHAR: Final = rb"[A-Za-z0-9!#$&+.^_`|~-]"
_EXTENDED: Final = re.compile(
    rb"((?i:utf-8|iso-8859-1))'[A-Za-z0-9-]*'((?:%%[0-9A-Fa-f]{2}|%b)*)" % _ATTR_CHAR
)
_LOOKS_EXTENDED: Final = re.compile(rb"(?i:utf-8|iso-8859-1)'[A-Za-z0-9-]*'[^ \t]*")
_CHARSETS: Final = {b"utf-8": "utf-8", b"us-ascii": "ascii", b"iso-8859-1": "latin-1"}


def decoded(value: bytes) -> bytes:
    """Return the text of a header's value in UTF-8; what is not encoded is its own text.

    Encoded words are separated by blanks, which go where both neighbours are such words (RFC 2047
    section 6.2). A value in the form of an extended value is one as a whole.

    Raises:
        InvalidBody: It has more than one reading: it is malformed, in another charset than UTF-8,
            US-ASCII and ISO-8859-1, has control characters, or a text that is itself encoded.
    """
    if b"=?" in value and _LOOKS_ENCODED.search(value):
        return _of_words(value)
    if b"'" in value and _LOOKS_EXTENDED.fullmatch(value):
        return extended(value)
    return value


def extended(value: bytes) -> bytes:
    """Return the text of an extended value (RFC 8187 section 3.2) in UTF-8; raise as `decoded`."""
    match = _EXTENDED.fullmatch(value)
    if match is None:
        raise InvalidBody("extended-value")
    return _text(unquote_to_bytes(match[2]), match[1]).encode()


def as_extended(text: str) -> bytes:
    """Return a text as an extended value in UTF-8."""
    data = text.encode()
    plain = frozenset(_PLAIN)
    return b"UTF-8''" + b"".join(b"%c" % one if one in plain else b"%%%02X" % one for one in data)


_PLAIN: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!#$&+-.^_`|~"


def _of_words(value: bytes) -> bytes:
    found: list[bytes] = []
    blanks = b""
    follows_word = False
    at = 0
    while at < len(value):
        gap = _BLANKS.match(value, at)
        if gap is not None:
            blanks, at = gap[0], gap.end()
            continue
        end = _end_of_atom(value, at)
        atom = value[at:end]
        match = _WORD.fullmatch(atom)
        if match is None and b"=?" in atom:
            raise InvalidBody("encoded-word")
        if not (follows_word and match is not None):
            found.append(blanks)
        found.append(atom if match is None else _of_word(*match.groups()))
        blanks, follows_word, at = b"", match is not None, end
    text = b"".join((*found, blanks))
    if _LOOKS_ENCODED.search(text):
        raise InvalidBody("encoded-twice")
    return text


def _end_of_atom(value: bytes, at: int) -> int:
    gap = _BLANKS.search(value, at)
    return len(value) if gap is None else gap.start()


def _of_word(charset: bytes, encoding: bytes, text: bytes) -> bytes:
    if encoding in b"Bb":
        try:
            data = binascii.a2b_base64(text, strict_mode=True)
        except binascii.Error:
            raise InvalidBody("encoded-word") from None
        if binascii.b2a_base64(data, newline=False) != text:
            raise InvalidBody("encoded-word")  # bits that some readers ignore
    else:
        if _Q.fullmatch(text) is None:
            raise InvalidBody("encoded-word")
        data = unquote_to_bytes(text.replace(b"%", b"%25").replace(b"_", b" ").replace(b"=", b"%"))
    return _text(data, charset).encode()


def _text(data: bytes, charset: bytes) -> str:
    codec = _CHARSETS.get(charset.lower())
    if codec is None:
        raise InvalidBody("encoded-charset")
    try:
        text = data.decode(codec)
    except UnicodeDecodeError:
        # Each word holds whole characters (RFC 2047 section 5).
        raise InvalidBody("encoded-charset") from None
    if _CONTROL.search(text):
        raise InvalidBody("encoded-control")
    return text
