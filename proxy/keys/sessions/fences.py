"""Fences: records that keep an erased key from coming back, one for each name of records.

Keys are kept under a fence, and whoever keeps one again shows the fence that it was first kept
under. An erasure puts another one in its place, in the step that destroys the keys. Form: u8
version ‖ u64be epoch ‖ u64be not-before ‖ random:8 ‖ HMAC:32, authenticated over the name and all
values. What began before `not_before` (seconds since 1970) was erased; 0: nothing was.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ...core.crypto import base64url
from ...core.crypto.derivation import SID_BYTES, SID_TIME_BYTES
from ...core.crypto.secret import RecordKey
from ...core.errors import OpenFailed
from ..keyring.kek import RandomBytes
from ..lru_map import BoundedMap
from ..policy import KNOWN_FENCES, REVOKE_TRIES
from ..stores import Fenced, StoreFailed, Under, records
from ..stores.guarded import GuardedStore, Notice
from ..stores.records import RecordRefused, RecordUnknown

_VERSION: Final = 1
_LABEL: Final = b"sealyard/v1/record/fence\x00"
_RANDOM_BYTES: Final = 8
_FORM: Final = struct.Struct(f">BQQ{_RANDOM_BYTES}s")


@dataclass(frozen=True, slots=True)
class Fence:
    """One fence of a name. `epoch` grows with every one, across all processes."""

    epoch: int = 0
    not_before: int = 0
    record: bytes | None = None


def encode(epoch: int, not_before: int, name: str, key: RecordKey, random: RandomBytes) -> bytes:
    """Return the record of a fence; no two are the same."""
    values = _FORM.pack(_VERSION, epoch, not_before, random(_RANDOM_BYTES))
    return records.sign(values, _LABEL, name, key)


def decode(record: bytes, name: str, key: RecordKey) -> Fence:
    """Return the fence of a record; raise RecordRefused unless it was made for the name."""
    values = records.verified(record, _LABEL, name, key)
    if len(values) != _FORM.size or values[0] != _VERSION:
        raise RecordUnknown("record-version")
    _, epoch, not_before, _ = _FORM.unpack(values)
    return Fence(epoch, not_before, record)


class Fences:
    """What a process knows of fences. It never goes back to a lower epoch.

    `key` returns the record key, `revoked` before what time (seconds since 1970) the keyring
    refuses what is under a name, `clock` seconds since 1970, `random` random bytes; `notice` is
    called with a reason where a record is refused.
    """

    def __init__(  # noqa: PLR0913 - what the sessions hand in, each by name
        self,
        store: GuardedStore,
        *,
        key: Callable[[], RecordKey],
        revoked: Callable[[str], int],
        clock: Callable[[], float],
        random: RandomBytes,
        notice: Notice,
    ) -> None:
        """Know none."""
        self._store = store
        self._key = key
        self._revoked = revoked
        self._clock = clock
        self._random = random
        self._notice = notice
        self._seen: BoundedMap[str, Fence] = BoundedMap(KNOWN_FENCES)
        # Authentic ones only, so as many as operators have made.
        self._erased: dict[str, int] = {}

    def erased_before(self, name: str) -> int:
        """Return before when what began under a name was erased, in seconds since 1970."""
        known = self._erased.get(name, 0), self._of(name).not_before
        return max(*known, self._revoked(name))

    def know(self, name: str, not_before: int) -> None:
        """Learn of an erasure from elsewhere than the store."""
        self._erased[name] = max(not_before, self._erased.get(name, 0))

    def learn(self, name: str, record: bytes) -> Fence | None:
        """Learn the fence that stands; return it, None where it is not to be kept under.

        That is one that is not authentic, or of before what is known here.
        """
        try:
            fence = decode(record, name, self._key())
        except RecordRefused as refused:
            self._notice(str(refused))
            return None
        known = self._of(name)
        if fence.record == known.record:
            return fence
        if fence.epoch > known.epoch and fence.not_before >= self._erased.get(name, 0):
            self._seen.put(name, fence)
            return fence
        # The next one goes above it.
        self._seen.put(name, Fence(max(fence.epoch, known.epoch), known.not_before))
        self._notice("record-stale")
        return None

    def under(self, name: str) -> Under:
        """Return the fence to keep a new key under, as far as it is known."""
        return Under(self._of(name).record, self._next(name))

    async def restore(self, name: str, stands: bytes | None) -> None:
        """Learn the fence that stands; put another in the place of one not to be kept under.

        It says what is known here of erasures. Raises StoreFailed where the store does not take it.
        """
        for _ in range(REVOKE_TRIES):
            if stands is None:  # the next one is the first that is kept under
                known = self._of(name)
                self._seen.put(name, Fence(known.epoch, known.not_before))
                return
            if self.learn(name, stands) is not None:
                return
            fence = self._next(name)
            try:
                await self._store.erase(name, fence, seen=stands, only=())
            except Fenced as fenced:
                stands = fenced.fence
            else:
                stands = fence
        raise StoreFailed("fence-not-kept")

    async def rise(self, name: str, not_before: int) -> dict[str, bytes]:
        """Destroy the keys of a name, and fence off all that began before `not_before`.

        Returns what was destroyed, by key ids. Raises StoreFailed where the store does not take it.
        """
        for _ in range(REVOKE_TRIES):
            stands = (await self._store.find(name, (), fence=True)).fence
            if stands is not None:
                self.learn(name, stands)
            self.know(name, not_before)
            fence = self._next(name)
            try:
                gone = await self._store.erase(name, fence, seen=stands)
            except Fenced:
                continue
            self.learn(name, fence)
            return gone
        raise StoreFailed("fence-not-kept")

    async def sweep(self, name: str, not_before: int) -> dict[str, bytes]:
        """Destroy the keys of a name that began before `not_before`, as long as there are some.

        They come back where the store loses what it was told, or somebody puts them back. Returns
        what was destroyed, by key ids. Raises StoreFailed where the store does not take it.
        """
        gone: dict[str, bytes] = {}
        for _ in range(REVOKE_TRIES):
            found = await self._store.find(name, (), fence=True)
            fence = None if found.fence is None else self.learn(name, found.fence)
            kept = await self._store.kept(name)
            old = [one for one in kept if _began(one) < not_before]
            if not old and fence is not None and fence.not_before >= not_before:
                return gone
            self.know(name, not_before)
            try:
                gone |= await self._store.erase(name, self._next(name), seen=found.fence, only=old)
            except Fenced:
                continue
        raise StoreFailed("fence-not-kept")

    def _next(self, name: str) -> bytes:
        """Return a fence above those known."""
        # A process that has seen none yet must not fall behind the others.
        epoch = max(self._of(name).epoch + 1, int(self._clock() * 1000))
        return encode(epoch, self.erased_before(name), name, self._key(), self._random)

    def _of(self, name: str) -> Fence:
        return self._seen.get(name) or Fence()


def _began(key_id: str) -> float:
    """Return when the session of a key id began; never, for what is the key of none."""
    try:
        sid = base64url.decode(key_id.encode())
    except (OpenFailed, UnicodeEncodeError):
        return math.inf
    return int.from_bytes(sid[:SID_TIME_BYTES]) if len(sid) == SID_BYTES else math.inf
