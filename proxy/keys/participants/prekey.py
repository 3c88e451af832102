"""Prekeys: X25519 keys of a device that live for days, signed by its participant.

Packages are wrapped for them instead of for the device's static keys. Once one has ended its
private side is deleted, and with it the means to open those packages: who steals the static key
later opens none of them.
"""

from __future__ import annotations

from typing import Any, Final

from . import signature
from .public_key import PublicKey

TYP: Final = "sy1-prekey"
DEFAULT_SECONDS: Final = 7 * 86_400


def sign(
    key: PublicKey, *, device: str, expires: int, private: dict[str, Any], signer: PublicKey
) -> str:
    """Return the signature of a prekey that ends at `expires` (seconds since 1970): a JWS."""
    claims = _claims(key, device, expires)
    return signature.sign(claims, private, signer, typ=TYP).decode()


def is_signed(signed: str, key: PublicKey, *, device: str, expires: int, signer: PublicKey) -> bool:
    """Whether `signer` signed this very prekey, for that device and end."""
    claims = signature.verified(signed.encode(), signer, typ=TYP)
    return claims == _claims(key, device, expires)


def _claims(key: PublicKey, device: str, expires: int) -> dict[str, Any]:
    return {"kid": key.kid, "device": device, "exp": expires}
