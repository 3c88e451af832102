"""The log of fences: what took rights away last, for every process to learn before it seals on.

One record beside the leases of the processes, which each renewal reads. Form: u8 version ‖ u64be
number ‖ for each event u64be number ‖ id:8 ‖ u8 kind ‖ name:22 ‖ u64be value ‖ HMAC:32. The numbers
grow with every event, and no process accepts a log whose number is lower than one that it has seen.
Where the store loses the log, one who knows less than others may begin it anew: so a process says
by their ids which events it has learned, and a verb writes its own again where they are missing.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal, get_args

from ...core.crypto.secret import RecordKey
from ..keyring.keyring import Keyring
from ..policy import FENCE_MS, FENCE_TRIES, FENCES
from ..stores import StoreFailed, records
from ..stores.guarded import GuardedStore
from ..stores.records import RecordRefused, RecordUnknown
from . import keyring_marker

PLACE: Final = "fences"
"""Its key id, below the name of the keyring's records."""

ID_BYTES: Final = 8

Kind = Literal["revoked", "erased", "fenced", "keyring"]
"""`revoked`, `erased`: sessions of a name; `fenced`: key packages of a name; `keyring`: KEKs.

The value is a time in seconds since 1970, of `keyring` the generation.
"""

_VERSION: Final = 1
_LABEL: Final = b"sealyard/v1/record/fences\x00"
_KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
_HEAD: Final = struct.Struct(">BQ")
_EVENT: Final = struct.Struct(f">Q{ID_BYTES}sB22sQ")


@dataclass(frozen=True, slots=True)
class FenceEvent:
    """One thing that took rights away."""

    kind: Kind
    name: str
    value: int
    id: bytes = field(default_factory=lambda: os.urandom(ID_BYTES))
    number: int = 0


@dataclass(frozen=True, slots=True)
class FenceLog:
    """The last events, oldest first; `number` is that of the last one, or of a new beginning."""

    number: int = 0
    events: tuple[FenceEvent, ...] = ()

    def has(self, events: Sequence[FenceEvent]) -> bool:
        """Whether all these events are here."""
        return {one.id for one in events} <= {one.id for one in self.events}

    def with_more(self, events: Sequence[FenceEvent], now: float) -> FenceLog:
        """Return the log with more events; `now` is in seconds since 1970."""
        first = max(self.number + 1, int(now * 1000))
        more = [replace(one, number=first + at) for at, one in enumerate(events)]
        number = first + max(len(more) - 1, 0)
        return FenceLog(number, (*self.events, *more)[-FENCES:])


def encode(log: FenceLog, name: str, key: RecordKey) -> bytes:
    """Return the record."""
    rows = (
        _EVENT.pack(one.number, one.id, _KINDS.index(one.kind), one.name.encode(), one.value)
        for one in log.events
    )
    return records.sign(_HEAD.pack(_VERSION, log.number) + b"".join(rows), _LABEL, name, key)


def decode(record: bytes, name: str, key: RecordKey) -> FenceLog:
    """Return what a record says; raise RecordRefused unless it is authentic and of this version."""
    values = records.verified(record, _LABEL, name, key)
    rows = values[_HEAD.size :]
    if len(values) < _HEAD.size or values[0] != _VERSION or len(rows) % _EVENT.size:
        raise RecordUnknown("record-version")
    events = [
        FenceEvent(_KINDS[kind], named.rstrip(b"\0").decode(), value, one, number)
        for number, one, kind, named, value in _EVENT.iter_unpack(rows)
        if kind < len(_KINDS)
    ]
    return FenceLog(_HEAD.unpack_from(values)[1], tuple(events))


async def append(
    store: GuardedStore,
    keyring: Keyring,
    events: Sequence[FenceEvent],
    *,
    now: Callable[[], float],
    known: FenceLog | None = None,
) -> FenceLog:
    """Write events into the log; return it as it stands then.

    `known` is the last one that was seen: its events go on where the store has lost them. Raises
    StoreFailed where the store does not take it.
    """
    name, key = keyring_marker.name_of(keyring), keyring.record_key
    known = known or FenceLog()
    held = (await store.find(name, (PLACE,))).keys[0]
    seen = None if held is None else held.record
    for _ in range(FENCE_TRIES):
        log = read(seen, name, key) or FenceLog()
        after = (log if log.number >= known.number else known).with_more(events, now())
        record = encode(after, name, key)
        stands = await store.keep(name, PLACE, record, FENCE_MS, seen=seen)
        if stands.record == record:
            return after
        seen = stands.record
    raise StoreFailed("fence-not-kept")


async def ensure(
    store: GuardedStore, keyring: Keyring, events: Sequence[FenceEvent], *, now: Callable[[], float]
) -> None:
    """Write events into the log again where it lacks them; raise StoreFailed as `append` does."""
    name, key = keyring_marker.name_of(keyring), keyring.record_key
    held = (await store.find(name, (PLACE,))).keys[0]
    log = read(None if held is None else held.record, name, key)
    if log is None or not log.has(events):
        await append(store, keyring, events, now=now)


def read(record: bytes | None, name: str, key: RecordKey) -> FenceLog | None:
    """Return what a record says; None for none, and for one that is not authentic.

    Raises StoreFailed for one of another version, which is not overwritten.
    """
    if record is None:
        return None
    try:
        return decode(record, name, key)
    except RecordUnknown:
        raise StoreFailed("record-version") from None
    except RecordRefused:
        return None
