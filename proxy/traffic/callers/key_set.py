"""The public keys of an issuer (RFC 7517), and signatures by them.

Only this module of the traffic port imports joserfc: it is loaded where callers have tokens.
"""

from __future__ import annotations

import json
from typing import Any, Final

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from ...core import leaves
from ...core.errors import CallerUnverified
from ..policy import MOST_KEYS, RSA_BITS
from .token import SignedToken

_Key = RSAKey | ECKey | OKPKey
_CURVES: Final = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521", "EdDSA": "Ed25519"}
_MEMBERS: Final[dict[str, tuple[Any, tuple[str, ...]]]] = {
    "RSA": (RSAKey, ("kty", "n", "e")),
    "EC": (ECKey, ("kty", "crv", "x", "y")),
    "OKP": (OKPKey, ("kty", "crv", "x")),
}


class KeySet:
    """The keys of an issuer that may verify signatures, by their ids.

    `texts` has what each was made of: the same id with another text is another key.
    """

    __slots__ = ("_keys", "texts")

    def __init__(self, document: bytes) -> None:
        """Read a JWK Set. Keys of other uses and kinds are left out; ValueError: it is none."""
        try:
            found = json.loads(document)
        except RecursionError:
            raise ValueError("nested too deep") from None
        keys = found.get("keys") if isinstance(found, dict) else None
        if not isinstance(keys, list) or len(keys) > MOST_KEYS:
            raise ValueError("not a JWK Set")
        self._keys: dict[str, tuple[_Key, object, object]] = {}
        self.texts: dict[str, str] = {}
        twice: set[str] = set()
        for one in keys:
            if not _verifies(one):
                continue
            kid, key = one["kid"], _imported(one)
            if kid in self.texts:
                twice.add(kid)
            elif key is not None:
                self._keys[kid] = key, _curve(one), one.get("alg")
            self.texts[kid] = json.dumps(one, sort_keys=True)
        for kid in twice:  # one id must mean one key
            self._keys.pop(kid, None)

    def __len__(self) -> int:
        """Return how many keys there are."""
        return len(self._keys)

    def __contains__(self, kid: object) -> bool:
        """Return whether there is a key with an id."""
        return kid in self._keys

    def verify(self, token: SignedToken) -> None:
        """Raise CallerUnverified unless the key that a token names has signed it."""
        key, curve, alg = self._keys[token.kid]
        if alg not in {None, token.alg} or _CURVES.get(token.alg, "RSA") != curve:
            raise CallerUnverified("key-of-other-use")
        try:
            held = JWSRegistry.algorithms[token.alg].verify(token.signed, token.signature, key)
        except Exception:  # noqa: BLE001 - whatever a library makes of a signature, it does not hold
            held = False
        if held is not True:
            raise CallerUnverified("signature")


def _verifies(jwk: object) -> bool:
    """Return whether a JWK is a public key with an id, for signatures."""
    if not isinstance(jwk, dict) or not isinstance(jwk.get("kid"), str) or not jwk["kid"]:
        return False
    operations, kind, alg = jwk.get("key_ops", ["verify"]), jwk.get("kty"), jwk.get("alg")
    return (
        isinstance(kind, str)
        and kind in _MEMBERS
        and isinstance(alg, str | None)
        and jwk.get("use", "sig") == "sig"
        and isinstance(operations, list)
        and "verify" in operations
        and "d" not in jwk  # a private key that is published is nobody's any more
    )


def _imported(jwk: dict[str, Any]) -> _Key | None:
    kind, members = _MEMBERS[jwk["kty"]]
    try:
        shown = {name: jwk[name] for name in members}
        number = int.from_bytes(leaves.decode(shown.get("n", "").encode()) or b"", "big")
        if kind is RSAKey and number.bit_length() not in RSA_BITS:  # zeros before it do not count
            return None
        key: _Key = kind.import_key(shown)
        key.public_key  # noqa: B018 - it is made now, and fails for a point that is on no curve
    except (AttributeError, JoseError, KeyError, TypeError, ValueError):
        return None
    return key


def _curve(jwk: dict[str, Any]) -> object:
    return jwk.get("crv") if jwk["kty"] != "RSA" else "RSA"
