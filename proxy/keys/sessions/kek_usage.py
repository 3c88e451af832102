"""What still depends on a KEK: how often it was used and when last, over all processes.

Each process counts by itself and periodically adds its counts to one note in the store. Form of
the note: u8 version ‖ u64be epoch, since (seconds since 1970) ‖ for each KEK u16be number ‖ u64be
opened, last opened, sessions, last session (seconds) ‖ HMAC:32.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from ...core.crypto.secret import RecordKey
from ..policy import USAGE_TRIES
from ..stores import StoreFailed, records
from ..stores.guarded import GuardedStore, Notice
from ..stores.records import RecordRefused, RecordUnknown

NAME: Final = "kek-use"
VERSION: Final = 1

_LABEL: Final = b"sealyard/v1/record/kek-use\x00"
_HEAD: Final = struct.Struct(">BQQ")
_ROW: Final = struct.Struct(">HQQQQ")


@dataclass(frozen=True, slots=True)
class Use:
    """How one KEK was used. Times are seconds since 1970, 0 for never.

    `opened` counts values that opened, and keys of ephemeral sessions that it unwrapped;
    `sessions` counts the sessions that a process began to seal with.
    """

    opened: int = 0
    last_opened: int = 0
    sessions: int = 0
    last_session: int = 0

    def __add__(self, other: Use) -> Use:
        """Return both together."""
        return Use(
            self.opened + other.opened,
            max(self.last_opened, other.last_opened),
            self.sessions + other.sessions,
            max(self.last_session, other.last_session),
        )


@dataclass(frozen=True, slots=True)
class Uses:
    """What the fleet has noted since `since` (seconds since 1970), by KEK number."""

    since: int
    of: Mapping[int, Use]
    epoch: int = 0


class KekUse:
    """The counts of one process: those in the store, and those still pending.

    `opens` has for each KEK how many values opened since the last `flush`, and when the last one
    did. Whoever counts a value for a KEK that is there adds to it, which must cost next to nothing.
    """

    __slots__ = ("_pending", "_sessions", "_since", "_stored", "opens")

    def __init__(self, now: float) -> None:
        """Begin with nothing counted; times are seconds since 1970."""
        self._since = int(now)
        self.opens: dict[int, list[int]] = {}
        self._sessions: dict[int, list[int]] = {}
        self._pending: dict[int, Use] = {}
        self._stored: dict[int, Use] = {}

    @property
    def total(self) -> Mapping[int, Use]:
        """All that this process has counted, by KEK number."""
        return _sum(self._stored, self._pending, self._counted())

    def opened(self, number: int, now: float, values: int = 1) -> None:
        """Count values of the KEK that opened."""
        held = self.counted(number)
        held[:] = held[0] + values, int(now)

    def counted(self, number: int) -> list[int]:
        """Return what is in `opens` for the KEK, which may be nothing yet."""
        return self.opens.setdefault(number, [0, 0])

    def began(self, number: int, now: float) -> None:
        """Count a session that begins under the KEK."""
        held = self._sessions.setdefault(number, [0, 0])
        held[0] += 1
        held[1] = int(now)

    async def flush(
        self, store: GuardedStore, key: RecordKey, now: float, *, notice: Notice
    ) -> None:
        """Add the pending counts to the fleet's note; what the store does not take stays pending.

        The store is asked even without new counts, to notice whether it answers.
        """
        self._pending = pending = _sum(self._pending, self._counted())
        self.opens, self._sessions = {}, {}
        try:
            taken = await _add(store, key, pending, self._since, notice)
        except RecordRefused as refused:
            notice(str(refused))
            return
        except StoreFailed:  # GuardedStore has reported it
            return
        if taken:
            self._pending, self._stored = {}, _sum(self._stored, pending)
            self._since = int(now)

    def clear(self) -> None:
        """Forget all: a forked child starts from zero, since the parent stores its own counts."""
        for counts in (self.opens, self._sessions, self._pending, self._stored):
            counts.clear()

    def _counted(self) -> dict[int, Use]:
        return {
            number: Use(*self.opens.get(number, (0, 0)), *self._sessions.get(number, (0, 0)))
            for number in self.opens.keys() | self._sessions.keys()
        }


def _sum(*parts: Mapping[int, Use]) -> dict[int, Use]:
    made: dict[int, Use] = {}
    for part in parts:
        for number, use in part.items():
            made[number] = made.get(number, Use()) + use
    return made


async def read(store: GuardedStore, key: RecordKey) -> Uses | None:
    """Return what the fleet has noted; None where nothing is.

    Raises StoreFailed when the store does not answer, RecordRefused for a forged note.
    """
    held = await store.note(NAME)
    return None if held is None else decode(held, key)


def encode(uses: Uses, key: RecordKey) -> bytes:
    """Return the note."""
    rows = (
        _ROW.pack(number, use.opened, use.last_opened, use.sessions, use.last_session)
        for number, use in sorted(uses.of.items())
    )
    values = _HEAD.pack(VERSION, uses.epoch, uses.since) + b"".join(rows)
    return records.sign(values, _LABEL, NAME, key)


def decode(record: bytes, key: RecordKey) -> Uses:
    """Return what a note says; raise RecordRefused unless it is authentic and of this version."""
    values = records.verified(record, _LABEL, NAME, key)
    rows = values[_HEAD.size :]
    if len(values) < _HEAD.size or values[0] != VERSION or len(rows) % _ROW.size:
        raise RecordUnknown("record-version")
    _, epoch, since = _HEAD.unpack_from(values)
    of = {number: Use(*use) for number, *use in _ROW.iter_unpack(rows)}
    return Uses(since, of, epoch)


async def _add(
    store: GuardedStore, key: RecordKey, counts: Mapping[int, Use], since: int, notice: Notice
) -> bool:
    """Try until no other process was faster; return whether the note holds the counts.

    A note that is not authentic is reported, and replaced by one that begins with `since`.
    """
    seen = await store.note(NAME)
    for _ in range(USAGE_TRIES):
        before = Uses(since, {})
        try:
            before = before if seen is None else decode(seen, key)
        except RecordUnknown:
            raise
        except RecordRefused as refused:
            notice(str(refused))
        if not counts:
            return True
        mine = encode(Uses(before.since, _sum(before.of, counts), before.epoch + 1), key)
        answer = await store.note(NAME, mine, seen=seen)
        if answer == mine:
            return True
        seen = answer
    return False
