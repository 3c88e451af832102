"""Values in the equal form: the same value of one context is always the same token.

So a backend can compare them (`=`, UNIQUE, JOIN), and whoever reads it sees which are the same. The
IV is synthetic, as in RFC 5297: HMAC over context, head and plaintext, which authenticates and
commits to the key. The keys come from the index secret, not from a KEK.
"""

from __future__ import annotations

import hmac
from functools import lru_cache

from ..errors import OpenFailed, UnfitValue
from . import derivation, token
from .blocks import counter_mode
from .context import Context, Scope
from .secret import IndexSecret
from .session_cipher import Session, too_long
from .token import SYNTHETIC_BYTES, Form, Token

_CONTEXTS = 64


class EqualSession(Session):
    """Seals and opens values of one tenant in the equal form, under one generation."""

    __slots__ = ("_generation", "_keys")

    def __init__(self, secret: IndexSecret, generation: int, scope: Scope) -> None:
        """Take the secret and its generation, from 1 to 65,535; nothing is derived yet."""
        self.sid = b""
        self.created = 0
        self.scope = scope
        self.kek_id = self.kek_number = self.under = None
        self._generation = generation
        self._keys = lru_cache(_CONTEXTS)(
            lambda encoded: derivation.equal_keys(secret, generation, encoded)
        )

    def seal(  # noqa: PLR0913 - as it is inherited
        self,
        plaintext: bytes,
        context: Context,
        *,
        cty: str | None = None,
        form: Form = "equal",
        exp: int | None = None,
        max_chars: int | None = None,
        name: str = "",
    ) -> bytes:
        """Return the token of `plaintext` for `context`, which has no more than tenant and field.

        Raises UnfitValue for another context, ValueTooLong as the inherited method.
        """
        if exp is not None:
            raise ValueError("the equal form has no place for an end")
        if context != Context(Scope(context.scope.tenant), context.field):
            raise UnfitValue(
                "bound-to-more", detail="form `equal` is for what is bound to tenant and field."
            )
        if max_chars is not None and token.equal_length(len(plaintext)) > max_chars:
            raise too_long(name, token.equal_capacity(max_chars), max_chars)
        head = token.equal_head(self._generation, json=cty is not None)
        encoded = context.encode()
        mac_key, cipher_key = self._keys(encoded)
        made = _synthetic(mac_key, encoded, head, plaintext)
        sealed = made + counter_mode(cipher_key, made, plaintext)
        return token.encode_short(head[len(token.SHORT_PREFIX) :], sealed)

    def open(
        self,
        sealed: Token,
        context: Context,
        now: float,
        *,
        refusal: str | None = None,
    ) -> bytes:
        """Return the plaintext of a token; raise OpenFailed whatever the cause.

        `refusal` says why the token must not open, if that is settled already; as much is done.
        """
        if sealed.form != "equal":
            raise OpenFailed("malformed-token")
        encoded = context.encode()
        mac_key, cipher_key = self._keys(encoded)
        plaintext = counter_mode(cipher_key, sealed.iv, sealed.sealed)
        made = _synthetic(mac_key, encoded, sealed.head, plaintext)
        if not hmac.compare_digest(made, sealed.iv) or refusal is not None:
            raise OpenFailed(refusal or "bad-tag")
        return plaintext


def _synthetic(key: bytes, context: bytes, head: bytes, plaintext: bytes) -> bytes:
    told = b"".join((len(context).to_bytes(4), context, head, plaintext))
    return hmac.digest(key, told, "sha256")[:SYNTHETIC_BYTES]
