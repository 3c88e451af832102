"""AES-256-GCM (SP 800-38D) with a fresh random IV for every sealing. Takes no nonce."""

from __future__ import annotations

import os
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from .errors import OpenFailed
from .secret import SessionKey

IV_BYTES: Final = 12
TAG_BYTES: Final = 16


class Aead:
    """The cipher of one session key, made once and used for every message."""

    __slots__ = ("_cipher",)

    def __init__(self, key: SessionKey) -> None:
        """Prepare the cipher of `key`."""
        self._cipher = AESGCM(key.reveal())

    def seal(self, plaintext: bytes, aad: bytes) -> tuple[bytes, bytes]:
        """Return a fresh 12-byte IV and the ciphertext with its 16-byte tag."""
        # The limit of 2^32 random IVs a key (SP 800-38D, 8.3) is kept by the sessions' message cap.
        iv = os.urandom(IV_BYTES)
        return iv, self._cipher.encrypt(iv, plaintext, aad)

    def seal_covering_iv(
        self, plaintext: bytes, before: bytes, after: bytes
    ) -> tuple[bytes, bytes]:
        """Do as `seal`, with before ‖ IV ‖ after as additional data."""
        iv = os.urandom(IV_BYTES)
        return iv, self._cipher.encrypt(iv, plaintext, before + iv + after)

    def open(self, iv: bytes, sealed: bytes, aad: bytes) -> bytes:
        """Return the plaintext of ciphertext ‖ tag; raise OpenFailed when anything was changed."""
        try:
            return self._cipher.decrypt(iv, sealed, aad)
        except InvalidTag:
            raise OpenFailed("bad-tag") from None
