"""Public keys of participants as JWK (RFC 7517): five kinds, read strictly.

RSA of 4096 bits (RSA-OAEP-256, RFC 7518), X25519 (ECDH-ES+A256KW, RFC 8037) and, experimental,
X-Wing wrap session keys; Ed25519 (EdDSA, RFC 8037) and RSA of 4096 bits (PS256) sign. JOSE
libraries do not hold a JWK to its own `alg`, so what a key may do is decided here, by its kind. An
RSA key is of one kind or the other: its thumbprint is the same, so no participant has it as both.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from ...core.crypto import base64url
from ...core.errors import ParticipantError
from ..keyring.jwk_set import decoded, parse_object
from ..policy import RSA_BITS
from . import X_WING, Use, x_wing
from .points import POINT_BYTES, check_ed25519, check_x25519

Kind = Literal["RSA", "X25519", "X-Wing", "Ed25519", "RSA-PSS"]

RSA_EXPONENT: Final = 65537

_REQUIRED: Final = {
    "RSA": ("e", "kty", "n"),
    "OKP": ("crv", "kty", "x"),
    "AKP": ("alg", "kty", "pub"),
}
_ALG: Final = {
    "RSA": "RSA-OAEP-256",
    "X25519": "ECDH-ES+A256KW",
    "X-Wing": X_WING,
    "Ed25519": "EdDSA",
    "RSA-PSS": "PS256",
}
USE: Final[dict[str, Use]] = {
    "RSA": "enc",
    "X25519": "enc",
    "X-Wing": "enc",
    "Ed25519": "sig",
    "RSA-PSS": "sig",
}
USUAL: Final[dict[Use, Kind]] = {"enc": "RSA", "sig": "Ed25519"}
"""The kind of key that a use has where no other is asked for."""

_PRIVATE: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"})
# NIST SP 800-89, section 5.3.3: a modulus has no factor below 752.
_SMALL_FACTORS: Final = math.factorial(751)


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A public key that passed every check; `required` are the members that make its thumbprint.

    Those of RSA do not show whether it signs: `signs` does.
    """

    required: tuple[tuple[str, str], ...]
    signs: bool = False

    @property
    def kty(self) -> str:
        """RSA, OKP or AKP."""
        return dict(self.required)["kty"]

    @property
    def kind(self) -> Kind:
        """RSA (to wrap keys for), X25519, X-Wing, Ed25519 or RSA-PSS (to sign)."""
        return _kind(dict(self.required), signs=self.signs)

    @property
    def use(self) -> Use:
        """Whether it wraps keys or checks signatures."""
        return USE[self.kind]

    @property
    def alg(self) -> str:
        """The one JOSE algorithm that it may be used with; that of X-Wing is our own."""
        return _ALG[self.kind]

    @property
    def kid(self) -> str:
        """The thumbprint (RFC 7638): SHA-256 as 43 characters of base64url."""
        text = json.dumps(dict(self.required), separators=(",", ":"), sort_keys=True)
        return base64url.encode(hashlib.sha256(text.encode()).digest()).decode()

    def to_jwk(self) -> dict[str, str]:
        """Return the JWK, with everything by which others can check how it may be used."""
        return {**dict(self.required), "use": self.use, "alg": self.alg, "kid": self.kid}


def parse(text: bytes, use: Use = "enc") -> PublicKey:
    """Return the public key of a JWK; raise ParticipantError for anything that does not fit.

    `use` counts for RSA where the JWK has neither `use` nor `alg`.
    """
    members = parse_object(text)
    if members is None:
        raise ParticipantError("the key is not a JSON object with unique members")
    return from_members(members, use)


def from_members(members: Mapping[str, Any], use: Use = "enc") -> PublicKey:
    """Return the public key of a JWK's members, as `parse` does."""
    if _PRIVATE & set(members):
        raise ParticipantError("the key is a private or secret key: give the public part alone")
    kty = members.get("kty")
    if not isinstance(kty, str) or kty not in _REQUIRED:
        raise ParticipantError("the key's kty is neither RSA, OKP nor AKP")
    required = _REQUIRED[kty]
    if set(members) - {*required, "use", "alg", "kid"}:
        raise ParticipantError(f"the key has other members than {', '.join(required)}, use, alg")
    # A tuple, since the member may be any JSON value, also an unhashable one.
    if kty == "OKP" and members.get("crv") not in ("X25519", "Ed25519"):
        raise ParticipantError("the key's crv is neither X25519 nor Ed25519")
    silent = not {"use", "alg"} & set(members)
    sig = members.get("use", use if silent else None) == "sig" or members.get("alg") == "PS256"
    signs = kty == "RSA" and sig
    kind = _kind(members, signs=signs)
    if members.get("alg", None if kty == "AKP" else _ALG[kind]) != _ALG[kind]:
        raise ParticipantError(f"the key's alg is not {_ALG[kind]}")
    if members.get("use", USE[kind]) != USE[kind]:
        raise ParticipantError(f"the key's use is not {USE[kind]}")
    _CHECKS[kty](members)
    key = PublicKey(tuple((name, str(members[name])) for name in required), signs)
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
    if point is None or len(point) != POINT_BYTES:
        raise ParticipantError("the key is not 32 bytes in canonical base64url")
    if members["crv"] == "Ed25519":
        check_ed25519(point)
        return
    check_x25519(point)
    try:
        # A point of small order gives everybody the same secret (RFC 7748, section 6.1).
        X25519PrivateKey.generate().exchange(X25519PublicKey.from_public_bytes(point))
    except ValueError:
        raise ParticipantError("the key is a point of small order") from None


def _check_akp(members: Mapping[str, Any]) -> None:
    x_wing.check(decoded(members.get("pub")) or b"")


_CHECKS: Final = {"RSA": _check_rsa, "OKP": _check_okp, "AKP": _check_akp}


def _kind(members: Mapping[str, Any], *, signs: bool) -> Kind:
    if members["kty"] == "RSA":
        return "RSA-PSS" if signs else "RSA"
    if members["kty"] == "AKP":
        return "X-Wing"
    return "X25519" if members["crv"] == "X25519" else "Ed25519"


def integer(text: object) -> int | None:
    """Return the number of a Base64urlUInt (RFC 7518): no leading zero byte; None otherwise."""
    data = decoded(text)
    return None if not data or data[0] == 0 else int.from_bytes(data)
