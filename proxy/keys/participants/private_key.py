"""Private keys of participants: made, sealed under a passphrase, opened again.

They exist at rest only as encrypted JWK (RFC 7517, section 7): PBES2-HS512+A256KW and A256GCM. Any
JOSE library opens one, given the passphrase.
"""

from __future__ import annotations

import json
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import (
    RSAPrivateKey,
    RSAPrivateNumbers,
    RSAPublicNumbers,
    generate_private_key,
)
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from ...core.crypto import base64url, derivation
from ...core.crypto.secret import RecordKey
from ...core.errors import KeyringError, ParticipantError
from ..keyring import envelope
from ..keyring.jwk_set import decoded, parse_object
from ..keyring.keyring import Keyring
from ..keyring.root_secret import Passphrase, RootKey
from ..policy import RSA_BITS
from . import X_WING, Use, public_key, x_wing
from .points import POINT_BYTES
from .public_key import RSA_EXPONENT, Kind, PublicKey, integer

CTY: Final = "jwk+json"
_RSA_PRIVATE: Final = ("d", "p", "q", "dp", "dq", "qi")
_PRIVATE: Final = {"RSA": _RSA_PRIVATE, "AKP": ("priv",)}

_Members = dict[str, Any]


Opener = Passphrase | RootKey
"""What encrypts a private key: a passphrase, or the key that the keyring has for it."""


def keyring_opener(keyring: Keyring) -> RootKey:
    """Return the root key of private keys that the keyring opens; it outlives every KEK."""
    return opener_of(keyring.record_key)


def opener_of(record_key: RecordKey) -> RootKey:
    """Return the root key of private keys under a record key."""
    return RootKey(derivation.private_key_wrapping(record_key))


def keyring_openers(keyring: Keyring) -> tuple[RootKey, ...]:
    """Return it, and those under record keys that were in use before."""
    return tuple(map(opener_of, keyring.record_key.all))


def generate(kind: Kind, passphrase: Opener) -> tuple[PublicKey, str]:
    """Return a new key pair: the public key, and the private one as encrypted JWK.

    RSA takes seconds and much of a core: call it in a process that carries no traffic. Raises
    ParticipantError for a passphrase below 12 characters.
    """
    if kind in {"RSA", "RSA-PSS"}:
        made = _rsa_members(generate_private_key(RSA_EXPONENT, RSA_BITS))
        private = made | {"use": "sig" if kind == "RSA-PSS" else "enc"}
    elif kind == "X-Wing":
        private = _x_wing_members(x_wing.new_seed())
    else:
        curve = X25519PrivateKey if kind == "X25519" else Ed25519PrivateKey
        private = _okp_members(kind, curve.generate())
    return seal(private, passphrase)


def seal(members: _Members, passphrase: Opener) -> tuple[PublicKey, str]:
    """Return the public key of a private JWK, and that JWK encrypted under `passphrase`.

    Raises ParticipantError where the two parts do not belong together, or for a weak passphrase.
    """
    public = _checked(members, primes=True)
    text = json.dumps({**members, **public.to_jwk()}, separators=(",", ":")).encode()
    try:
        return public, envelope.encrypt(text, passphrase, cty=CTY).decode()
    except KeyringError as error:
        raise ParticipantError(error.reason) from None


def unseal(sealed: str, passphrase: Opener, expected: PublicKey) -> _Members:
    """Return the private JWK; raise ParticipantError unless it is the one of `expected`.

    From a passphrase that takes about 0.3 s, in which other threads run. That the numbers of RSA
    are primes was checked when the key was sealed: checking it holds all threads for 0.25 s.
    """
    try:
        text = envelope.decrypt(sealed.encode(), passphrase, cty=CTY)
    except KeyringError:
        raise ParticipantError(
            "the private key does not open: wrong passphrase, or not an encrypted JWK of Sealyard"
        ) from None
    members = parse_object(text)
    if members is None or _checked(members, primes=False, use=expected.use) != expected:
        raise ParticipantError("the private key does not belong to the public key")
    return members


def native_rsa(members: _Members) -> RSAPrivateKey:
    """Return the key of members that `unseal` returned, for the cryptographic library."""
    numbers = _rsa_numbers(members)
    if numbers is None or not _belong_together(numbers):
        raise ParticipantError("the private key does not belong to the public key")
    return numbers.private_key(unsafe_skip_rsa_key_validation=True)  # see `unseal`


def _checked(members: _Members, *, primes: bool, use: Use = "enc") -> PublicKey:
    """Return the public key that the private members really belong to.

    `use` counts for RSA where the members do not say.
    """
    private = _PRIVATE.get(str(members.get("kty")), ("d",))
    public = public_key.from_members({k: v for k, v in members.items() if k not in private}, use)
    if public.kty == "RSA":
        fits = _fits_rsa(members, primes=primes)
    else:
        fits = (_fits_okp if public.kty == "OKP" else _fits_x_wing)(members)
    if not fits:
        raise ParticipantError("the private key does not belong to the public key")
    return public


def _fits_rsa(members: _Members, *, primes: bool) -> bool:
    numbers = _rsa_numbers(members)
    if numbers is None or not _belong_together(numbers):
        return False
    if primes:
        try:
            numbers.private_key()
        except ValueError:
            return False
    return True


def _rsa_numbers(members: _Members) -> RSAPrivateNumbers | None:
    n, e, d, p, q, dp, dq, qi = (integer(members.get(k)) for k in ("n", "e", *_RSA_PRIVATE))
    if not (n and e and d and p and q and dp and dq and qi):
        return None
    return RSAPrivateNumbers(p, q, d, dp, dq, qi, RSAPublicNumbers(e, n))


def _belong_together(numbers: RSAPrivateNumbers) -> bool:
    """Whether the numbers are those of one key (RFC 8017, section 3.2), if its factors are prime.

    Without this a wrong factor could leak the right one by what it decrypts.
    """
    p, q, d = numbers.p, numbers.q, numbers.d
    e, n = numbers.public_numbers.e, numbers.public_numbers.n
    return (
        min(p, q) > 1
        and p * q == n
        and d < n
        and (e * d - 1) % (p - 1) == (e * d - 1) % (q - 1) == 0
        and (numbers.dmp1, numbers.dmq1) == (d % (p - 1), d % (q - 1))
        and numbers.iqmp < p
        and numbers.iqmp * q % p == 1
    )


def _fits_okp(members: _Members) -> bool:
    seed = decoded(members.get("d"))
    if seed is None or len(seed) != POINT_BYTES:
        return False
    kind = X25519PrivateKey if members["crv"] == "X25519" else Ed25519PrivateKey
    return kind.from_private_bytes(seed).public_key().public_bytes_raw() == decoded(members["x"])


def _fits_x_wing(members: _Members) -> bool:
    seed = decoded(members.get("priv"))
    if seed is None or len(seed) != x_wing.SEED_BYTES:
        return False
    return x_wing.public_bytes(seed) == decoded(members["pub"])


def _rsa_members(key: RSAPrivateKey) -> _Members:
    numbers = key.private_numbers()
    public = numbers.public_numbers
    values = {"n": public.n, "e": public.e, "d": numbers.d, "p": numbers.p, "q": numbers.q}
    values |= {"dp": numbers.dmp1, "dq": numbers.dmq1, "qi": numbers.iqmp}
    return {"kty": "RSA", **{name: _number(value) for name, value in values.items()}}


def _x_wing_members(seed: bytes) -> _Members:
    return {
        "kty": "AKP",
        "alg": X_WING,
        "pub": base64url.encode(x_wing.public_bytes(seed)).decode(),
        "priv": base64url.encode(seed).decode(),
    }


def _okp_members(kind: Kind, key: Ed25519PrivateKey | X25519PrivateKey) -> _Members:
    return {
        "kty": "OKP",
        "crv": kind,
        "x": base64url.encode(key.public_key().public_bytes_raw()).decode(),
        "d": base64url.encode(key.private_bytes_raw()).decode(),
    }


def _number(value: int) -> str:
    return base64url.encode(value.to_bytes((value.bit_length() + 7) // 8)).decode()
