"""The text of tokens in JWE form: `head..iv.ciphertext.tag`."""

from __future__ import annotations

from typing import Final

from .base64url import decode, decode_within, encode, encode_within

JWE_PREFIX: Final = b"eyJ0eXAiOiJzeTEi"  # base64url of {"typ":"sy1"
_IV_BYTES: Final = 12
_TAG_BYTES: Final = 16

_DOT: Final = ord(".")
# After a head and its dot, and before the end.
_IV_END: Final = 1 + 16
_TAG: Final = -22
_REST: Final = len("..") + 16 + len(".") + len(".") + 22


def token_text(head: bytes, iv: bytes, sealed: bytes, /) -> bytes:
    """Return the text of a sealed value; raise ValueError for an IV or a tag of another size."""
    end = len(sealed) - _TAG_BYTES
    if len(iv) != _IV_BYTES or end < 0:
        raise ValueError("an IV has 12 bytes and a tag 16")
    beside = encode(iv + sealed[end:])  # the IV's text ends as its bytes
    text, rest = encode_within(sealed, end)
    before, tag = beside[: _IV_END - 1], beside[_IV_END - 1 :]
    return b"".join((head, b"..", before, b".", text, rest, b".", tag))


def token_parts(text: bytes, /) -> tuple[bytes, bytes, bytes] | None:
    """Return head text, IV and ciphertext with tag; None for what is no token, or not canonical.

    Of the head, only its prefix is certain.
    """
    # The places of the dots are known: to split at them would look at each byte.
    at = text.find(b".") + 1
    end = len(text) + _TAG - 1
    if not text.startswith(JWE_PREFIX) or len(text) - at < _REST - 1:
        return None
    if not text[at] == text[at + _IV_END] == text[end] == _DOT:
        return None
    # The IV's text ends as its bytes.
    beside = decode(text[at + 1 : at + _IV_END] + text[_TAG:])
    if beside is None:
        return None
    sealed = decode_within(text, at + _IV_END + 1, end, beside[_IV_BYTES:])
    return None if sealed is None else (text[: at - 1], beside[:_IV_BYTES], sealed)
