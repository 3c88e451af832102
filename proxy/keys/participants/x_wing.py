"""X-Wing keys, experimental: ML-KEM-768 (FIPS 203) and X25519 together, used by HPKE (RFC 9180).

A key is a seed of 32 bytes, from which SHAKE-256 derives both (draft-connolly-cfrg-xwing-kem). What
is wrapped for it stays secret if one of the two is broken. No JOSE library knows it yet, so
`alg` is a name of our own; the JWK has the `kty` and the members of ML-DSA's: AKP, pub, priv.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import Final

from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import (
    AEAD,
    KDF,
    KEM,
    MLKEM768X25519PrivateKey,
    MLKEM768X25519PublicKey,
    Suite,
)

from ...core.errors import ParticipantError
from .points import check_x25519

SEED_BYTES: Final = 32
PUBLIC_BYTES: Final = 1216
WRAPPED_BYTES: Final = 1120 + 32 + 16
"""What the KEM encapsulated, then a key of 32 bytes and its tag."""

_ML_KEM_PUBLIC_BYTES: Final = 1184
_ML_KEM_SEED_BYTES: Final = 64
_EXPANDED_BYTES: Final = 96
_INFO: Final = b"sealyard/v1/x-wing\x00A256GCM\x00"


def new_seed() -> bytes:
    """Return a new private key."""
    return secrets.token_bytes(SEED_BYTES)


def private_key(seed: bytes) -> MLKEM768X25519PrivateKey:
    """Return the key of a seed for `unwrap`; raise ParticipantError where there is no ML-KEM."""
    ml_kem, x25519 = _parts(seed)
    return MLKEM768X25519PrivateKey(ml_kem, x25519)


def public_bytes(seed: bytes) -> bytes:
    """Return the public key of a seed; raise ParticipantError where there is no ML-KEM."""
    ml_kem, x25519 = _parts(seed)
    return ml_kem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw()


def check(public: bytes) -> None:
    """Raise ParticipantError unless it is a public key that may be wrapped for."""
    _loaded(public)
    check_x25519(public[_ML_KEM_PUBLIC_BYTES:])
    try:
        point = X25519PublicKey.from_public_bytes(public[_ML_KEM_PUBLIC_BYTES:])
        # A point of small order adds nothing to ML-KEM (RFC 7748, section 6.1).
        X25519PrivateKey.generate().exchange(point)
    except ValueError:
        raise ParticipantError("the key's X25519 part is a point of small order") from None


def wrap(key: bytes, public: bytes, kid: str) -> bytes:
    """Return `key`, of 32 bytes, for the holder of `public`; it opens under this `kid` alone."""
    return _suite().encrypt(key, _loaded(public), info=_INFO + kid.encode())


def unwrap(wrapped: bytes, private: MLKEM768X25519PrivateKey, kid: str) -> bytes | None:
    """Return what was wrapped; None where it was not for this key and `kid`, or was changed."""
    try:
        return _suite().decrypt(wrapped, private, info=_INFO + kid.encode())
    except InvalidTag:
        return None


def _suite() -> Suite:
    return Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)


def _parts(seed: bytes) -> tuple[MLKEM768PrivateKey, X25519PrivateKey]:
    expanded = hashlib.shake_256(seed).digest(_EXPANDED_BYTES)
    try:
        ml_kem = MLKEM768PrivateKey.from_seed_bytes(expanded[:_ML_KEM_SEED_BYTES])
    except UnsupportedAlgorithm:
        raise ParticipantError("the cryptographic library here has no ML-KEM-768") from None
    return ml_kem, X25519PrivateKey.from_private_bytes(expanded[_ML_KEM_SEED_BYTES:])


def _loaded(public: bytes) -> MLKEM768X25519PublicKey:
    if len(public) != PUBLIC_BYTES:
        raise ParticipantError(f"the key is not {PUBLIC_BYTES} bytes in canonical base64url")
    lattice, point = public[:_ML_KEM_PUBLIC_BYTES], public[_ML_KEM_PUBLIC_BYTES:]
    try:
        ml_kem = MLKEM768PublicKey.from_public_bytes(lattice)
    except ValueError:
        raise ParticipantError("the key's ML-KEM-768 part is none (FIPS 203, 7.2)") from None
    except UnsupportedAlgorithm:
        raise ParticipantError("the cryptographic library here has no ML-KEM-768") from None
    return MLKEM768X25519PublicKey(ml_kem, X25519PublicKey.from_public_bytes(point))
