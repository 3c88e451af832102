"""How the keyring and private keys are encrypted: JWE Compact (RFC 7516).

There is one algorithm for each kind of root secret. The header is read here, strictly, before
joserfc sees it, and joserfc is given a registry that knows the two algorithms of that header and no
other. joserfc is imported here and in `participants.package` alone, and only when a keyring or a
private key is opened or written.
"""

from __future__ import annotations

import copy
from typing import Any, Final

from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwk import OctKey
from joserfc.registry import HeaderParameter

from ..core.errors import KeyringError
from .jwk_set import decoded, parse_object
from .roots.provider import Passphrase, RootKey

PBES2_ALG: Final = "PBES2-HS512+A256KW"
ROOT_KEY_ALG: Final = "A256KW"
ENC: Final = "A256GCM"
CTY: Final = "jwk-set+json"

SALT_BYTES: Final = 16
# OWASP's floor for PBKDF2-HMAC-SHA-512 is 220,000; the ceiling keeps a forged file from
# burning minutes before it is refused.
P2C: Final = 250_000
P2C_MIN: Final = 220_000
P2C_MAX: Final = 1_000_000

_SEGMENTS: Final = 5
_SEGMENT_BYTES: Final = {1: 40, 2: 12, 4: 16}  # wrapped content key, IV, tag


def encrypt(plaintext: bytes, secret: RootKey | Passphrase, *, cty: str = CTY) -> bytes:
    """Return the JWE of `plaintext`; raise KeyringError for a passphrase too short to guard it.

    `cty` tells what it is: a keyring, or one private key (RFC 7517, section 7).
    """
    header: dict[str, Any] = {"alg": _alg(secret), "enc": ENC, "cty": cty}
    if isinstance(secret, Passphrase):
        secret.require_strength()
        header["p2c"] = P2C  # joserfc adds a random p2s of 16 bytes
    return jwe.encrypt_compact(header, plaintext, _key(secret), registry=_registry(secret)).encode()


def decrypt(text: bytes, secret: RootKey | Passphrase, *, cty: str = CTY) -> bytes:
    """Return the plaintext of a JWE that `encrypt` could have written under `secret` and `cty`.

    Raises KeyringError for any other header, before a key is touched, and for a wrong secret.
    """
    segments = text.split(b".")
    if len(segments) != _SEGMENTS:
        raise KeyringError("the keyring is not a JWE in compact form")
    _check_header(_bytes(segments[0]), secret, cty)
    for index, size in _SEGMENT_BYTES.items():
        if len(_bytes(segments[index])) != size:
            raise KeyringError("a part of the keyring's JWE has the wrong length")
    try:
        plaintext = jwe.decrypt_compact(text, _key(secret), registry=_registry(secret)).plaintext
    except (JoseError, ValueError):
        plaintext = None
    if plaintext is None:  # raised here, so that no traceback drags joserfc's frames along
        raise KeyringError("the keyring does not open: wrong root secret, or a damaged file")
    return plaintext


def _check_header(text: bytes, secret: RootKey | Passphrase, cty: str) -> None:
    header = parse_object(text)
    if header is None:
        raise KeyringError("the header of the keyring's JWE is not a JSON object")
    alg = _alg(secret)
    if header.get("alg") != alg:
        raise KeyringError(f"the keyring is not encrypted with {alg}, as its root provider needs")
    fixed = {"enc": ENC, "cty": cty}
    expected = {"alg", *fixed} | ({"p2s", "p2c"} if isinstance(secret, Passphrase) else set())
    if set(header) != expected or any(header[name] != value for name, value in fixed.items()):
        raise KeyringError(f"the keyring's JWE has other header members than {sorted(expected)}")
    if isinstance(secret, Passphrase):
        if type(header["p2c"]) is not int or not P2C_MIN <= header["p2c"] <= P2C_MAX:
            raise KeyringError(f"the keyring's p2c is not within {P2C_MIN} to {P2C_MAX}")
        if len(decoded(header["p2s"]) or b"") != SALT_BYTES:
            raise KeyringError(f"the keyring's salt is not {SALT_BYTES} bytes")


def _alg(secret: RootKey | Passphrase) -> str:
    return PBES2_ALG if isinstance(secret, Passphrase) else ROOT_KEY_ALG


def _key(secret: RootKey | Passphrase) -> OctKey:
    # Not import_key: it tries the bytes as PEM first and warns of passphrases below 14 bytes.
    material = secret.reveal()
    return OctKey(material, material)


def _registry(secret: RootKey | Passphrase) -> jwe.JWERegistry:
    alg, known = _alg(secret), jwe.JWERegistry.algorithms
    model = copy.copy(known["alg"][alg])
    if isinstance(secret, Passphrase):
        # joserfc itself refuses more than 300,000 rounds; the bounds are checked above.
        model.more_header_registry = {
            "p2s": HeaderParameter("PBES2 Salt Input", "str", True),  # noqa: FBT003 - joserfc's form
            "p2c": HeaderParameter("PBES2 Count", "int", True),  # noqa: FBT003 - joserfc's form
        }
    registry = jwe.JWERegistry(algorithms=(alg, ENC))
    registry.algorithms = {"alg": {alg: model}, "enc": {ENC: known["enc"][ENC]}, "zip": {}}
    return registry


def _bytes(segment: bytes) -> bytes:
    data = decoded(segment.decode("latin-1"))
    if data is None:
        raise KeyringError("a part of the keyring's JWE is not canonical base64url")
    return data
