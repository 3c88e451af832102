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
        self._revocations: dict[str, bytes] = {}
        self._notes: dict[str, bytes] = {}

    async def open(self, changed: Changed) -> None:
        """Do nothing: no other process changes anything."""

    async def get_or_create(self, offer: Offer) -> Held:
        """Return what stands under the name, or keep the offer."""
        return self._held(offer.name, CURRENT) or self._keep(offer)

    async def replace(self, offer: Offer, *, seen: bytes | None = None) -> Held:
        """Keep the offer unless another record than the one seen stands there."""
        held = self._held(offer.name, CURRENT)
        return held if held is not None and held.record != seen else self._keep(offer)

    async def find(self, name: str, key_ids: Sequence[str]) -> Found:
        """Return the revocation, the current session and the keys."""
        keys = tuple(self._held(name, key_place(key_id)) for key_id in key_ids)
        current = self._held(name, CURRENT)
        return Found(self._revocations.get(name), keys, current.record if current else None)

    async def revoke(
        self, name: str, record: bytes, epoch: int, *, seen: bytes | None = None
    ) -> bytes:
        """Keep the revocation unless another one than the one seen stands there."""
        if self._revocations.get(name) in {None, seen}:
            self._revocations[name] = record
        return self._revocations[name]

    async def keep(  # noqa: PLR0913 - a record, where it stands, for how long
        self,
        name: str,
        key_id: str,
        record: bytes,
        epoch: int,
        keep_ms: int,
        *,
        seen: bytes | None = None,
    ) -> Held:
        """Keep the record unless another one than the one seen stands there."""
        place = key_place(key_id)
        held = self._held(name, place)
        if held is None or held.record == seen:
            self._put(f"{name}:{place}", record, keep_ms)
            held = Held(record, keep_ms, self._revocations.get(name))
        return held

    async def note(
        self,
        name: str,
        record: bytes,
        epoch: int,
        *,
        seen: bytes | None = None,
        tell: bool = False,
    ) -> bytes | None:
        """Keep the note unless another one than the one seen stands there."""
        if epoch and self._notes.get(name) in {None, seen}:
            self._notes[name] = record
        return self._notes.get(name)

    async def erase(self, name: str) -> dict[str, bytes]:
        """Forget the current session and the keys."""
        before = f"{name}:{key_place('')}"
        places = [place for place in self._kept if place.startswith(before)]
        gone = {place.removeprefix(before): self._kept.pop(place).record for place in places}
        self._kept.pop(f"{name}:{CURRENT}", None)
        return gone

    async def dump(self) -> dict[str, bytes]:
        """Return every record by its place."""
        places = {place: kept.record for place, kept in self._kept.items()}
        for place, endless in ((REVOCATION, self._revocations), (NOTE, self._notes)):
            places |= {f"{name}:{place}": record for name, record in endless.items()}
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
        return Held(kept.record, remaining_ms, self._revocations.get(name))

    def _keep(self, offer: Offer) -> Held:
        self._put(f"{offer.name}:{CURRENT}", offer.record, offer.ttl_ms)
        if offer.keep_ms:
            place = f"{offer.name}:{key_place(offer.key_id)}"
            self._put(place, offer.record, offer.keep_ms)
        return Held(offer.record, offer.ttl_ms, self._revocations.get(offer.name))

    def _put(self, place: str, record: bytes, ttl_ms: int) -> None:
        self._kept[place] = _Kept(record, self._clock() + ttl_ms / 1000)
        self._kept.move_to_end(place)
        if len(self._kept) > self._max_records:
            self._kept.popitem(last=False)
