"""Store `memory`: records of this process alone."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from .store import Held, Offer

MAX_RECORDS: Final = 100_000


@dataclass(frozen=True, slots=True)
class _Kept:
    record: bytes
    epoch: int
    ends: float


class MemoryStore:
    """Keeps at most `max_records` records and forgets the oldest first.

    `clock` returns seconds and never goes back. No method waits, so each is atomic by itself.
    """

    def __init__(self, clock: Callable[[], float], *, max_records: int = MAX_RECORDS) -> None:
        """Begin empty."""
        self._clock = clock
        self._max_records = max_records
        self._kept: OrderedDict[str, _Kept] = OrderedDict()

    async def get_or_create(self, offer: Offer) -> Held:
        """Return what stands under the name, or keep the offer."""
        now = self._clock()
        return self._held(offer.name, now) or self._keep(offer, now)

    async def replace(self, offer: Offer) -> Held:
        """Keep the offer unless what stands there is as new or newer."""
        now = self._clock()
        held = self._held(offer.name, now)
        if held is not None and self._kept[offer.name].epoch >= offer.epoch:
            return held
        return self._keep(offer, now)

    async def dump(self) -> dict[str, bytes]:
        """Return every record by its name."""
        return {name: kept.record for name, kept in self._kept.items()}

    async def close(self) -> None:
        """Forget everything."""
        self._kept.clear()

    def _held(self, name: str, now: float) -> Held | None:
        kept = self._kept.get(name)
        if kept is None:
            return None
        remaining_ms = int((kept.ends - now) * 1000)
        return Held(kept.record, remaining_ms) if remaining_ms > 0 else None

    def _keep(self, offer: Offer, now: float) -> Held:
        self._kept[offer.name] = _Kept(offer.record, offer.epoch, now + offer.ttl_ms / 1000)
        self._kept.move_to_end(offer.name)
        if len(self._kept) > self._max_records:
            self._kept.popitem(last=False)
        return Held(offer.record, offer.ttl_ms)
