"""What the store tells an operator of a keyring: what the fleet has come to, and who is alive."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from . import marker as markers
from . import presence, roster
from .guarded import GuardedStore
from .keyring import KekEntry, Keyring
from .marker import Marker
from .presence import Report
from .stores import Store
from .stores.authentic import RecordRefused

_PATIENCE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class FleetView:
    """The marker, if there is one to be believed, the living processes, and other keyrings' ids."""

    marker: Marker | None
    reports: tuple[Report, ...]
    others: tuple[str, ...]

    @property
    def generation(self) -> int:
        """The highest generation that is known."""
        told = [report.generation for report in self.reports]
        return max([*told, 0 if self.marker is None else self.marker.generation])

    def lacking(self, entry: KekEntry) -> int:
        """Return how many living processes do not have a KEK."""
        return sum(not report.has(entry) for report in self.reports)

    def has(self, keyring: Keyring) -> bool:
        """Whether the fleet has come to just this state of the keyring."""
        told = None if self.marker is None else (self.marker.generation, self.marker.digest)
        return told == (keyring.generation, keyring.digest)


async def asked(store: Store, keyring: Keyring, *, clock: Callable[[], float]) -> FleetView:
    """Return what the store tells; raise StoreFailed where it does not answer.

    `clock` returns seconds since 1970.
    """
    guarded = GuardedStore(store, _PATIENCE_SECONDS, clock=clock, notice=lambda _: None)
    now = clock()
    name = markers.name_of(keyring)
    record = await guarded.note(name, b"", 0)
    try:
        marker = None if record is None else markers.decode(record, name, keyring.record_key)
    except RecordRefused:
        marker = None
    found = roster.decode(await guarded.note(roster.NAME, b"", 0))
    reports = await presence.alive(guarded, keyring, now)
    return FleetView(marker, reports, found.others(keyring.id, now))
