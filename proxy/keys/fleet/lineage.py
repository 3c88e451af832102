"""Which keyring a process uses, when its file and the fleet differ.

A running process never goes back: from a file of a lower generation it takes revocations and
disabled KEKs, and nothing else. What a later generation of the fleet has disabled stays disabled
under an older file too. Nothing here waits.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..keyring.kek import latest
from ..keyring.keyring import Keyring
from ..policy import MAX_REVOCATIONS

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

    def __init__(self, keyring: Keyring, accepted: Accepted | None = None) -> None:
        """Begin with the keyring of the file."""
        self._accepted = accepted
        self.held = keyring
        """The latest keyring that a file had, as this process has it."""
        self._marker: Marker | None = None
        self.older: int | None = None
        """The generation of a file that was refused, since it is lower than the one held."""
        self._forked = False
        # Not in the keyring itself: its digest is that of the file, which reveals forks.
        self._disabled: frozenset[bytes] = frozenset()

    @property
    def keyring(self) -> Keyring:
        """The keyring to use."""
        known = _without(self.held, self._disabled)
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
        """Whether another keyring has the same id and generation, and other KEKs."""
        marker, held = self._marker, self.held
        if self._forked or marker is None:
            return self._forked
        return marker.generation == held.generation and marker.digest != held.digest

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

        return keyring_marker.lacks(self.held, self._marker)

    @property
    def states(self) -> dict[str, bool]:
        """The findings, and whether each applies."""
        return {
            "older": self.older is not None,
            "behind": self.behind is not None,
            "forked": self.forked,
        }

    def take(self, file: Keyring) -> Keyring:
        """Take the keyring of a file, as far as it is not older; return the one to use.

        One with another id is another keyring and replaces the old one. Another of the same
        generation forks, until a later one: to read the same file again mends nothing.
        """
        held = self.held
        if file.id != held.id:
            self.held, self._marker, self.older, self._forked = file, None, None, False
            self._disabled = frozenset()
            return self.keyring
        accepted = self._accepted is not None and self._accepted.covers(file)
        if file.generation < held.generation and not accepted:
            self.older = file.generation
            self.held = _merged(held, file)
            self._disabled |= _disabled_in(file)
            return self.keyring
        same = file.generation == held.generation
        self._forked = same and (self._forked or file.digest != held.digest)
        self.older = None
        self.held = _merged(file, held)
        self._disabled = self._disabled | _disabled_in(held) if same else frozenset()
        return self.keyring

    def learn(self, marker: Marker | None) -> Keyring:
        """Take the fleet's marker from the store; return the keyring to use."""
        self._marker = marker
        return self.keyring


def _merged(keyring: Keyring, other: Keyring) -> Keyring:
    """Return the keyring with the revocations of both; of more than fit, the latest."""
    both = latest(other.revocations, keyring.revocations)
    kept = sorted(both, key=lambda one: -one.not_before)[:MAX_REVOCATIONS]
    return replace(keyring, revocations=tuple(kept))


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
