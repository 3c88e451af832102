"""The outer shape of a key package, and of the session key inside: exactly what we write."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from ...core.crypto.aead import IV_BYTES, TAG_BYTES
from ...core.crypto.derivation import SID_BYTES
from ...core.crypto.secret import KEY_BYTES, SessionKey
from ...core.errors import OpenFailed
from ..keyring.jwk_set import decoded, parse_object
from ..policy import MAX_PACKAGE_BYTES, MAX_RECIPIENTS, RSA_BITS
from . import X_WING, x_wing
from .points import POINT_BYTES

TYP: Final = "sy1-package"
RSA: Final = "RSA-OAEP-256"
ECDH: Final = "ECDH-ES+A256KW"
JOSE_ALGS: Final = (RSA, ECDH)
"""Those that joserfc wraps by."""

ENC: Final = "A256GCM"

_HEADER: Final = {"typ": TYP, "enc": ENC}
_MEMBERS: Final = {"protected", "iv", "ciphertext", "tag", "recipients"}
_WRAPPED_BYTES: Final = {RSA: RSA_BITS // 8, ECDH: 40, X_WING: x_wing.WRAPPED_BYTES}


@dataclass(frozen=True, slots=True)
class Shape:
    """A package whose outer shape is right; nothing of it is authentic yet."""

    members: dict[str, Any]
    recipients: tuple[str, ...]

    def only_for(self, kid: str, alg: str) -> Any:  # noqa: ANN401 - JSON, in joserfc's own form
        """Return the package with the entry of one key alone; None where it has none for it."""
        wanted = kid, alg
        mine = [
            one
            for one in self.members["recipients"]
            if (one["header"]["kid"], one["header"]["alg"]) == wanted
        ]
        return {**self.members, "recipients": mine} if mine else None


def parse(text: bytes) -> Shape:
    """Return the shape of a package; raise OpenFailed, before a key is used, for any other."""
    members = parse_object(text) if len(text) <= MAX_PACKAGE_BYTES else None
    if members is None or set(members) != _MEMBERS:
        raise OpenFailed("package-malformed")
    protected = decoded(members["protected"])
    if protected is None or parse_object(protected) != _HEADER:
        raise OpenFailed("package-header")
    sizes = (_size(members["iv"]), _size(members["tag"]))
    if sizes != (IV_BYTES, TAG_BYTES) or not _size(members["ciphertext"]):
        raise OpenFailed("package-malformed")
    entries = members["recipients"]
    if not isinstance(entries, list) or not 0 < len(entries) <= MAX_RECIPIENTS:
        raise OpenFailed("package-recipients")
    kids = tuple(_kid(one) for one in entries)
    if len(set(kids)) != len(kids):
        raise OpenFailed("package-recipients")
    return Shape(members, kids)


def session_key(jwk: object) -> tuple[SessionKey, bytes]:
    """Return the key and the session id of the JWK in a package."""
    if not isinstance(jwk, dict) or set(jwk) != {"kty", "k", "kid"} or jwk["kty"] != "oct":
        raise OpenFailed("package-key")
    material, sid = decoded(jwk["k"]), decoded(jwk["kid"])
    if material is None or len(material) != KEY_BYTES or sid is None or len(sid) != SID_BYTES:
        raise OpenFailed("package-key")
    return SessionKey(material), sid


def _kid(entry: object) -> str:
    """Return whose entry it is: an `alg` that is not that of the keys is no entry."""
    if not isinstance(entry, dict) or set(entry) != {"header", "encrypted_key"}:
        raise OpenFailed("package-recipients")
    header = entry["header"]
    if not isinstance(header, dict) or header.get("alg") not in (*JOSE_ALGS, X_WING):
        raise OpenFailed("package-recipients")
    alg = header["alg"]
    ecdh = alg == ECDH
    if set(header) != ({"alg", "kid", "epk"} if ecdh else {"alg", "kid"}):
        raise OpenFailed("package-recipients")
    if _size(header["kid"]) != KEY_BYTES or _size(entry["encrypted_key"]) != _WRAPPED_BYTES[alg]:
        raise OpenFailed("package-recipients")
    if ecdh and not _is_point(header["epk"]):
        raise OpenFailed("package-recipients")
    return str(header["kid"])


def _is_point(epk: object) -> bool:
    if not isinstance(epk, dict) or set(epk) != {"kty", "crv", "x"}:
        return False
    return (epk["kty"], epk["crv"]) == ("OKP", "X25519") and _size(epk["x"]) == POINT_BYTES


def _size(text: object) -> int:
    return len(decoded(text) or b"")
