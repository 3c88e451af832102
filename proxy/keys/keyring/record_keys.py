"""Record keys beside the one in use: what each of them still authenticates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from ...core.crypto import derivation
from ...core.crypto.secret import RecordKey
from ..policy import MAX_RECORD_KEYS, RECORD_OVERLAP_SECONDS
from .kek import check_beside, mark_of

RecordKeyState = Literal["next", "former", "ended", "leaked"]
STATES: Final[tuple[RecordKeyState, ...]] = ("next", "former", "ended", "leaked")


@dataclass(frozen=True, slots=True)
class OtherRecordKey:
    """A record key that is not in use, and since when (seconds since 1970) it has its state.

    `next` and `former` ones verify records, the latter for a day. Of `ended` ones, lines of the
    audit log, receipts and poison tokens count; of `leaked` ones nothing.
    """

    key: RecordKey
    state: RecordKeyState
    since: int

    @property
    def id(self) -> str:
        """Four characters of its thumbprint."""
        return mark_of(derivation.key_thumbprint(self.key))

    @property
    def verifies_until(self) -> float:
        """Until when (seconds since 1970) it verifies records."""
        if self.state == "next":
            return math.inf
        return self.since + RECORD_OVERLAP_SECONDS if self.state == "former" else 0.0


def whole(own: RecordKey, others: Sequence[OtherRecordKey]) -> RecordKey:
    """Return the record key in use with the others; raise KeyringError for an impossible set."""
    check_beside("record key", own, others, STATES, MAX_RECORD_KEYS)
    alone = [(one, RecordKey(one.key.reveal())) for one in others]
    return RecordKey(
        own.reveal(),
        [key for one, key in alone if one.state != "leaked"],
        [(key, one.verifies_until) for one, key in alone if one.verifies_until],
    )


Used = tuple[RecordKey, tuple[OtherRecordKey, ...]]
"""The record key in use, and the others."""


def joined(ours: Used, theirs: Used, *, now: int) -> Used:
    """Return the record keys of two states of a keyring, of which the later one is in use.

    Where neither knows the other's, ours is, and theirs is former from `now` on. Of the states that
    another key has in the two, the one in which it counts for less holds.
    """
    if any(one.key == ours[0] for one in theirs[1]):  # they went further
        ours, theirs = theirs, ours
    known = [ours[0], *(one.key for one in ours[1])]
    listed = (*theirs[1], OtherRecordKey(theirs[0], "former", now))
    more = (one for one in listed if not any(one.key == key for key in known))
    return ours[0], (
        *(_strictest(one, listed) for one in ours[1]),
        *(replace(one, state="ended") if one.state == "next" else one for one in more),
    )


def _strictest(one: OtherRecordKey, others: Sequence[OtherRecordKey]) -> OtherRecordKey:
    same = (each for each in others if each.key == one.key)
    return max((one, *same), key=lambda each: STATES.index(each.state))
