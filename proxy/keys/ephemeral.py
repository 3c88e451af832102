"""Ephemeral sessions of tokens to be opened: asked of the store once, kept for a while.

A session that the store has is cached; that it has none is remembered for a moment, so that a
client who makes ids up does not make us ask for each message. With the store down, what is cached
opens until its soft end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from ..core import base64url
from ..core.context import Scope
from ..core.errors import KeyUnavailable
from ..core.session import Session
from . import ephemeral_record
from .agreement import MAX_AGE_SECONDS, MAX_SKEW_SECONDS, began
from .bounded import BoundedMap
from .breaker import REST_SECONDS
from .guarded import GuardedStore, Notice
from .kek_use import KekUse
from .keyring import Keyring
from .standing import Standing, Standings
from .stores import Held, StoreFailed
from .stores import record as records
from .stores.record import RecordRefused

ABSENT_SECONDS: Final = 1.0
MAX_GRACE_SECONDS: Final = 366 * 24 * 3600


@dataclass(slots=True)
class _Known:
    """What the store said: a session with its ends (since 1970), or None that there is none."""

    session: Session | None
    fresh_until: float
    soft_end: float = 0.0
    hard_end: float = 0.0


class EphemeralSessions:
    """Finds the sessions of ephemeral tokens. `clock` returns seconds since 1970."""

    def __init__(  # noqa: PLR0913 - what the sessions hand in, each by name
        self,
        store: GuardedStore,
        standings: Standings,
        limit: int,
        max_age: float,
        *,
        clock: Callable[[], float],
        notice: Notice,
        use: KekUse,
    ) -> None:
        """Begin empty; at most `limit` are kept, each asked for again after `max_age` seconds."""
        self._store = store
        self._standings = standings
        self._max_age = max_age
        self._clock = clock
        self._notice = notice
        self._use = use
        self._known: BoundedMap[tuple[Scope, bytes], _Known] = BoundedMap(limit)

    def __len__(self) -> int:
        """Return how many are known or known to be absent."""
        return len(self._known)

    def at_hand(self, scope: Scope, sid: bytes, now: float) -> bool:
        """Whether the store need not be asked for this session."""
        known = self._known.get((scope, sid))
        return (known is not None and now < known.fresh_until) or not _possible(sid, now)

    def get(self, scope: Scope, sid: bytes, now: float) -> Session | None:
        """Return the session if it was found and its hard end is to come."""
        known = self._known.get((scope, sid))
        return known.session if known is not None and now < known.hard_end else None

    async def find(
        self, scope: Scope, standing: Standing, sids: Sequence[bytes], keyring: Keyring
    ) -> None:
        """Ask the store, once, for the sessions and for the scope's revocation.

        Raises KeyUnavailable when it does not answer and one of them is not at hand or has ended.
        """
        ids = [base64url.encode(sid).decode() for sid in sids]
        now = self._clock()
        try:
            found = await self._store.find(standing.name, ids)
        except StoreFailed:
            self._go_on(scope, sids, now)
            return
        now = self._clock()
        standing.fresh_until = max(standing.fresh_until, now + self._max_age)
        self._standings.learn(standing, found.revocation, self._notice)
        for sid, held in zip(sids, found.keys, strict=True):
            known = None if held is None else self._open(held, sid, scope, standing, keyring)
            self._known.put((scope, sid), known or _Known(None, now + ABSENT_SECONDS))

    def changed(self) -> None:
        """Ask anew about every session when it is next needed."""
        for known in self._known.entries():
            known.fresh_until = 0.0

    def bury(self, now: float) -> None:
        """Let go of the sessions whose hard end has come, and of what was absent a while ago."""
        self._known.drop(
            lambda known: now >= (known.hard_end if known.session else known.fresh_until)
        )

    def clear(self) -> None:
        """Forget all."""
        self._known.clear()

    def _go_on(self, scope: Scope, sids: Sequence[bytes], now: float) -> None:
        for sid in sids:
            known = self._known.get((scope, sid))
            if known is None or known.session is None or now >= known.soft_end:
                raise KeyUnavailable("store-unavailable")
            known.fresh_until = min(now + REST_SECONDS, known.soft_end)

    def _open(
        self, held: Held, sid: bytes, scope: Scope, standing: Standing, keyring: Keyring
    ) -> _Known | None:
        """Return the session of an authentic record of this id that has not ended."""
        try:
            record = records.decode(held.record, standing.name, keyring.record_key)
        except RecordRefused as refused:
            self._notice(str(refused))
            return None
        now = self._clock()
        hard_end = min(now + held.remaining_ms / 1000, record.hard_end / 1000)
        if record.sid != sid or not record.wrapped or hard_end <= now:
            return None
        key = ephemeral_record.key(record, standing.name, keyring)
        if key is None:
            return None
        self._use.opened(record.kek_number, now)
        session = Session(key, sid=sid, scope=scope)
        fresh_until = min(now + self._max_age, hard_end)
        return _Known(session, fresh_until, record.soft_end / 1000, hard_end)


def _possible(sid: bytes, now: float) -> bool:
    """Whether a session of that id could be alive under any settings at all."""
    oldest = now - MAX_AGE_SECONDS - MAX_GRACE_SECONDS
    return oldest < began(sid) <= now + MAX_SKEW_SECONDS
