"""base64url without padding (RFC 4648 section 5, RFC 7515 section 2), strictly canonical."""

from __future__ import annotations

from .. import leaves
from ..errors import OpenFailed

encode = leaves.encode


def decode(text: bytes) -> bytes:
    """Return the bytes of a canonical text; raise OpenFailed for any other encoding."""
    data = leaves.decode(text)
    if data is None:
        raise OpenFailed("base64-not-canonical")
    return data


def encoded_length(size: int) -> int:
    """Return how many characters `size` bytes take."""
    return (size * 4 + 2) // 3


def decoded_capacity(characters: int) -> int:
    """Return how many bytes fit into that many characters (never below 0)."""
    return max(characters, 0) * 3 // 4
