"""Session keys: what a plan needs, found in the process, agreed over the store, or derived.

A warm message is answered without a wait. The first message of a scope waits for the store, and so
does the first after its session ended or when it is time to look for revocations again. Where no
other process shares the store, opening durable tokens never waits: the key travels with them.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import starmap
from weakref import WeakValueDictionary

from ...core.crypto.context import Scope
from ...core.crypto.session_cipher import Session
from ...core.crypto.token import KeyId
from ...core.edits.key_needs import Attempt, Keys, Needs
from ...core.errors import KeysFull, KeyUnavailable, OperatorError, Unopened
from ..audit import Value
from ..keyring.keyring import Keyring, RandomBytes
from ..lru_map import BoundedMap
from ..stores import Changed, ClockRefused, Store, StoreFailed, erased, records
from ..stores.guarded import REST_SECONDS, GuardedStore, Notice
from . import joined_scopes
from .agreement import Agreed, Agreement, began
from .durable import DurableSessions, durable_session
from .ephemeral import EphemeralSessions
from .kek_usage import KekUse
from .key_events import BLOCKED, Beginning, Cause, KeyEvents
from .revocation_state import FOREVER, RevocationState, RevocationStates
from .sealing_cache import Due, Sealing, SealingSessions, due
from .settings import (
    MAX_SKEW_SECONDS,
    Lookups,
    Rotated,
    SessionMode,
    SessionSettings,
    SessionView,
    require_possible,
)

__all__ = ["SessionMode", "SessionSettings", "Sessions"]

# Each round one message gets its session, so only a plan of more scopes than fit fails.
_ROUNDS = 16
_REVOKING = 8
"""So often is a revocation written and read back, while somebody else writes there."""
_DUE_SECONDS = 2.0
"""So long holds what was found of up to 10,000 sessions, since probes and viewers ask often."""

# Above all times that a session id can name.
_NEVER = 1 << 32


class Sessions:
    """Finds the sessions of plans. One object serves one process and one event loop.

    `clock` returns seconds since 1970. Nothing of it holds key bytes, only sessions.
    """

    def __init__(  # noqa: PLR0913 - what the wiring hands in, each by name
        self,
        keyring: Keyring,
        store: Store,
        settings: SessionSettings,
        *,
        clock: Callable[[], float],
        random: RandomBytes,
        notice: Notice = lambda _: None,
        mode: SessionMode = "durable",
        witness: KeyEvents | None = None,
    ) -> None:
        """Begin with empty caches; raise ConfigurationError for settings that cannot be."""
        require_possible(settings, mode)
        self._keyring = keyring
        self._settings = settings
        self._clock = clock
        self._ephemeral = mode == "ephemeral"
        self.use = KekUse(clock())
        """How often each KEK was used here."""
        self.joins = False
        """Whether rules join names, so that a text that reads as a joined name is told from one."""
        self.lookups = Lookups()
        """How often the caches of this process were enough."""
        self._store = GuardedStore(store, settings.store_timeout, clock=clock, notice=notice)
        limit = settings.max_scopes
        self._standings = RevocationStates(keyring, limit, shared=store.shared, clock=clock)
        self._agreement = Agreement(
            self._store,
            settings,
            self._standings,
            clock=clock,
            random=random,
            notice=notice,
            ephemeral=self._ephemeral,
        )
        self._durable = DurableSessions(keyring, limit, random=random)
        self._found = EphemeralSessions(
            self._store,
            self._standings,
            limit,
            settings.revocation_max_age,
            decoy=self._durable.decoy,
            clock=clock,
            notice=notice,
            use=self.use,
        )
        since = joined_scopes.joined_since(keyring)
        self._sealing = SealingSessions(limit, settings.max_messages, since)
        self._locks: WeakValueDictionary[Scope, asyncio.Lock] = WeakValueDictionary()
        self._notice = notice
        self._due, self._due_at = Due(), -_DUE_SECONDS
        self._witness = witness
        self._untold: BoundedMap[bytes, bool] = BoundedMap(limit)
        self.shut: set[tuple[str, str]] = set()
        """Listeners and rules that refuse all messages, since somebody tried a poison token."""
        self.blocked = False
        """Whether nothing is opened just now, since it could not be written down."""
        self._also: Changed = lambda _: None
        self._pid = os.getpid()

    @property
    def store(self) -> GuardedStore:
        """The store behind its circuit breaker, for those who show how it stands."""
        return self._store

    async def open(self, also: Changed = lambda _: None) -> None:
        """Open the store, and from now on hear what other processes rotate and revoke.

        `also` is told what is heard as well.
        """
        self._also = also

        def changed(name: str | None) -> None:
            self.changed(name)
            also(name)

        await self._store.open(changed)

    @property
    def keyring(self) -> Keyring:
        """The keyring in use."""
        return self._keyring

    @property
    def ephemeral(self) -> bool:
        """Whether session keys are random and stand in the store alone."""
        return self._ephemeral

    @property
    def revocation_max_age(self) -> float:
        """For how many seconds a process goes by what it knows of revocations."""
        return self._settings.revocation_max_age

    def now(self) -> float:
        """Return the time, in seconds since 1970."""
        return self._clock()

    @property
    def cached(self) -> tuple[int, int]:
        """How many sessions are at hand for sealing, and how many for opening."""
        return len(self._sealing), len(self._durable)

    def due(self) -> Due:
        """Return when the sessions that seal are due; looked up anew every few seconds."""
        now = self._clock()
        if not 0 <= now - self._due_at < _DUE_SECONDS:
            self._due, self._due_at = due(self._sealing.alive(now)), now
        return self._due

    async def resolve(self, needs: Needs) -> Keys:
        """Return the sessions of a plan, asking the store for those that are not at hand.

        Raises KeyUnavailable when a scope's session cannot be had.
        """
        for _ in range(_ROUNDS):
            keys = self.resolve_warm(needs)
            if keys is not None:
                return keys
            asked = self.in_forms(needs)
            if max(needs.seals.values(), default=0) > self._settings.max_messages:
                raise KeyUnavailable("too-many-values")
            self.lookups.asked += 1
            await self._obtain_all(asked)
        keys = self.resolve_warm(needs)
        if keys is None:
            raise KeyUnavailable("too-many-scopes")
        return keys

    def resolve_warm(self, needs: Needs) -> Keys | None:
        """Return the sessions of a plan, or None when the store must be asked.

        What is returned counts as used; None counts nothing. Raises KeyUnavailable for tokens to
        be opened while nothing can be written to an audit log that blocks.
        """
        if os.getpid() != self._pid:
            self._begin_after_fork()
        if needs.joined:
            needs = self.in_forms(needs)
        seals, opens = needs.seals, needs.opens
        now = self._clock()
        if opens:
            if self.blocked:
                raise KeyUnavailable(BLOCKED)
            keys = self._opening(opens, now)
            if keys is None:
                return None
        else:
            keys = Keys({}, {})
        if seals:
            sealing = self._sealing.take(seals, now)
            if sealing is None:
                return None
            keys.sealing = sealing
        if self.joins or needs.joined:
            keys.joined_since = joined_scopes.joined_since(self._keyring)
        self.lookups.plans += 1
        return keys

    def in_forms(self, needs: Needs) -> Needs:
        """Return needs that name each joined scope in the forms that it may have."""
        return (
            joined_scopes.in_forms(needs, self._keyring, self._clock()) if needs.joined else needs
        )

    def floor(self, now: float) -> int:
        """Return the time before which no session that seals may have begun."""
        return joined_scopes.floor(self._keyring, now)

    def forms(self, scope: Scope) -> tuple[Scope, ...]:
        """Return every form that a scope may have, first that in which it is sealed now."""
        return joined_scopes.forms(scope, self._keyring, self._clock())

    def name(self, scope: Scope) -> str:
        """Return the name under which the records of a scope stand."""
        return self._standings.of(scope).name

    def not_before(self, scope: Scope, now: float) -> int | None:
        """Return since when the sessions of a scope count; None when the store must be asked."""
        standing = self._standings.fresh(scope, now)
        return None if standing is None else standing.not_before

    async def ask(self, scope: Scope) -> None:
        """Ask the store since when the sessions of a scope count, where that is not known."""
        await self._look_up(scope, set())

    def decoy(self, scope: Scope, sid: bytes) -> Session:
        """Return a session under a key that no token was sealed under."""
        return self._durable.decoy(scope, sid)

    def remember(self, sessions: Mapping[Session, int]) -> None:
        """Keep sessions under which tags have verified, so that they need not be derived again.

        `sessions` tells how many values each has opened.
        """
        now = self._clock()
        for session, values in sessions.items():
            if session.kek_number is not None:
                self.use.opened(session.kek_number, now, values)
                self._durable.remember(session)

    def refused(self, unopened: Sequence[Unopened], attempt: Attempt) -> bool:
        """Tell of tokens that did not open; return whether a poison token is among them."""
        poison = self._witness is not None and self._witness.refused(unopened, attempt)
        if poison and attempt.shuts:
            self.shut.add((attempt.listener, attempt.rule))
        return poison

    def block(self, blocked: bool) -> None:  # noqa: FBT001 - what a Trail tells
        """Open nothing from now on, or open again."""
        self.blocked = blocked

    async def write_down(self, event: str, **values: Value) -> None:
        """Write down what is about to be done; raise KeyUnavailable where it must not be done."""
        if self._witness is not None:
            await self._witness.write_down(event, **values)

    def view(self, scope: Scope) -> SessionView:
        """Return what this process knows of a scope; nothing is asked and nothing counts."""
        standing, held = self._standings.of(scope), self._sealing.get(scope)
        if held is None or not self._sealing.able(held, 0, self._clock()):
            return SessionView(standing.name, standing.not_before)
        ends = held.session, held.soft_end, held.used
        return SessionView(standing.name, standing.not_before, *ends)

    def bury(self) -> Iterator[None]:
        """Let go of sessions that are over or revoked, a few at each step.

        Nothing opens or seals with them any more, and they would be refused in any case. Without
        this their keys would stay in memory until somebody asks for them, or others push them out.
        """
        now = self._clock()
        yield from self._sealing.bury(now)
        yield from self._found.bury(now)

    async def known(self, scope: Scope) -> bool:
        """Tell whether there is any sign of the scope: a session or a revocation, here or stored.

        Raises KeyUnavailable where the store does not tell.
        """
        standing = self._standings.of(scope)
        if standing.not_before or self._sealing.get(scope) is not None:
            return True
        if self._durable.knows(scope) or self._found.knows(scope):
            return True
        name, key = standing.name, self._keyring.record_key
        try:
            found = await self._store.find(name, (), current=True)
        except StoreFailed:
            raise KeyUnavailable("store-unavailable") from None
        revoked = self._standings.learn(standing, found.revocation, self._notice)
        return revoked is not None or records.authentic_one(found.current, name, key)

    async def rotate(self, scope: Scope) -> Rotated:
        """Return a new session that seals for the scope from now on; its old tokens still open.

        Other processes hear of it, or find it when they next ask. Raises KeyUnavailable when an
        ephemeral session cannot be agreed on.
        """
        async with self._lock(scope):
            standing, keyring = self._standings.of(scope), self._keyring
            before = await self._agreement.current(standing, keyring, lambda _: True)
            old = before.sid if before is not None else None
            agreed = await self._agreement.current(standing, keyring, lambda sid: sid != old)
            session = await self._begin(scope, standing, keyring, agreed, cause="admin")
            self._also(standing.name)
            return Rotated(session, agreed is not None)

    def hear(self, name: str) -> None:
        """Hear of a change in a conversation, as if the store had told of it."""
        self.changed(name)
        self._also(name)

    async def revoke(self, scope: Scope, not_before: int) -> bool:
        """Refuse all sessions of the scope that began before `not_before` (seconds since 1970).

        They neither seal nor open in this process any more; a later time wins over an earlier one.
        Returns whether the store holds it, read back and verified, so that other processes refuse
        them too; what stood there and nobody of us signed is overwritten. Raises OperatorError for
        a time to come, by our clock or the store's, which would refuse sessions not yet made.
        """
        standing, key = self.refuse(scope, not_before), self._keyring.record_key
        try:
            for _ in range(_REVOKING):
                seen = (await self._store.find(standing.name, ())).revocation
                # Another version's record is not overwritten: it may say more than ours would.
                told = self._standings.learn(standing, seen, self._notice)
                if told is not None and told >= not_before:
                    return True
                record = records.encode_revocation(standing.not_before, standing.name, key)
                await self._store.revoke(standing.name, record, standing.not_before, seen=seen)
        except ClockRefused:
            raise OperatorError("not-before-in-the-future") from None
        except (StoreFailed, KeyUnavailable):
            return False
        self._notice("revocation-not-kept")
        return False

    def refuse(self, scope: Scope, not_before: int) -> RevocationState:
        """Do what `revoke` does in this process alone, and return how the scope stands."""
        if not_before > int(self._clock()) + 1:
            raise OperatorError("not-before-in-the-future")
        standing = self._standings.of(scope)
        self._standings.revoke(standing, not_before)
        held = self._sealing.get(scope)
        if held is not None:  # it may have outlived the standing that it was made with
            held.standing = standing
        return standing

    async def erase(self, scope: Scope) -> tuple[str, ...]:
        """Destroy the ephemeral session keys of the scope, in the store and here.

        Returns the ids of those that were keys of ours. Raises KeyUnavailable where the store does
        not answer; then they may all still be there.
        """
        name, key = self._standings.of(scope).name, self._keyring.record_key
        async with self._lock(scope):
            self.let_go(scope)
            try:
                gone = await self._store.erase(name)
            except StoreFailed:
                raise KeyUnavailable("store-unavailable") from None
        return tuple(one for one, record in gone.items() if records.stood(one, record, name, key))

    def let_go(self, scope: Scope) -> None:
        """Let go of the ephemeral session keys of the scope that are held here."""
        self._sealing.let_go(scope)
        self._found.forget(scope)

    def replace_keyring(self, keyring: Keyring) -> None:
        """Go on with another keyring. Plans already resolved keep the sessions they have."""
        if keyring != self._keyring:
            self._keyring = keyring
            if self._witness is not None:
                self._witness.replace_record_key(keyring.record_key)
            self._standings.replace_keyring(keyring)
            self._durable.replace_keyring(keyring)
            self._sealing.joined_since = joined_scopes.joined_since(keyring)
            self._forget()

    def changed(self, name: str | None) -> None:
        """Ask anew about a conversation that another process rotated or revoked, or about all.

        Of one that another process erased, nothing is kept.
        """
        if name is not None and name.endswith(erased("")):
            name = name.removesuffix(erased(""))
            scope = self._standings.scope_of(name)
            if scope is not None and self._ephemeral:
                self.let_go(scope)
        self._standings.changed(name)
        self._found.changed()
        if self._store.shared:
            self._sealing.ask_anew(name)

    def _opening(self, opens: frozenset[tuple[Scope, KeyId]], now: float) -> Keys | None:
        """Return the sessions that open, the decoys, and the refusals; None if one is not known."""
        opening: dict[tuple[Scope, KeyId], Session] = {}
        decoys: dict[tuple[Scope, KeyId], Session] = {}
        refusals: dict[tuple[Scope, KeyId], str | None] = {}
        for need in opens:
            scope, key_id = need
            standing = self._standings.fresh(scope, now)
            if standing is None or self._must_be_found(scope, key_id, now):
                return None
            session, refusal = self._opening_session(scope, key_id, standing, now)
            (opening if refusal is None else decoys)[need] = session
            refusals[need] = refusal
        return Keys({}, opening, decoys, refusals)

    def _must_be_found(self, scope: Scope, key_id: KeyId, now: float) -> bool:
        sid, kek_id, kek_number = key_id
        durable = kek_id is not None or kek_number is not None
        return not durable and not self._found.at_hand(scope, sid, now)

    async def _obtain_all(self, needs: Needs) -> None:
        now = self._clock()
        opens: dict[Scope, set[bytes]] = {}
        for scope, key_id in needs.opens:
            unknown = self._must_be_found(scope, key_id, now)
            if unknown or self._standings.fresh(scope, now) is None:
                opens.setdefault(scope, set()).update({key_id.sid} if unknown else ())
        # No coroutine is made before it is awaited: what fails in between would leave it behind.
        if len(needs.seals) + len(opens) > 1:
            seals, looks = needs.seals.items(), opens.items()
            await asyncio.gather(*starmap(self._obtain, seals), *starmap(self._look_up, looks))
            return
        # Without a task in between, so that the caller counts before anyone else can.
        for scope, count in needs.seals.items():
            await self._obtain(scope, count)
        for scope, sids in opens.items():
            await self._look_up(scope, sids)

    async def _obtain(self, scope: Scope, count: int) -> None:
        """See that a session of the scope can seal `count` values; callers of one scope queue."""
        async with self._lock(scope):
            now = self._clock()
            held = self._sealing.get(scope)
            usable = held is not None and self._sealing.able(held, count, now)
            if held is not None and usable and now < held.fresh_until:
                return
            standing, keyring = self._standings.of(scope), self._keyring
            spent = held.session.sid if held is not None and not usable else None

            def fits(sid: bytes) -> bool:
                least = max(standing.not_before, self.floor(self._clock()))
                return sid != spent and began(sid) >= least

            try:
                agreed = await self._agreement.current(standing, keyring, fits)
            except KeysFull:
                if not usable:
                    raise
                agreed = None
            now = self._clock()
            if agreed is None and held is not None and self._sealing.able(held, count, now):
                held.fresh_until = now + REST_SECONDS
            else:
                cause = self._cause(held, count, now)
                await self._begin(scope, standing, keyring, agreed, cause=cause)

    async def _look_up(self, scope: Scope, sids: set[bytes]) -> None:
        """Ask how the scope stands, and for ephemeral sessions; callers of one scope queue."""
        async with self._lock(scope):
            now = self._clock()
            wanted = [sid for sid in sids if not self._found.at_hand(scope, sid, now)]
            if wanted or self._standings.fresh(scope, now) is None:
                standing = self._standings.of(scope)
                await self._found.find(scope, standing, wanted, self._keyring)
                if self._standings.fresh(scope, self._clock()) is None:  # the store is down
                    standing.fresh_until = self._clock() + REST_SECONDS

    async def _begin(
        self,
        scope: Scope,
        standing: RevocationState,
        keyring: Keyring,
        agreed: Agreed | None,
        *,
        cause: Cause,
    ) -> Session:
        """Keep the session agreed on; without an agreement durable sessions go on by themselves.

        One that begins here is written down first.
        """
        if agreed is None:
            if self._ephemeral:
                raise KeyUnavailable("store-unavailable")
            agreed = self._agreement.alone(standing, keyring)
        if self._witness is not None and (agreed.made or self._untold.get(agreed.sid)):
            # It stands in the store from here on, and is to be told of when that is possible.
            self._untold.put(agreed.sid, entry=True)
            held = self._sealing.get(scope)
            kek = None if agreed.key is not None else keyring.primary.id
            previous = None if held is None else held.session.sid
            ttl = agreed.soft_end - self._clock()
            await self._witness.begins(
                Beginning(standing.name, agreed.sid, kek, cause, round(ttl, 3), previous)
            )
            self._untold.forget(agreed.sid)
        return self._install(scope, standing, keyring, agreed)

    def _cause(self, held: Sealing | None, count: int, now: float) -> Cause:
        """Return why another session than the one held has to begin, if one does."""
        if held is None:
            return "first"
        if began(held.session.sid) < held.standing.not_before:
            return "revoked"
        current = began(held.session.sid) >= self.floor(now)
        if now < held.soft_end and current and not self._sealing.able(held, count, now):
            return "use"
        return "age"

    def _install(
        self, scope: Scope, standing: RevocationState, keyring: Keyring, agreed: Agreed
    ) -> Session:
        now = self._clock()
        if agreed.shared:
            age = self._settings.revocation_max_age
            fresh_until = now + age if self._store.shared else FOREVER
            standing.fresh_until = max(standing.fresh_until, fresh_until)
        else:
            fresh_until = now + REST_SECONDS
        held = self._sealing.get(scope)
        if held is not None and held.session.sid == agreed.sid:
            held.standing, held.fresh_until = standing, fresh_until
            return held.session
        session = _session(agreed, scope, keyring)
        if keyring is self._keyring:  # it may have been replaced while the store was asked
            ends = {"soft_end": agreed.soft_end, "fresh_until": fresh_until}
            self._sealing.put(session, standing, **ends)
            self._durable.remember(session)
            if agreed.key is not None:
                self._found.remember(session, agreed.soft_end, agreed.hard_end)
            self.use.began(keyring.primary.number, now)
        return session

    def _opening_session(
        self, scope: Scope, key_id: KeyId, standing: RevocationState, now: float
    ) -> tuple[Session, str | None]:
        """Return the session of a token, or a decoy and why the token must not open."""
        not_before = standing.not_before
        if not_before and began(key_id.sid) > now + MAX_SKEW_SECONDS:
            # Its clock was wrong, so that it came after the revocation is not to be believed.
            not_before = _NEVER
        if key_id.kek_id is None and key_id.kek_number is None:
            return self._found.get(scope, key_id.sid, not_before, now)
        return self._durable.find(scope, key_id, not_before)

    def _lock(self, scope: Scope) -> asyncio.Lock:
        lock = self._locks.get(scope)
        if lock is None:
            lock = self._locks[scope] = asyncio.Lock()
        return lock

    def _begin_after_fork(self) -> None:
        # A child begins as any new process does: with no session, and with no lock of the
        # parent's event loop. Two processes would else spend one count of messages twice.
        self._pid = os.getpid()
        self._forget()
        self._sealing.begin_anew()
        self.use.clear()
        self._locks = WeakValueDictionary()

    def _forget(self) -> None:
        self._sealing.forget()
        self._durable.clear()
        self._found.clear()
        self._standings.clear()


def _session(agreed: Agreed, scope: Scope, keyring: Keyring) -> Session:
    if agreed.key is not None:
        return Session(agreed.key, sid=agreed.sid, scope=scope)
    return durable_session(keyring.primary, agreed.sid, scope)
