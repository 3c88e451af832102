"""base64url without padding (RFC 4648 section 5, RFC 7515 section 2), strictly canonical."""

from __future__ import annotations

import binascii
from typing import Final

import pybase64

_ALPHABET: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
# By the remainder of the length: the characters that may end a text. The unused bits of the last
# one must be 0, or two texts would decode to the same bytes.
LAST: Final = (
    frozenset(_ALPHABET),
    frozenset[int](),
    frozenset(_ALPHABET[::16]),
    frozenset(_ALPHABET[::4]),
)
_PADDING: Final = (b"", b"", b"==", b"=")
_ALTERNATIVES: Final = b"-_"
_FOREIGN: Final = (b"+", b"/", b"=")
_TO_URL: Final = bytes.maketrans(b"+/", b"-_")
# Characters that are not base64url become characters that are not base64.
_TO_STANDARD: Final = bytes.maketrans(b"-_+/=", b"+/!!!")
# From this size on, the vector instructions of pybase64 are worth the call.
_LONG: Final = 256
# From this size on, a copy costs more than the steps that avoid it.
_LARGE: Final = 65_536


def encode(data: bytes, /) -> bytes:
    """Return the canonical text of `data`."""
    if len(data) < _LONG:
        return binascii.b2a_base64(data, newline=False).translate(_TO_URL, b"=")
    return pybase64.b64encode(data, _ALTERNATIVES).rstrip(b"=")


def encode_within(data: bytes, end: int) -> tuple[bytes, bytes]:
    """Return the canonical text of the bytes before `end`, in two pieces.

    So that a large text is not copied to remove its padding.
    """
    if end < _LARGE:
        return encode(data[:end]), b""
    whole = end - end % 3
    return pybase64.b64encode(memoryview(data)[:whole], _ALTERNATIVES), encode(data[whole:end])


def decode(text: bytes, /) -> bytes | None:
    """Return the bytes of a canonical text; None for any other encoding."""
    if not text:
        return b""
    remainder = len(text) % 4
    if text[-1] not in LAST[remainder]:
        return None
    try:
        if len(text) < _LONG:
            standard = text.translate(_TO_STANDARD) + _PADDING[remainder]
            return binascii.a2b_base64(standard, strict_mode=True)
        # The decoder accepts these with a warning; `in` takes four times as long to find them.
        if text.find(b"+") < 0 and text.find(b"/") < 0:
            return pybase64.b64decode(text + _PADDING[remainder], _ALTERNATIVES, validate=True)
    except ValueError:
        pass
    return None


def decode_within(text: bytes, start: int, end: int, behind: bytes) -> bytes | None:
    """Return the bytes of the canonical text within `text`, followed by `behind`; None as `decode`.

    A large text is not copied.
    """
    if end - start < _LARGE:
        small = decode(text[start:end])
        return None if small is None else small + behind
    whole = end - (end - start) % 4
    # The decoder accepts these, too; `in` takes four times as long to find them.
    if any(text.find(one, start, end) >= 0 for one in _FOREIGN):
        return None
    try:
        most = pybase64.b64decode(memoryview(text)[start:whole], _ALTERNATIVES, validate=True)
    except ValueError:
        return None
    rest = decode(text[whole:end])
    return None if rest is None else b"".join((most, rest, behind))
