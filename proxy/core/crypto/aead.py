"""AES-256-GCM (SP 800-38D) with a fresh random IV for every sealing. Takes no nonce."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from ..errors import OpenFailed
from .derivation import SID_BYTES
from .secret import KEY_BYTES, Kek, SessionKey

IV_BYTES: Final = 12
TAG_BYTES: Final = 16
Parts = tuple[bytes, bytes, bytes]
"""A token taken apart: the text of its head, its IV, and its ciphertext with the tag."""


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

    def seal_each(self, plaintexts: Iterable[bytes], aad: bytes) -> list[tuple[bytes, bytes]]:
        """Return for each text what `seal` returns."""
        encrypt, random = self._cipher.encrypt, os.urandom
        return [(iv := random(IV_BYTES), encrypt(iv, one, aad)) for one in plaintexts]

    def seal_all(self, texts: Sequence[bytes], aads: Sequence[bytes]) -> tuple[bytes, list[bytes]]:
        """Return the IVs, one after the other, and the ciphertexts with their tags."""
        encrypt, ivs = self._cipher.encrypt, os.urandom(IV_BYTES * len(texts))
        starts = range(0, len(ivs), IV_BYTES)
        return ivs, [
            encrypt(ivs[at : at + IV_BYTES], text, aad)
            for at, text, aad in zip(starts, texts, aads, strict=True)
        ]

    def open_all(self, sealed: Iterable[Parts]) -> list[bytes] | None:
        """Return the plaintexts of tokens, whose heads are their additional data.

        None if anything was changed; all are tried, so that the time does not tell which.
        """
        plaintexts = self.open_each(sealed)
        return None if None in plaintexts else plaintexts  # type: ignore[return-value]  # no None

    def seal_covering_iv(
        self, plaintext: bytes, head: Callable[[bytes], bytes], after: bytes
    ) -> tuple[bytes, bytes]:
        """Return the head that is made of the IV, and ciphertext ‖ tag.

        The additional data is head ‖ after.
        """
        iv = os.urandom(IV_BYTES)
        made = head(iv)
        return made, self._cipher.encrypt(iv, plaintext, made + after)

    def open(self, iv: bytes, sealed: bytes, aad: bytes) -> bytes:
        """Return the plaintext of ciphertext ‖ tag; raise OpenFailed if anything was changed."""
        try:
            return self._cipher.decrypt(iv, sealed, aad)
        except InvalidTag:
            raise OpenFailed("bad-tag") from None

    def open_each(self, sealed: Iterable[Parts], aad: bytes | None = None) -> list[bytes | None]:
        """Return the plaintexts, None for each that was changed; without `aad` it is its head."""
        decrypt = self._cipher.decrypt
        plaintexts: list[bytes | None] = []
        for head, iv, text in sealed:
            try:
                plaintexts.append(decrypt(iv, text, head if aad is None else aad))
            except InvalidTag:
                plaintexts.append(None)
        return plaintexts


# Without a 00 after it: the session id always has 12 bytes, and no other label begins like it.
WRAP_LABEL: Final = b"sealyard/v1/wrap"
WRAPPED_BYTES: Final = IV_BYTES + KEY_BYTES + TAG_BYTES


def wrap(kek: Kek, key: SessionKey, sid: bytes, *, identity: bytes) -> bytes:
    """Return `key` wrapped for the session `sid` (12 bytes), bound to its record's `identity`."""
    iv, sealed = _cipher(kek, sid).seal(key.reveal(), identity)
    return iv + sealed


def unwrap(kek: Kek, wrapped: bytes, sid: bytes, *, identity: bytes) -> SessionKey:
    """Return the session key; raise OpenFailed unless KEK, session and identity are the same."""
    if len(wrapped) != WRAPPED_BYTES:
        raise OpenFailed("malformed-wrapped-key")
    return SessionKey(_cipher(kek, sid).open(wrapped[:IV_BYTES], wrapped[IV_BYTES:], identity))


def _cipher(kek: Kek, sid: bytes) -> Aead:
    if len(sid) != SID_BYTES:
        message = f"a session id is exactly {SID_BYTES} bytes"
        raise ValueError(message)
    material = HKDFExpand(SHA256(), KEY_BYTES, WRAP_LABEL + sid).derive(kek.reveal())
    return Aead(SessionKey(material))
