"""Store `memory`: records of this process alone."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..policy import ENDED_LOOK_SECONDS, FENCE_MS, MEMORY_RECORDS, ROOM_FOR_ALL
from .store import (
    CURRENT,
    FENCE,
    NOTE,
    REVOCATION,
    Changed,
    Fenced,
    FoundRecords,
    HeldRecords,
    Offer,
    OneCopy,
    Room,
    StoreFull,
    Under,
    fence_ms,
    key_place,
)


@dataclass(frozen=True, slots=True)
class _Kept:
    record: bytes
    ends: float


class MemoryStore(OneCopy):
    """Keeps at most `max_records` current sessions, and as many keys and packages.

    A current session makes room for a newer one: it is agreed on again, and its key, if it has one,
    is kept separately. Keys and packages may be the only copy, and make room once they have ended.
    `clock` returns seconds and never goes back. No method waits, so each is atomic by itself.
    """

    shared = False

    def __init__(self, clock: Callable[[], float], *, max_records: int = MEMORY_RECORDS) -> None:
        """Begin empty."""
        self._clock = clock
        self._max_records = max_records
        self._current: OrderedDict[str, _Kept] = OrderedDict()
        self._keys: dict[str, dict[str, _Kept]] = {}
        self._number = 0
        self._looked = -ENDED_LOOK_SECONDS
        self._revocations: dict[str, bytes] = {}
        self._notes: dict[str, bytes] = {}
        self._fences: dict[str, _Kept] = {}

    @property
    def room(self) -> Room | None:
        """How many keys and packages there are, of how many at most."""
        return Room(self._number, self._max_records)

    async def open(self, changed: Changed) -> None:
        """Do nothing: no other process changes anything."""

    async def get_or_create(self, offer: Offer) -> HeldRecords:
        """Return the current session, or keep the offer."""
        return self._held(offer.name, self._current.get(offer.name)) or self._keep(offer)

    async def replace(self, offer: Offer, *, seen: bytes | None = None) -> HeldRecords:
        """Keep the offer unless the store holds another record than the one seen."""
        held = self._held(offer.name, self._current.get(offer.name))
        return held if held is not None and held.record != seen else self._keep(offer)

    async def find(
        self, name: str, key_ids: Sequence[str], *, current: bool = False, fence: bool = False
    ) -> FoundRecords:
        """Return the revocation and the keys."""
        kept = self._keys.get(name, {})
        keys = tuple(self._held(name, kept.get(key_id)) for key_id in key_ids)
        now = self._held(name, self._current.get(name)) if current else None
        record = now.record if now else None
        stands = self._fence(name) if fence else None
        return FoundRecords(self._revocations.get(name), keys, record, stands)

    async def revoke(
        self, name: str, record: bytes, not_before: int, *, seen: bytes | None = None
    ) -> bytes:
        """Keep the revocation unless the store holds another than the one seen."""
        if self._revocations.get(name) in {None, seen}:
            self._revocations[name] = record
        return self._revocations[name]

    async def keep(  # noqa: PLR0913 - as the protocol has it
        self,
        name: str,
        key_id: str,
        record: bytes,
        keep_ms: int,
        *,
        seen: bytes | None = None,
        under: Under | None = None,
    ) -> HeldRecords:
        """Keep the record unless the store holds another than the one seen, or another fence."""
        held = self._held(name, self._keys.get(name, {}).get(key_id))
        if held is None or held.record == seen:
            self._require_fence(name, under, keep_ms)
            self._put_key(name, key_id, record, keep_ms)
            held = HeldRecords(record, keep_ms, self._revocations.get(name))
        return held

    async def note(
        self,
        name: str,
        record: bytes | None = None,
        *,
        seen: bytes | None = None,
        publish: bool = False,
    ) -> bytes | None:
        """Keep the note unless the store holds another than the one seen."""
        if record is not None and self._notes.get(name) in {None, seen}:
            self._notes[name] = record
        return self._notes.get(name)

    async def kept(self, name: str) -> dict[str, bytes]:
        """Return the keys."""
        found = {one: self._held(name, kept) for one, kept in self._keys.get(name, {}).items()}
        return {one: held.record for one, held in found.items() if held is not None}

    async def listed(self, name: str, key_id: str) -> bool:
        """Return whether there is one: none is found by a list."""
        return key_id in self._keys.get(name, {})

    async def erase(
        self,
        name: str,
        fence: bytes,
        *,
        seen: bytes | None = None,
        only: Sequence[str] | None = None,
    ) -> dict[str, bytes]:
        """Forget the current session and the keys, and keep the fence."""
        stands = self._fence(name)
        if stands not in {None, seen}:
            raise Fenced(stands)
        self._fences[name] = self._ending(fence, FENCE_MS)
        keys = self._keys.get(name, {})
        if only is None:
            self._current.pop(name, None)
        gone = {one: keys.pop(one) for one in tuple(keys) if only is None or one in only}
        if not keys:
            self._keys.pop(name, None)
        self._number -= len(gone)
        return {key_id: kept.record for key_id, kept in gone.items()}

    async def dump(self) -> dict[str, bytes]:
        """Return every record by its place."""
        places = {f"{name}:{CURRENT}": kept.record for name, kept in self._current.items()}
        for name, keys in self._keys.items():
            places |= {f"{name}:{key_place(one)}": kept.record for one, kept in keys.items()}
        for place, endless in ((REVOCATION, self._revocations), (NOTE, self._notes)):
            places |= {f"{name}:{place}": record for name, record in endless.items()}
        return places | {f"{name}:{FENCE}": kept.record for name, kept in self._fences.items()}

    async def close(self) -> None:
        """Forget everything."""
        self._current.clear()
        self._keys.clear()
        self._number = 0
        self._revocations.clear()
        self._notes.clear()
        self._fences.clear()

    def _fence(self, name: str) -> bytes | None:
        kept = self._fences.get(name)
        return None if kept is None or kept.ends <= self._clock() else kept.record

    def _require_fence(self, name: str, under: Under | None, keep_ms: int) -> None:
        """Raise Fenced unless the fence that stands may be kept under; it stands as long then."""
        if under is None:
            return
        stands = self._fence(name)
        if stands != under.seen:
            raise Fenced(stands)
        ending = self._ending(under.first if stands is None else stands, fence_ms(keep_ms))
        if stands is None or ending.ends > self._fences[name].ends:
            self._drop_ended_fences()
            self._fences[name] = ending

    def _drop_ended_fences(self) -> None:
        """Drop fences that have ended once there are twice as many as records may be."""
        if len(self._fences) > 2 * self._max_records:
            now = self._clock()
            self._fences = {one: kept for one, kept in self._fences.items() if kept.ends > now}

    def _held(self, name: str, kept: _Kept | None) -> HeldRecords | None:
        if kept is None:
            return None
        remaining_ms = int((kept.ends - self._clock()) * 1000)
        if remaining_ms <= 0:
            return None
        return HeldRecords(kept.record, remaining_ms, self._revocations.get(name))

    def _keep(self, offer: Offer) -> HeldRecords:
        self._require_fence(offer.name, offer.under, max(offer.keep_ms, offer.ttl_ms))
        if offer.keep_ms:
            self._put_key(offer.name, offer.key_id, offer.record, offer.keep_ms)
        self._drop_first_ended()
        self._current[offer.name] = self._ending(offer.record, offer.ttl_ms)
        self._current.move_to_end(offer.name)
        if len(self._current) > self._max_records:
            self._current.popitem(last=False)
        return HeldRecords(offer.record, offer.ttl_ms, self._revocations.get(offer.name))

    def _drop_first_ended(self) -> None:
        """Drop the oldest current sessions that have ended: more than come, so that they go."""
        for _ in range(2):
            oldest = next(iter(self._current.values()), None)
            if oldest is None or oldest.ends > self._clock():
                return
            self._current.popitem(last=False)

    def _put_key(self, name: str, key_id: str, record: bytes, keep_ms: int) -> None:
        kept = self._keys.get(name, {})
        if key_id not in kept:
            self._require_room(name)
            kept = self._keys.setdefault(name, {})
            self._number += 1
        kept[key_id] = self._ending(record, keep_ms)

    def _require_room(self, name: str) -> None:
        """Raise StoreFull unless there is room for one key more of the conversation."""
        room = self._max_records * (1 if name in self._keys else ROOM_FOR_ALL)
        if self._number < room:
            return
        if self._clock() - self._looked >= ENDED_LOOK_SECONDS:
            self._looked = self._clock()
            self._drop_ended()
        if self._number >= room:
            raise StoreFull

    def _drop_ended(self) -> None:
        now = self._clock()
        for name, keys in tuple(self._keys.items()):
            alive = {one: kept for one, kept in keys.items() if kept.ends > now}
            self._number -= len(keys) - len(alive)
            if alive:
                self._keys[name] = alive
            else:
                del self._keys[name]

    def _ending(self, record: bytes, after_ms: int) -> _Kept:
        return _Kept(record, self._clock() + after_ms / 1000)
