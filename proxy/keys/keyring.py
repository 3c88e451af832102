"""The keyring: the durable set of KEKs, and the two keys that outlive every KEK.

Every operation is pure: it returns a new keyring and leaves the old one as it was, so a message
goes on with the keyring that it began with.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from ..core import base64url, derivation
from ..core.errors import KeyringError
from ..core.secret import KEY_BYTES, Kek, NameKey, RecordKey
from ..core.token import KEK_ID_PATTERN

KekState = Literal["primary", "decrypt", "disabled"]
STATES: Final[tuple[KekState, ...]] = ("primary", "decrypt", "disabled")

MAX_KEKS: Final = 256
MAX_NUMBER: Final = 65535
MAX_RETIRED: Final = 4096
MAX_REVOCATIONS: Final = 10_000
MARK_CHARS: Final = 4
"""So many characters of its thumbprint end the id of a new KEK."""
SHOWN_CHARS: Final = 16

_NUMBER_BYTES: Final = 4
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

    @property
    def thumbprint(self) -> bytes:
        """The 16 bytes that tell it from all others, whatever it is called."""
        return derivation.kek_thumbprint(self.key)


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

    `generation` is raised by every change of the KEKs, not by revocations; 0 is that of a keyring
    of before generations were counted. `joined_since` (seconds since 1970) is since when joined
    names are sealed under labels of their own; None stands for the old form, which older versions
    read. `retired` are the numbers of removed KEKs, which are never given again: a short-form token
    would else be tried with the wrong KEK. The old form knows the highest number ever given
    (`highest_number`) in place of them. A revocation that stands here survives the loss of every
    store.
    """

    keks: tuple[KekEntry, ...]
    name_key: NameKey
    record_key: RecordKey
    highest_number: int = 0
    revocations: tuple[Revocation, ...] = ()
    generation: int = 0
    joined_since: int | None = None
    retired: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        """Raise KeyringError, naming the reason, for a keyring that cannot be."""
        if not 1 <= len(self.keks) <= MAX_KEKS:
            raise KeyringError(f"a keyring holds 1 to {MAX_KEKS} KEKs")
        for entry in self.keks:
            _check(entry)
        if len({entry.id for entry in self.keks}) != len(self.keks):
            raise KeyringError("two KEKs have the same id")
        if sum(entry.state == "primary" for entry in self.keks) != 1:
            raise KeyringError("exactly one KEK is primary")
        if self.generation < 0 or (self.joined_since is not None and self.joined_since < 0):
            raise KeyringError("a keyring's generation and times are not below 0")
        _check_numbers(self)
        _check_revocations(self.revocations)

    @property
    def id(self) -> str:
        """The 22 characters that tell this keyring from all others, whatever is changed in it."""
        return base64url.encode(derivation.keyring_id(self.name_key)).decode()

    @property
    def digest(self) -> str:
        """The 22 characters that tell what this generation holds, revocations aside."""
        keks = sorted(
            [kek.id, kek.number, kek.created, kek.state, kek.thumbprint.hex()] for kek in self.keks
        )
        contents = {
            "highest_number": self.highest_number,
            "joined_since": self.joined_since,
            "keks": keks,
            "retired": sorted(self.retired),
        }
        text = json.dumps(contents, separators=(",", ":"), sort_keys=True).encode()
        return base64url.encode(derivation.keyring_digest(self.name_key, text)).decode()

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

    def add(self, kek_id: str, *, now: int, random: RandomBytes, marked: bool = False) -> Keyring:
        """Return the keyring with a new KEK that opens and does not seal yet.

        With `marked`, the id is `kek_id` and a mark of the key, so that no other KEK has it, not in
        another keyring either. Every process should know a KEK before one of them seals under it.
        Raises KeyringError when the id is malformed or taken, or the numbers are used up.
        """
        key = Kek(random(KEY_BYTES))
        named = marked_id(kek_id, key) if marked else kek_id
        if self.joined_since is None:
            number = self.highest_number + 1
            entry = KekEntry(named, number, now, "decrypt", key)
            return self._changed(keks=(*self.keks, entry), highest_number=number)
        taken = self.retired.union(one.number for one in self.keks)
        entry = KekEntry(named, _new_number(taken, random), now, "decrypt", key)
        return self._changed(keks=(*self.keks, entry))

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
        gone = self.entry(kek_id)
        if gone.state != "disabled":
            raise KeyringError("only a disabled KEK can be removed")
        keks = tuple(entry for entry in self.keks if entry.id != kek_id)
        if self.joined_since is None:
            return self._changed(keks=keks)
        return self._changed(keks=keks, retired=self.retired | {gone.number})

    def upgrade(self, joined_since: int) -> Keyring:
        """Return the keyring in the new form, which older versions do not read.

        Joined names are sealed under labels of their own from `joined_since` on (seconds since
        1970), by when every process must have the keyring. One that has the new form stays as it
        is.
        """
        if self.joined_since is not None:
            return self
        used = {entry.number for entry in self.keks}
        retired = frozenset(range(1, self.highest_number + 1)) - used
        return self._changed(joined_since=joined_since, retired=retired, highest_number=0)

    def after(self, generation: int) -> Keyring:
        """Return the keyring as it goes on from here when `generation` is known elsewhere."""
        return replace(self, generation=max(self.generation, generation) + 1)

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
        latest = {one.name: one.not_before for one in self.revocations}
        for one in other.revocations:
            latest[one.name] = max(one.not_before, latest.get(one.name, 0))
        revocations = tuple(Revocation(*one) for one in latest.items())
        merged = replace(self, revocations=revocations)
        if not new:
            return merged
        generation = max(self.generation, other.generation)
        numbers = {entry.number for entry in (*self.keks, *new)}
        if self.joined_since is None:
            highest = max(self.highest_number, other.highest_number, *numbers)
            fields: dict[str, Any] = {"highest_number": highest}
        else:
            used = range(1, other.highest_number + 1)
            # What either has sealed in the older form goes on to be tried in it.
            since = max(self.joined_since, other.joined_since or 0)
            retired = self.retired.union(other.retired, used) - numbers
            fields = {"retired": retired, "joined_since": since}
        keks = (*self.keks, *new)
        return replace(merged, keks=keks, generation=generation + 1, **fields)

    def _with_states(self, states: dict[str, KekState]) -> Keyring:
        keks = tuple(replace(entry, state=states.get(entry.id, entry.state)) for entry in self.keks)
        return self if keks == self.keks else self._changed(keks=keks)

    def _changed(self, **fields: Any) -> Keyring:  # noqa: ANN401 - fields of this class
        return replace(self, generation=self.generation + 1, **fields)


def create(kek_id: str, *, now: int, random: RandomBytes, marked: bool = False) -> Keyring:
    """Return a new keyring whose first KEK `kek_id` is primary. `now` is in seconds since 1970.

    With `marked`, the id goes on with a mark of the key.
    """
    key = Kek(random(KEY_BYTES))
    named = marked_id(kek_id, key) if marked else kek_id
    first = KekEntry(named, _new_number(frozenset(), random), now, "primary", key)
    name_key, record_key = NameKey(random(KEY_BYTES)), RecordKey(random(KEY_BYTES))
    return Keyring((first,), name_key, record_key, generation=1, joined_since=now)


def shown(keyring_id: str) -> str:
    """Return as much of a keyring's id as the log shows: what is longer looks like a secret."""
    return keyring_id[:SHOWN_CHARS]


def marked_id(name: str, key: Kek) -> str:
    """Return the id of a new KEK: four characters of its thumbprint after what it is called.

    They are lower case letters and digits (base32, RFC 4648), which can be read out. Where nothing
    is said they follow a k: each character of an id costs one of what a narrow column holds.
    """
    mark = base64.b32encode(derivation.kek_thumbprint(key)).decode().lower()[:MARK_CHARS]
    return f"{name}-{mark}" if name else f"k{mark}"


def _new_number(taken: frozenset[int], random: RandomBytes) -> int:
    """Return a number that was never given: the first such after one that is drawn."""
    drawn = int.from_bytes(random(_NUMBER_BYTES))
    for step in range(MAX_NUMBER):
        number = (drawn + step) % MAX_NUMBER + 1
        if number not in taken:
            return number
    raise KeyringError("no KEK number is left; a new keyring starts afresh")


def _check_numbers(keyring: Keyring) -> None:
    numbers = {entry.number for entry in keyring.keks}
    if len(numbers) != len(keyring.keks):
        raise KeyringError("two KEKs have the same number")
    if keyring.joined_since is None:
        if not max(numbers) <= keyring.highest_number <= MAX_NUMBER or keyring.retired:
            raise KeyringError("the highest KEK number does not fit the KEKs")
        return
    if keyring.highest_number or keyring.retired & numbers:
        raise KeyringError("the retired KEK numbers do not fit the KEKs")
    if len(keyring.retired) > MAX_RETIRED:
        raise KeyringError(f"a keyring retires at most {MAX_RETIRED} numbers; start a new one")
    if not all(1 <= number <= MAX_NUMBER for number in keyring.retired):
        raise KeyringError(f"a KEK number is 1 to {MAX_NUMBER}")


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
