"""What a keyring shows about one stored token: its KEK, whether it opens, its session key.

Revocations in the keyring are honoured. Those that are only in a store are not known here.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final

from ...core.crypto import base64url, derivation, token
from ...core.crypto.aead import Aead
from ...core.crypto.context import Context, Scope
from ...core.crypto.equal import EqualSession
from ...core.crypto.secret import SessionKey
from ...core.crypto.token import KeyId, Token
from ...core.errors import OpenFailed
from ..keyring.kek import KekEntry
from ..keyring.keyring import Keyring
from ..sessions.agreement import began
from ..sessions.durable import durable_session

OPENS: Final = "opens"
WRONG_CONTEXT: Final = "wrong-context"


@dataclass(frozen=True, slots=True)
class TokenVerdict:
    """Which KEK a token names, and `opens` or else the reason why it does not.

    `in_scope`: its tenant and conversation are right, and it is bound to something else beside.
    """

    kek: str
    reason: str
    in_scope: bool = False

    @property
    def opens(self) -> bool:
        """Whether the token opens."""
        return self.reason == OPENS


def verify(keyring: Keyring, text: bytes, context: Context, *, now: float) -> TokenVerdict:
    """Return whether `text` is a token that opens for `context`; the plaintext is discarded.

    `now` is in seconds since 1970.
    """
    try:
        sealed = token.decode_stored(text)
    except OpenFailed as failure:
        return TokenVerdict("none", failure.reason)
    try:
        if not sealed.key_id.sid:
            return _verify_equal(keyring, sealed, context, now)
        entry = _opened_by(keyring, sealed, context, now)
    except OpenFailed as failure:
        in_scope = failure.reason == WRONG_CONTEXT and _is_of(keyring, sealed, context.scope)
        return TokenVerdict(_named(sealed.key_id), failure.reason, in_scope)
    return TokenVerdict(entry.id, OPENS)


def _verify_equal(keyring: Keyring, sealed: Token, context: Context, now: float) -> TokenVerdict:
    """Return whether a token in the equal form opens; raise OpenFailed if it does not."""
    generation = sealed.key_id.kek_number
    known = next((one for one in keyring.index if one.generation == generation), None)
    if known is None:
        raise OpenFailed("unknown-key")
    if keyring.refused_before(context.scope):
        raise OpenFailed("revoked-session")
    EqualSession(known.key, known.generation, context.scope).open(sealed, context, now)
    return TokenVerdict(_named(sealed.key_id), OPENS)


def session_jwk(keyring: Keyring, text: bytes, scope: Scope) -> str:
    """Return the session key of a JWE-form token of `scope` as a JWK, for any JOSE reader.

    It reads and forges all messages of that session. Raises OpenFailed unless the token verifies
    under the key, so that a key is only given for an existing token, and unless the keyring lets
    its session open.
    """
    sealed = token.decode(text)
    if sealed.form != "jwe":
        raise OpenFailed(f"{sealed.form}-form")  # which no JOSE reader knows
    key_id = sealed.key_id
    _, key = _unlocked(keyring, sealed, scope)
    kid = f"{key_id.kek_id}.{base64url.encode(key_id.sid).decode()}"
    k = base64url.encode(key.reveal()).decode()
    return json.dumps({"kty": "oct", "use": "enc", "kid": kid, "k": k})


def kek_of(keyring: Keyring, sealed: Token, scope: Scope) -> str:
    """Return the id of the KEK that a token of `scope` was sealed under, whatever it is bound to.

    Raises OpenFailed for one of another scope, and for the short and the equal form, whose tags
    cover all that they are bound to.
    """
    if sealed.form in {"short", "equal"}:
        raise OpenFailed(f"{sealed.form}-form")
    return _unlocked(keyring, sealed, scope)[0].id


def _is_of(keyring: Keyring, sealed: Token, scope: Scope) -> bool:
    try:
        kek_of(keyring, sealed, scope)
    except OpenFailed:
        return False
    return True


def _opened_by(keyring: Keyring, sealed: Token, context: Context, now: float) -> KekEntry:
    """Return the KEK that opens a token; raise OpenFailed for none."""
    entry = _opening(keyring, sealed, context.scope)
    durable_session(entry, sealed.key_id.sid, context.scope).open(sealed, context, now)
    return entry


def _unlocked(keyring: Keyring, sealed: Token, scope: Scope) -> tuple[KekEntry, SessionKey]:
    """Return the KEK and the session key under which a token verifies; else raise OpenFailed."""
    entry = _opening(keyring, sealed, scope)
    key = derivation.session_key(entry.key, sealed.key_id.sid, scope)
    try:
        Aead(key).open(sealed.iv, sealed.sealed, sealed.head)
    except OpenFailed:
        raise OpenFailed("bad-tag") from None
    return entry, key


def _opening(keyring: Keyring, sealed: Token, scope: Scope) -> KekEntry:
    """Return the KEK that the token names; raise OpenFailed where it may not open."""
    key_id = sealed.key_id
    entry = keyring.usable(kek_id=key_id.kek_id, number=key_id.kek_number)
    if entry is None:
        raise OpenFailed("unknown-or-disabled-kek")
    if began(key_id.sid) < keyring.refused_before(scope):
        raise OpenFailed("revoked-session")
    return entry


def _named(key_id: KeyId) -> str:
    return key_id.key or "none (ephemeral)"
