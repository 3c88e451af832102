"""Erase receipts: signed statements of what was destroyed, when, and what they cannot cover.

A compact JWS (RFC 7515), EdDSA over Ed25519 (RFC 8037), by a key that is derived from the keyring's
record key. Any JOSE library verifies it with the public JWK alone.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from ...core.crypto import base64url, derivation
from ...core.crypto.context import Scope
from ...core.crypto.secret import RecordKey
from ...core.errors import ParticipantError
from ..keyring.jwk_set import decoded
from ..participants import public_key, signature
from ..participants.public_key import PublicKey
from ..sessions.agreement import began
from .verb import Fresh

TYP: Final = "sealyard-erased+jwt"

_STORE_COPIES: Final = (
    "backups, snapshots, replicas and append-only files of the store",
    "persistence of the store: it may restart from before the erasure, which is then done again",
    "processes that were not notified, until they next ask the store or the keys end",
    "key packages that others have kept",
    "what was opened before",
)
_DURABLE: Final = "durable session keys of the conversation: they are derived from the KEK"
_STALE: Final = (
    "a restored copy of the store: a process that begins opens what it brings back, since the"
    " keyring could not be written"
)
_ADOPTED: Final = "the store of the adopted keyring {}, where the conversation is {}"
_TAGS: Final = (
    "tags of indexed fields: they remain in the backend until `sealyard migrate index --drop`"
    " (`--conversation` for one), and"
    " whoever has the keyring can try words and values against them"
)
_EQUAL: Final = (
    "values of `form: equal`: they are under the index secret, and open while the keyring has their"
    " generation of it, unless their scope is revoked"
)
_KEK_COPIES: Final = (
    "backups and exports of the keyring, and versions of the secret that it is mounted from",
    "processes that hold the previous keyring, until they reload",
    "remains of the file on the disk",
    "session keys that were derived and handed out before",
    "what was opened before",
)


def of_sessions(  # noqa: PLR0913 - each is one fact
    scope: Scope,
    sids: Sequence[str],
    *,
    name: str,
    names: Sequence[str],
    not_before: int,
    revoked_in_store: bool | None,
    revoked_in_keyring: bool,
    shared: bool,
    reached: bool | None = None,
    durable: bool = False,
    elsewhere: Sequence[tuple[str, str]] = (),
    fresh: Fresh | None = "keyring",
    indexed: bool = False,
) -> dict[str, Any]:
    """Return the claims about ephemeral session keys; the scope only as a salted hash.

    `name` is that of the scope in the store, `names` are those under which keys were destroyed
    there; `reached` is whether every process that may seal knows of it, None where no other has the
    store. With `durable`, only keys of packages could be destroyed, and nothing was revoked.
    `elsewhere` has the id of each adopted keyring and the name of the scope under it: what its own
    store holds cannot be reached from here. `fresh` is what keeps out a restored copy of the store;
    `indexed`, whether the keyring has an index secret.
    """
    salt = secrets.token_bytes(16)
    return {
        "destroyed": "session-keys",
        "scope": name,
        "names": list(names),
        "subject": {"salt": _text(salt), "sha256": _subject(scope, salt)},
        "sids": [{"sid": sid, "began": began(base64url.decode(sid.encode()))} for sid in sids],
        "revoked": {
            "not_before": not_before,
            "store": revoked_in_store,
            "keyring": revoked_in_keyring,
        },
        "shared_store": shared,
        "reached": reached,
        "fresh": fresh,
        "not_covered": [
            *((_DURABLE,) if durable else ()),
            *(() if fresh == "keyring" else (_STALE,)),
            *((_TAGS, _EQUAL) if indexed else ()),
            *_STORE_COPIES,
            *(_ADOPTED.format(*one) for one in elsewhere),
        ],
    }


def of_kek(claims: Mapping[str, Any], *, indexed: bool = False) -> dict[str, Any]:
    """Return the claims about a KEK that was destroyed; `indexed` as of sessions.

    `claims` are its id (`kek`), its `number`, and when it was `created` (seconds since 1970).
    """
    return {
        "destroyed": "kek",
        **claims,
        "not_covered": [*((_TAGS, _EQUAL) if indexed else ()), *_KEK_COPIES],
    }


def without_tags(
    said: Mapping[str, Any], proofs: Sequence[Mapping[str, Any]]
) -> dict[str, Any] | None:
    """Return the claims of a receipt once tags are proven gone; None where it told of none.

    `proofs` say which job found none, and when (seconds since 1970).
    """
    left = [one for one in said["not_covered"] if one != _TAGS]
    if len(left) == len(said["not_covered"]):
        return None
    kept = {name: value for name, value in said.items() if name not in {"iss", "iat", "jti"}}
    return {**kept, "not_covered": left, "tags": {"gone": list(proofs), "receipt": said["jti"]}}


def sign(said: Mapping[str, Any], record_key: RecordKey, *, now: int, typ: str = TYP) -> str:
    """Return the receipt, made at `now` (seconds since 1970); `typ` is what it is about."""
    seed = derivation.receipt_seed(record_key)
    public = _public(Ed25519PrivateKey.from_private_bytes(seed).public_key())
    claims = {"iss": "sealyard", "iat": now, "jti": secrets.token_hex(16), **said}
    return signature.sign(claims, {"d": _text(seed)}, public, typ=typ).decode()


def public_jwk(record_key: RecordKey) -> dict[str, str]:
    """Return the public JWK that verifies the receipts of a keyring."""
    seed = derivation.receipt_seed(record_key)
    return _public(Ed25519PrivateKey.from_private_bytes(seed).public_key()).to_jwk()


def verified(text: bytes, jwk: Mapping[str, Any], *, typ: str = TYP) -> dict[str, Any] | None:
    """Return what a receipt of that `typ` says; None unless the key of that JWK has signed it."""
    try:
        public = public_key.from_members(jwk)
    except ParticipantError:
        return None
    return signature.verified(text.strip(), public, typ=typ)


def is_about(said: Mapping[str, Any], scope: Scope) -> bool:
    """Whether a receipt of session keys is about that conversation; that needs no key."""
    subject = said.get("subject")
    if not isinstance(subject, dict):
        return False
    salt = decoded(subject.get("salt"))
    return salt is not None and subject.get("sha256") == _subject(scope, salt)


def _subject(scope: Scope, salt: bytes) -> str:
    return _text(hashlib.sha256(salt + scope.encode()).digest())


def _public(key: Ed25519PublicKey) -> PublicKey:
    point = _text(key.public_bytes_raw())
    return public_key.from_members({"kty": "OKP", "crv": "Ed25519", "x": point})


def _text(data: bytes) -> str:
    return base64url.encode(data).decode()
