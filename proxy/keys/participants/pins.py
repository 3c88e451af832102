"""Pins: which keys of a participant were accepted, whatever other keys their record holds.

The keys that a participant has when a message is first sealed for them, or when the first thing
they signed is opened, are pinned. From then on a key that was not accepted is reported and, where
pins are enforced, not used. Prekeys are never pinned: an accepted signing key vouches for them. The
record is authenticated in the same way as the participant's.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from ...core.crypto import base64url
from ...core.crypto.derivation import NAME_BYTES
from ...core.crypto.secret import RecordKey
from ...core.errors import ParticipantError
from ..keyring.keyring import Keyring
from ..stores.guarded import GuardedStore
from ..stores.records import RecordUnknown
from . import Use
from .participant import Participant, ParticipantKey
from .registry import record_name
from .stored_records import Kept, RecordForm, StaleRecord, StoredRecords, signed, verified

_LABEL: Final = b"sealyard/v1/record/pins\x00"
# A SCOPE begins with a label byte below a letter's, so that no conversation has such a name.
_NAME_LABEL: Final = b"sealyard/v1/pins\x00"
_USES: Final[tuple[Use, ...]] = ("enc", "sig")


@dataclass(frozen=True, slots=True)
class Pins(Kept):
    """The ids of accepted keys by their use.

    A use without any was never seen: its keys are pinned when they are first used.
    """

    enc: frozenset[str] = field(default_factory=frozenset)
    sig: frozenset[str] = field(default_factory=frozenset)

    @classmethod
    def only(cls, kids: Collection[str]) -> Pins:
        """Return pins that accept these keys and no others, for either use."""
        return cls(enc=frozenset(kids), sig=frozenset(kids))

    def of(self, use: Use) -> frozenset[str]:
        """Return the ids of the accepted keys of a use."""
        return self.enc if use == "enc" else self.sig

    def accepts(self, key: ParticipantKey) -> bool:
        """Whether a key was accepted; for a prekey its signature decides."""
        return bool(key.prekey) or key.public.kid in self.of(key.public.use)

    def status(self, key: ParticipantKey) -> bool | None:
        """Return whether a key is accepted; None where its use has no pins, or it needs none."""
        return None if key.prekey or not self.of(key.public.use) else self.accepts(key)

    def facts(self, key: ParticipantKey) -> dict[str, bool]:
        """Return whether a key is accepted as JSON holds it, where there are pins for it."""
        status = self.status(key)
        return {} if status is None else {"accepted": status}

    def at_first_use(self, participant: Participant, now: float) -> Pins:
        """Return the pins with the keys of each use that has none yet, as of `now`."""
        pins = self
        for use in _USES:
            if not self.of(use):
                found = (one for one in participant.keys if one.public.use == use)
                kids = {one.public.kid for one in found if one.opens(now) and not one.prekey}
                pins = pins._with(use, frozenset(kids))
        return pins

    def accept(self, key: ParticipantKey) -> Pins:
        """Return the pins with a key more; raise ParticipantError for a prekey."""
        if key.prekey:
            raise ParticipantError("a prekey is accepted with the signing key that vouches for it")
        use = key.public.use
        return self._with(use, self.of(use) | {key.public.kid})

    def unknown(self, participant: Participant, now: float) -> list[ParticipantKey]:
        """Return the keys that could be used at `now`, but were not accepted."""
        return [one for one in participant.keys if one.opens(now) and not self.accepts(one)]

    def trusted(self, participant: Participant) -> Participant:
        """Return the participant with only accepted keys."""
        return replace(participant, keys=tuple(filter(self.accepts, participant.keys)))

    def _with(self, use: Use, kids: frozenset[str]) -> Pins:
        return replace(self, enc=kids) if use == "enc" else replace(self, sig=kids)


class PinBook:
    """Finds the pins of participants by the names of their records, and changes them.

    Those whose keys are `listed` by the configuration, by their ids, have these pins and no others.
    `changed` is called with the place in the store of each record changed by this object.
    """

    def __init__(
        self,
        store: GuardedStore,
        keyring: Keyring,
        listed: Mapping[str, Collection[str]],
        *,
        changed: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Take the collaborators; nothing is asked yet."""
        form = RecordForm("the pins", Pins(), encode, decode)
        self._records = StoredRecords(store, keyring, form, changed)
        self._names = keyring.participant_names
        self._least = keyring.not_before
        self._listed = {
            record_name(self._names, who): Pins.only(kids) for who, kids in listed.items()
        }

    def place(self, name: str) -> str:
        """Return the place of the pins of the participant whose record is `name`."""
        digest = hmac.digest(self._names.reveal(), _NAME_LABEL + name.encode(), "sha256")
        return base64url.encode(digest[:NAME_BYTES]).decode()

    def listed(self, name: str) -> Pins | None:
        """Return the pins that the configuration has for a participant, if it has some."""
        return self._listed.get(name)

    async def find(self, name: str) -> Pins:
        """Return the pins; raise ParticipantError where the store does not answer.

        Raises StaleRecord where it has earlier ones than the keyring knows, or none any more: that
        must not pin other keys.
        """
        listed, place = self.listed(name), self.place(name)
        found = listed or await self._records.find(place)
        if listed is None and found.epoch < self._least(place):
            raise StaleRecord
        return found

    async def pin_first(self, name: str, pins: Pins, participant: Participant, now: float) -> Pins:
        """Pin the keys of each use that has none; `pins` are what was found before."""

        def change(before: Pins) -> Pins:
            return before.at_first_use(participant, now)

        return await self._records.change(self.place(name), pins, change)

    def require_acceptable(self, name: str, key: ParticipantKey, now: float) -> None:
        """Raise ParticipantError for a key that cannot be accepted."""
        if self.listed(name) is not None:
            raise ParticipantError("the configuration pins the participant's keys: list it there")
        if not key.opens(now):
            raise ParticipantError("the key no longer opens anything")
        Pins().accept(key)

    async def accept(self, name: str, key: ParticipantKey) -> Pins:
        """Accept a key beside those that are accepted, and return them all."""
        place = self.place(name)
        found = await self._records.find(place, anew=True)
        return await self._records.change(place, found, lambda before: before.accept(key))


def encode(pins: Pins, name: str, key: RecordKey) -> bytes:
    """Return the record of some pins."""
    return signed({use: sorted(pins.of(use)) for use in _USES}, pins.epoch, _LABEL, name, key)


def decode(record: bytes, name: str, key: RecordKey) -> Pins:
    """Return the pins; raise RecordRefused unless the record was made for `name`."""
    epoch, members = verified(record, _LABEL, name, key)
    return Pins(epoch, *(_kids(members.get(use)) for use in _USES))


def _kids(listed: Any) -> frozenset[str]:  # noqa: ANN401 - JSON
    if not isinstance(listed, list) or not all(isinstance(one, str) for one in listed):
        raise RecordUnknown("record-version")
    return frozenset(listed)
