"""Live processes: each writes to the store which KEKs it has, so that promoting can wait for all.

A process has one of a few hundred places beside the keyring's marker and writes there every few
seconds; its record expires. Form: u8 version ‖ u64be seen (milliseconds since 1970) ‖
process:8 ‖ u64be generation ‖ digest:16 ‖ for each KEK that opens the first 8 bytes of its
thumbprint ‖ HMAC:32, which covers its place.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from ...core.crypto import base64url
from ...core.crypto.derivation import DIGEST_BYTES, KEYRING_ID_BYTES
from ...core.crypto.secret import RecordKey
from .. import policy
from ..keyring.kek import KekEntry, RandomBytes
from ..keyring.keyring import Keyring
from ..stores import Store, records
from ..stores.guarded import GuardedStore
from ..stores.records import RecordRefused, RecordUnknown
from . import keyring_marker
from .keyring_marker import Marker

VERSION: Final = 1
PROCESS_BYTES: Final = 8

_LABEL: Final = b"sealyard/v1/record/keyring-process\x00"
_HEAD: Final = struct.Struct(f">BQ{PROCESS_BYTES}sQ{DIGEST_BYTES}s")
_MARK_BYTES: Final = 8


@dataclass(frozen=True, slots=True)
class Report:
    """Which keyring a process uses, and which KEKs open there. `seen` is in milliseconds."""

    process: bytes
    seen: int
    generation: int
    digest: str
    keks: frozenset[bytes]

    def has(self, entry: KekEntry) -> bool:
        """Whether a KEK opens there."""
        return entry.thumbprint[:_MARK_BYTES] in self.keks


class Presence:
    """The place of one process in the store."""

    def __init__(self, random: RandomBytes) -> None:
        """Have none yet."""
        self._process = random(PROCESS_BYTES)
        self._random = random
        self._place: str | None = None

    async def write(self, store: GuardedStore, keyring: Keyring, now: float) -> None:
        """Write what this process has; raise StoreFailed where the store does not take it."""
        name, key = keyring_marker.name_of(keyring), keyring.record_key
        seen: bytes | None = None
        if self._place is not None:
            held = (await store.find(name, (self._place,))).keys[0]
            seen = None if held is None else held.record
            if not self._ours(seen, _named(name, self._place), key):
                self._place, seen = None, None
        place = self._place or await self._free(store, name)
        if place is None:
            return  # a fleet of more processes than there are places
        self._place = place
        keks = frozenset(
            kek.thumbprint[:_MARK_BYTES] for kek in keyring.keks if kek.state != "disabled"
        )
        at = int(now * 1000)
        report = Report(self._process, at, keyring.generation, keyring.digest, keks)
        record = encode(report, _named(name, place), key)
        await store.keep(name, place, record, policy.PRESENCE_MS, seen=seen)

    def _ours(self, record: bytes | None, name: str, key: RecordKey) -> bool:
        try:
            return record is None or decode(record, name, key).process == self._process
        except RecordRefused:
            return False

    async def _free(self, store: GuardedStore, name: str) -> str | None:
        """Return a free place, drawn at random so that processes that start together differ."""
        found = (await store.find(name, _places())).keys
        free = [at for at, held in zip(_places(), found, strict=True) if held is None]
        return free[int.from_bytes(self._random(4)) % len(free)] if free else None


async def alive(store: GuardedStore, keyring: Keyring, now: float) -> tuple[Report, ...]:
    """Return the reports of all processes of the keyring that are alive.

    Raises StoreFailed where the store does not answer. Forged records are left out.
    """
    name, key = keyring_marker.name_of(keyring), keyring.record_key
    found = (await store.find(name, _places())).keys
    reports: dict[bytes, Report] = {}
    for place, held in zip(_places(), found, strict=True):
        if held is None:
            continue
        try:
            report = decode(held.record, _named(name, place), key)
        except RecordRefused:
            continue
        before = reports.get(report.process)
        if abs(now * 1000 - report.seen) < policy.PRESENCE_SKEW_MS and (
            before is None or before.seen < report.seen
        ):
            reports[report.process] = report
    return tuple(reports.values())


def encode(report: Report, name: str, key: RecordKey) -> bytes:
    """Return the record."""
    digest = base64url.decode(report.digest.encode())
    head = _HEAD.pack(VERSION, report.seen, report.process, report.generation, digest)
    return records.sign(head + b"".join(sorted(report.keks)), _LABEL, name, key)


def decode(record: bytes, name: str, key: RecordKey) -> Report:
    """Return what a record says; raise RecordRefused unless it is authentic and of this version."""
    values = records.verified(record, _LABEL, name, key)
    rows = values[_HEAD.size :]
    if len(values) < _HEAD.size or values[0] != VERSION or len(rows) % _MARK_BYTES:
        raise RecordUnknown("record-version")
    _, seen, process, generation, digest = _HEAD.unpack_from(values)
    keks = frozenset(rows[at : at + _MARK_BYTES] for at in range(0, len(rows), _MARK_BYTES))
    return Report(process, seen, generation, base64url.encode(digest).decode(), keks)


def _places() -> tuple[str, ...]:
    return tuple(f"p{number}" for number in range(policy.PRESENCE_PLACES))


def _named(name: str, place: str) -> str:
    return f"{name}:{place}"


NAME: Final = "keyrings"
ROSTER_VERSION: Final = 1

_ROW: Final = struct.Struct(f">{KEYRING_ID_BYTES}sQ")


@dataclass(frozen=True, slots=True)
class Roster:
    """When each keyring was seen, by its id, in seconds since 1970."""

    seen: Mapping[str, int]

    def others(self, own: str, now: float) -> tuple[str, ...]:
        """Return the ids of other keyrings that are in use."""
        live = [one for one, at in self.seen.items() if one != own and _near(at, now)]
        return tuple(sorted(live))

    def due(self, own: str, now: float) -> bool:
        """Whether our keyring has to be written again."""
        return abs(now - self.seen.get(own, 0)) >= policy.ROSTER_REFRESH_SECONDS

    def with_seen(self, own: str, now: float) -> Roster:
        """Return the roster with our keyring as of now, without those no longer in use."""
        live = {one: at for one, at in self.seen.items() if one != own and _near(at, now)}
        latest = sorted(live.items(), key=lambda row: -row[1])[: policy.ROSTER_KEYRINGS - 1]
        return Roster({**dict(latest), own: int(now)})


def encode_roster(roster: Roster) -> bytes:
    """Return the note."""
    rows = (_ROW.pack(base64url.decode(one.encode()), at) for one, at in roster.seen.items())
    return bytes([ROSTER_VERSION]) + b"".join(rows)


def decode_roster(note: bytes | None) -> Roster:
    """Return what a note says; an empty roster where there is none, or something else."""
    if note is None:
        return Roster({})
    rows = note[1:]
    well = note[:1] == bytes([ROSTER_VERSION]) and not len(rows) % _ROW.size
    if not well or len(note) > policy.ROSTER_BYTES:
        return Roster({})
    found = sorted(_ROW.iter_unpack(rows), key=lambda row: -int(row[1]))[: policy.ROSTER_KEYRINGS]
    return Roster({base64url.encode(one).decode(): at for one, at in found})


def _near(at: int, now: float) -> bool:
    return abs(now - at) < policy.ROSTER_LIVE_SECONDS


@dataclass(frozen=True, slots=True)
class FleetView:
    """The marker, if an authentic one exists, the live processes, and other keyrings' ids."""

    marker: Marker | None
    reports: tuple[Report, ...]
    others: tuple[str, ...]

    @property
    def generation(self) -> int:
        """The highest generation that is known."""
        generations = [report.generation for report in self.reports]
        return max([*generations, 0 if self.marker is None else self.marker.generation])

    def lacking(self, entry: KekEntry) -> int:
        """Return how many live processes do not have a KEK."""
        return sum(not report.has(entry) for report in self.reports)

    def has(self, keyring: Keyring) -> bool:
        """Whether the fleet has exactly this state of the keyring."""
        state = None if self.marker is None else (self.marker.generation, self.marker.digest)
        return state == (keyring.generation, keyring.digest)


async def asked(store: Store, keyring: Keyring, *, clock: Callable[[], float]) -> FleetView:
    """Return what the store holds; raise StoreFailed where it does not answer.

    `clock` returns seconds since 1970.
    """
    guarded = GuardedStore(store, policy.OPERATOR_SECONDS, clock=clock, notice=lambda _: None)
    now = clock()
    name = keyring_marker.name_of(keyring)
    record = await guarded.note(name)
    try:
        marker = None if record is None else keyring_marker.decode(record, name, keyring.record_key)
    except RecordRefused:
        marker = None
    found = decode_roster(await guarded.note(NAME))
    reports = await alive(guarded, keyring, now)
    return FleetView(marker, reports, found.others(keyring.id, now))
