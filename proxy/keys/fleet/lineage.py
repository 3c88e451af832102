"""Which keyring a process uses, when its file and the fleet differ.

A running process never goes back: from a file of a lower generation it takes revocations and
disabled KEKs, and nothing else. What a later generation of the fleet has disabled stays disabled
under an older file too. Nothing here waits.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..keyring.kek import MAX_REVOCATIONS, Revocation
from ..keyring.keyring import Keyring
from . import keyring_marker
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

    def __init__(self, keyring: Keyring, accepted: Accepted | None = None) -> None:
        """Begin with the keyring of the file."""
        self._accepted = accepted
        self._held = keyring
        self._marker: Marker | None = None
        self._older: int | None = None
        self._forked = False
        # Not in the keyring itself: its digest is that of the file, which reveals forks.
        self._disabled: frozenset[bytes] = frozenset()

    @property
    def keyring(self) -> Keyring:
        """The keyring to use."""
        known = _without(self._held, self._disabled)
        if self.behind is None or self._marker is None:
            return known
        return keyring_marker.subdued(known, self._marker)

    @property
    def held(self) -> Keyring:
        """The latest keyring that a file had, as this process has it."""
        return self._held

    @property
    def older(self) -> int | None:
        """The generation of a file that was refused, since it is lower than the one held."""
        return self._older

    @property
    def behind(self) -> int | None:
        """The generation of the fleet, where it is higher than the one held."""
        marker = self._marker
        if marker is None or marker.generation <= self._held.generation or self.accepted:
            return None
        return marker.generation

    @property
    def forked(self) -> bool:
        """Whether another keyring has the same id and generation, and other KEKs."""
        marker, held = self._marker, self._held
        if self._forked:
            return True
        same = marker is not None and marker.generation == held.generation
        return same and marker is not None and marker.digest != held.digest

    @property
    def accepted(self) -> bool:
        """Whether an operator accepts what is held, although a later generation is known."""
        return self._accepted is not None and self._accepted.covers(self._held)

    @property
    def lacks(self) -> bool:
        """Whether the KEK that the fleet seals under is missing here."""
        behind = self.behind is not None
        return (
            behind and self._marker is not None and keyring_marker.lacks(self._held, self._marker)
        )

    @property
    def states(self) -> dict[str, bool]:
        """The findings, and whether each applies."""
        return {
            "older": self._older is not None,
            "behind": self.behind is not None,
            "forked": self.forked,
        }

    def take(self, file: Keyring) -> Keyring:
        """Take the keyring of a file, as far as it is not older; return the one to use.

        One with another id is another keyring and replaces the old one. Another of the same
        generation forks, until a later one: to read the same file again mends nothing.
        """
        held = self._held
        if file.id != held.id:
            self._held, self._marker, self._older, self._forked = file, None, None, False
            self._disabled = frozenset()
            return self.keyring
        accepted = self._accepted is not None and self._accepted.covers(file)
        if file.generation < held.generation and not accepted:
            self._older = file.generation
            self._held = _merged(held, file)
            self._disabled |= _disabled_in(file)
            return self.keyring
        same = file.generation == held.generation
        self._forked = same and (self._forked or file.digest != held.digest)
        self._older = None
        self._held = _merged(file, held)
        self._disabled = self._disabled | _disabled_in(held) if same else frozenset()
        return self.keyring

    def learn(self, marker: Marker | None) -> Keyring:
        """Take the fleet's marker from the store; return the keyring to use."""
        self._marker = marker
        return self.keyring


def _merged(keyring: Keyring, other: Keyring) -> Keyring:
    """Return the keyring with the revocations of both; of more than fit, the latest."""
    latest = {one.name: one.not_before for one in other.revocations}
    for one in keyring.revocations:
        latest[one.name] = max(one.not_before, latest.get(one.name, 0))
    rows = sorted(latest.items(), key=lambda row: -row[1])[:MAX_REVOCATIONS]
    return replace(keyring, revocations=tuple(Revocation(*row) for row in rows))


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
