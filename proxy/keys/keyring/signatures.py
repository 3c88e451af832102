"""Signatures over the head of a keyring's file, and the private keys that make them."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
    load_pem_private_key,
)

from ...core.errors import KeyringError
from .. import private_file
from ..policy import SIGNING_KEY_BYTES
from .head import Origin


def signed(origin: Origin, keys: Iterable[str]) -> bool:
    """Whether one of these public keys signed the head of a file."""
    text = origin.head.text()
    return any(verifies(one, text, key) for key in keys for one in origin.signatures)


def verifies(signature: bytes, text: bytes, key: str) -> bool:
    """Whether a public key (SubjectPublicKeyInfo in base64) made a signature over a text.

    Ed25519 (RFC 8032), or ECDSA with P-256 and SHA-256 in DER. Raises KeyringError for other keys.
    """
    loaded = _public_key(key)
    try:
        if isinstance(loaded, Ed25519PublicKey):
            loaded.verify(signature, text)
        else:
            loaded.verify(signature, text, ECDSA(SHA256()))
    except InvalidSignature:
        return False
    return True


def _public_key(text: str) -> Ed25519PublicKey | EllipticCurvePublicKey:
    try:
        loaded = load_der_public_key(base64.b64decode(text, validate=True))
    except ValueError:
        loaded = None
    if isinstance(loaded, Ed25519PublicKey | EllipticCurvePublicKey):
        return loaded
    raise KeyringError("a key of keys.keyring.signed_by is no public key of Ed25519 or P-256")


def sign(text: bytes, path: Path, password: bytes | None) -> tuple[bytes, str]:
    """Return the signature of a private key (PEM) over a text, and the public key in base64.

    Raises KeyringError, naming the path, for a file that others can read, another kind of key, and
    a wrong or missing password.
    """
    try:
        key = load_pem_private_key(private_file.read(path, SIGNING_KEY_BYTES), password)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if isinstance(key, Ed25519PrivateKey):
        made = key.sign(text)
    elif isinstance(key, EllipticCurvePrivateKey) and key.curve.name == "secp256r1":
        made = key.sign(text, ECDSA(SHA256()))
    else:
        raise KeyringError(
            f"{path}: no private key of Ed25519 or P-256 in PEM, or its password is another one"
        )
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return made, base64.b64encode(public).decode()
