"""The JWS in a key package, of a prekey or of an erase receipt.

Compact (RFC 7515), EdDSA (RFC 8037), one header.
"""

from __future__ import annotations

import json
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from ...core import base64url
from ..jwk_set import decoded, parse_object
from .package_shape import TYP
from .public_key import PublicKey

_SEGMENTS: Final = 3


def sign(
    claims: dict[str, Any], private: dict[str, Any], public: PublicKey, *, typ: str = TYP
) -> bytes:
    """Return the JWS of `claims` by an Ed25519 key whose private JWK is given."""
    text = _head(public, typ) + b"." + base64url.encode(json.dumps(claims).encode())
    key = Ed25519PrivateKey.from_private_bytes(base64url.decode(private["d"].encode()))
    return text + b"." + base64url.encode(key.sign(text))


def verified(signed: bytes, sender: PublicKey, *, typ: str = TYP) -> dict[str, Any] | None:
    """Return the claims of a JWS of that `typ` that `sender` signed; None for anything else.

    The header is compared with the one that `sign` writes, so that no other `alg` is ever read.
    """
    segments = signed.split(b".")
    if sender.use != "sig" or len(segments) != _SEGMENTS or segments[0] != _head(sender, typ):
        return None
    claims = decoded(segments[1].decode("latin-1"))
    tag = decoded(segments[2].decode("latin-1"))
    point = decoded(dict(sender.required)["x"])
    if claims is None or tag is None or point is None:
        return None
    try:
        Ed25519PublicKey.from_public_bytes(point).verify(tag, b".".join(segments[:2]))
    except InvalidSignature:
        return None
    return parse_object(claims)


def _head(public: PublicKey, typ: str) -> bytes:
    header = {"typ": typ, "alg": public.alg, "kid": public.kid}
    return base64url.encode(json.dumps(header, separators=(",", ":")).encode())
