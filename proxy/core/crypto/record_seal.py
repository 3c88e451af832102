"""Sealing what records of the store say, so that equal records are equal bytes."""

from __future__ import annotations

import hmac

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ..errors import OpenFailed
from .aead import IV_BYTES


def seal_record(keys: tuple[bytes, bytes], text: bytes, identity: bytes) -> bytes:
    """Return IV ‖ ciphertext ‖ tag of what a record says, bound to its `identity`.

    The IV is made of the text and the identity, so the same record is the same bytes: whoever knows
    what a record says knows its bytes, which a store compares. Two texts get one IV with the
    probability of a random one.
    """
    key, iv_key = keys
    iv = hmac.digest(iv_key, identity + text, "sha256")[:IV_BYTES]
    return iv + AESGCM(key).encrypt(iv, text, identity)


def open_record(keys: tuple[bytes, bytes], sealed: bytes, identity: bytes) -> bytes:
    """Return what `seal_record` sealed; raise OpenFailed if anything was changed."""
    try:
        return AESGCM(keys[0]).decrypt(sealed[:IV_BYTES], sealed[IV_BYTES:], identity)
    except (InvalidTag, ValueError):
        raise OpenFailed("bad-tag") from None
