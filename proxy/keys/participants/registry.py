"""Participants in the store: one record each, under a keyed hash of their id.

A record is `u8 version ‖ u64be epoch ‖ IV:12 ‖ sealed JSON ‖ HMAC:32`, sealed and authenticated
over its name and all its values under keys of the record key of the keyring. It is written as a
note that replaces the one seen before, so that of two concurrent changes none is lost.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from typing import Any, Final

from ...core.crypto import base64url
from ...core.crypto.derivation import NAME_BYTES
from ...core.crypto.secret import NameKey, RecordKey
from ...core.errors import ParticipantError
from ..keyring.keyring import Keyring
from ..policy import MAX_ID_BYTES
from ..stores.guarded import GuardedStore
from ..stores.records import RecordUnknown
from . import public_key
from .participant import Participant, ParticipantKey
from .stored_records import RecordForm, StoredRecords, signed, verified

_LABEL: Final = b"sealyard/v1/record/participant\x00"
# A SCOPE begins with a label byte below a letter's, so that no conversation has such a name.
_NAME_LABEL: Final = b"sealyard/v1/participant\x00"

Change = Callable[[Participant], Participant]
"""Returns the participant as it is to be; raises ParticipantError for an invalid change."""


class Participants:
    """Finds and changes participants in a store that others share."""

    def __init__(
        self,
        store: GuardedStore,
        keyring: Keyring,
        *,
        changed: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Take the collaborators; nothing is asked yet.

        `changed` is called with the record name of each participant changed by this object.
        """
        self.store = store
        """The store that they are in."""
        self.keyring = keyring
        """The keyring by whose keys records are named and authenticated."""
        form = RecordForm("the participant", Participant(), encode, decode)
        self._records = StoredRecords(store, keyring, form, changed)

    def name(self, participant_id: str) -> str:
        """Return the name of the participant's record; raise ParticipantError for an invalid id."""
        return record_name(self.keyring.participant_names, participant_id)

    async def find(self, participant_id: str, *, anew: bool = False) -> Participant:
        """Return the participant; an unknown one has no keys.

        With `anew`, one whose record is stale is unknown. Raises ParticipantError where the store
        does not answer, or the record is not authentic, and StaleRecord for a stale one.
        """
        return await self._records.find(self.name(participant_id), anew=anew)

    async def find_named(self, name: str) -> Participant:
        """Do as `find` by the name of the participant's record."""
        return await self._records.find(name)

    async def drop_ended(self, name: str, participant: Participant, now: float) -> Participant:
        """Delete the prekeys of the participant `name` that no longer open anything.

        Raises as `find` does.
        """
        return await self._records.change(name, participant, lambda one: one.without_ended(now))

    async def change(self, participant_id: str, change: Change) -> Participant:
        """Apply a change, after any concurrent ones; return the result.

        Raises ParticipantError as `find` and `change` do; then nothing is changed, unless it is
        ParticipantsUnavailable: the store may have done what it did not answer.
        """
        before = await self.find(participant_id, anew=True)
        return await self._records.change(self.name(participant_id), before, change)


def record_name(name_key: NameKey, participant_id: str) -> str:
    """Return the 22 characters that name a participant's record."""
    try:
        text = participant_id.encode()
    except UnicodeEncodeError:
        text = b""
    if not 0 < len(text) <= MAX_ID_BYTES or not participant_id.isprintable():
        raise ParticipantError(f"a participant's id is 1 to {MAX_ID_BYTES} printable bytes")
    digest = hmac.digest(name_key.reveal(), _NAME_LABEL + text, "sha256")
    return base64url.encode(digest[:NAME_BYTES]).decode()


def encode(participant: Participant, name: str, key: RecordKey) -> bytes:
    """Return the participant's record."""
    members = {"keys": [key_members(one) for one in participant.keys]}
    return signed(members, participant.epoch, _LABEL, name, key)


def decode(record: bytes, name: str, key: RecordKey) -> Participant:
    """Return the participant; raise RecordRefused unless the record was made for `name`."""
    epoch, members = verified(record, _LABEL, name, key)
    try:
        return Participant(epoch, tuple(key_of(one) for one in members["keys"]))
    except (KeyError, TypeError):
        raise RecordUnknown("record-version") from None


def key_members(key: ParticipantKey) -> dict[str, Any]:
    """Return a key as JSON, its encrypted private part included."""
    names = ("device", "created", "private", "expires", "retires", "revoked", "reason")
    # Most keys are no prekeys: these are written for those alone.
    more = ("prekey", "lingers") if key.prekey else ()
    members = {name: getattr(key, name) for name in (*names, *more)}
    return {"public": key.public.to_jwk(), **members}


def key_of(members: dict[str, Any]) -> ParticipantKey:
    """Return the key of such members; raise KeyError or TypeError for others."""
    return ParticipantKey(**{**members, "public": public_key.from_members(members["public"])})
