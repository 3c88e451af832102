"""The sessions of one message at work: they seal, and open one token after the other."""

from __future__ import annotations

from collections.abc import Sequence

from ..crypto.aead import Parts
from ..crypto.context import Context, Scope
from ..crypto.session_cipher import Session
from ..crypto.token import KeyId, Token
from ..errors import OpenFailed, Unopened
from .key_needs import Keys


class KeysInUse:
    """Opens tokens with the sessions of one message, and remembers those that did not open."""

    __slots__ = ("_key_id", "_refusal", "_scope", "_session", "keys", "unopened")

    def __init__(self, keys: Keys) -> None:
        """Begin with nothing looked up."""
        self.keys = keys
        self._scope: Scope | None = None
        self._key_id: KeyId | None = None
        self._session: Session | None = None
        self._refusal: str | None = None
        self.unopened: list[Unopened] = []

    def seal_for(self, scope: Scope) -> Session:
        """Return who seals for a scope."""
        return self.keys.sealing[scope]

    def open(self, token: Token, context: Context, now: float) -> tuple[Session, bytes]:
        """Return who opened a token, and the plaintext.

        Raises OpenFailed, after the same work whether or not there is a session to open with.
        """
        if token.key_id is not self._key_id or context.scope is not self._scope:
            self._look_up(context.scope, token.key_id)
        session, reason = self._session, "unknown-key"
        if session is not None:
            try:
                return session, session.open(token, context, now, refusal=self._refusal)
            except OpenFailed as error:
                reason = error.reason
        raise self.noted(reason, token.key_id)

    def open_each(
        self, tokens: Sequence[Parts], key_id: KeyId, context: Context, now: float
    ) -> tuple[Session | None, Sequence[bytes | None], str]:
        """Do as `open` for each of some tokens in JWE form, whose one head names this key.

        None stands for one that does not open; the last is why.
        """
        if key_id is not self._key_id or context.scope is not self._scope:
            self._look_up(context.scope, key_id)
        session = self._session
        if session is None:
            return None, [None] * len(tokens), "unknown-key"
        return session, *session.open_each(tokens, context, now, self._refusal)

    def noted(self, reason: str, key_id: KeyId) -> OpenFailed:
        """Return the error for a token that does not open, and remember it."""
        self.unopened.append(Unopened(reason, key_id.sid))
        return OpenFailed(reason)

    def _look_up(self, scope: Scope, key_id: KeyId) -> None:
        """Find a session; tokens of one conversation often follow each other."""
        self._scope, self._key_id = wanted = scope, key_id
        self._session, self._refusal = self.keys.session(wanted)
