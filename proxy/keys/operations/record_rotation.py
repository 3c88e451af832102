"""What a store holds under a former record key, authenticated anew under the one in use.

What ends by itself within a day is left: current sessions, leases, the log of fences. A record that
was changed meanwhile is left to who changed it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Final

from ...core.crypto.secret import RecordKey
from ...core.errors import ParticipantError
from ..end_to_end import package_records
from ..end_to_end.package_records import LIST, Listed
from ..keyring.keyring import Keyring
from ..participants import pins, private_key, registry
from ..participants.participant import Participant, ParticipantKey
from ..participants.pins import Pins
from ..sessions.agreement import key_of_record
from ..stores import Fenced, Store, records
from ..stores.records import RecordRefused
from ..stores.store import FENCE, NOTE, REVOCATION

_KEY: Final = "k:"
_PREFIX: Final = b"sealyard/v1/record/"
_PLAIN: Final = tuple(
    _PREFIX + kind + b"\x00"
    for kind in (b"session", b"revocation", b"fence", b"kek-use", b"keyring", b"turn")
)
"""The labels of records whose values say the same under any key."""


@dataclass(frozen=True, slots=True)
class Signers:
    """Whose records are taken over: those under the keys `old`, signed anew under `new`.

    None in `confirmed` takes all. Else the old keys prove nothing: records of participants keep the
    keys of these fingerprints alone, key packages count that one of them has signed, and ephemeral
    sessions that a KEK vouches for.
    """

    old: RecordKey
    new: RecordKey
    keyring: Keyring
    confirmed: Collection[str] | None = None

    def accepts(self, kid: str) -> bool:
        """Whether a key of a participant is taken over."""
        return self.confirmed is None or kid in self.confirmed


@dataclass(slots=True)
class Resigned:
    """How many records of each kind were signed anew, and how many were left, by their kinds."""

    done: Counter[str] = field(default_factory=Counter)
    left: Counter[str] = field(default_factory=Counter)


def signers(keyring: Keyring) -> Signers:
    """Return those of a rotation by schedule: the key in use, and those that still verify."""
    own = keyring.record_key
    old = [key for key, _ in own.also]
    first, *more = old
    return Signers(
        RecordKey(first.reveal(), also=[(one, float("inf")) for one in more]),
        RecordKey(own.reveal()),
        keyring,
    )


def leaked(keyring: Keyring) -> RecordKey:
    """Return the key that a rotation after a leak gives up, with all that records may be under.

    A rotation by schedule may be under way, or one after a leak have ended in its middle. None of
    these keys proves anything.
    """
    own = keyring.record_key
    others = [RecordKey(one.key.reveal()) for one in keyring.records if one.state != "ended"]
    known = [one for one in others if one not in own.past]
    return RecordKey(own.reveal(), (*own.past, *known), [(one, float("inf")) for one in others])


async def resign(store: Store, signed: Signers) -> Resigned:
    """Sign anew what the store holds under the old keys; raise StoreFailed as the store does.

    It asks for every record, which takes about a minute for each million.
    """
    found, dumped = Resigned(), await store.dump()
    listed: dict[str, dict[str, int]] = {}
    # The list of packages is made anew of those that were taken over.
    for place, record in sorted(dumped.items(), key=lambda one: one[0].endswith(f":{_KEY}{LIST}")):
        name, _, what = place.partition(":")
        with suppress(RecordRefused):
            kind, renewed = _renewed(record, name, what, signed, listed)
            taken = renewed is not None and await _put(store, name, what, record, renewed)
            (found.done if taken else found.left)[kind] += 1
    return found


def revocations(dumped: Mapping[str, bytes], key: RecordKey) -> dict[str, int]:
    """Return what the revocations of a dump say: before when sessions of each name are refused."""
    found: dict[str, int] = {}
    for place, record in dumped.items():
        name, _, what = place.partition(":")
        if what == REVOCATION:
            with suppress(RecordRefused):
                found[name] = records.decode_revocation(record, name, key)
    return found


def fingerprints(dumped: Mapping[str, bytes], key: RecordKey) -> dict[str, list[ParticipantKey]]:
    """Return the keys of each participant of a dump, by the name of the record."""
    found: dict[str, list[ParticipantKey]] = {}
    for place, record in dumped.items():
        name, _, what = place.partition(":")
        if what == NOTE:
            with suppress(RecordRefused):
                found[name] = list(registry.decode(record, name, key).keys)
    return found


def _renewed(
    record: bytes, name: str, what: str, signed: Signers, listed: dict[str, dict[str, int]]
) -> tuple[str, bytes | None]:
    """Return what a record is, and the new one, None for one that is not taken over.

    Raises RecordRefused for one that the old keys have not signed, and that nothing is known of.
    """
    old, new = signed.old, signed.new
    with suppress(RecordRefused):
        person = registry.decode(record, name, old)
        return "participant", registry.encode(_trusted(person, signed), name, new)
    with suppress(RecordRefused):
        book = pins.decode(record, name, old)
        enc, sig = (frozenset(filter(signed.accepts, one)) for one in (book.enc, book.sig))
        return "pins", pins.encode(Pins(book.epoch, enc, sig), name, new)
    with suppress(RecordRefused):
        package = package_records.decode(record, name, old)
        if not signed.accepts(package.kid):
            return "package", None
        listed.setdefault(name, {})[package.key_id] = package.ends
        return "package", package_records.encode(package, name, new)
    if what == _KEY + LIST:
        package_list = package_records.decode_list(record, name, old)
        kept = listed.get(name, {})
        ends = tuple(one for one in package_list.ends if signed.confirmed is None or one[0] in kept)
        return "packages", package_records.encode_list(Listed(package_list.issue, ends), name, new)
    for label in _PLAIN:
        with suppress(RecordRefused):
            values = records.verified(record, label, name, old)
            kind = label[len(_PREFIX) : -1].decode()
            return kind, _plain(values, label, name, what, signed)
    raise RecordRefused("record-forged")


def _plain(values: bytes, label: bytes, name: str, what: str, signed: Signers) -> bytes | None:
    if what not in {REVOCATION, FENCE, NOTE} and not what.startswith(_KEY):
        return None  # a current session: another one begins
    signed_anew = records.sign(values, label, name, signed.new)
    if signed.confirmed is None:
        return signed_anew
    try:
        session = records.decode_session(signed_anew, name, signed.new)
    except RecordRefused:
        return None
    # Its key is wrapped with all its values under a KEK, which vouches for them.
    vouched = key_of_record(session, name, signed.keyring) is not None
    return signed_anew if what.startswith(_KEY) and vouched else None


def _trusted(person: Participant, signed: Signers) -> Participant:
    kept = tuple(_rewrapped(one, signed) for one in person.keys if signed.accepts(one.public.kid))
    return replace(person, keys=kept)


def _rewrapped(key: ParticipantKey, signed: Signers) -> ParticipantKey:
    """Return a key whose private part the new record key opens, where the old one did."""
    if not key.private:
        return key
    for old in (signed.old, *(one for one, _ in signed.old.also)):
        with suppress(ParticipantError):
            members = private_key.unseal(key.private, private_key.opener_of(old), key.public)
            _, sealed = private_key.seal(members, private_key.opener_of(signed.new))
            return replace(key, private=sealed)
    return key  # under a passphrase


async def _put(store: Store, name: str, what: str, seen: bytes, record: bytes) -> bool:
    """Write a record in the place of the one seen; return whether it stands."""
    if what == REVOCATION:
        not_before = int.from_bytes(record[1:9])
        return await store.revoke(name, record, not_before, seen=seen) == record
    if what == NOTE:
        return await store.note(name, record, seen=seen) == record
    if what == FENCE:
        try:
            await store.erase(name, record, seen=seen, only=())
        except Fenced:
            return False
        return True
    key_id = what.removeprefix(_KEY)
    held = (await store.find(name, (key_id,))).keys[0]
    if held is None or held.record != seen:
        return False
    kept = await store.keep(name, key_id, record, held.remaining_ms, seen=seen)
    return kept.record == record
