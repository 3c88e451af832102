"""Public keys of participants as JWK (RFC 7517): two kinds, read strictly.

RSA of 4096 bits wraps session keys (RSA-OAEP-256, RFC 7518); Ed25519 signs (EdDSA, RFC 8037). JOSE
libraries do not hold a JWK to its own `alg`, so what a key may do is settled here, by its kind.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers

from ...core import base64url
from ...core.errors import ParticipantError
from ..jwk_set import decoded, parse_object

Use = Literal["enc", "sig"]

RSA_BITS: Final = 4096
RSA_EXPONENT: Final = 65537
ED25519_BYTES: Final = 32

_REQUIRED: Final = {"RSA": ("e", "kty", "n"), "OKP": ("crv", "kty", "x")}
_ALG: Final = {"RSA": "RSA-OAEP-256", "OKP": "EdDSA"}
_USE: Final[dict[str, Use]] = {"RSA": "enc", "OKP": "sig"}
_PRIVATE: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
# NIST SP 800-89, section 5.3.3: a modulus has no factor below 752.
_SMALL_FACTORS: Final = math.factorial(751)


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A public key that passed every check; `required` are the members that make its thumbprint."""

    required: tuple[tuple[str, str], ...]

    @property
    def kty(self) -> str:
        """RSA or OKP."""
        return dict(self.required)["kty"]

    @property
    def use(self) -> Use:
        """Whether it wraps keys or checks signatures."""
        return _USE[self.kty]

    @property
    def alg(self) -> str:
        """The one JOSE algorithm that it may be used with."""
        return _ALG[self.kty]

    @property
    def kid(self) -> str:
        """The thumbprint (RFC 7638): SHA-256 as 43 characters of base64url."""
        text = json.dumps(dict(self.required), separators=(",", ":"), sort_keys=True)
        return base64url.encode(hashlib.sha256(text.encode()).digest()).decode()

    def to_jwk(self) -> dict[str, str]:
        """Return the JWK, with everything by which others can check how it may be used."""
        return {**dict(self.required), "use": self.use, "alg": self.alg, "kid": self.kid}


def parse(text: bytes) -> PublicKey:
    """Return the public key of a JWK; raise ParticipantError for anything that does not fit."""
    members = parse_object(text)
    if members is None:
        raise ParticipantError("the key is not a JSON object with unique members")
    return from_members(members)


def from_members(members: Mapping[str, Any]) -> PublicKey:
    """Return the public key of a JWK's members, as `parse` does."""
    if _PRIVATE & set(members):
        raise ParticipantError("the key is a private or secret key: give the public part alone")
    kty = members.get("kty")
    if not isinstance(kty, str) or kty not in _REQUIRED:
        raise ParticipantError("the key's kty is neither RSA nor OKP")
    required = _REQUIRED[kty]
    if set(members) - {*required, "use", "alg", "kid"}:
        raise ParticipantError(f"the key has other members than {', '.join(required)}, use, alg")
    if members.get("alg", _ALG[kty]) != _ALG[kty]:
        raise ParticipantError(f"the key's alg is not {_ALG[kty]}")
    if members.get("use", _USE[kty]) != _USE[kty]:
        raise ParticipantError(f"the key's use is not {_USE[kty]}")
    (_check_rsa if kty == "RSA" else _check_okp)(members)
    key = PublicKey(tuple((name, str(members[name])) for name in required))
    if members.get("kid", key.kid) != key.kid:
        raise ParticipantError("the key's kid is not its thumbprint (RFC 7638): leave it out")
    return key


def _check_rsa(members: Mapping[str, Any]) -> None:
    modulus, exponent = integer(members.get("n")), integer(members.get("e"))
    if modulus is None or exponent is None:
        raise ParticipantError("the key's n and e are not canonical base64url numbers")
    if modulus.bit_length() != RSA_BITS or exponent != RSA_EXPONENT:
        raise ParticipantError(f"the key is not RSA of {RSA_BITS} bits with e = {RSA_EXPONENT}")
    if math.gcd(modulus, _SMALL_FACTORS) != 1:
        raise ParticipantError("the key's modulus has a small factor")
    RSAPublicNumbers(exponent, modulus).public_key()


def _check_okp(members: Mapping[str, Any]) -> None:
    point = decoded(members.get("x"))
    if members.get("crv") != "Ed25519" or point is None or len(point) != ED25519_BYTES:
        raise ParticipantError("the key is not an Ed25519 key of 32 bytes in canonical base64url")
    Ed25519PublicKey.from_public_bytes(point)


def integer(text: object) -> int | None:
    """Return the number of a Base64urlUInt (RFC 7518): no leading zero byte; None otherwise."""
    data = decoded(text)
    return None if not data or data[0] == 0 else int.from_bytes(data)
