"""Two keyrings in one, so that everything that either of them opens still opens.

Two states of one keyring are merged; another keyring is adopted.
"""

from __future__ import annotations

from dataclasses import replace

from ...core.crypto.derivation import key_thumbprint
from ...core.errors import KeyringError
from . import index_secrets
from .kek import AdoptedKeyring, KekEntry, KekState, latest
from .keyring import Keyring
from .name_keys import OtherNameKey, with_others
from .record_keys import joined


def merge(keyring: Keyring, other: Keyring, *, now: int) -> Keyring:
    """Return `keyring` with the KEKs and revocations of `other`; none of its KEKs is promoted.

    The two have one id: they are an older and a newer state, or both were made from the same one.
    Ids and numbers stay as they are, and what was kept under a name key of the other is found.
    `now` is in seconds since 1970. A KEK that only one of them still has is disabled where the
    other has dropped revocations since. Raises KeyringError, saying what to do instead, for a
    keyring with another id, where different KEKs have one id or one number, and where the primary
    of `keyring` would be disabled.
    """
    if other.id != keyring.id:
        raise KeyringError(_ANOTHER.format(own=keyring.id, other=other.id))
    others = () if other.origin is None else other.origin.head.former
    keyring = keyring.following(*others, other.state)
    revocations = latest(keyring.revocations, other.revocations)
    merged = replace(keyring, revocations=revocations, pruned=max(keyring.pruned, other.pruned))
    keks = _keks(keyring, other)
    theirs = (*other.names, OtherNameKey(other.name_key, "former", now))
    names = with_others(keyring.name_key, keyring.names, theirs)
    used = keyring.record_key, keyring.records
    own, records = joined(used, (other.record_key, other.records), now=now)
    index = index_secrets.latest(keyring.index, other.index)
    adopted = _adopted(keyring, other)
    unchanged = keyring.keks, keyring.names, *used, keyring.index, keyring.adopted
    if (keks, names, own, records, index, adopted) == unchanged:
        return merged
    taken = frozenset(kek.number for kek in keks)
    return replace(
        merged,
        keks=keks,
        names=names,
        record_key=own,
        records=records,
        index=index,
        adopted=adopted,
        generation=max(keyring.generation, other.generation) + 1,
        retired=(keyring.retired | other.retired) - taken,
    )


def adopt(keyring: Keyring, other: Keyring, *, now: int) -> Keyring:
    """Return `keyring` with another one adopted: what that has sealed opens, and nothing is sealed.

    It gets the KEKs, the revocations, the name keys that find them, and the record key of what lies
    in the same store. What the other has adopted itself is not taken. Adopting it again takes what
    it has got since. Raises KeyringError for a state of the same keyring, and where different KEKs
    have one id or one number. `now` is in seconds since 1970.
    """
    if other.id == keyring.id:
        raise KeyringError("it is a state of this keyring: `sealyard keys import --merge` takes it")
    known = {kek.thumbprint for kek in keyring.keks}
    theirs = [kek for kek in other.keks if not kek.adopted and kek.thumbprint not in known]
    for entry in theirs:
        for ours in keyring.keks:
            _require_distinct(ours, entry)
        if entry.number in keyring.retired:
            raise KeyringError(f"a KEK that was destroyed here had the number of {entry.id} there")
    names = (other.name_key, *(one.key for one in other.names))
    past = (key_thumbprint(each.key) for each in other.records if each.state != "next")
    one = AdoptedKeyring(other.id, names, other.record_key, now, frozenset(past))
    before = next((one for one in keyring.adopted if one.id == other.id), None)
    one = one if before is None else before.joined(one)
    adopted = (*(each for each in keyring.adopted if each.id != other.id), one)
    taken = tuple(
        replace(kek, adopted=other.id, state="decrypt" if kek.state == "primary" else kek.state)
        for kek in theirs
    )
    return replace(
        keyring,
        keks=keyring.keks + taken,
        adopted=adopted,
        revocations=latest(keyring.revocations, other.revocations),
        generation=keyring.generation + 1,
    )


_ANOTHER = (
    "it is another keyring, {other}, and not a state of {own}: its conversations have other names"
    " in the store. To open its tokens, too, adopt it: `sealyard keys adopt`"
)


def _adopted(keyring: Keyring, other: Keyring) -> tuple[AdoptedKeyring, ...]:
    """Return what either has adopted, with the name keys of both and no record key turned away."""
    earlier, later = sorted((keyring, other), key=lambda one: (one.generation, one.digest))
    found = {one.id: one for one in later.adopted}
    found |= {one.id: found.get(one.id, one).joined(one) for one in earlier.adopted}
    return tuple(found.values())


def _keks(keyring: Keyring, other: Keyring) -> tuple[KekEntry, ...]:
    keks = list(keyring.keks)
    if keyring.pruned < other.pruned:  # else it knows of that, and has enabled what it opens
        keks = [_returned(entry, other) for entry in keks]
    for entry in other.keks:
        if any(kek.thumbprint == entry.thumbprint for kek in keyring.keks):
            continue
        for kek in keyring.keks:
            _require_distinct(kek, entry)
        state: KekState = "decrypt" if entry.state == "primary" else entry.state
        keks.append(_returned(replace(entry, state=state), keyring))
    return tuple(keks)


def _returned(entry: KekEntry, remover: Keyring) -> KekEntry:
    """Return a KEK, disabled if what was revoked under it is no longer recorded anywhere."""
    if entry.number not in remover.retired or entry.created >= remover.pruned:
        return entry
    if entry.state == "primary":
        raise KeyringError(
            f"KEK {entry.id}, the primary here, was removed there, and what was revoked under it is"
            " no longer known: import this keyring into the other one instead"
        )
    return replace(entry, state="disabled")


def _require_distinct(ours: KekEntry, theirs: KekEntry) -> None:
    """Raise KeyringError where tokens could not tell two different KEKs apart."""
    if theirs.id == ours.id:
        clash = f"KEK {ours.id} has another key there"
    elif theirs.number == ours.number:
        clash = f"KEK {theirs.id} there and KEK {ours.id} here have the number {ours.number}"
    else:
        return
    raise KeyringError(
        f"{clash}, and a token names its KEK by id or number alone: keep the other file too, and"
        " open with it what it sealed"
    )
