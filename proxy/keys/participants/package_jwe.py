"""The JWE of a key package, where a JOSE library makes and opens it.

Only this module imports joserfc in a serving process. It is worth a megabyte and more, so this is
loaded when a rule seals or opens end to end, and otherwise only where a package is handled.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any, Final

from cryptography.hazmat.primitives.keywrap import aes_key_unwrap
from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwk import OctKey, OKPKey, RSAKey

from ...core.crypto import base64url
from ...core.crypto.secret import KEY_BYTES
from ..keyring.jwk_set import decoded
from . import x_wing
from .package_shape import ENC, JOSE_ALGS, TYP
from .private_key import native_rsa
from .public_key import PublicKey

Opener = RSAKey | OKPKey
"""A private key as joserfc wants it."""

_OKP_MEMBERS: Final = ("kty", "crv", "x", "d")
_OURS: Final = "A256KW"


def opener(public: PublicKey, private: dict[str, Any]) -> Opener | None:
    """Return the key that opens what was wrapped for `public`; None where joserfc cannot."""
    if public.kind == "RSA":
        native = native_rsa(private)
        # Not import_key, which checks for primes and holds every thread for 0.25 s.
        return RSAKey(native, native)
    if public.kind == "X25519":
        return OKPKey.import_key({name: private[name] for name in _OKP_MEMBERS})
    return None


def encrypt(signed: bytes, recipients: Sequence[PublicKey]) -> Any:  # noqa: ANN401 - JSON, in joserfc's own form
    """Return the JWE around the JWS.

    joserfc knows no X-Wing and hands out no content key. It wraps that key for one of ours as well,
    whose entry is taken out again.
    """
    made = jwe.GeneralJSONEncryption({"typ": TYP, "enc": ENC}, signed)
    for one in recipients:
        if one.kind != "X-Wing":
            loaded = (RSAKey if one.kty == "RSA" else OKPKey).import_key(dict(one.required))
            made.add_recipient({"alg": one.alg, "kid": one.kid}, loaded)
    hybrid = [one for one in recipients if one.kind == "X-Wing"]
    if not hybrid:
        return jwe.encrypt_json(made, None, algorithms=[*JOSE_ALGS, ENC])
    ours = secrets.token_bytes(KEY_BYTES)
    made.add_recipient({"alg": _OURS}, OctKey.import_key(ours))
    written: Any = jwe.encrypt_json(made, None, algorithms=[*JOSE_ALGS, _OURS, ENC])
    content_key = aes_key_unwrap(ours, decoded(written["recipients"].pop()["encrypted_key"]) or b"")
    for one in hybrid:
        wrapped = x_wing.wrap(content_key, decoded(dict(one.required)["pub"]) or b"", one.kid)
        written["recipients"].append(
            {
                "header": {"alg": one.alg, "kid": one.kid},
                "encrypted_key": base64url.encode(wrapped).decode(),
            }
        )
    return written


def decrypt(mine: Any, key: Opener, alg: str) -> bytes | None:  # noqa: ANN401 - JSON
    """Return what is inside a JWE with the one recipient entry of `key`; None if it does not open.

    No other `alg` than that one is taken.
    """
    registry = jwe.JWERegistry(algorithms=[alg, ENC])
    try:
        return jwe.decrypt_json(mine, key, registry=registry).plaintext
    except (JoseError, ValueError):
        return None
