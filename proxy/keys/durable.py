"""Durable sessions: derived from a KEK, the session id and the scope, so no store holds them."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from ..core import derivation
from ..core.context import Scope
from ..core.secret import KEY_BYTES, Kek
from ..core.session import Session
from ..core.token import KeyId
from .agreement import began
from .bounded import BoundedMap
from .keyring import KekEntry, Keyring, RandomBytes

TRIED_SESSIONS: Final = 256
"""So many sessions are kept under which no tag has verified yet."""

_Place = tuple[Scope, bytes]
"""A session among all: its scope, and the number of its KEK before its id."""


def durable_session(entry: KekEntry, sid: bytes, scope: Scope) -> Session:
    """Return the session `sid` (12 bytes) of `scope` under a KEK."""
    key = derivation.session_key(entry.key, sid, scope)
    return Session(key, sid=sid, scope=scope, kek_id=entry.id, kek_number=entry.number)


class _Source:
    """What sessions are derived from, and why they must not open, if they are decoys."""

    __slots__ = ("entry", "number", "refusal")

    def __init__(self, entry: KekEntry, refusal: str | None) -> None:
        self.entry = entry
        self.number = _number(entry.number)
        self.refusal = refusal


class DurableSessions:
    """Finds the sessions of durable tokens to be opened, and decoys for those that must not open.

    Decoys are derived from a random KEK of this process and kept as any other session is, so that
    refusing takes as long as trying does, the first time and later. A session is kept for long once
    a tag has verified under it. Until then it is one of a few hundred, decoys among them: anyone
    can name session ids that never were, and must not drive out those that are.
    """

    def __init__(self, keyring: Keyring, limit: int, *, random: RandomBytes) -> None:
        """Begin empty; at most `limit` sessions are kept for long."""
        self._decoy = KekEntry("", 0, 0, "disabled", Kek(random(KEY_BYTES)))
        self._unknown = _Source(self._decoy, "unknown-key")
        self._revoked = _Source(replace(self._decoy, number=-1), "revoked-session")
        self._sources: dict[str | int | None, _Source] = {}
        self._proven: BoundedMap[_Place, Session] = BoundedMap(limit)
        self._tried: BoundedMap[_Place, Session] = BoundedMap(TRIED_SESSIONS)
        self.replace_keyring(keyring)

    def __len__(self) -> int:
        """Return how many sessions are at hand under which a tag has verified."""
        return len(self._proven)

    def knows(self, scope: Scope) -> bool:
        """Whether a tag has verified here under a session of the scope; it looks at all of them."""
        return any(session.scope == scope for session in self._proven.entries())

    def find(self, scope: Scope, key_id: KeyId, not_before: int) -> tuple[Session, str | None]:
        """Return the session of a token, or a decoy and why the token must not open."""
        sid, kek_id, kek_number = key_id
        named = self._sources.get(kek_number if kek_id is None else kek_id, self._unknown)
        source = (named, self._revoked)[began(sid) < not_before]  # as long for either
        place = scope, source.number + sid
        proven, tried = self._proven.get(place), self._tried.get(place)  # as much for either
        session = proven or tried
        if session is None:
            session = durable_session(source.entry, sid, scope)
            self._tried.put(place, session)
        return session, source.refusal

    def decoy(self, scope: Scope, sid: bytes) -> Session:
        """Return a new decoy for a session that is not durable."""
        return durable_session(self._decoy, sid, scope)

    def remember(self, session: Session) -> None:
        """Keep a durable session for long: a tag has verified under it."""
        if session.kek_number is not None:
            place = session.scope, _number(session.kek_number) + session.sid
            if self._proven.get(place) is not session:
                self._proven.put(place, session)
                self._tried.forget(place)

    def replace_keyring(self, keyring: Keyring) -> None:
        """Derive from another keyring, and forget all sessions."""
        self._sources = {}
        for entry in keyring.keks:
            source = _Source(entry, None)
            if entry.state == "disabled":
                source = _Source(replace(entry, key=self._decoy.key), "disabled-key")
            self._sources[entry.id] = self._sources[entry.number] = source
        self.clear()

    def clear(self) -> None:
        """Forget all sessions."""
        self._proven.clear()
        self._tried.clear()


def _number(number: int) -> bytes:
    """Return the number of a KEK as it stands before session ids.

    The two become new bytes each time: what is compared by identity at one look-up and by value at
    another would tell a session that was sealed with from one that was only tried.
    """
    return number.to_bytes(4, signed=True)
