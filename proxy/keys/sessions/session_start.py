"""Starting the sessions that seal: agreed over the store, written to the audit log, then cached."""

from __future__ import annotations

from ...core.crypto.context import Scope
from ...core.crypto.session_cipher import Session
from ...core.errors import KeysFull
from ..keyring.kek_source import KekSource, TenantKeks
from ..keyring.keyring import Keyring
from ..lru_map import BoundedMap
from ..policy import REST_SECONDS
from .agreement import Agreed, Agreement, ScopeKeys, began
from .durable import DurableSessions, durable_session
from .ephemeral import EphemeralSessions
from .kek_usage import KekUse
from .key_events import Beginning, Cause, KeyEvents
from .revocation_state import FOREVER, RevocationState, RevocationStates
from .sealing_cache import Sealing, SealingSessions
from .settings import Rotated, SessionSettings
from .shared_clock import SharedClock


class SessionStarter:
    """Finds or makes the session that seals for a scope, and puts it into the caches.

    Callers hold the lock of the scope. `shared` says whether other processes use the same store.
    """

    def __init__(  # noqa: PLR0913 - what the sessions hand in, each by name
        self,
        keyring: Keyring,
        settings: SessionSettings,
        *,
        keks: KekSource,
        agreement: Agreement,
        revocations: RevocationStates,
        sealing: SealingSessions,
        durable: DurableSessions,
        ephemeral: EphemeralSessions,
        key_usage: KekUse,
        key_events: KeyEvents | None,
        clock: SharedClock,
        shared: bool,
    ) -> None:
        """Take the collaborators; nothing is asked yet."""
        self.keyring = keyring
        self._settings = settings
        self._keks = keks
        self._agreement = agreement
        self._revocations = revocations
        self._sealing = sealing
        self._durable = durable
        self._ephemeral = ephemeral
        self._key_usage = key_usage
        self._key_events = key_events
        self._clock = clock
        self._shared = shared
        self._unreported: BoundedMap[bytes, bool] = BoundedMap(settings.max_scopes)

    async def ensure(self, scope: Scope, count: int) -> None:
        """See that a session of the scope can seal `count` values.

        Raises KeyUnavailable when no session can be had, KeysFull when the store has no room for
        an ephemeral one and the current one is used up.
        """
        now = self._clock()
        held = self._sealing.get(scope)
        usable = held is not None and self._sealing.able(held, count, now)
        if held is not None and usable and now < held.fresh_until:
            return
        keys = self._keys(scope)
        if held is not None:  # it may have outlived the state that it was made with
            held.state = keys.state
        spent = held.session.sid if held is not None and not usable else None

        def fits(sid: bytes) -> bool:
            return sid != spent and began(sid) >= keys.state.not_before

        try:
            agreed = await self._agreement.current(keys, fits)
        except KeysFull:
            if not usable:
                raise
            agreed = None
        now = self._clock()
        if agreed is None and held is not None and self._sealing.able(held, count, now):
            held.fresh_until = now + REST_SECONDS
        else:
            cause = self._cause(held, count, now)
            await self._start(scope, keys, agreed, cause=cause)

    async def rotate(self, scope: Scope) -> Rotated:
        """Return a new session for the scope, whatever session seals now.

        Raises KeyUnavailable when an ephemeral session cannot be agreed on.
        """
        keys = self._keys(scope)
        before = await self._agreement.current(keys, lambda _: True)
        old = before.sid if before is not None else None
        agreed = await self._agreement.current(keys, lambda sid: sid != old)
        session = await self._start(scope, keys, agreed, cause="admin")
        turned = [await self._turn(keys, name) for name in keys.state.others]
        return Rotated(session, agreed is not None and all(turned))

    async def _turn(self, keys: ScopeKeys, name: str) -> bool:
        """Begin a session under another name of a scope, if one is current there.

        Processes whose keyring still has the name key seal under it. Returns whether they will seal
        under the new one.
        """
        there = keys._replace(state=RevocationState(name, keys.state.not_before))
        old = await self._agreement.standing(there)
        return (
            old is None or await self._agreement.current(there, lambda sid: sid != old) is not None
        )

    def _keys(self, scope: Scope) -> ScopeKeys:
        state, keks = self._revocations.of(scope), self._keks.of(scope.tenant)
        return ScopeKeys(state, self.keyring, keks, state.changes)

    async def _start(
        self, scope: Scope, keys: ScopeKeys, agreed: Agreed | None, *, cause: Cause
    ) -> Session:
        """Cache the agreed session; without an agreement, a durable one of this process alone.

        A new session is written to the audit log first. Raises KeyUnavailable where it cannot be,
        and where an ephemeral session was not agreed on.
        """
        now = self._clock()
        if agreed is None:
            agreed = self._agreement.alone(keys)
        if self._key_events is not None and (agreed.made or self._unreported.get(agreed.sid)):
            # The store holds it from here on: where the report fails, a later call makes it.
            self._unreported.put(agreed.sid, entry=True)
            held = self._sealing.get(scope)
            kek = None if agreed.key is not None else keys.keks.primary.id
            previous = None if held is None else held.session.sid
            ttl = agreed.soft_end - now
            await self._key_events.begins(
                Beginning(keys.state.name, agreed.sid, kek, cause, round(ttl, 3), previous)
            )
            self._unreported.forget(agreed.sid)
        return self._install(scope, keys, agreed, now)

    def _cause(self, held: Sealing | None, count: int, now: float) -> Cause:
        """Return why the session that is held cannot continue."""
        if held is None:
            return "first"
        created = began(held.session.sid)
        if created < held.state.not_before:
            return "revoked"
        current = now < held.soft_end and self._clock.begun(created)
        if current and not self._sealing.able(held, count, now):
            return "use"
        return "age"

    def _install(self, scope: Scope, keys: ScopeKeys, agreed: Agreed, now: float) -> Session:
        if keys.keyring is not self.keyring:  # replaced while the store was asked
            return _session(agreed, scope, keys.keks)
        # Other scopes may have pushed out the state of the question meanwhile.
        state = self._revocations.of(scope)
        unchanged = self._revocations.unchanged(scope, keys.state, keys.changes)
        if not agreed.shared:
            fresh_until = now + REST_SECONDS
        elif not unchanged:  # it may be revoked or erased by now
            fresh_until = 0.0
        else:
            fresh_until = now + self._settings.revocation_max_age if self._shared else FOREVER
            if not state.others:  # what was revoked under those was not asked for
                state.fresh_until = max(state.fresh_until, fresh_until)
        held = self._sealing.get(scope)
        if held is not None and held.session.sid == agreed.sid:
            held.state, held.fresh_until = state, fresh_until
            return held.session
        session = _session(agreed, scope, keys.keks)
        ends = {"soft_end": agreed.soft_end, "fresh_until": fresh_until}
        self._sealing.put(session, state, **ends)
        self._revocations.began(state.name, session.created)
        self._durable.remember(session)
        if agreed.key is not None and unchanged:
            self._ephemeral.remember(session, agreed.soft_end, agreed.hard_end)
        self._key_usage.began(keys.keks.primary.number, now)
        return session


def _session(agreed: Agreed, scope: Scope, keks: TenantKeks) -> Session:
    if agreed.key is not None:
        return Session(agreed.key, sid=agreed.sid, scope=scope, under=keks.primary.id)
    return durable_session(keks.primary, agreed.sid, scope)
