"""Records of participants in the store, changed without losing concurrent changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

from ...core.crypto.secret import RecordKey
from ...core.errors import ParticipantError, ParticipantsUnavailable
from ..keyring.keyring import Keyring
from ..stores import StoreFailed
from ..stores.guarded import GuardedStore
from ..stores.records import RecordRefused

_MOST_TRIES: Final = 16


class Kept(Protocol):
    """What a record holds; `epoch` grows with every change."""

    @property
    def epoch(self) -> int:
        """How often it was changed."""


T = TypeVar("T", bound=Kept)


@dataclass(frozen=True, slots=True)
class RecordForm(Generic[T]):
    """How a kind of record is written: under its name, with the record key.

    `none` is the value where nothing was written; `at` returns a value with another epoch;
    `decode` raises RecordRefused. `what` names the kind in errors.
    """

    what: str
    none: T
    at: Callable[[T, int], T]
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

    async def find(self, name: str) -> T:
        """Return the value of a record.

        Raises ParticipantError where the store does not answer, or the record is not authentic.
        """
        return self._decode(await self._note(name), name)

    async def change(self, name: str, before: T, change: Callable[[T], T]) -> T:
        """Apply a change to `before`, or to what the store holds by now; return the result.

        Raises ParticipantError as `find` and `change` do; then nothing is changed.
        """
        # These are the stored bytes if this version wrote them; else the store returns its own.
        seen = self._encode(before, name) if before.epoch else None
        for _ in range(_MOST_TRIES):
            after = change(before)
            if after == before:
                return before
            after = self._form.at(after, before.epoch + 1)
            record = self._encode(after, name)
            held = await self._note(name, record, seen=seen, publish=True)
            if held == record:
                self._changed(name)
                return after
            before, seen = self._decode(held, name), held
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

    def _decode(self, record: bytes | None, name: str) -> T:
        if record is None:
            return self._form.none
        try:
            return self._form.decode(record, name, self._keyring.record_key)
        except RecordRefused as refused:
            raise ParticipantError(
                f"the record of {self._form.what} is refused: {refused}"
            ) from None
