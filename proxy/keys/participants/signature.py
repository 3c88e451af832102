"""The JWS in a key package, of a prekey or of an erase receipt.

Compact (RFC 7515), EdDSA (RFC 8037) or PS256 (RFC 7518, section 3.5) as the key says, one header.
"""

from __future__ import annotations

import json
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
from cryptography.hazmat.primitives.hashes import SHA256

from ...core.crypto import base64url
from ..keyring.jwk_set import decoded, parse_object
from .package_shape import TYP
from .private_key import native_rsa
from .public_key import PublicKey, integer

_SEGMENTS: Final = 3
_SHA256: Final = SHA256()
# The salt is as long as the hash, and no other length is read.
_PSS: Final = PSS(MGF1(_SHA256), salt_length=_SHA256.digest_size)


def sign(
    claims: dict[str, Any], private: dict[str, Any], public: PublicKey, *, typ: str = TYP
) -> bytes:
    """Return the JWS of `claims` by a signing key whose private JWK is given.

    RSA takes some milliseconds: call it in a thread.
    """
    text = _head(public, typ) + b"." + base64url.encode(json.dumps(claims).encode())
    if public.kind == "RSA-PSS":
        tag = native_rsa(private).sign(text, _PSS, _SHA256)
    else:
        seed = base64url.decode(private["d"].encode())
        tag = Ed25519PrivateKey.from_private_bytes(seed).sign(text)
    return text + b"." + base64url.encode(tag)


def verified(signed: bytes, sender: PublicKey, *, typ: str = TYP) -> dict[str, Any] | None:
    """Return the claims of a JWS of that `typ` that `sender` signed; None for anything else.

    The header is compared with the one that `sign` writes, so that no other `alg` is ever read.
    """
    segments = signed.split(b".")
    if sender.use != "sig" or len(segments) != _SEGMENTS or segments[0] != _head(sender, typ):
        return None
    claims = decoded(segments[1].decode("latin-1"))
    tag = decoded(segments[2].decode("latin-1"))
    if claims is None or tag is None or not _fits(tag, b".".join(segments[:2]), sender):
        return None
    return parse_object(claims)


def _fits(tag: bytes, text: bytes, sender: PublicKey) -> bool:
    members = dict(sender.required)
    try:
        if sender.kind == "RSA-PSS":
            e, n = (integer(members[name]) or 0 for name in ("e", "n"))
            RSAPublicNumbers(e, n).public_key().verify(tag, text, _PSS, _SHA256)
        else:
            Ed25519PublicKey.from_public_bytes(decoded(members["x"]) or b"").verify(tag, text)
    except InvalidSignature:
        return False
    return True


def _head(public: PublicKey, typ: str) -> bytes:
    header = {"typ": typ, "alg": public.alg, "kid": public.kid}
    return base64url.encode(json.dumps(header, separators=(",", ":")).encode())
