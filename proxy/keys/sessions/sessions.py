"""Session keys for messages: taken from the caches, agreed over the store, or derived.

A warm message is answered without a wait. The first message of a scope waits for the store, and so
does the first after its session ended or when revocations must be looked up again. Where no other
process shares the store, opening durable tokens never waits: their key is derived. What operators
do with sessions is in `session_control`.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Protocol
from weakref import WeakValueDictionary

from ...core.crypto.context import Scope
from ...core.crypto.derivation import SID_BYTES
from ...core.crypto.session_cipher import Session
from ...core.errors import KeyUnavailable, Unopened
from ...core.values.key_needs import NO_KEYS, Attempt, Keys, Needs
from ...core.values.streams import REVOKED
from ...process import forks
from ...process.boot_clock import since_boot
from ..audit import Value
from ..keyring.kek import RandomBytes
from ..keyring.kek_source import OneKeyring
from ..keyring.keyring import Keyring
from ..keyring.name_keys import NamePlace
from ..pieces import all_done
from ..policy import DUE_SECONDS, PIECE, ROUNDS
from ..stores import Changed, Store, erased
from ..stores.guarded import GuardedStore, Notice
from .agreement import Agreement
from .durable import DurableSessions
from .ephemeral import EphemeralSessions
from .fences import Fences
from .kek_usage import KekUse
from .key_events import BLOCKED, KeyEvents
from .opening_cache import OpeningSessions
from .revocation_state import RevocationStates
from .sealing_cache import Due, SealingSessions, due
from .session_start import SessionStarter
from .settings import Lookups, SessionMode, SessionSettings, SessionView, require_possible
from .shared_clock import SharedClock

if TYPE_CHECKING:  # loaded where a store is shared, or where there is an index secret
    from ...core.search.tags import IndexKeys
    from ..fleet.fence_log import FenceEvent
    from .index_in_use import IndexInUse

__all__ = ["SessionMode", "SessionSettings", "Sessions"]

WITHDRAWN = "root-lease-ended"


class Lease(Protocol):
    """What a process seals under while others share its store."""

    async def fence(self, events: Sequence[FenceEvent]) -> None:
        """Write down what takes rights away, for all processes.

        Raises StoreFailed where the store does not take it.
        """

    async def obtain(self) -> None:
        """See that there is one; raise KeyUnavailable where there can be none."""


class Sessions:
    """Finds the sessions of plans. One object serves one process and one event loop.

    `clock` returns seconds since 1970. No key bytes are held here, only sessions.
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
        key_events: KeyEvents | None = None,
    ) -> None:
        """Begin with empty caches; raise ConfigurationError for impossible settings."""
        require_possible(settings, mode)
        self.keyring = keyring
        """The keyring in use."""
        self._keks, self._usable = OneKeyring(keyring), _usable(keyring)
        self._settings = settings
        self.notice = notice
        self.ephemeral = mode == "ephemeral"
        """Whether session keys are random and held by the store alone."""
        self.use = KekUse(clock())
        """How often each KEK was used in this process."""
        self.lookups = Lookups()
        """How often the caches of this process were enough."""
        self.store = GuardedStore(store, settings.store_timeout, clock=clock, notice=notice)
        """The store behind its circuit breaker."""
        self.clock = SharedClock(clock, self.store, lambda: self.announce(None))
        """The time that all processes go by."""
        clock = self._clock = self.clock
        limit, begun = settings.max_scopes, self.clock.begun
        self.revocations = RevocationStates(keyring, limit, shared=store.shared, begun=begun)
        """What this process knows of revocations."""
        self._durable = DurableSessions(self._keks, limit, random=random)
        self._ephemeral = EphemeralSessions(
            self.store,
            self.revocations,
            limit,
            settings.revocation_max_age,
            keks=self._keks,
            decoy=self._durable.decoy,
            clock=clock,
            notice=notice,
            use=self.use,
        )
        self.sealing = SealingSessions(limit, settings.max_messages, begun=begun, standing=self)
        """The sessions that seal."""
        self._opening = OpeningSessions(
            self._durable,
            self._ephemeral,
            self.revocations,
            clock=clock,
            begun=begun,
            leased=lambda: self.leased,
            equal=self._opening_equal,
        )
        self._fences = partial(
            Fences,
            self.store,
            revoked=self._revoked,
            clock=clock,
            random=random,
            notice=notice,
        )
        self.fences = self._fences(key=lambda: self.keyring.record_key)
        """What this process knows of erasures."""
        kept = self.store, settings, self.revocations, self.fences
        agreement = Agreement(
            *kept, clock=clock, random=random, notice=notice, ephemeral=self.ephemeral
        )
        self.starter = SessionStarter(
            keyring,
            settings,
            keks=self._keks,
            agreement=agreement,
            revocations=self.revocations,
            sealing=self.sealing,
            durable=self._durable,
            ephemeral=self._ephemeral,
            key_usage=self.use,
            key_events=key_events,
            clock=clock,
            shared=store.shared,
        )
        """What makes a new session, under the scope's lock."""
        self._locks: WeakValueDictionary[Scope, asyncio.Lock] = WeakValueDictionary()
        self._due, self._due_at = Due(), -DUE_SECONDS
        self._key_events = key_events
        self.shut: set[tuple[str, str]] = set()
        """Listeners and rules that refuse all messages, since a poison token was used there."""
        self.blocked = False
        """Whether opening is refused because the audit log cannot be written."""
        self.withdrawn = False
        """Whether sealing and opening are refused because the lease of the root has ended."""
        self._index = self._in_use()
        self.lease: Lease | None = None
        """The lease under which this process seals; None where no other process is to be told."""
        self.sealing_until = math.inf
        """When the lease ends, in seconds since boot."""
        self.forward: Changed = lambda _: None
        """Called with the name of every conversation that was changed, None for all."""
        self._generation = forks.generation()

    async def open(self, forward: Changed = lambda _: None) -> None:
        """Open the store and subscribe to what other processes rotate, revoke and erase.

        `forward` is called with each changed name too.
        """
        self.forward = forward
        await self.store.open(self.announce)

    @property
    def revocation_max_age(self) -> float:
        """How old, in seconds, what a process knows of revocations may be."""
        return self._settings.revocation_max_age

    def now(self) -> float:
        """Return the time that all processes go by, in seconds since 1970."""
        return self._clock()

    @property
    def cached(self) -> tuple[int, int]:
        """How many sessions are cached for sealing, and how many for opening."""
        return len(self.sealing), len(self._durable)

    def due(self) -> Due:
        """Return when the sessions that seal end; computed again every few seconds."""
        now = self._clock()
        if not 0 <= now - self._due_at < DUE_SECONDS:
            self._due, self._due_at = due(self.sealing.alive(now)), now
        return self._due

    async def resolve(self, needs: Needs) -> Keys:
        """Return the sessions of a plan, asking the store for those that are not cached.

        Raises KeyUnavailable when a scope's session cannot be had.
        """
        asked: float | None = None
        for _ in range(ROUNDS):
            if (keys := await self._found(needs, asked)) is not None:
                return keys
            if needs.seals or self._opening.needs_lease(needs.opens):
                await self.require_lease()
            if max(needs.seals.values(), default=0) > self._settings.max_messages:
                raise KeyUnavailable("too-many-values")
            await self._opening.require_room(needs)
            self.lookups.asked += 1
            if needs.opens:
                asked = self._clock()
            await self._obtain_all(needs)
        raise KeyUnavailable("too-many-scopes")

    def resolve_warm(self, needs: Needs, opened: Keys | None = None) -> Keys | None:
        """Return the sessions of a plan, or None when the store must be asked.

        `opened` are the sessions that open, if they have been found. What is returned counts as
        used; None counts nothing. Raises KeyUnavailable for tokens to be opened while a blocking
        audit log cannot be written, and for all after the root's lease.
        """
        if len(forks.forks) != self._generation:
            self._begin_after_fork()
        seals, opens, clock = needs.seals, needs.opens, self.clock
        now = clock.own()
        if clock.suffices and now >= clock.latest:
            clock.latest = now
        else:
            now = clock()
        if self.withdrawn and (seals or opens or needs.seeks):
            self._forget()  # what was begun before may have kept a key since
            raise KeyUnavailable(WITHDRAWN)
        if seals and self.sealing_until != math.inf and not self.leased:
            return None
        if not opens and len(seals) == 1:
            keys = self.sealing.take_one(seals, now)
            self.lookups.plans += keys is not None
            return keys
        if opens and self.blocked:
            raise KeyUnavailable(BLOCKED)
        keys = opened or (self._opening.get(opens, now) if opens else NO_KEYS)
        if keys is None:
            return None
        if seals or needs.seeks:
            sealing = self.sealing.take(seals, now)
            if sealing is None:
                return None
            keys = Keys(sealing, keys.opening, keys.decoys, keys.refusals, self)
        self.lookups.plans += 1
        return keys

    @property
    def leased(self) -> bool:
        """Whether this process may seal, and open what may be erased."""
        return since_boot() < self.sealing_until

    async def require_lease(self) -> None:
        """See that this process has a lease; raise KeyUnavailable where it can have none."""
        if self.lease is not None and not self.leased:
            await self.lease.obtain()

    def stands(self, session: Session) -> bool:
        """Whether a session may seal on, and what it has sealed be acknowledged.

        False also without a lease: another process may have revoked it.
        """
        return (
            self.leased
            and session.created >= self.revocations.not_before(session.scope)
            and session.under in self._usable
            and not self.withdrawn
        )

    async def confirm(self, session: Session) -> None:
        """See that a session stands; raise KeyUnavailable where it does not, or nobody knows."""
        await self.require_lease()
        if not self.stands(session):
            raise KeyUnavailable(WITHDRAWN if self.withdrawn else REVOKED)

    def _revoked(self, name: str) -> int:
        return self.keyring.not_before(name)

    def name(self, scope: Scope) -> str:
        """Return the name of a scope in the store."""
        return self.revocations.of(scope).name

    def fences_at(self, place: NamePlace) -> Fences:
        """Return what fences off keys in a place; of an adopted keyring, with its record key."""
        return self._fences(key=lambda: place.key) if place.adopted else self.fences

    def not_before(self, scope: Scope, now: float) -> int | None:
        """Return when the oldest valid session of a scope may have begun; None to ask the store."""
        state = self.revocations.fresh(scope, now)
        return None if state is None else state.not_before

    async def ask(self, scope: Scope) -> None:
        """Ask the store for the revocation of a scope, unless what is known is fresh."""
        await self._find(scope, set())

    def decoy(self, scope: Scope, sid: bytes) -> Session:
        """Return a session under a key that no token was sealed under."""
        return self._durable.decoy(scope, sid)

    def remember(self, sessions: Mapping[Session, int]) -> None:
        """Keep sessions under which so many tags have verified, so that none is derived again."""
        now, opens = self.clock.latest, self.use.opens
        for session, values in sessions.items():
            if session.kek_number is not None:
                counted = opens.get(session.kek_number) or self.use.counted(session.kek_number)
                counted[:] = counted[0] + values, int(now)
                if session not in self._durable.kept:
                    self._durable.remember(session)

    def refused(self, unopened: Sequence[Unopened], attempt: Attempt) -> bool:
        """Report tokens that did not open; return whether a poison token is among them."""
        poison = self._key_events is not None and self._key_events.refused(unopened, attempt)
        if poison and attempt.shuts:
            self.shut.add((attempt.listener, attempt.rule))
        return poison

    def block(self, blocked: bool) -> None:  # noqa: FBT001 - the signature of Trail.changed
        """Refuse to open anything from now on, or allow it again."""
        self.blocked = blocked

    def _in_use(self) -> IndexInUse | None:
        """Return the index secrets in use; None, and nothing is loaded for them, without any."""
        if self.withdrawn or not self.keyring.index:
            return None
        from .index_in_use import IndexInUse  # noqa: PLC0415 - loaded where there are some

        return IndexInUse(self.keyring.index, revoked=self.revocations.not_before)

    def _opening_equal(self, scope: Scope, generation: int) -> tuple[Session, str | None]:
        if self._index is None:
            return self._durable.decoy(scope, bytes(SID_BYTES)), "unknown-key"
        return self._index.opening(scope, generation)

    @property
    def index(self) -> Sequence[IndexKeys]:
        """What makes tags, of each generation of the index secret, the older one first."""
        return () if self._index is None else self._index.keys

    def equal(self, scope: Scope, *, seeks: bool = False) -> Session:
        """Return who seals in the equal form, as `IndexInUse.sealing`; KeyUnavailable if nobody."""
        if self._index is None:
            raise KeyUnavailable("no-index-secret")
        return self._index.sealing(scope, seeks=seeks)

    def withdraw(self, *, withdrawn: bool) -> None:
        """Drop all session keys; refuse to seal and open from now on, or allow it again."""
        self.withdrawn = withdrawn
        self._index = self._in_use()
        self._forget()

    async def write_down(self, event: str, **values: Value) -> None:
        """Write an event to the audit log before it happens.

        Raises KeyUnavailable where the log blocks and cannot be written.
        """
        if self._key_events is not None:
            await self._key_events.write_down(event, **values)

    def view(self, scope: Scope) -> SessionView:
        """Return what this process knows of a scope, without asking the store or counting a use."""
        state, held = self.revocations.of(scope), self.sealing.get(scope)
        if held is None or not self.sealing.able(held, 0, self._clock()):
            return SessionView(state.name, state.not_before)
        return SessionView(state.name, state.not_before, held.session, held.soft_end, held.used)

    def holds(self, scope: Scope) -> bool:
        """Return whether this process knows a session or a revocation of the scope."""
        return bool(
            self.revocations.of(scope).not_before
            or self.sealing.get(scope) is not None
            or self._opening.knows(scope)
        )

    def drop_ended(self) -> Iterator[None]:
        """Drop sessions that have ended or are revoked, a few at each step.

        They would be refused in any case. Without this their keys would stay in memory until they
        are asked for or pushed out.
        """
        now = self._clock()
        yield from self.sealing.drop_ended(now)
        yield from self._ephemeral.drop_ended(now)

    def drop(self, scope: Scope) -> None:
        """Drop the ephemeral session keys of the scope that are held here."""
        self.sealing.drop(scope)
        self._ephemeral.forget(scope)

    def replace_keyring(self, keyring: Keyring) -> None:
        """Use another keyring. Plans already resolved keep the sessions they have."""
        if keyring != self.keyring:
            self.keyring = keyring
            self._index = self._in_use()
            if self._key_events is not None:
                self._key_events.replace_record_key(keyring.record_key)
            self.revocations.replace_keyring(keyring)
            self._usable = _usable(keyring)
            self._keks.keyring = self.starter.keyring = keyring
            self._forget()

    def changed(self, name: str | None) -> None:
        """Ask the store again about a conversation that another process changed, or about all.

        The keys of one that another process erased are dropped.
        """
        if name is not None and name.endswith(erased("")):
            name = name.removesuffix(erased(""))
            scope = self.revocations.scope_of(name)
            if scope is not None and self.ephemeral:
                self.drop(scope)
        self.revocations.changed(name)
        self._ephemeral.changed()
        if self.store.shared or name is None:
            self.sealing.ask_anew(name)

    def announce(self, name: str | None) -> None:
        """Do as `changed`, and tell the caches that follow this one."""
        self.changed(name)
        self.forward(name)

    def lock(self, scope: Scope) -> asyncio.Lock:
        """Return the lock of a scope; it exists as long as a caller holds it."""
        lock = self._locks.get(scope)
        if lock is None:
            lock = self._locks[scope] = asyncio.Lock()
        return lock

    async def _found(self, needs: Needs, asked: float | None) -> Keys | None:
        """Do as `resolve_warm`, in pieces; what was absent when the store was `asked` stays so."""
        forked = len(forks.forks) != self._generation
        if len(needs.opens) <= PIECE or self.withdrawn or self.blocked or forked:
            return self.resolve_warm(needs)
        opened = await self._opening.get_many(needs.opens, asked)
        return None if opened is None else self.resolve_warm(needs, opened)

    async def _obtain_all(self, needs: Needs) -> None:
        opens = await self._opening.missing(needs.opens) if needs.opens else {}
        calls = [partial(self._ensure, *one) for one in needs.seals.items()]
        await all_done(calls + [partial(self._find, *one) for one in opens.items()])

    async def _ensure(self, scope: Scope, count: int) -> None:
        """See that a session of the scope can seal `count` values; callers of one scope queue."""
        async with self.lock(scope):
            await self.starter.ensure(scope, count)

    async def _find(self, scope: Scope, sids: set[bytes]) -> None:
        """Ask for the scope's revocation and ephemeral sessions; callers of one scope queue."""
        async with self.lock(scope):
            await self._opening.find(scope, sids, self.keyring.places_of(scope))

    def _begin_after_fork(self) -> None:
        # A child begins as any new process does: without sessions, and without locks of the
        # parent's event loop. Otherwise two processes would spend one count of messages twice.
        self._generation = forks.generation()
        self._forget()
        self.sealing.begin_anew()
        self.use.clear()
        self._locks = WeakValueDictionary()

    def _forget(self) -> None:
        self.sealing.forget()
        self._durable.clear()
        self._opening.forget()
        self._ephemeral.clear()
        self.revocations.clear()


def _usable(keyring: Keyring) -> frozenset[str | None]:
    """Return the ids of the KEKs that open; None is that of keys that lie under no KEK."""
    return frozenset((None, *(one.id for one in keyring.keks if one.state != "disabled")))
