"""The keyring: the durable set of KEKs, and the two keys that outlive every KEK.

Every operation is pure: it returns a new keyring and leaves the old one as it was, so a message
goes on with the keyring that it began with.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Literal

from ..core.errors import KeyringError
from ..core.secret import KEY_BYTES, Kek, NameKey, RecordKey
from ..core.token import KEK_ID_PATTERN

KekState = Literal["primary", "decrypt", "disabled"]
STATES: Final[tuple[KekState, ...]] = ("primary", "decrypt", "disabled")

MAX_KEKS: Final = 256
MAX_NUMBER: Final = 65535
MAX_REVOCATIONS: Final = 10_000

_NAME: Final = re.compile(r"[A-Za-z0-9_-]{22}")

RandomBytes = Callable[[int], bytes]
"""Returns that many bytes nobody can guess; `os.urandom` outside of tests."""


@dataclass(frozen=True, slots=True)
class KekEntry:
    """One KEK and its place in the keyring. `created` is in seconds since 1970."""

    id: str
    number: int
    created: int
    state: KekState
    key: Kek


@dataclass(frozen=True, slots=True)
class Revocation:
    """Sessions of the conversation `name` that began before `not_before` (seconds) are refused.

    `name` is the conversation's name in the store, which tells nothing.
    """

    name: str
    not_before: int


@dataclass(frozen=True, slots=True)
class Keyring:
    """All KEKs in the order in which they came, exactly one of them primary.

    `highest_number` is the highest KEK number ever given, so that the number of a removed KEK is
    never given again: a short-form token would else be tried with the wrong KEK. A revocation that
    stands here survives the loss of every store.
    """

    keks: tuple[KekEntry, ...]
    name_key: NameKey
    record_key: RecordKey
    highest_number: int
    revocations: tuple[Revocation, ...] = ()

    def __post_init__(self) -> None:
        """Raise KeyringError, naming the reason, for a keyring that cannot be."""
        if not 1 <= len(self.keks) <= MAX_KEKS:
            raise KeyringError(f"a keyring holds 1 to {MAX_KEKS} KEKs")
        for entry in self.keks:
            _check(entry)
        if len({entry.id for entry in self.keks}) != len(self.keks):
            raise KeyringError("two KEKs have the same id")
        numbers = {entry.number for entry in self.keks}
        if len(numbers) != len(self.keks):
            raise KeyringError("two KEKs have the same number")
        if not max(numbers) <= self.highest_number <= MAX_NUMBER:
            raise KeyringError("the highest KEK number does not fit the KEKs")
        if sum(entry.state == "primary" for entry in self.keks) != 1:
            raise KeyringError("exactly one KEK is primary")
        _check_revocations(self.revocations)

    @property
    def primary(self) -> KekEntry:
        """The one KEK that new sessions are sealed under."""
        return next(entry for entry in self.keks if entry.state == "primary")

    def entry(self, kek_id: str) -> KekEntry:
        """Return the KEK `kek_id` in whatever state; raise KeyringError when there is none."""
        for entry in self.keks:
            if entry.id == kek_id:
                return entry
        raise KeyringError("the keyring holds no KEK of that id")

    def opening(self, *, kek_id: str | None = None, number: int | None = None) -> KekEntry | None:
        """Return the KEK of that id, or else of that number, if it may open tokens."""
        for entry in self.keks:
            if entry.id == kek_id or (kek_id is None and entry.number == number):
                return None if entry.state == "disabled" else entry
        return None

    def not_before(self, name: str) -> int:
        """Return since when the sessions of a conversation count (seconds); 0 for none revoked."""
        return next((one.not_before for one in self.revocations if one.name == name), 0)

    def revoke(self, name: str, not_before: int) -> Keyring:
        """Return the keyring that refuses the conversation's sessions from before `not_before`.

        A later time wins over an earlier one. Raises KeyringError when no more revocations fit.
        """
        others = tuple(one for one in self.revocations if one.name != name)
        latest = max(not_before, self.not_before(name))
        return replace(self, revocations=(*others, Revocation(name, latest)))

    def add(self, kek_id: str, *, now: int, random: RandomBytes) -> Keyring:
        """Return the keyring with a new KEK that opens and does not seal yet.

        Every process should know a KEK before one of them seals under it. Raises KeyringError when
        the id is malformed or taken, or the numbers are used up.
        """
        entry = KekEntry(kek_id, self.highest_number + 1, now, "decrypt", Kek(random(KEY_BYTES)))
        return replace(self, keks=(*self.keks, entry), highest_number=entry.number)

    def promote(self, kek_id: str) -> Keyring:
        """Return the keyring with `kek_id` as primary; the old primary goes on opening.

        Raises KeyringError for an unknown or disabled KEK.
        """
        if self.entry(kek_id).state == "disabled":
            raise KeyringError("a disabled KEK cannot become primary")
        states: dict[str, KekState] = {self.primary.id: "decrypt"}
        return self._with_states(states | {kek_id: "primary"})

    def disable(self, kek_id: str) -> Keyring:
        """Return the keyring in which `kek_id` neither seals nor opens.

        Raises KeyringError for an unknown KEK and for the primary: promote another one first.
        """
        if self.entry(kek_id).state == "primary":
            raise KeyringError("the primary KEK cannot be disabled; promote another one first")
        return self._with_states({kek_id: "disabled"})

    def remove(self, kek_id: str) -> Keyring:
        """Return the keyring without a disabled KEK; what it sealed is lost once backups are gone.

        Raises KeyringError for an unknown KEK and for one that is not disabled.
        """
        if self.entry(kek_id).state != "disabled":
            raise KeyringError("only a disabled KEK can be removed")
        return replace(self, keks=tuple(entry for entry in self.keks if entry.id != kek_id))

    def merge(self, other: Keyring) -> Keyring:
        """Return this keyring with the KEKs of `other` that it lacks; they open, none is promoted.

        Raises KeyringError where one id or number stands for different KEKs in the two.
        """
        known = {entry.id: entry for entry in self.keks}
        new: list[KekEntry] = []
        for entry in other.keks:
            if entry.id not in known:
                state: KekState = "decrypt" if entry.state == "primary" else entry.state
                new.append(replace(entry, state=state))
            elif (entry.key, entry.number) != (known[entry.id].key, known[entry.id].number):
                raise KeyringError("one id stands for different KEKs in the two keyrings")
        highest = max(self.highest_number, other.highest_number)
        latest = {one.name: one.not_before for one in self.revocations}
        for one in other.revocations:
            latest[one.name] = max(one.not_before, latest.get(one.name, 0))
        revocations = tuple(Revocation(*one) for one in latest.items())
        keks = (*self.keks, *new)
        return replace(self, keks=keks, highest_number=highest, revocations=revocations)

    def _with_states(self, states: dict[str, KekState]) -> Keyring:
        keks = tuple(replace(entry, state=states.get(entry.id, entry.state)) for entry in self.keks)
        return replace(self, keks=keks)


def create(kek_id: str, *, now: int, random: RandomBytes) -> Keyring:
    """Return a new keyring whose first KEK `kek_id` is primary. `now` is in seconds since 1970."""
    first = KekEntry(kek_id, 1, now, "primary", Kek(random(KEY_BYTES)))
    return Keyring((first,), NameKey(random(KEY_BYTES)), RecordKey(random(KEY_BYTES)), first.number)


def _check_revocations(revocations: tuple[Revocation, ...]) -> None:
    if len(revocations) > MAX_REVOCATIONS:
        raise KeyringError(f"a keyring holds at most {MAX_REVOCATIONS} revocations")
    if len({one.name for one in revocations}) != len(revocations):
        raise KeyringError("one conversation is revoked twice")
    for one in revocations:
        if not _NAME.fullmatch(one.name) or one.not_before < 0:
            raise KeyringError("a revocation has a malformed name or time")


def _check(entry: KekEntry) -> None:
    if not KEK_ID_PATTERN.fullmatch(entry.id):
        raise KeyringError("a KEK id is 1 to 32 of the characters A-Z a-z 0-9 _ -")
    if not 1 <= entry.number <= MAX_NUMBER:
        raise KeyringError(f"a KEK number is 1 to {MAX_NUMBER}; a new keyring starts afresh")
    if entry.created < 0:
        raise KeyringError("a KEK was created before 1970")
    if entry.state not in STATES:
        raise KeyringError("a KEK is primary, decrypt or disabled")
