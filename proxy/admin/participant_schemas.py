"""Shapes of what the operations on participants take and answer."""

from __future__ import annotations

from typing import Any, Final

from ..keys.participants import x_wing
from ..keys.participants.participant import MAX_REASON_CHARS
from ..keys.participants.public_key import RSA_BITS
from . import schemas
from .operation import Parameter, Schema

MAX_GRACE_SECONDS: Final = 366 * 86_400
GRACE_SECONDS: Final = 7 * 86_400

_TEXT: Final = {"type": "string"}
_TIME: Final = {"type": "integer", "minimum": 1}
_USE: Final = {"enum": ["enc", "sig"]}
_BASE64URL: Final = "^[A-Za-z0-9_-]+$"
_OURS: Final[dict[str, Schema]] = {"use": _USE, "alg": _TEXT, "kid": schemas.KID}

PATH: Final = Parameter(
    "id",
    "path",
    "Who: 1 to 256 bytes of printable text.",
    {"type": "string", "minLength": 1, "maxLength": 256},
)
KID_PARAMETER: Final = Parameter("kid", "query", "Which key.", schemas.KID)
USE_PARAMETER: Final = Parameter(
    "use", "query", "For what; `enc` unless given.", _USE, required=False
)

JWK: Final = {
    "oneOf": [
        schemas.record(
            {
                "kty": {"const": "RSA"},
                "n": {"type": "string", "pattern": _BASE64URL, "maxLength": RSA_BITS},
                "e": {"const": "AQAB"},
                **_OURS,
            },
            ("kty", "n", "e"),
        ),
        schemas.record(
            {
                "kty": {"const": "OKP"},
                "crv": {"enum": ["Ed25519", "X25519"]},
                "x": {"type": "string", "pattern": "^[A-Za-z0-9_-]{43}$"},
                **_OURS,
            },
            ("kty", "crv", "x"),
        ),
        schemas.record(
            {
                "kty": {"const": "AKP"},
                "pub": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1622}$"},
                **_OURS,
                "alg": {"const": x_wing.ALG},
            },
            ("kty", "alg", "pub"),
        ),
    ]
}
"""A public key (RFC 7517): RSA (4096 bits) or X25519 to wrap keys for, Ed25519 to sign with.

AKP is X-Wing, experimental: to wrap keys for.
"""

KEY: Final = schemas.record(
    {
        "kid": schemas.KID,
        "device": _TEXT,
        "use": _USE,
        "status": {"enum": ["active", "rotated", "revoked", "expired"]},
        "private": {"type": "boolean"},
        "prekey": {"const": True},
        "accepted": {"type": "boolean"},
        "created": _TIME,
        "expires": _TIME,
        "retires": _TIME,
        "revoked": _TIME,
        "reason": _TEXT,
        "jwk": JWK,
    },
    ("kid", "device", "use", "status", "private", "created", "jwk"),
)

_DEVICE: Final = {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$", "default": "main"}
_NEW: Final[dict[str, Schema]] = {
    "device": _DEVICE,
    "use": _USE,
    "expires": schemas.SECONDS,
}
_PASSPHRASE: Final = {"type": "string", "minLength": 12, "maxLength": 256, "format": "password"}
_GRACE: Final = {"type": "integer", "minimum": 0, "maximum": MAX_GRACE_SECONDS}
REASON: Final = {"type": "string", "minLength": 1, "maxLength": MAX_REASON_CHARS}


def new_key(**more: Any) -> dict[str, Any]:  # noqa: ANN401 - further members, as JSON Schema
    """Return the schema of a new key: a JWK, or what opens the private key of a new pair."""
    return {
        "oneOf": [
            schemas.record({"jwk": JWK, **_NEW, **more}, ("jwk",)),
            schemas.record({"passphrase": _PASSPHRASE, **_NEW, **more}, ("passphrase",)),
            schemas.record({"under": {"const": "keyring"}, **_NEW, **more}, ("under",)),
        ]
    }


ADD_BODY: Final = new_key()
ROTATE_BODY: Final = new_key(grace=_GRACE)
REVOKE_BODY: Final = schemas.record({"kid": schemas.KID, "reason": REASON}, ("kid", "reason"))
EXPIRE_BODY: Final = schemas.record({"kid": schemas.KID, "at": schemas.SECONDS}, ("kid",))
ACCEPT_BODY: Final = schemas.record({"kid": schemas.KID}, ("kid",))
LISTED: Final = schemas.record({"keys": schemas.many(KEY)}, ("keys",))
JWKS: Final = schemas.record({"keys": schemas.many(JWK)}, ("keys",))
VALID: Final = schemas.record({"has_valid_keys": {"type": "boolean"}}, ("has_valid_keys",))
