"""The keyring's marker in the store: the generation of the fleet, and what it disabled.

One note for each keyring, under a name made of its id. Form: u8 version ‖ u64be generation ‖
digest:16 ‖ thumbprint of the primary KEK:16 ‖ u16be number of disabled KEKs ‖ thumbprint:16 of each
‖ u16be retired number of each KEK that is gone ‖ HMAC:32.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from typing import Final

from ...core.crypto import base64url
from ...core.crypto.derivation import DIGEST_BYTES, THUMBPRINT_BYTES
from ...core.crypto.secret import RecordKey
from ..keyring.head import State
from ..keyring.kek import KekEntry
from ..keyring.keyring import Keyring
from ..stores import records
from ..stores.guarded import GuardedStore
from ..stores.records import RecordRefused, RecordUnknown

VERSION: Final = 1

_LABEL: Final = b"sealyard/v1/record/keyring\x00"
_HEAD: Final = struct.Struct(f">BQ{DIGEST_BYTES}s{THUMBPRINT_BYTES}sH")


@dataclass(frozen=True, slots=True)
class Marker:
    """A generation of a keyring, as its holders wrote it. `primary` is a thumbprint."""

    generation: int
    digest: str
    primary: bytes
    disabled: frozenset[bytes]
    retired: frozenset[int]

    @property
    def state(self) -> State:
        """The state of the keyring that it marks."""
        return State(self.generation, self.digest)

    def forbids(self, entry: KekEntry) -> bool:
        """Whether the fleet has disabled or removed a KEK."""
        return entry.thumbprint in self.disabled or entry.number in self.retired


def name_of(keyring: Keyring) -> str:
    """Return the name of the records about the keyring as a whole."""
    return f"keyring-{keyring.id}"


def of(keyring: Keyring) -> Marker:
    """Return the marker of a keyring as it is."""
    disabled = frozenset(kek.thumbprint for kek in keyring.keks if kek.state == "disabled")
    primary = keyring.primary.thumbprint
    return Marker(keyring.generation, keyring.digest, primary, disabled, keyring.retired)


def subdued(keyring: Keyring, marker: Marker) -> Keyring:
    """Return the keyring without what a later generation has disabled or removed.

    The KEK that the fleet seals under takes over where that concerns the primary; where it is not
    here, the primary stays. Generation and digest stay what they are.
    """
    states = {kek.id: kek.state for kek in keyring.keks}
    usable = [kek for kek in keyring.keks if not marker.forbids(kek) and kek.state != "disabled"]
    sealing = next((kek.id for kek in usable if kek.thumbprint == marker.primary), None)
    for kek in keyring.keks:
        if not marker.forbids(kek):
            continue
        if kek.state != "primary":
            states[kek.id] = "disabled"
        elif sealing is not None:
            states |= {kek.id: "disabled", sealing: "primary"}
    keks = tuple(replace(kek, state=states[kek.id]) for kek in keyring.keks)
    return replace(keyring, keks=keks)


def lacks(keyring: Keyring, marker: Marker) -> bool:
    """Whether the KEK that the fleet seals under is not among those that open here."""
    opening = (kek.thumbprint for kek in keyring.keks if kek.state != "disabled")
    return marker.primary not in opening


def encode(marker: Marker, name: str, key: RecordKey) -> bytes:
    """Return the record."""
    digest = base64url.decode(marker.digest.encode())
    disabled = sorted(marker.disabled)
    head = _HEAD.pack(VERSION, marker.generation, digest, marker.primary, len(disabled))
    retired = sorted(marker.retired)
    rest = b"".join(disabled) + b"".join(number.to_bytes(2) for number in retired)
    return records.sign(head + rest, _LABEL, name, key)


def decode(record: bytes, name: str, key: RecordKey) -> Marker:
    """Return what a record says; raise RecordRefused unless it is authentic and of this version."""
    values = records.verified(record, _LABEL, name, key)
    if len(values) < _HEAD.size or values[0] != VERSION:
        raise RecordUnknown("record-version")
    _, generation, digest, primary, count = _HEAD.unpack_from(values)
    end = _HEAD.size + count * THUMBPRINT_BYTES
    if len(values) < end or (len(values) - end) % 2:
        raise RecordUnknown("record-version")
    disabled = frozenset(
        values[at : at + THUMBPRINT_BYTES] for at in range(_HEAD.size, end, THUMBPRINT_BYTES)
    )
    retired = frozenset(int.from_bytes(values[at : at + 2]) for at in range(end, len(values), 2))
    text = base64url.encode(digest).decode()
    return Marker(generation, text, primary, disabled, retired)


async def put(
    store: GuardedStore, held: Keyring, known: Marker | None = None
) -> tuple[Marker | None, bool]:
    """Return the fleet's marker, with ours or the one known in its place where that is later.

    Returns None for one of another version, which may hold more than ours would. The second value
    is whether the one that stood was not authentic. Raises StoreFailed.
    """
    name, key = name_of(held), held.record_key
    seen = await store.note(name)
    forged = False
    try:
        found = None if seen is None else decode(seen, name, key)
    except RecordUnknown:
        return None, False
    except RecordRefused:
        found, forged = None, True
    ours = of(held)
    if known is not None and known.generation > ours.generation:
        ours = known
    if found is not None and found.generation >= ours.generation:
        return found, False
    # A forged or an earlier marker is replaced.
    record = encode(ours, name, key)
    taken = await store.note(name, record, seen=seen) == record
    return ours if taken else found, forged
