"""Agreeing with other processes, over the store, on the session that seals for a scope.

The store is never trusted: a record that is forged, stale or unfit is replaced, and when that fails
too, or the store is down, there is no agreement. Durable sessions then only are not shared, since
their key is derived from the keyring in any case.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

from ...core.crypto.aead import unwrap, wrap
from ...core.crypto.derivation import SID_BYTES, SID_TIME_BYTES
from ...core.crypto.secret import KEY_BYTES, Kek, SessionKey
from ...core.errors import KeysFull, KeyUnavailable, OpenFailed
from ..keyring.kek import RandomBytes
from ..keyring.kek_source import TenantKeks
from ..keyring.keyring import Keyring
from ..lru_map import BoundedMap
from ..policy import KNOWN_EPOCHS, MAX_SKEW_SECONDS, MOST_DOUBTS, REPLACE_TRIES
from ..stores import ClockRefused, Fenced, HeldRecords, Offer, StoreFailed, StoreFull, records
from ..stores.guarded import GuardedStore, Notice
from ..stores.records import RecordRefused, RecordUnknown, SessionRecord
from .fences import Fences
from .revocation_state import RevocationState, RevocationStates
from .settings import MAX_AGE_SECONDS, SessionSettings
from .shared_clock import SharedClock


def with_key(record: SessionRecord, name: str, kek: Kek, key: SessionKey) -> SessionRecord:
    """Return the record of the conversation `name` with its key, wrapped under `kek`."""
    return replace(record, wrapped=wrap(kek, key, record.sid, identity=record.identity(name)))


def key_of_record(record: SessionRecord, name: str, keks: TenantKeks) -> SessionKey | None:
    """Return the record's session key; None where its KEK may not open, or did not wrap it."""
    entry = keks.usable(number=record.kek_number)
    if entry is None:
        return None
    try:
        return unwrap(entry.key, record.wrapped, record.sid, identity=record.identity(name))
    except OpenFailed:
        return None


@dataclass(frozen=True, slots=True)
class Agreed:
    """The session agreed on: its id and when this process stops sealing with it (since 1970).

    Only an ephemeral session has a key here, and a hard end; a durable one is derived.
    """

    sid: bytes
    soft_end: float
    key: SessionKey | None = None
    hard_end: float = 0.0
    made: bool = False
    """Whether it was made by this call."""
    shared: bool = True
    """Whether other processes can know of it."""


class ScopeKeys(NamedTuple):
    """What a scope's session is agreed with: what is known of its revocation, and the keys.

    The keyring names and authenticates records; the KEKs are those of the scope's tenant. They stay
    as they were taken, so that one agreement has the same keys from its beginning to its end.
    """

    state: RevocationState
    keyring: Keyring
    keks: TenantKeks
    changes: int
    """Those of the state when it was taken."""


_Offered = tuple[SessionRecord, Offer]
"""A record of ours, and how it is offered."""
Fits = Callable[[bytes], bool]
"""Returns whether the caller can use the session with that id."""


class Agreement:
    """Finds or makes the current session of a scope."""

    def __init__(  # noqa: PLR0913 - what the sessions hand in, each by name
        self,
        store: GuardedStore,
        settings: SessionSettings,
        revocations: RevocationStates,
        fences: Fences,
        *,
        clock: SharedClock,
        random: RandomBytes,
        notice: Notice,
        ephemeral: bool,
    ) -> None:
        """Take the collaborators; nothing is asked yet."""
        self._store = store
        self._settings = settings
        self._revocations = revocations
        self._fences = fences
        self._clock = clock
        self._random = random
        self._notice = notice
        self._ephemeral = ephemeral
        self._epochs: BoundedMap[str, int] = BoundedMap(KNOWN_EPOCHS)

    async def current(self, keys: ScopeKeys, fits: Fits) -> Agreed | None:
        """Return the stored session if it fits, or else a new one that replaces it.

        The revocation in the store is learned first. None when there is no agreement.
        Raises KeysFull where the store has no room for an ephemeral one, KeyUnavailable while our
        clock is far before the revocation: a session that begins after it would not open.
        """
        state = keys.state
        try:
            if self._clock.unknown or self._clock.wrong:
                # The answer tells the store's time, by which an offer is made.
                found = await self._store.find(state.name, ())
                self._revocations.learn(state, found.revocation, self._notice)
                if self._clock.wrong:
                    self._notice(str(ClockRefused()))
                    return None
            offered, held = await self._asked(keys)
            for _ in range(MOST_DOUBTS):
                if held.revocation is None or self._learned(held.revocation, keys):
                    break
                # It was forged, or spoilt on the way: the last answer decides.
                offered, held = await self._asked(keys)
            for _ in range(REPLACE_TRIES):
                agreed = self._accept(held, keys, offered)
                if agreed is not None and fits(agreed.sid):
                    return agreed
                # Made anew, so that its epoch is above the one just seen.
                offered, held = await self._asked(keys, held)
            agreed = self._accept(held, keys, offered)
        except StoreFull:
            if self._ephemeral:
                raise KeysFull("store-full") from None
            return None
        except (StoreFailed, RecordUnknown):
            return None
        return agreed if agreed is not None and fits(agreed.sid) else None

    async def standing(self, keys: ScopeKeys) -> bytes | None:
        """Return the id of the session that other processes seal under; None where there is none.

        An empty id is that of one that nobody knows: the store does not answer, or says nothing.
        """
        name = keys.state.name
        try:
            found = (await self._store.find(name, (), current=True)).current
            if found is None:
                return None
            return records.decode_session(found, name, keys.keyring.record_key).sid
        except StoreFailed:
            return b""
        except RecordRefused:
            return None

    def alone(self, keys: ScopeKeys) -> Agreed:
        """Return a durable session that no other process knows.

        Raises KeyUnavailable where sessions are ephemeral: their keys must be in the store; and
        until the time of the revocation: who has not heard of it revokes up to that time alone.
        """
        if self._ephemeral:
            raise KeyUnavailable("store-unavailable")
        record = self._new_record(keys)
        if began(record.sid) > self._clock() and not self._clock.wrong:
            raise KeyUnavailable("clock-before-revocation")
        return Agreed(record.sid, record.soft_end / 1000, made=True, shared=False)

    async def _asked(
        self, keys: ScopeKeys, seen: HeldRecords | None = None
    ) -> tuple[_Offered, HeldRecords]:
        """Offer a new session in the place of the one seen; return it, and what the store holds."""
        for _ in range(REPLACE_TRIES):
            offered = self._offer(keys)
            try:
                if seen is None:
                    return offered, await self._store.get_or_create(offered[1])
                return offered, await self._store.replace(offered[1], seen=seen.record)
            except Fenced as fenced:
                await self._fences.restore(keys.state.name, fenced.fence)
        raise StoreFailed("store-fenced")

    def _offer(self, keys: ScopeKeys) -> _Offered:
        state, keyring, keks, _ = keys
        record = self._new_record(keys)
        if self._ephemeral:
            record = with_key(
                record, state.name, keks.primary.key, SessionKey(self._random(KEY_BYTES))
            )
        return record, Offer(
            state.name,
            records.encode_session(record, state.name, keyring.record_key),
            record.soft_end - record.created,
            record.key_id,
            record.hard_end - record.created if self._ephemeral else 0,
            record.created,
            self._fences.under(state.name) if self._ephemeral else None,
        )

    def _new_record(self, keys: ScopeKeys) -> SessionRecord:
        state, keks = keys.state, keys.keks
        now = self._clock()
        created = int(now * 1000)
        soft_end = created + self._settings.ttl * 1000
        not_before = max(state.not_before, self._fences.erased_before(state.name))
        sid = new_sid(self._clock, not_before, self._random)
        return SessionRecord(
            # A process that has seen no epoch yet must not fall behind the others.
            epoch=max((self._epochs.get(state.name) or 0) + 1, created),
            created=created,
            soft_end=soft_end,
            hard_end=soft_end + self._settings.grace * 1000,
            kek_number=keks.primary.number,
            sid=sid,
        )

    def _learned(self, record: bytes, keys: ScopeKeys) -> bool:
        """Learn a revocation; return whether it is authentic."""
        self._revocations.learn(keys.state, record, self._notice)
        return records.revokes(record, keys.state.name, keys.keyring.record_key)

    def _accept(self, held: HeldRecords, keys: ScopeKeys, offered: _Offered) -> Agreed | None:
        """Return the session of an authentic record that is not stale; None for any other."""
        state, (record, offer) = keys.state, offered
        self._revocations.learn(state, held.revocation, self._notice)
        try:
            if held.record != offer.record:  # else it is authentic, and known
                record = records.decode_session(held.record, state.name, keys.keyring.record_key)
        except RecordUnknown as unknown:
            self._notice(str(unknown))
            raise
        except RecordRefused as refused:
            self._notice(str(refused))
            return None
        if record.epoch < (self._epochs.get(state.name) or 0):
            self._notice("record-stale")
            return None
        self._epochs.put(state.name, record.epoch)
        return self._usable(record, held, keys, made=held.record == offer.record)

    def _usable(
        self, record: SessionRecord, held: HeldRecords, keys: ScopeKeys, *, made: bool
    ) -> Agreed | None:
        now = self._clock()
        start = began(record.sid)
        soft_end = min(
            now + held.remaining_ms / 1000, record.soft_end / 1000, start + MAX_AGE_SECONDS
        )
        # An id from the future would outlive its 24 hours and escape revocation.
        if soft_end <= now or start > now + MAX_SKEW_SECONDS:
            return None
        if record.kek_number != keys.keks.primary.number or bool(record.wrapped) != self._ephemeral:
            return None
        if not self._ephemeral:
            return Agreed(record.sid, soft_end, made=made)
        key = key_of_record(record, keys.state.name, keys.keks)
        if key is None:
            return None
        grace_ms = record.hard_end - record.soft_end
        hard_end = min(now * 1000 + held.remaining_ms + grace_ms, record.hard_end) / 1000
        return Agreed(record.sid, soft_end, key, hard_end, made)


def new_sid(clock: SharedClock, not_before: int, random: RandomBytes) -> bytes:
    """Return the id of a session that begins now, and not before the revocation of its scope.

    Raises KeyUnavailable while our clock is far before the revocation: it would be of the future.
    """
    begins = clock.begins()
    if not_before > begins:  # a revocation of this very second must not revoke the new session
        begins = not_before
        if not clock.begun(begins):
            raise KeyUnavailable("clock-before-revocation")
    return begins.to_bytes(SID_TIME_BYTES) + random(SID_BYTES - SID_TIME_BYTES)


def began(sid: bytes) -> int:
    """Return when a session began, in seconds since 1970, as its id says."""
    return int.from_bytes(sid[:SID_TIME_BYTES])
