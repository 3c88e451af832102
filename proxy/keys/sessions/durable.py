"""Durable sessions: derived from a KEK, the session id and the scope, so no store holds them."""

from __future__ import annotations

from dataclasses import replace

from ...core.crypto import derivation
from ...core.crypto.context import Scope
from ...core.crypto.secret import KEY_BYTES, Kek
from ...core.crypto.session_cipher import Session
from ...core.crypto.token import KeyId
from ..keyring.kek import KekEntry, RandomBytes
from ..keyring.kek_source import KekSource, TenantKeks
from ..lru_map import BoundedMap
from ..policy import TRIED_SESSIONS
from .agreement import began

_Place = tuple[Scope, bytes]
"""A session among all: its scope, and the id of its KEK before its own id."""


def durable_session(entry: KekEntry, sid: bytes, scope: Scope) -> Session:
    """Return the session `sid` (12 bytes) of `scope` under a KEK."""
    key = derivation.session_key(entry.key, sid, scope)
    return Session(key, sid=sid, scope=scope, kek_id=entry.id, kek_number=entry.number)


class _Source:
    """What sessions are derived from, and why they must not open, if they are decoys."""

    __slots__ = ("entry", "prefix", "refusal")

    def __init__(self, entry: KekEntry, refusal: str | None = None) -> None:
        self.entry = entry
        self.prefix = _prefix(entry.id)
        self.refusal = refusal


class _Opening:
    """What the sessions of one tenant's tokens are derived from.

    `named` has the source of each id and number of a KEK; `unknown` and `revoked` are decoys.
    """

    __slots__ = ("keks", "named", "revoked", "unknown")

    def __init__(self, keks: TenantKeks, decoy: KekEntry) -> None:
        self.keks = keks
        self.named: dict[str | int | None, _Source] = {}
        for entry in keks.keks:
            source = _Source(entry)
            if entry.state == "disabled":
                # Kept apart, by the id, from those that open and from other decoys.
                source = _Source(replace(entry, key=decoy.key), "disabled-key")
            self.named[entry.id] = self.named[entry.number] = source
        self.unknown = _Source(decoy, "unknown-key")
        # Kept apart from those of unknown KEKs.
        self.revoked = _Source(replace(decoy, id="-"), "revoked-session")


class DurableSessions:
    """Finds the sessions of durable tokens to be opened, and decoys for those that must not open.

    Decoys are derived from a random KEK of this process and kept as any other session is, so that
    refusing takes as long as trying does, the first time and later. A session is kept for long once
    a tag has verified under it. Until then it is one of a few hundred, decoys among them: anyone
    can make up session ids, and must not push out real ones.
    """

    def __init__(self, keks: KekSource, limit: int, *, random: RandomBytes) -> None:
        """Begin empty; at most `limit` sessions are kept for long."""
        self._decoy = KekEntry("", 0, 0, "disabled", Kek(random(KEY_BYTES)))
        self._keks = keks
        self._limit = limit
        # By the identity of the KEKs, which each value keeps: they have no hash.
        self._opening: dict[int, _Opening] = {}
        self._proven: BoundedMap[_Place, Session] = BoundedMap(limit)
        self.kept: set[Session] = set()
        """The same, to be told at a glance."""
        self._tried: BoundedMap[_Place, Session] = BoundedMap(TRIED_SESSIONS)

    def __len__(self) -> int:
        """Return how many sessions are at hand under which a tag has verified."""
        return len(self._proven)

    def knows(self, scope: Scope) -> bool:
        """Whether a tag has verified here under a session of the scope; it looks at all of them."""
        return any(session.scope == scope for session in self._proven.entries())

    def find(self, scope: Scope, key_id: KeyId, not_before: int) -> tuple[Session, str | None]:
        """Return the session of a token, or a decoy and why the token must not open."""
        keks = self._keks.of(scope.tenant)
        opening = self._opening.get(id(keks)) or self._made(keks)
        sid, kek_id, kek_number = key_id
        named = opening.named.get(kek_number if kek_id is None else kek_id, opening.unknown)
        source = (named, opening.revoked)[began(sid) < not_before]  # as long for either
        place = scope, source.prefix + sid
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
        if session in self.kept or session.kek_id is None:
            return
        keks = self._keks.of(session.scope.tenant)
        opening = self._opening.get(id(keks)) or self._made(keks)
        if session.kek_id not in opening.named:
            return  # of another keyring
        place = session.scope, _prefix(session.kek_id) + session.sid
        before = self._proven.get(place)
        for lost in (before, self._proven.put(place, session)):
            if lost is not None:
                self.kept.discard(lost)
        self.kept.add(session)
        self._tried.forget(place)

    def _made(self, keks: TenantKeks) -> _Opening:
        if len(self._opening) >= self._limit:
            self._opening.clear()
        made = self._opening[id(keks)] = _Opening(keks, self._decoy)
        return made

    def clear(self) -> None:
        """Forget all sessions, and the KEKs that they were derived from."""
        self._opening.clear()
        self._proven.clear()
        self.kept.clear()
        self._tried.clear()


def _prefix(kek_id: str) -> bytes:
    """Return the prefix of session ids that names a KEK.

    It is new bytes each time: comparing by identity at one look-up and by value at another would
    distinguish, by time, a session that was sealed with from one that was only tried.
    """
    return kek_id.encode() + b"."
