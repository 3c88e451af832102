"""Ephemeral sessions of tokens to be opened: read from the store once, cached for a while.

A session that the store has is cached; that it has none is remembered for a moment, so that made-up
ids do not cause a request for each message. While the store is down, a cached session opens until
its soft end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from ...config.settings.keys import MOST_GRACE
from ...core.crypto import base64url
from ...core.crypto.context import Scope
from ...core.crypto.secret import RecordKey
from ...core.crypto.session_cipher import Session
from ...core.errors import KeyUnavailable
from ..keyring.kek_source import KekSource
from ..keyring.name_keys import NamePlace
from ..lru_map import BoundedMap
from ..policy import ABSENT_SECONDS, MAX_SKEW_SECONDS, MOST_DOUBTS, REST_SECONDS
from ..stores import FoundRecords, HeldRecords, StoreFailed, records
from ..stores.guarded import GuardedStore, Notice
from ..stores.records import RecordRefused
from . import agreement
from .agreement import began
from .kek_usage import KekUse
from .revocation_state import RevocationState, RevocationStates
from .settings import MAX_AGE_SECONDS

MAX_GRACE_SECONDS: Final = int(MOST_GRACE)


class _Live(NamedTuple):
    """A session that the store has, with its ends (seconds since 1970)."""

    session: Session
    soft_end: float
    hard_end: float


@dataclass(slots=True)
class _Known:
    """What the store has under an id: a session, or None.

    The decoy is tried where there is none, or where it must no longer open.
    """

    live: _Live | None
    decoy: Session
    fresh_until: float


class EphemeralSessions:
    """Finds the sessions of ephemeral tokens. `clock` returns seconds since 1970."""

    def __init__(  # noqa: PLR0913 - what the sessions hand in, each by name
        self,
        store: GuardedStore,
        revocations: RevocationStates,
        limit: int,
        max_age: float,
        *,
        keks: KekSource,
        decoy: Callable[[Scope, bytes], Session],
        clock: Callable[[], float],
        notice: Notice,
        use: KekUse,
    ) -> None:
        """Begin empty; at most `limit` are kept, each asked for again after `max_age` seconds.

        `decoy` returns what is tried in place of a session of that scope and id.
        """
        self._store = store
        self._revocations = revocations
        self._max_age = max_age
        self._keks = keks
        self._decoy = decoy
        self._clock = clock
        self._notice = notice
        self._use = use
        self._known: BoundedMap[tuple[Scope, bytes], _Known] = BoundedMap(limit)

    def __len__(self) -> int:
        """Return how many are known or known to be absent."""
        return len(self._known)

    def knows(self, scope: Scope) -> bool:
        """Whether the store had a session of the scope; it looks at all of them."""
        return any(one.live and one.live.session.scope == scope for one in self._known.entries())

    def at_hand(self, scope: Scope, sid: bytes, now: float, asked: float) -> bool:
        """Whether the store need not be asked for this session.

        What is absent stays so for who asked for it before, at a time up to `now`.
        """
        known = self._known.get((scope, sid))
        if known is None:
            return not possible(sid, now)
        at = asked if known.live is None else now
        return at < known.fresh_until or not possible(sid, now)

    def get(
        self, scope: Scope, sid: bytes, not_before: int, now: float
    ) -> tuple[Session, str | None]:
        """Return the session, or a decoy and why the token must not open."""
        known = self._known.get((scope, sid))
        if known is None:
            return self._decoy(scope, sid), "unknown-key"
        live = known.live
        if live is None or now >= live.hard_end:
            return known.decoy, "unknown-key"
        if began(sid) < not_before:
            return known.decoy, "revoked-session"
        return live.session, None

    async def find(
        self,
        scope: Scope,
        state: RevocationState,
        sids: Sequence[bytes],
        places: Sequence[NamePlace],
    ) -> bool:
        """Ask the store, once for each place, for the sessions and for the scope's revocation.

        Returns whether it answered; what was announced meanwhile is to be asked for again. Raises
        KeyUnavailable when it does not answer and one of them is not at hand or has ended.
        """
        changes = state.changes
        try:
            lives = await self._found(scope, state, sids, places)
        except StoreFailed:
            self._go_on(scope, sids, self._clock())
            return False
        now = self._clock()
        if not self._revocations.unchanged(scope, state, changes):
            return True
        state.fresh_until = max(state.fresh_until, now + self._max_age)
        for sid, live in zip(sids, lives, strict=True):
            fresh_until = now + ABSENT_SECONDS
            if live is not None:
                fresh_until = min(now + self._max_age, live.hard_end)
            self._known.put((scope, sid), _Known(live, self._decoy(scope, sid), fresh_until))
        return True

    def remember(self, session: Session, soft_end: float, hard_end: float) -> None:
        """Keep the session that was just agreed on, with its ends (since 1970)."""
        fresh_until = min(self._clock() + self._max_age, hard_end)
        decoy = self._decoy(session.scope, session.sid)
        live = _Live(session, soft_end, hard_end)
        self._known.put((session.scope, session.sid), _Known(live, decoy, fresh_until))

    def changed(self) -> None:
        """Ask the store about every session when it is next needed."""
        for known in self._known.entries():
            known.fresh_until = 0.0

    def forget(self, scope: Scope) -> None:
        """Drop all sessions of a scope at once."""
        for scope_and_sid, _ in self._known.items():  # noqa: PERF102 - no dict: a copy of its entries
            if scope_and_sid[0] == scope:
                self._known.forget(scope_and_sid)

    def drop_ended(self, now: float) -> Iterator[None]:
        """Drop sessions that have ended or are revoked, and ids that were absent a while ago.

        It handles a few at each step.
        """

        def over(known: _Known) -> bool:
            if known.live is None:
                return now >= known.fresh_until
            session = known.live.session
            revoked = session.created < self._revocations.not_before(session.scope)
            return revoked or now >= known.live.hard_end

        yield from self._known.dropping(over)

    def clear(self) -> None:
        """Forget all."""
        self._known.clear()

    def _go_on(self, scope: Scope, sids: Sequence[bytes], now: float) -> None:
        for sid in sids:
            known = self._known.get((scope, sid))
            live = known.live if known is not None else None
            if known is None or live is None or now >= live.soft_end:
                raise KeyUnavailable("store-unavailable")
            known.fresh_until = min(now + REST_SECONDS, live.soft_end)

    async def _found(
        self,
        scope: Scope,
        state: RevocationState,
        sids: Sequence[bytes],
        places: Sequence[NamePlace],
    ) -> list[_Live | None]:
        """Return what the store has of each session, in the first place that has it."""
        lives: dict[bytes, _Live | None] = dict.fromkeys(sids)
        for place in places:
            wanted = [sid for sid, live in lives.items() if live is None]
            found, there = await self._look(scope, state, wanted, place)
            for _ in range(MOST_DOUBTS):
                if not self._doubtful(found, there, place.named):
                    break
                # It was forged, or spoilt on the way: the last answer decides.
                found, there = await self._look(scope, state, wanted, place)
            lives.update(zip(wanted, there, strict=True))
        return [lives[sid] for sid in sids]

    async def _look(
        self, scope: Scope, state: RevocationState, sids: Sequence[bytes], place: NamePlace
    ) -> tuple[FoundRecords, list[_Live | None]]:
        """Return what the store has of the sessions in a place, and learn the revocation there.

        Raises StoreFailed, and KeyUnavailable for a revocation in an unknown form.
        """
        ids = [base64url.encode(sid).decode() for sid in sids]
        found = await self._store.find(place.sessions, ids)
        self._revocations.learn(state, found.revocation, self._notice, place)
        return found, [
            None if held is None else self._open(held, sid, scope, place.named)
            for sid, held in zip(sids, found.keys, strict=True)
        ]

    @staticmethod
    def _doubtful(
        found: FoundRecords, lives: Sequence[_Live | None], named: tuple[str, RecordKey]
    ) -> bool:
        """Whether one of the records that were found is not authentic."""
        if found.revocation is not None and not records.revokes(found.revocation, *named):
            return True
        return any(
            held is not None and live is None and not records.authentic_one(held.record, *named)
            for held, live in zip(found.keys, lives, strict=True)
        )

    def _open(
        self, held: HeldRecords, sid: bytes, scope: Scope, named: tuple[str, RecordKey]
    ) -> _Live | None:
        """Return the session of an authentic record of this id that has not ended."""
        try:
            record = records.decode_session(held.record, *named)
        except RecordRefused as refused:
            self._notice(str(refused))
            return None
        now = self._clock()
        hard_end = min(now + held.remaining_ms / 1000, record.hard_end / 1000)
        if record.sid != sid or not record.wrapped or hard_end <= now:
            return None
        key = agreement.key_of_record(record, named[0], self._keks.of(scope.tenant))
        if key is None:
            return None
        self._use.opened(record.kek_number, now)
        return _Live(Session(key, sid=sid, scope=scope), record.soft_end / 1000, hard_end)


def possible(sid: bytes, now: float) -> bool:
    """Whether a session of that id could be alive under any settings at all."""
    oldest = now - MAX_AGE_SECONDS - MAX_GRACE_SECONDS
    return oldest < began(sid) <= now + MAX_SKEW_SECONDS
