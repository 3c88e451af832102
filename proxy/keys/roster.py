"""The roster in the store: the ids of all keyrings in use there, and when each was last seen.

Nobody can authenticate what the holder of another keyring writes, so it is unsigned, and whoever
writes to the store can write anything: it is good for a warning and for nothing else. Form: u8
version ‖ for each keyring id:16 ‖ u64be seen (seconds since 1970).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from ..core.crypto import base64url
from ..core.crypto.derivation import KEYRING_ID_BYTES

NAME: Final = "keyrings"
VERSION: Final = 1
MOST: Final = 16
"""Keyrings that are looked at; of more, those that were seen last."""
LIVE_SECONDS: Final = 60.0
"""A keyring that was seen within is in use, by whatever clock."""
REFRESH_SECONDS: Final = 5.0

_ROW: Final = struct.Struct(f">{KEYRING_ID_BYTES}sQ")
_MOST_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Roster:
    """When each keyring was seen, by its id, in seconds since 1970."""

    seen: Mapping[str, int]

    def others(self, own: str, now: float) -> tuple[str, ...]:
        """Return the ids of keyrings besides ours that are in use."""
        live = [one for one, at in self.seen.items() if one != own and _near(at, now)]
        return tuple(sorted(live))

    def due(self, own: str, now: float) -> bool:
        """Whether ours has to be told of again."""
        return abs(now - self.seen.get(own, 0)) >= REFRESH_SECONDS

    def with_seen(self, own: str, now: float) -> Roster:
        """Return the roster with ours as it is seen now, without those that are in use no more."""
        live = {one: at for one, at in self.seen.items() if one != own and _near(at, now)}
        latest = sorted(live.items(), key=lambda row: -row[1])[: MOST - 1]
        return Roster({**dict(latest), own: int(now)})


def encode(roster: Roster) -> bytes:
    """Return the note."""
    rows = (_ROW.pack(base64url.decode(one.encode()), at) for one, at in roster.seen.items())
    return bytes([VERSION]) + b"".join(rows)


def decode(note: bytes | None) -> Roster:
    """Return what a note says; an empty roster where there is none, or something else."""
    if note is None:
        return Roster({})
    rows = note[1:]
    well = note[:1] == bytes([VERSION]) and not len(rows) % _ROW.size
    if not well or len(note) > _MOST_BYTES:
        return Roster({})
    found = sorted(_ROW.iter_unpack(rows), key=lambda row: -int(row[1]))[:MOST]
    return Roster({base64url.encode(one).decode(): at for one, at in found})


def _near(at: int, now: float) -> bool:
    return abs(now - at) < LIVE_SECONDS
