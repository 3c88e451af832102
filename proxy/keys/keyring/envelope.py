"""How the keyring and private keys are encrypted: JWE Compact (RFC 7516).

Each kind of secret has one algorithm, always with A256GCM under a random content key, and nothing
else is accepted: the header is checked before a key is used. The primitives are those of
`cryptography`; a JOSE library would stay in the memory of every process that opens a keyring. Tests
check both directions against two of them.
"""

from __future__ import annotations

import contextlib
import json
import os
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from ...core.crypto import base64url
from ...core.crypto.aead import IV_BYTES, TAG_BYTES
from ...core.crypto.derivation import SALT_BYTES
from ...core.errors import KeyringError
from ..policy import P2C, P2C_MAX, P2C_MIN
from .jwk_set import decoded, parse_object
from .root_secret import Passphrase, RootKey, Salted

PBES2_ALG: Final = "PBES2-HS512+A256KW"
ROOT_KEY_ALG: Final = "A256KW"
_SALT_BEGINS: Final = PBES2_ALG.encode() + b"\0"
ENC: Final = "A256GCM"
CTY: Final = "jwk-set+json"


_SEGMENTS: Final = 5
_KEY_BYTES: Final = 32
_WRAPPED_BYTES: Final = 40


def encrypt(
    plaintext: bytes, secret: RootKey | Passphrase, *, cty: str = CTY, salt: bytes | None = None
) -> bytes:
    """Return the JWE of `plaintext`; raise KeyringError for a passphrase that is too weak.

    `cty` says what it is: a keyring, or one private key (RFC 7517, section 7). `salt` (16 bytes) is
    that of a passphrase; a random one by default.
    """
    header: dict[str, Any] = {"alg": _alg(secret), "enc": ENC, "cty": cty}
    if isinstance(secret, Passphrase):
        secret.require_strength()
        salt = os.urandom(SALT_BYTES) if salt is None else salt
        header |= {"p2s": base64url.encode(salt).decode(), "p2c": P2C}
    protected = base64url.encode(json.dumps(header, separators=(",", ":")).encode())
    content_key, iv = os.urandom(_KEY_BYTES), os.urandom(IV_BYTES)
    sealed = AESGCM(content_key).encrypt(iv, plaintext, protected)
    wrapped = aes_key_wrap(_wrapping_key(secret, header, keep=False).reveal(), content_key)
    rest = (wrapped, iv, sealed[:-TAG_BYTES], sealed[-TAG_BYTES:])
    return b".".join([protected, *map(base64url.encode, rest)])


def decrypt(text: bytes, secret: RootKey | Passphrase, *, cty: str = CTY) -> bytes:
    """Return the plaintext of a JWE that `encrypt` could have written under `secret` and `cty`.

    Raises KeyringError for any other header, before a key is used, and for a wrong secret.
    """
    segments = text.split(b".")
    if len(segments) != _SEGMENTS:
        raise KeyringError("the keyring is not a JWE in compact serialization")
    header = _checked_header(_bytes(segments[0]), secret, cty)
    wrapped, iv, ciphertext, tag = map(_bytes, segments[1:])
    if (len(wrapped), len(iv), len(tag)) != (_WRAPPED_BYTES, IV_BYTES, TAG_BYTES):
        raise KeyringError("a part of the keyring's JWE has the wrong length")
    plaintext: bytes | None = None
    with contextlib.suppress(InvalidUnwrap, InvalidTag):
        content_key = aes_key_unwrap(_wrapping_key(secret, header).reveal(), wrapped)
        plaintext = AESGCM(content_key).decrypt(iv, ciphertext + tag, segments[0])
    if plaintext is None:  # raised here, so that no traceback holds frames of the library
        raise KeyringError(
            "the keyring does not open: wrong root secret or damaged file;"
            " give the root that made it"
        )
    return plaintext


def _checked_header(text: bytes, secret: RootKey | Passphrase, cty: str) -> dict[str, Any]:
    header = parse_object(text)
    if header is None:
        raise KeyringError("the header of the keyring's JWE is not a JSON object")
    alg = _alg(secret)
    if header.get("alg") != alg:
        raise KeyringError(
            f"the keyring is not encrypted with {alg}, which its root provider needs"
        )
    fixed = {"enc": ENC, "cty": cty}
    expected = {"alg", *fixed} | ({"p2s", "p2c"} if isinstance(secret, Passphrase) else set())
    if set(header) != expected or any(header[name] != value for name, value in fixed.items()):
        raise KeyringError(f"the keyring's JWE has other header members than {sorted(expected)}")
    if isinstance(secret, Passphrase):
        if type(header["p2c"]) is not int or not P2C_MIN <= header["p2c"] <= P2C_MAX:
            raise KeyringError(f"the keyring's p2c is not within {P2C_MIN} to {P2C_MAX}")
        if len(decoded(header["p2s"]) or b"") != SALT_BYTES:
            raise KeyringError(f"the keyring's salt is not {SALT_BYTES} bytes")
    return header


def _alg(secret: RootKey | Passphrase) -> str:
    return PBES2_ALG if isinstance(secret, Passphrase) else ROOT_KEY_ALG


def _wrapping_key(
    secret: RootKey | Passphrase, header: dict[str, Any], *, keep: bool = True
) -> RootKey:
    """Return the key that wraps the content key; deriving it from a passphrase takes 0.15 s."""
    if isinstance(secret, RootKey):
        return secret
    # RFC 7518, section 4.8.1.1.
    salt = _SALT_BEGINS + base64url.decode(header["p2s"].encode())
    return secret.derive(Salted(salt, header["p2c"]), keep=keep)


def _bytes(segment: bytes) -> bytes:
    data = decoded(segment.decode("latin-1"))
    if data is None:
        raise KeyringError("a part of the keyring's JWE is not canonical base64url")
    return data
