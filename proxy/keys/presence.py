"""Who is alive: each process tells the store which KEKs it has, so that promoting can wait for all.

A process has one of a few hundred places beside the keyring's marker and writes there every few
seconds; what it wrote ends by itself. Form: u8 version ‖ u64be seen (milliseconds since 1970) ‖
process:8 ‖ u64be generation ‖ digest:16 ‖ for each KEK that opens the first 8 bytes of its
thumbprint ‖ HMAC:32, for the place that it stands at.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from ..core.crypto import base64url
from ..core.crypto.derivation import DIGEST_BYTES
from ..core.crypto.secret import RecordKey
from . import marker
from .guarded import GuardedStore
from .keyring import KekEntry, Keyring, RandomBytes
from .stores import authentic
from .stores.authentic import RecordRefused, RecordUnknown

VERSION: Final = 1
PLACES: Final = 256
KEEP_MS: Final = 15_000
PROCESS_BYTES: Final = 8

_LABEL: Final = b"sealyard/v1/record/keyring-process\x00"
_HEAD: Final = struct.Struct(f">BQ{PROCESS_BYTES}sQ{DIGEST_BYTES}s")
_MARK_BYTES: Final = 8
_SKEW_MS: Final = 60_000


@dataclass(frozen=True, slots=True)
class Report:
    """Which keyring a process goes by, and which KEKs open there. `seen` is in milliseconds."""

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

    async def tell(self, store: GuardedStore, keyring: Keyring, now: float) -> None:
        """Write down what this process has; raise StoreFailed where the store does not take it."""
        name, key = marker.name_of(keyring), keyring.record_key
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
        told = Report(self._process, at, keyring.generation, keyring.digest, keks)
        record = encode(told, _named(name, place), key)
        await store.keep(name, place, record, at, KEEP_MS, seen=seen)

    def _ours(self, record: bytes | None, name: str, key: RecordKey) -> bool:
        try:
            return record is None or decode(record, name, key).process == self._process
        except RecordRefused:
            return False

    async def _free(self, store: GuardedStore, name: str) -> str | None:
        """Return a place that nobody has, drawn so that those who begin together differ."""
        found = (await store.find(name, _places())).keys
        free = [at for at, held in zip(_places(), found, strict=True) if held is None]
        return free[int.from_bytes(self._random(4)) % len(free)] if free else None


async def alive(store: GuardedStore, keyring: Keyring, now: float) -> tuple[Report, ...]:
    """Return the reports of all processes of the keyring that are alive.

    Raises StoreFailed where the store does not answer. What nobody who has the keyring wrote is not
    among them, and neither is a process of a version that does not report.
    """
    name, key = marker.name_of(keyring), keyring.record_key
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
        if abs(now * 1000 - report.seen) < _SKEW_MS and (
            before is None or before.seen < report.seen
        ):
            reports[report.process] = report
    return tuple(reports.values())


def encode(report: Report, name: str, key: RecordKey) -> bytes:
    """Return the record."""
    digest = base64url.decode(report.digest.encode())
    head = _HEAD.pack(VERSION, report.seen, report.process, report.generation, digest)
    return authentic.sign(head + b"".join(sorted(report.keks)), _LABEL, name, key)


def decode(record: bytes, name: str, key: RecordKey) -> Report:
    """Return what a record says; raise RecordRefused unless it is authentic and of this version."""
    values = authentic.verified(record, _LABEL, name, key)
    rows = values[_HEAD.size :]
    if len(values) < _HEAD.size or values[0] != VERSION or len(rows) % _MARK_BYTES:
        raise RecordUnknown("record-version")
    _, seen, process, generation, digest = _HEAD.unpack_from(values)
    keks = frozenset(rows[at : at + _MARK_BYTES] for at in range(0, len(rows), _MARK_BYTES))
    return Report(process, seen, generation, base64url.encode(digest).decode(), keks)


def _places() -> tuple[str, ...]:
    return tuple(f"p{number}" for number in range(PLACES))


def _named(name: str, place: str) -> str:
    return f"{name}:{place}"
