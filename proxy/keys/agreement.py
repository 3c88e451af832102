"""Agreeing with other processes, over the store, on the session that seals for a scope.

The store is asked and never trusted: a record that is forged, stale or unfit is replaced, and when
that fails too, or the store is down, the process goes on with the session it offered itself. For
durable keys that costs nothing but sharing: the key is derived from the keyring in any case.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ..core.context import Scope
from ..core.derivation import SID_BYTES
from .bounded import BoundedMap
from .keyring import Keyring, RandomBytes
from .stores import Held, Offer, Store, StoreFailed
from .stores import record as records
from .stores.record import RecordRefused, SessionRecord

MAX_AGE_SECONDS: Final = 24 * 3600
MAX_SKEW_SECONDS: Final = 60
# With random 96-bit IVs a key is good for 2^32 messages (SP 800-38D, 8.3): 1,024 processes may each
# spend this many under one session key without counting together.
MAX_MESSAGES: Final = 1 << 22

_SID_TIME_BYTES: Final = 4
# Long enough to spare a store that hangs, short enough to be back soon after it is.
_REST_SECONDS: Final = 1.0
_KNOWN_EPOCHS: Final = 100_000


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """How long a session seals, and what the process holds.

    `ttl` and `grace` are seconds, `ttl` at most 24 h; `store_timeout` is the deadline in seconds of
    all that one message asks of the store.
    """

    ttl: int = 3600
    grace: int = 3600
    max_messages: int = MAX_MESSAGES
    max_scopes: int = 10_000
    store_timeout: float = 0.25


@dataclass(frozen=True, slots=True)
class Agreed:
    """The session agreed on: its id and when this process stops sealing with it (since 1970)."""

    sid: bytes
    soft_end: float


Fits = Callable[[bytes], bool]
"""Tells whether the caller can use the session of that id."""

Notice = Callable[[str], None]
"""Is told a reason code, for the log, when the store failed or its record was refused."""


class Agreement:
    """Finds or makes the current session of a scope. `clock` returns seconds since 1970."""

    def __init__(
        self,
        store: Store,
        settings: SessionSettings,
        *,
        clock: Callable[[], float],
        random: RandomBytes,
        notice: Notice,
    ) -> None:
        """Take the collaborators; nothing is asked yet."""
        self._store = store
        self._settings = settings
        self._clock = clock
        self._random = random
        self._notice = notice
        self._epochs: BoundedMap[str, int] = BoundedMap(_KNOWN_EPOCHS)
        self._resting_until = 0.0

    async def current(self, scope: Scope, keyring: Keyring, fits: Fits) -> Agreed:
        """Return the session that stands in the store and fits, or else a new one."""
        name = records.record_name(keyring.name_key, scope)
        own = self._new_record(name, keyring)
        if self._clock() < self._resting_until:
            return _local(own)
        try:
            async with asyncio.timeout(self._settings.store_timeout):
                held = await self._store.get_or_create(_offer(own, name, keyring))
                agreed = self._accept(held, name, keyring)
                if agreed is not None and fits(agreed.sid):
                    return agreed
                own = self._new_record(name, keyring)  # above the epoch just seen
                agreed = self._accept(
                    await self._store.replace(_offer(own, name, keyring)), name, keyring
                )
                if agreed is not None and fits(agreed.sid):
                    return agreed
        except (StoreFailed, OSError) as error:  # a TimeoutError is an OSError
            self._notice("store-timeout" if isinstance(error, TimeoutError) else "store-failed")
            self._resting_until = self._clock() + _REST_SECONDS
        return _local(own)

    async def fresh(self, scope: Scope, keyring: Keyring) -> Agreed:
        """Return a session made now, put in the place of the one before."""
        before = await self.current(scope, keyring, lambda _: True)
        return await self.current(scope, keyring, lambda sid: sid != before.sid)

    def _new_record(self, name: str, keyring: Keyring) -> SessionRecord:
        now = self._clock()
        created = int(now * 1000)
        soft_end = created + self._settings.ttl * 1000
        sid = int(now).to_bytes(_SID_TIME_BYTES) + self._random(SID_BYTES - _SID_TIME_BYTES)
        return SessionRecord(
            # A process that has seen no epoch yet must not fall behind those that have.
            epoch=max((self._epochs.get(name) or 0) + 1, created),
            created=created,
            soft_end=soft_end,
            hard_end=soft_end + self._settings.grace * 1000,
            kek_number=keyring.primary.number,
            sid=sid,
        )

    def _accept(self, held: Held, name: str, keyring: Keyring) -> Agreed | None:
        """Return the session of an authentic record that is not stale; None for any other."""
        try:
            record = records.decode(held.record, name, keyring.record_key)
        except RecordRefused as refused:
            self._notice(str(refused))
            return None
        if record.epoch < (self._epochs.get(name) or 0):
            self._notice("record-stale")
            return None
        self._epochs.put(name, record.epoch)
        now = self._clock()
        start = began(record.sid)
        soft_end = min(
            now + held.remaining_ms / 1000, record.soft_end / 1000, start + MAX_AGE_SECONDS
        )
        # An id from the future would outlive its 24 hours and escape revocation.
        if soft_end <= now or start > now + MAX_SKEW_SECONDS:
            return None
        return Agreed(record.sid, soft_end) if record.kek_number == keyring.primary.number else None


def began(sid: bytes) -> int:
    """Return when a session began, in seconds since 1970, as its id says."""
    return int.from_bytes(sid[:_SID_TIME_BYTES])


def _offer(record: SessionRecord, name: str, keyring: Keyring) -> Offer:
    data = records.encode(record, name, keyring.record_key)
    return Offer(name, data, record.epoch, record.soft_end - record.created)


def _local(record: SessionRecord) -> Agreed:
    return Agreed(record.sid, record.soft_end / 1000)
