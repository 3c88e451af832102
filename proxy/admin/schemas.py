"""JSON Schemas (2020-12) of the requests and responses of the admin API."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from ..keys.participants.calls import MAX_REASON_CHARS, RSA_BITS, X_WING
from .operation import Parameter, Schema


def _joined(part: Schema) -> list[dict[str, Any]]:
    several = {"type": "array", "items": dict(part), "minItems": 1}
    members = {"type": "object", "properties": {"members": several}, "required": ["members"]}
    return [several, {**members, "additionalProperties": False}]


NAME: Final[Schema] = {"type": "string"}
"""A name: tenant, conversation, field."""

_PART: Final[Schema] = {"anyOf": [dict(NAME), *_joined(NAME)]}
ANY_NAME: Final[Schema] = {"anyOf": [dict(NAME), *_joined(_PART)]}
"""A name, or several joined: a list, or `members` in any order. Any depth is read; the schema shows
two levels."""

SECONDS: Final[Schema] = {"type": "integer", "minimum": 1, "maximum": (1 << 62) - 2}
"""A time in seconds since 1970."""

KID: Final[Schema] = {"type": "string", "pattern": "^[A-Za-z0-9_-]{43}$"}
"""The thumbprint of a key (RFC 7638)."""


def record(members: Mapping[str, Schema], required: Collection[str] = ()) -> dict[str, Any]:
    """Return the schema of a JSON object with these members and no others."""
    return {
        "type": "object",
        "properties": {name: dict(one) for name, one in members.items()},
        "required": sorted(required),
        "additionalProperties": False,
    }


def anything() -> dict[str, Any]:
    """Return the schema of a JSON object to which versions may add members."""
    return {"type": "object"}


def many(one: Schema) -> dict[str, Any]:
    """Return the schema of a list."""
    return {"type": "array", "items": dict(one)}


def nullable(one: Schema) -> dict[str, Any]:
    """Return the schema of a value or null."""
    return {"anyOf": [dict(one), {"type": "null"}]}


MAX_GRACE_SECONDS: Final = 366 * 86_400
GRACE_SECONDS: Final = 7 * 86_400

_TEXT: Final = {"type": "string"}
_TIME: Final = {"type": "integer", "minimum": 1}
_USE: Final = {"enum": ["enc", "sig"]}
_BASE64URL: Final = "^[A-Za-z0-9_-]+$"
_OURS: Final[dict[str, Schema]] = {"use": _USE, "alg": _TEXT, "kid": KID}

PATH: Final = Parameter(
    "id",
    "path",
    "The id of the participant: 1 to 256 bytes of printable text.",
    {"type": "string", "minLength": 1, "maxLength": 256},
)
KID_PARAMETER: Final = Parameter("kid", "query", "The thumbprint of the key (RFC 7638).", KID)
USE_PARAMETER: Final = Parameter(
    "use", "query", "The use of the key: `enc` (default) or `sig`.", _USE, required=False
)

JWK: Final = {
    "oneOf": [
        record(
            {
                "kty": {"const": "RSA"},
                "n": {"type": "string", "pattern": _BASE64URL, "maxLength": RSA_BITS},
                "e": {"const": "AQAB"},
                **_OURS,
            },
            ("kty", "n", "e"),
        ),
        record(
            {
                "kty": {"const": "OKP"},
                "crv": {"enum": ["Ed25519", "X25519"]},
                "x": {"type": "string", "pattern": "^[A-Za-z0-9_-]{43}$"},
                **_OURS,
            },
            ("kty", "crv", "x"),
        ),
        record(
            {
                "kty": {"const": "AKP"},
                "pub": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1622}$"},
                **_OURS,
                "alg": {"const": X_WING},
            },
            ("kty", "alg", "pub"),
        ),
    ]
}
"""A public key (RFC 7517): RSA (4096 bits) or X25519 to wrap keys, Ed25519 to verify signatures.

AKP is X-Wing (experimental), to wrap keys.
"""

KEY: Final = record(
    {
        "kid": KID,
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
    "expires": SECONDS,
}
_PASSPHRASE: Final = {"type": "string", "minLength": 12, "maxLength": 256, "format": "password"}
_GRACE: Final = {"type": "integer", "minimum": 0, "maximum": MAX_GRACE_SECONDS}
REASON: Final = {"type": "string", "minLength": 1, "maxLength": MAX_REASON_CHARS}


def new_key(**more: Any) -> dict[str, Any]:  # noqa: ANN401 - further members, as JSON Schema
    """Return the schema of a new key: a JWK, or what protects the private key of a new pair."""
    return {
        "oneOf": [
            record({"jwk": JWK, **_NEW, **more}, ("jwk",)),
            record({"passphrase": _PASSPHRASE, **_NEW, **more}, ("passphrase",)),
            record({"under": {"const": "keyring"}, **_NEW, **more}, ("under",)),
        ]
    }


ADD_BODY: Final = new_key()
ROTATE_BODY: Final = new_key(grace=_GRACE)
REVOKE_BODY: Final = record({"kid": KID, "reason": REASON}, ("kid", "reason"))
EXPIRE_BODY: Final = record({"kid": KID, "at": SECONDS}, ("kid",))
ACCEPT_BODY: Final = record({"kid": KID}, ("kid",))
LISTED: Final = record({"keys": many(KEY)}, ("keys",))
JWKS: Final = record({"keys": many(JWK)}, ("keys",))
VALID: Final = record({"has_valid_keys": {"type": "boolean"}}, ("has_valid_keys",))
