"""base64url without padding (RFC 4648 section 5, RFC 7515 section 2), strictly canonical."""

from __future__ import annotations

from typing import Final

import pybase64

from .errors import OpenFailed

_ALPHABET: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
# The last character of a part whose length leaves a remainder carries unused bits: they must be 0,
# or two spellings would decode to the same bytes.
_LAST: Final = {
    0: frozenset(_ALPHABET),
    2: frozenset(_ALPHABET[::16]),
    3: frozenset(_ALPHABET[::4]),
}
_PADDING: Final = {0: b"", 2: b"==", 3: b"="}


def encode(data: bytes) -> bytes:
    """Return the canonical text of `data`."""
    return pybase64.urlsafe_b64encode(data).rstrip(b"=")


def decode(text: bytes) -> bytes:
    """Return the bytes of a canonical text; raise OpenFailed for any other spelling."""
    if not text:
        return b""
    if b"+" in text or b"/" in text:  # the decoder takes the standard alphabet too, with a warning
        raise OpenFailed("base64-not-canonical")
    remainder = len(text) % 4
    if remainder == 1 or text[-1] not in _LAST[remainder]:
        raise OpenFailed("base64-not-canonical")
    try:
        return pybase64.b64decode(text + _PADDING[remainder], altchars=b"-_", validate=True)
    except ValueError:
        raise OpenFailed("base64-not-canonical") from None


def encoded_length(size: int) -> int:
    """Return how many characters `size` bytes take."""
    return (size * 4 + 2) // 3


def decoded_capacity(characters: int) -> int:
    """Return how many bytes fit into that many characters (never below 0)."""
    return max(characters, 0) * 3 // 4
