"""Store `memory`: records of this process alone."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from .store import CURRENT, NOTE, REVOCATION, Changed, Found, Held, Offer, key_place

MAX_RECORDS: Final = 100_000


@dataclass(frozen=True, slots=True)
class _Kept:
    record: bytes
    epoch: int
    ends: float


class MemoryStore:
    """Keeps at most `max_records` session records and forgets the oldest first.

    `clock` returns seconds and never goes back. No method waits, so each is atomic by itself.
    """

    shared = False
    hears = False

    def __init__(self, clock: Callable[[], float], *, max_records: int = MAX_RECORDS) -> None:
        """Begin empty."""
        self._clock = clock
        self._max_records = max_records
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._revocations: dict[str, _Kept] = {}
        self._notes: dict[str, _Kept] = {}

    async def open(self, changed: Changed) -> None:
        """Do nothing: no other process changes anything."""

    async def get_or_create(self, offer: Offer) -> Held:
        """Return what stands under the name, or keep the offer."""
        return self._held(offer.name, CURRENT) or self._keep(offer)

    async def replace(self, offer: Offer) -> Held:
        """Keep the offer unless what stands there is as new or newer."""
        held = self._held(offer.name, CURRENT)
        if held is not None and self._kept[f"{offer.name}:{CURRENT}"].epoch >= offer.epoch:
            return held
        return self._keep(offer)

    async def find(self, name: str, key_ids: Sequence[str]) -> Found:
        """Return the revocation and the keys."""
        keys = tuple(self._held(name, key_place(key_id)) for key_id in key_ids)
        return Found(self._revocation(name), keys)

    async def revoke(self, name: str, record: bytes, epoch: int) -> bytes:
        """Keep the revocation unless a later one stands there."""
        kept = self._revocations.get(name)
        if kept is None or kept.epoch < epoch:
            kept = self._revocations[name] = _Kept(record, epoch, float("inf"))
        return kept.record

    async def keep(self, name: str, key_id: str, record: bytes, epoch: int, keep_ms: int) -> Held:
        """Keep the record unless what stands there is as new or newer."""
        place = key_place(key_id)
        held = self._held(name, place)
        if held is None or self._kept[f"{name}:{place}"].epoch < epoch:
            self._put(f"{name}:{place}", Offer(name, record, epoch, keep_ms), keep_ms)
            held = Held(record, keep_ms, self._revocation(name))
        return held

    async def note(
        self, name: str, record: bytes, epoch: int, *, tell: bool = False
    ) -> bytes | None:
        """Keep the note unless a later one stands there."""
        kept = self._notes.get(name)
        if epoch and (kept is None or kept.epoch < epoch):
            kept = self._notes[name] = _Kept(record, epoch, float("inf"))
        return None if kept is None else kept.record

    async def erase(self, name: str) -> tuple[str, ...]:
        """Forget the current session and the keys."""
        before = f"{name}:{key_place('')}"
        ids = tuple(place.removeprefix(before) for place in self._kept if place.startswith(before))
        for place in (CURRENT, *map(key_place, ids)):
            self._kept.pop(f"{name}:{place}", None)
        return ids

    async def dump(self) -> dict[str, bytes]:
        """Return every record by its place."""
        places = {place: kept.record for place, kept in self._kept.items()}
        for place, endless in ((REVOCATION, self._revocations), (NOTE, self._notes)):
            places |= {f"{name}:{place}": kept.record for name, kept in endless.items()}
        return places

    async def close(self) -> None:
        """Forget everything."""
        self._kept.clear()
        self._revocations.clear()
        self._notes.clear()

    def _held(self, name: str, place: str) -> Held | None:
        kept = self._kept.get(f"{name}:{place}")
        if kept is None:
            return None
        remaining_ms = int((kept.ends - self._clock()) * 1000)
        if remaining_ms <= 0:
            return None
        return Held(kept.record, remaining_ms, self._revocation(name))

    def _revocation(self, name: str) -> bytes | None:
        kept = self._revocations.get(name)
        return None if kept is None else kept.record

    def _keep(self, offer: Offer) -> Held:
        self._put(f"{offer.name}:{CURRENT}", offer, offer.ttl_ms)
        if offer.keep_ms:
            self._put(f"{offer.name}:{key_place(offer.key_id)}", offer, offer.keep_ms)
        return Held(offer.record, offer.ttl_ms, self._revocation(offer.name))

    def _put(self, place: str, offer: Offer, ttl_ms: int) -> None:
        self._kept[place] = _Kept(offer.record, offer.epoch, self._clock() + ttl_ms / 1000)
        self._kept.move_to_end(place)
        if len(self._kept) > self._max_records:
            self._kept.popitem(last=False)
