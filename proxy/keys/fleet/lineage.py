"""Which keyring a process uses, when its file and the fleet differ.

A running process never goes back: from a file of a lower generation it takes revocations and
disabled KEKs, and nothing else; it leaves what that disables where the keyring in use came of it,
since an operator has enabled it again. Where keys are configured that sign the file, it takes the
revocations alone from one that none of them signed, or that does not come of the keyring in use;
they displace none that is believed. It takes nothing from another keyring. What a later generation
of the fleet has disabled stays disabled under an older file too. A KEK that was in use stays until
a file says that it was destroyed: a restored backup does not know later ones. A record key that an
adopted keyring has turned away is not used again. Nothing here waits.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..keyring.kek import AdoptedKeyring, KekEntry, Revocation, latest
from ..keyring.keyring import Keyring
from ..keyring.name_keys import OtherNameKey
from ..keyring.record_keys import Used
from ..policy import MAX_KEKS, MAX_REVOCATIONS, MAX_SKEW_SECONDS

if TYPE_CHECKING:  # imported with a store that processes share
    from .keyring_marker import Marker


@dataclass(frozen=True, slots=True)
class Accepted:
    """A generation of a keyring that an operator accepts, although a later one is known."""

    id: str
    generation: int

    def covers(self, keyring: Keyring) -> bool:
        """Whether it is this keyring."""
        return (keyring.id, keyring.generation) == (self.id, self.generation)


class Lineage:
    """The keyring in use, from the files that were read and the marker of the fleet."""

    def __init__(
        self,
        keyring: Keyring,
        accepted: Accepted | None = None,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Begin with the keyring of the file; `clock` returns seconds since 1970."""
        self._accepted = accepted
        self._clock = clock
        self.held = keyring
        """The latest keyring that a file had, as this process has it."""
        self._marker: Marker | None = None
        self.older: int | None = None
        """The generation of a file that was refused, since it is lower than the one held."""
        self.unsigned = False
        """Whether the last file was refused: no configured key signed it, or it does not follow."""
        self._forked = False
        # Not in the keyring itself: its digest is that of the file, which reveals forks.
        self._disabled: frozenset[bytes] = frozenset()
        self._kept: tuple[KekEntry, ...] = ()
        # As they are in use here, where the file lacks them, a name key, or what they turned away.
        self._adopted: tuple[AdoptedKeyring, ...] = ()
        # Name keys that the file lacks: what was revoked under them must stay so.
        self._names: tuple[OtherNameKey, ...] = ()
        # The record keys in use where the file knows earlier ones alone: records verify on.
        self._records: Used | None = None
        self._doubted: tuple[Revocation, ...] = ()
        self._given_up = False

    @property
    def keyring(self) -> Keyring:
        """The keyring to use."""
        whole = self.held
        if self._kept or self._adopted:
            whole = replace(whole, keks=whole.keks + self._kept, adopted=self._adopted_in_use)
        if self._names:
            whole = replace(whole, names=whole.names + self._names)
        if self._records is not None:
            whole = replace(whole, record_key=self._records[0], records=self._records[1])
        known = _without(_with_more(whole, self._doubted), self._disabled)
        if self.behind is None or self._marker is None:
            return known
        from . import keyring_marker  # noqa: PLC0415 - loaded by whoever learned the marker

        return keyring_marker.subdued(known, self._marker)

    @property
    def behind(self) -> int | None:
        """The generation of the fleet, where it is higher than the one held."""
        marker = self._marker
        if marker is None or marker.generation <= self.held.generation or self.accepted:
            return None
        return marker.generation

    @property
    def forked(self) -> bool:
        """Whether another keyring has this id and other KEKs, and was changed beside this one.

        It has the same generation, or the file that is held lacks KEKs that nobody destroyed, or
        the name or record key that was in use, also of an adopted keyring.
        """
        marker, held = self._marker, self.held
        lacks = self._kept or self._adopted or self._names or self._records
        if self._forked or lacks or marker is None:
            return self._forked or bool(lacks)
        return marker.generation == held.generation and marker.digest != held.digest

    @property
    def missing(self) -> tuple[str, ...]:
        """The ids of KEKs that are in memory and in no file that this process has read last."""
        return tuple(kek.id for kek in self._kept)

    @property
    def accepted(self) -> bool:
        """Whether an operator accepts what is held, although a later generation is known."""
        return self._accepted is not None and self._accepted.covers(self.held)

    @property
    def lacks(self) -> bool:
        """Whether the KEK that the fleet seals under is missing here."""
        if self.behind is None or self._marker is None:
            return False
        from . import keyring_marker  # noqa: PLC0415 - as above

        return keyring_marker.lacks(self.keyring, self._marker)

    @property
    def states(self) -> dict[str, bool]:
        """The findings, and whether each applies."""
        return {
            "older": self.older is not None,
            "behind": self.behind is not None,
            "forked": self.forked,
            "unsigned": self.unsigned,
        }

    def take(self, file: Keyring) -> Keyring:
        """Take the keyring of a file, as far as it is not older; return the one to use.

        One with another id is another keyring and replaces the old one. Another of the same
        generation forks, until a later one: to read the same file again mends nothing.
        """
        held = self.held
        self.unsigned = not self._believed(file)
        if self.unsigned:
            if file.id == held.id:
                self._doubt(file)
            return self.keyring
        if file.id != held.id:
            self.held, self._marker, self.older, self._forked = file, None, None, False
            self._disabled, self._kept, self._adopted, self._names = frozenset(), (), (), ()
            self._records, self._doubted = None, ()
            return self.keyring
        accepted = self._accepted is not None and self._accepted.covers(file)
        if file.generation < held.generation and not accepted:
            self.older = file.generation
            self.held = _merged(held, file)
            self._disabled |= self._disabled_by(file)
            return self.keyring
        in_memory = self._kept if self._given_up else held.keks + self._kept
        self._kept, self._given_up = _lacking(file, in_memory), False
        self._adopted = _more_than(file, self._adopted_in_use, self._kept)
        self._names = _unnamed(file, held, self._names)
        used = self._records or (held.record_key, held.records)
        there = [file.record_key, *(one.key for one in file.records)]
        self._records = None if any(used[0] == key for key in there) else used
        same = file.generation == held.generation
        self._forked = same and (self._forked or file.digest != held.digest)
        self.older = None
        self.held = _merged(file, held)
        self._disabled = self._disabled | _disabled_in(held) if same else frozenset()
        return self.keyring

    @property
    def _adopted_in_use(self) -> tuple[AdoptedKeyring, ...]:
        return tuple({one.id: one for one in self.held.adopted + self._adopted}.values())

    def _believed(self, file: Keyring) -> bool:
        """Whether a file is signed and follows from the keyring held, where signing is configured.

        An older one is believed as far as it is taken: what it revokes and disables.
        """
        origin, held = file.origin, self.held
        if origin is None or origin.signed is None:
            return True
        if not origin.signed or file.id != held.id:
            return False
        accepted = self._accepted is not None and self._accepted.covers(file)
        older = file.generation < held.generation
        return accepted or older or origin.head.follows(held.state)

    def _disabled_by(self, file: Keyring) -> frozenset[bytes]:
        """Return what a file has disabled, unless the keyring held came of it and knows better."""
        origin = self.held.origin
        came = origin is not None and file.state != self.held.state
        if came and origin is not None and origin.head.follows(file.state):
            return frozenset()
        return _disabled_in(file)

    def _doubt(self, file: Keyring) -> None:
        """Take the revocations of a file that is not believed, those of the future aside.

        Each takes rights away until now. One of the future would for as long as its author likes.
        """
        now = self._clock() + MAX_SKEW_SECONDS
        more = tuple(one for one in file.revocations if one.not_before <= now)
        self._doubted = latest(self._doubted, more)[:MAX_REVOCATIONS]

    def give_up(self) -> None:
        """Overwrite the KEKs at the end of the root's lease; only the file brings them back."""
        self.keyring.give_up()
        self._kept, self._given_up = (), True

    def lessen(self, file: Keyring) -> Keyring:
        """Take what the keyring of a file takes away, and nothing else; return the one to use.

        Of a file that is not believed, that is its revocations.
        """
        if file.id != self.held.id:
            return self.keyring
        if self._believed(file):
            retired = (kek.thumbprint for kek in self.held.keks if kek.number in file.retired)
            self._disabled |= self._disabled_by(file) | frozenset(retired)
            self.held = _merged(self.held, file)
        else:
            self._doubt(file)
        return self.keyring

    @property
    def marker(self) -> Marker | None:
        """The fleet's marker, as far as it is known."""
        return self._marker

    @property
    def barred(self) -> bool:
        """Whether the KEK that would seal here is one that the fleet has disabled or removed."""
        marker = self._marker
        return (
            self.behind is not None and marker is not None and marker.forbids(self.keyring.primary)
        )

    def learn(self, marker: Marker | None) -> Keyring:
        """Take the fleet's marker from the store, if it is no earlier; return what to use."""
        known = self._marker
        if known is None or (marker is not None and marker.generation >= known.generation):
            self._marker = marker
        return self.keyring


def _lacking(file: Keyring, keks: tuple[KekEntry, ...]) -> tuple[KekEntry, ...]:
    """Return those of the KEKs that a file neither has nor has destroyed; none of them seals.

    A KEK whose id or number belongs to another one of the file is left out: a token that names it
    means that one.
    """
    known = {kek.thumbprint for kek in file.keks}
    ids = {kek.id for kek in file.keks}
    numbers = file.retired.union(kek.number for kek in file.keks)
    lacking = tuple(
        replace(kek, state="decrypt") if kek.state == "primary" else kek
        for kek in keks
        if kek.thumbprint not in known and kek.id not in ids and kek.number not in numbers
    )
    return lacking[: MAX_KEKS - len(file.keks)]


def _unnamed(
    file: Keyring, held: Keyring, before: tuple[OtherNameKey, ...]
) -> tuple[OtherNameKey, ...]:
    """Return the name keys in use here, now or before, that a file neither has nor has dropped.

    A file that has the one in use knows what became of the others.
    """
    in_use = OtherNameKey(held.name_key, "former", 0)
    return tuple(
        one
        for one in (*before, in_use)
        if one.key != file.name_key and all(one.key != other.key for other in file.names)
    )


def _more_than(
    file: Keyring, in_use: tuple[AdoptedKeyring, ...], kept: tuple[KekEntry, ...]
) -> tuple[AdoptedKeyring, ...]:
    """Return adopted keyrings as they are in use here, where a file lacks something of them.

    One that the file has ended stays as long as a KEK of it does.
    """
    there = {one.id: one for one in file.adopted}
    needed = {kek.adopted for kek in kept} - set(there)
    known = ((there[one.id], one) for one in in_use if one.id in there)
    joined = (replace(theirs.joined(ours), since=theirs.since) for theirs, ours in known)
    more = (one for one in joined if one not in file.adopted)
    return (*(one for one in in_use if one.id in needed), *more)


def _merged(keyring: Keyring, other: Keyring) -> Keyring:
    """Return the keyring with the revocations of both; of more than fit, the latest.

    Those of records have epochs in place of times, and go first.
    """
    both = latest(other.revocations, keyring.revocations)
    kept = sorted(both, key=lambda one: (not one.of_record, -one.not_before))[:MAX_REVOCATIONS]
    return replace(keyring, revocations=tuple(kept))


def _with_more(keyring: Keyring, doubted: tuple[Revocation, ...]) -> Keyring:
    """Return the keyring with revocations that displace none of its own."""
    if not doubted:
        return keyring
    return replace(keyring, revocations=latest(keyring.revocations, doubted)[:MAX_REVOCATIONS])


def _disabled_in(keyring: Keyring) -> frozenset[bytes]:
    return frozenset(kek.thumbprint for kek in keyring.keks if kek.state == "disabled")


def _without(keyring: Keyring, disabled: frozenset[bytes]) -> Keyring:
    """Return the keyring without some KEKs, the primary aside, which something must seal under."""
    if not disabled:
        return keyring
    keks = tuple(
        replace(kek, state="disabled")
        if kek.state == "decrypt" and kek.thumbprint in disabled
        else kek
        for kek in keyring.keks
    )
    return replace(keyring, keks=keks)
