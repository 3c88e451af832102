"""Records of participants in the store, changed without losing concurrent changes.

What they say is sealed: who has which devices, and who talks to whom, is for no reader of a store.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final, Generic, TypeVar

from ...core.crypto.derivation import record_seal
from ...core.crypto.record_seal import open_record, seal_record
from ...core.crypto.secret import RecordKey
from ...core.errors import OpenFailed, ParticipantError, ParticipantsUnavailable
from ..keyring.jwk_set import parse_object
from ..keyring.keyring import Keyring
from ..policy import RECORD_TRIES
from ..stores import StoreFailed, records
from ..stores.guarded import GuardedStore
from ..stores.records import RecordRefused, RecordUnknown

VERSION: Final = 1
_HEAD: Final = struct.Struct(">BQ")


def signed(members: dict[str, Any], epoch: int, label: bytes, name: str, key: RecordKey) -> bytes:
    """Return the record of JSON: u8 version ‖ u64be epoch ‖ IV:12 ‖ sealed JSON ‖ HMAC:32."""
    text, head = json.dumps(members, separators=(",", ":")).encode(), _HEAD.pack(VERSION, epoch)
    sealed = seal_record(record_seal(key), text, records.identity(head, label, name))
    return records.sign(head + sealed, label, name, key)


def verified(record: bytes, label: bytes, name: str, key: RecordKey) -> tuple[int, dict[str, Any]]:
    """Return the epoch and the JSON of a record; raise RecordRefused unless it is authentic."""
    values, signer = records.matched(record, label, name, key)
    if len(values) < _HEAD.size or values[0] != VERSION:
        raise RecordUnknown("record-version")
    head = values[: _HEAD.size]
    try:
        identity = records.identity(head, label, name)
        members = parse_object(open_record(record_seal(signer), values[_HEAD.size :], identity))
    except OpenFailed:
        members = None
    if members is None:
        raise RecordUnknown("record-version")
    epoch: int = _HEAD.unpack_from(values)[1]
    return epoch, members


class StaleRecord(ParticipantError):
    """A record of before what the keyring knows: somebody put it back, or restored the store."""

    def __init__(self) -> None:
        """Say what to do."""
        super().__init__(
            "an older record was put back: add and accept the keys of the participant anew"
        )


@dataclass(frozen=True, slots=True)
class Kept:
    """What a record holds; `epoch` grows with every change."""

    epoch: int = 0


T = TypeVar("T", bound=Kept)


@dataclass(frozen=True, slots=True)
class RecordForm(Generic[T]):
    """How a kind of record is written: under its name, with the record key.

    `none` is the value where nothing was written; `decode` raises RecordRefused. `what` names the
    kind in errors.
    """

    what: str
    none: T
    encode: Callable[[T, str, RecordKey], bytes]
    decode: Callable[[bytes, str, RecordKey], T]


class StoredRecords(Generic[T]):
    """Finds and changes records of one form, in a store that others share.

    `changed` is called with the name of each record changed by this object.
    """

    def __init__(
        self,
        store: GuardedStore,
        keyring: Keyring,
        form: RecordForm[T],
        changed: Callable[[str], None],
    ) -> None:
        """Take the collaborators; nothing is asked yet."""
        self._store = store
        self._keyring = keyring
        self._form = form
        self._changed = changed

    async def find(self, name: str, *, anew: bool = False) -> T:
        """Return the value of a record; with `anew`, one that is stale is as good as none.

        Raises ParticipantError where the store does not answer, or the record is not authentic, and
        StaleRecord for one of a lower epoch than the keyring says.
        """
        return self._decode(await self._note(name), name, anew=anew)

    async def change(self, name: str, before: T, change: Callable[[T], T]) -> T:
        """Apply a change to `before`, or to what the store holds by now; return the result.

        A stale record is replaced. Raises ParticipantError as `find` and `change` do; then nothing
        is changed, unless the store did not answer.
        """
        # These are the stored bytes if this version wrote them; else the store returns its own.
        seen = self._encode(before, name) if before.epoch else None
        for _ in range(RECORD_TRIES):
            after = change(before)
            if after == before:
                return before
            least = self._keyring.not_before(name)
            after = replace(after, epoch=max(before.epoch, least) + 1)
            record = self._encode(after, name)
            held = await self._note(name, record, seen=seen, publish=True)
            if held == record:
                self._changed(name)
                return after
            before, seen = self._decode(held, name, anew=True), held
        raise ParticipantError(f"{self._form.what} kept changing meanwhile: try again")

    def _encode(self, value: T, name: str) -> bytes:
        return self._form.encode(value, name, self._keyring.record_key)

    async def _note(
        self,
        name: str,
        record: bytes | None = None,
        *,
        seen: bytes | None = None,
        publish: bool = False,
    ) -> bytes | None:
        try:
            return await self._store.note(name, record, seen=seen, publish=publish)
        except StoreFailed as failed:
            raise ParticipantsUnavailable(f"the store does not answer: {failed}") from None

    def _decode(self, record: bytes | None, name: str, *, anew: bool) -> T:
        if record is None:
            return self._form.none
        try:
            found = self._form.decode(record, name, self._keyring.record_key)
        except RecordRefused as refused:
            raise ParticipantError(
                f"the record of {self._form.what} is refused: {refused}"
            ) from None
        if found.epoch >= self._keyring.not_before(name):
            return found
        if anew:
            return self._form.none
        raise StaleRecord
