"""Live processes: each has a lease in the store, whose row says which KEKs and fences it knows.

A row stands beside the keyring's marker and the log of fences. Form: u8 version ‖ u64be seen
(milliseconds since 1970) ‖ process:8 ‖ u64be generation ‖ digest:16 ‖ u8 whether it seals without
the store ‖ u8 length of its name ‖ u8 number of fences ‖ u16be number of name keys ‖ name ‖ id:8 of
each fence that it has learned, the last MOST_LEARNED ‖ for each name key, and then for each KEK
that opens, the first 8 bytes of its thumbprint ‖ HMAC:32, which covers its place.
"""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from ...core.crypto import base64url, derivation
from ...core.crypto.derivation import DIGEST_BYTES, KEYRING_ID_BYTES
from ...core.crypto.secret import RecordKey
from .. import policy
from ..keyring.kek import KekEntry
from ..keyring.keyring import Keyring, shown
from ..stores import Store, records
from ..stores.guarded import GuardedStore
from ..stores.records import RecordRefused, RecordUnknown
from . import fence_log, keyring_marker
from .fence_log import FenceEvent
from .keyring_marker import Marker

VERSION: Final = 1
PROCESS_BYTES: Final = 8

_LABEL: Final = b"sealyard/v1/record/keyring-process\x00"
_HEAD: Final = struct.Struct(f">BQ{PROCESS_BYTES}sQ{DIGEST_BYTES}s?BBH")
_MARK_BYTES: Final = 8
_KNOWS_MORE: Final = (
    "(it has a name key that this keyring file lacks, and what is stored under it was not reached:"
    " repeat the command with the newer keyring file, which that process uses)"
)


@dataclass(frozen=True, slots=True)
class Report:
    """The row of a process: which keyring it uses, and which KEKs open there.

    `seen` is in milliseconds; `learned` are the ids of the last fences that it has learned, `names`
    the name keys under which it finds records. With `goes_on` it seals without the store, so that
    the end of its lease says nothing.
    """

    process: bytes
    seen: int
    generation: int
    digest: str
    keks: frozenset[bytes]
    learned: frozenset[bytes] = frozenset()
    goes_on: bool = False
    name: str = ""
    names: frozenset[bytes] = frozenset()

    def has(self, entry: KekEntry) -> bool:
        """Whether a KEK opens there."""
        return entry.thumbprint[:_MARK_BYTES] in self.keks


def marks_of(keyring: Keyring, *, seals: bool = True) -> frozenset[bytes]:
    """Return what a row says of the KEKs that open.

    Where the primary KEK `seals` nothing, the fleet has disabled it, and it is not in use.
    """
    unused = {"disabled"} if seals else {"disabled", "primary"}
    return frozenset(
        kek.thumbprint[:_MARK_BYTES] for kek in keyring.keks if kek.state not in unused
    )


def names_of(keyring: Keyring) -> frozenset[bytes]:
    """Return what a row says of the name keys."""
    others = (one.key for one in keyring.names)
    adopted = (key for one in keyring.adopted for key in one.name_keys)
    keys = (keyring.name_key, *others, *adopted)
    return frozenset(derivation.key_thumbprint(key)[:_MARK_BYTES] for key in keys)


def place_of(process: bytes) -> str:
    """Return the place of a process's row."""
    return f"p{base64url.encode(process).decode()}"


async def rows(store: GuardedStore, keyring: Keyring) -> dict[Report, bytes]:
    """Return the rows of all processes of the keyring, each as it stands, forged ones left out.

    Raises StoreFailed where the store does not answer.
    """
    return (await _read(store, keyring))[0]


async def _read(
    store: GuardedStore, keyring: Keyring
) -> tuple[dict[Report, bytes], dict[str, bytes]]:
    """Return the rows of all processes, and by their places those that cannot be read."""
    name, key = keyring_marker.name_of(keyring), keyring.record_key
    found: dict[Report, bytes] = {}
    strange: dict[str, bytes] = {}
    for place, record in (await store.kept(name)).items():
        try:
            report = decode(record, f"{name}:{place}", key)
        except RecordRefused:
            if place != fence_log.PLACE:
                strange[place] = record
            continue
        found[report] = record
    return found, strange


@dataclass(frozen=True, slots=True)
class Reach:
    """Whom a fence has reached: how many processes, and the names of those it has not.

    It is `complete` where each lease has reported it or ended, and there are as many as expected.
    """

    reports: tuple[Report, ...] = ()
    missed: tuple[str, ...] = ()
    expected: int = 1

    @property
    def processes(self) -> int:
        """How many have reported it."""
        return len(self.reports)

    @property
    def complete(self) -> bool:
        """Whether all processes know of it; what nobody has reported is not known."""
        return not self.missed and self.processes >= self.expected


@dataclass(slots=True)
class _Watched:
    """When each row was first seen as it stands, in monotonic seconds.

    `renewed` are the places of rows that cannot be read, and that were renewed meanwhile: of live
    processes with another record key, or of another version.
    """

    since: dict[bytes, tuple[bytes, float]] = field(default_factory=dict)
    renewed: set[str] = field(default_factory=set)

    def ended(self, report: Report, record: bytes, now: float) -> bool:
        """Whether a row has not changed for so long that its lease has ended.

        The clock may be that process's own, and wrong. So it is believed only of a row that counts
        as not reached when it has ended, and that has not changed meanwhile.
        """
        at, seen = time.monotonic(), self.since.get(report.process)
        old = now - report.seen / 1000 > policy.LEASE_SECONDS + policy.MAX_SKEW_SECONDS
        gone = report.goes_on and old
        if seen is None or seen[0] != record:
            self.since[report.process] = record, at
            return seen is None and gone
        return gone or at - seen[1] > policy.LEASE_SECONDS + policy.LEASE_MARGIN_SECONDS

    def settled(self, place: str, record: bytes) -> bool:
        """Whether a row that cannot be read was renewed, or not for longer than a lease."""
        at = time.monotonic()
        seen = self.since.setdefault(place.encode(), (record, at))
        if seen[0] != record:
            self.renewed.add(place)
        ended = at - seen[1] > policy.LEASE_SECONDS + policy.LEASE_MARGIN_SECONDS
        return ended or place in self.renewed


async def reached(
    store: GuardedStore,
    keyring: Keyring,
    events: Sequence[FenceEvent],
    *,
    clock: Callable[[], float],
    expected: int | None = None,
) -> Reach:
    """Wait until each lease has reported these events, which are in the log, or has ended.

    `clock` returns seconds since 1970. The end of the lease of a process that seals without the
    store says nothing: it is not reached. Nor are the processes of an adopted keyring: what they
    seal opens here, and they read another log. Nor are those whose rows cannot be read and are
    renewed: they have another record key. Nor are clients of another copy of the store. What is
    done by a keyring that lacks a name key of theirs misses what they keep under it. Raises
    StoreFailed where the store does not answer.
    """
    names = names_of(keyring)
    watched, ids = _Watched(), {one.id for one in events}
    told: set[bytes] = set()  # a row names the last fences alone: what it has said stays said
    least = 1 if expected is None else expected
    deadline = time.monotonic() + policy.LEASE_WAIT_SECONDS
    while True:
        await fence_log.ensure(store, keyring, events, now=clock)
        (found, strange), now = await _read(store, keyring), clock()
        told |= {one.process for one in found if ids <= one.learned}
        knowing = [one for one in found if one.process in told]
        waiting = {one: record for one, record in found.items() if one.process not in told}
        ended = {one for one, record in waiting.items() if watched.ended(one, record, now)}
        open_ones = {one for one, record in strange.items() if not watched.settled(one, record)}
        if (len(ended) == len(waiting) and not open_ones) or time.monotonic() > deadline:
            missed = sorted(one.name for one in waiting if one.goes_on or one not in ended)
            missed += sorted(f"unreadable row {one}" for one in strange if one in watched.renewed)
            missed += sorted(f"{one.name} {_KNOWS_MORE}" for one in found if one.names - names)
            others = await _adopted_in_use(store, keyring, now)
            elsewhere = await store.elsewhere()
            missed += [elsewhere] if elsewhere else []
            return Reach(tuple(knowing), (*missed, *others), least)
        await asyncio.sleep(policy.LEASE_POLL_SECONDS)


async def _adopted_in_use(store: GuardedStore, keyring: Keyring, now: float) -> tuple[str, ...]:
    """Return the names of adopted keyrings that processes use in the same store."""
    adopted = {one.id for one in keyring.adopted}
    if not adopted:
        return ()
    others = decode_roster(await store.note(NAME)).others(keyring.id, now)
    return tuple(f"keyring {shown(one)}" for one in others if one in adopted)


def encode(report: Report, name: str, key: RecordKey) -> bytes:
    """Return the record."""
    digest = base64url.decode(report.digest.encode())
    named = report.name.encode()[: policy.PROCESS_NAME_BYTES]
    of_keyring = report.seen, report.process, report.generation, digest
    sizes = len(named), len(report.learned), len(report.names)
    head = _HEAD.pack(VERSION, *of_keyring, report.goes_on, *sizes)
    marks = b"".join((*sorted(report.learned), *sorted(report.names), *sorted(report.keks)))
    return records.sign(head + named + marks, _LABEL, name, key)


def decode(record: bytes, name: str, key: RecordKey) -> Report:
    """Return what a record says; raise RecordRefused unless it is authentic and of this version."""
    values = records.verified(record, _LABEL, name, key)
    if len(values) < _HEAD.size or values[0] != VERSION:
        raise RecordUnknown("record-version")
    _, seen, process, generation, digest, goes_on, *sizes = _HEAD.unpack_from(values)
    length, fences, keys = sizes
    named, rest = values[_HEAD.size :][:length], values[_HEAD.size + length :]
    marks = [rest[at : at + _MARK_BYTES] for at in range(0, len(rest), _MARK_BYTES)]
    if len(named) != length or len(rest) % _MARK_BYTES or len(marks) < fences + keys:
        raise RecordUnknown("record-version")
    learned, names = frozenset(marks[:fences]), frozenset(marks[fences : fences + keys])
    keks = frozenset(marks[fences + keys :])
    text, told = base64url.encode(digest).decode(), named.decode("utf-8", "replace")
    return Report(process, seen, generation, text, keks, learned, goes_on, told, names)


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
    """The marker, if an authentic one exists, the live processes, and other keyrings' ids.

    `strange` says that marker or rows were written with another record key.
    """

    marker: Marker | None
    reports: tuple[Report, ...]
    others: tuple[str, ...]
    strange: bool = False

    @property
    def generation(self) -> int:
        """The highest generation that is known."""
        generations = [report.generation for report in self.reports]
        return max([*generations, 0 if self.marker is None else self.marker.generation])

    def unknown(self, keyring: Keyring) -> tuple[frozenset[bytes], int]:
        """Return which KEKs of live processes a keyring lacks, and how many processes have them.

        Of each KEK it is the first 8 bytes of the thumbprint.
        """
        known = {kek.thumbprint[:_MARK_BYTES] for kek in keyring.keks}
        lacking = [report.keks - known for report in self.reports if report.keks - known]
        return frozenset().union(*lacking), len(lacking)

    def has(self, keyring: Keyring) -> bool:
        """Whether the fleet has exactly this state of the keyring."""
        state = None if self.marker is None else (self.marker.generation, self.marker.digest)
        return state == (keyring.generation, keyring.digest)


def patient(store: Store, clock: Callable[[], float]) -> GuardedStore:
    """Return a store that is waited for longer than a message waits."""
    return GuardedStore(store, policy.OPERATOR_SECONDS, clock=clock, notice=lambda _: None)


async def asked(store: Store, keyring: Keyring, *, clock: Callable[[], float]) -> FleetView:
    """Return what the store holds; raise StoreFailed where it does not answer.

    `clock` returns seconds since 1970.
    """
    guarded = patient(store, clock)
    name = keyring_marker.name_of(keyring)
    record = await guarded.note(name)
    try:
        marker = None if record is None else keyring_marker.decode(record, name, keyring.record_key)
    except RecordRefused:
        marker = None
    found = decode_roster(await guarded.note(NAME))
    reports, strange = await _read(guarded, keyring)
    unread = bool(strange or (record and marker is None))
    return FleetView(marker, tuple(reports), found.others(keyring.id, clock()), unread)
