"""Merging two keyrings, so that everything that either of them opens still opens."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from ...core.errors import KeyringError
from .kek import Former, KekEntry, KekState, Revocation, marked_id
from .keyring import Keyring

_MOST_NAME_CHARS: Final = 27


def merge(keyring: Keyring, other: Keyring, *, now: int) -> Keyring:
    """Return `keyring` with everything that `other` has; its KEKs open, and none is promoted.

    Tokens keep their ids and numbers: a KEK whose id is taken gets a new one and is still found by
    the old, and one number may mean several KEKs. The name key and the record key of another
    keyring are kept, since its revocations use them. `now` is in seconds since 1970. Raises
    KeyringError where the old format cannot hold the result, and where too many KEKs would share
    one id or number.
    """
    revocations = _latest(keyring.revocations, other.revocations)
    merged = replace(keyring, revocations=revocations, pruned=max(keyring.pruned, other.pruned))
    keks, former = _keks(keyring, other), _former(keyring, other)
    if (keks, former) == (keyring.keks, keyring.former):
        return merged
    generation = max(keyring.generation, other.generation) + 1
    if keyring.joined_since is None:
        if former or any(kek.also for kek in keks):
            raise KeyringError("the old format holds one keyring: run `sealyard keys upgrade`")
        highest = max(keyring.highest_number, other.highest_number, *(kek.number for kek in keks))
        return replace(merged, keks=keks, generation=generation, highest_number=highest)
    since = other.joined_since
    if other.id == keyring.id:
        joined = max(keyring.joined_since, since or 0)
    else:  # what is older there was bound as before
        joined = max(keyring.joined_since, now if since is None else since)
    used = frozenset(kek.number for kek in keks)
    retired = (keyring.retired | other.removed) - used
    return replace(
        merged,
        keks=keks,
        former=former,
        generation=generation,
        joined_since=joined,
        retired=retired,
    )


def _keks(keyring: Keyring, other: Keyring) -> tuple[KekEntry, ...]:
    keks = {kek.thumbprint: kek for kek in keyring.keks}
    for entry in other.keks:
        ours = keks.get(entry.thumbprint)
        names = dict.fromkeys((entry.id, *entry.also))
        if ours is None:
            taken = {kek.id for kek in keks.values()}
            state: KekState = "decrypt" if entry.state == "primary" else entry.state
            if entry.number in keyring.retired and entry.created < keyring.pruned:
                state = "disabled"  # what was revoked under it is no longer recorded anywhere
            ours = replace(entry, state=state)
            if entry.id in taken:
                ours = replace(ours, id=marked_id(entry.id[:_MOST_NAME_CHARS], entry.key))
        elif ours.number != entry.number:
            raise KeyringError("one KEK has different numbers in the two keyrings")
        names |= dict.fromkeys(ours.also)
        also = tuple(name for name in names if name != ours.id)
        # The order stays where there is nothing new, so that it is no change.
        known = set(also) == set(ours.also)
        keks[entry.thumbprint] = ours if known else replace(ours, also=also)
    return tuple(keks.values())


def _former(keyring: Keyring, other: Keyring) -> tuple[Former, ...]:
    found = {one.id: one for one in keyring.former}
    for one in other.all_names:
        if one.id != keyring.id:
            found.setdefault(one.id, one)
    return tuple(found.values())


def _latest(*several: tuple[Revocation, ...]) -> tuple[Revocation, ...]:
    latest: dict[str, int] = {}
    for one in (one for revocations in several for one in revocations):
        latest[one.name] = max(one.not_before, latest.get(one.name, 0))
    return tuple(Revocation(*row) for row in latest.items())
