"""Wrap and unwrap ephemeral session keys: AES-256-GCM under a key of their own for every session.

A wrapped key is IV:12 ‖ ciphertext:32 ‖ tag:16. The wrapping key is derived from the KEK and the
session id, so it wraps one session key and no other, and a KEK never works as a cipher key.
"""

from __future__ import annotations

from typing import Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from .aead import IV_BYTES, TAG_BYTES, Aead
from .derivation import SID_BYTES
from .errors import OpenFailed
from .secret import KEY_BYTES, Kek, SessionKey

# Without a 00 behind it: the session id always has 12 bytes, and no other label begins so.
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
