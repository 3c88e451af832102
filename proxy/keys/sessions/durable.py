"""Durable sessions: derived from a KEK, the session id and the scope, so no store holds them."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from ...core.crypto import derivation
from ...core.crypto.context import Scope
from ...core.crypto.secret import KEY_BYTES, Kek
from ...core.crypto.session_cipher import Session
from ...core.crypto.token import KeyId
from ..keyring.kek import KekEntry, RandomBytes
from ..keyring.kek_source import KekSource, TenantKeks
from ..lru_map import BoundedMap
from .agreement import began

TRIED_SESSIONS: Final = 256
"""How many sessions are kept under which no tag has verified yet."""

_Place = tuple[Scope, bytes]
"""A session among all: its scope, and the ids of the KEKs that it may be of before its own id."""


def durable_session(entry: KekEntry, sid: bytes, scope: Scope) -> Session:
    """Return the session `sid` (12 bytes) of `scope` under a KEK."""
    key = derivation.session_key(entry.key, sid, scope)
    return Session(key, sid=sid, scope=scope, kek_id=entry.id, kek_number=entry.number)


class _Source:
    """What sessions are derived from, and why they must not open, if they are decoys.

    Where a keyring was merged, there may be several KEKs, which are tried one after the other.
    """

    __slots__ = ("entries", "prefix", "refusal")

    def __init__(self, entries: tuple[KekEntry, ...], refusal: str | None) -> None:
        self.entries = entries
        self.prefix = b"".join(_prefix(entry.id) for entry in entries)
        self.refusal = refusal


class _Opening:
    """What the sessions of one tenant's tokens are derived from.

    `named` has a source for each id and number of a KEK; `unknown` and `revoked` are decoys.
    `padding` are decoys: so many are tried in addition to the KEK that a token names. `prefixes`
    are those of all sources that a KEK is in, by its id; the first is of the source of that id.
    """

    __slots__ = ("keks", "named", "padding", "prefixes", "revoked", "unknown")

    def __init__(self, keks: TenantKeks, decoy: KekEntry) -> None:
        self.keks = keks
        named: dict[str | int | None, list[KekEntry]] = {}
        for entry in keks.keks:
            for name in _names(entry):
                named.setdefault(name, []).append(entry)
        self.padding = (decoy,) * (max(map(len, named.values())) - 1)
        self.named = {name: self._source(entries, decoy) for name, entries in named.items()}
        self.prefixes = {
            entry.id: tuple(dict.fromkeys(self.named[name].prefix for name in _names(entry)))
            for entry in keks.keks
        }
        self.unknown = _Source((decoy, *self.padding), "unknown-key")
        revoked = replace(decoy, id="-")  # kept apart from those of unknown KEKs
        self.revoked = _Source((revoked, *self.padding), "revoked-session")

    def _source(self, entries: list[KekEntry], decoy: KekEntry) -> _Source:
        usable = [entry for entry in entries if entry.state != "disabled"]
        # Kept apart, by the id, from those that open and from other decoys.
        decoys = [replace(one, key=decoy.key) for one in entries if one not in usable]
        every = (*usable, *decoys, *self.padding)[: len(self.padding) + 1]
        return _Source(every, None if usable else "disabled-key")


class DurableSessions:
    """Finds the sessions of durable tokens to be opened, and decoys for those that must not open.

    Decoys are derived from a random KEK of this process and kept as any other session is, so that
    refusing takes as long as trying does, the first time and later. For the same reason there are
    as many to be tried for each name as for the one that the most KEKs share. A session is
    kept for long once a tag has verified under it. Until then it is one of a few hundred, decoys
    among them: anyone can make up session ids, and must not push out real ones.
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
        """The same, and those that are tried with them, to be told at a glance."""
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
            session = _derived(source.entries, sid, scope)
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
        prefixes = opening.prefixes.get(session.kek_id)
        if prefixes is None:
            return  # of another keyring
        places = [(session.scope, prefix + session.sid) for prefix in prefixes]
        place, first = places[0], session
        for one in places:
            tried = self._tried.peek(one)
            if tried is not None and session in {tried, *tried.others}:
                place, first = one, tried  # where it is looked for, as one of several maybe
        if opening.padding and not first.others:
            first.others = _all_derived(opening.padding, first.sid, first.scope)
        before = self._proven.get(place)
        for lost in (before, self._proven.put(place, first)):
            if lost is not None:
                self.kept.difference_update((lost, *lost.others))
        self.kept.update((first, *first.others))
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


def _derived(entries: tuple[KekEntry, ...], sid: bytes, scope: Scope) -> Session:
    """Return the session under the first KEK, which has those under the others behind it."""
    session = durable_session(entries[0], sid, scope)
    if len(entries) > 1:
        session.others = _all_derived(entries[1:], sid, scope)
    return session


def _all_derived(entries: tuple[KekEntry, ...], sid: bytes, scope: Scope) -> tuple[Session, ...]:
    return tuple(durable_session(entry, sid, scope) for entry in entries)


def _names(entry: KekEntry) -> tuple[str | int, ...]:
    """Return by what a token may name a KEK, its own id first."""
    return entry.id, *entry.also, entry.number


def _prefix(kek_id: str) -> bytes:
    """Return the prefix of session ids that names a KEK.

    It is new bytes each time: comparing by identity at one look-up and by value at another would
    distinguish, by time, a session that was sealed with from one that was only tried.
    """
    return kek_id.encode() + b"."
