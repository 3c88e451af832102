"""The parts of a keyring: KEKs with their ids and numbers, and revocations."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from ...core.crypto import derivation
from ...core.crypto.secret import Kek, NameKey, RecordKey, Secret
from ...core.crypto.token import KEK_ID_PATTERN
from ...core.errors import KeyringError
from ..policy import MAX_ADOPTED, MAX_RETIRED, MAX_REVOCATIONS

KekState = Literal["primary", "decrypt", "disabled"]
STATES: Final[tuple[KekState, ...]] = ("primary", "decrypt", "disabled")

HIGHEST_NUMBER: Final = 65535
MARK_CHARS: Final = 4
"""How many characters of its thumbprint end the id of a new KEK."""

_NUMBER_BYTES: Final = 4
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{22}")
_WAY_OUT: Final = (
    "a new revocation drops those that are older than 368 days and a day older than every KEK, so"
    " rotate the KEK and, when nothing needs the old ones any more, disable and remove them"
    " (`sealyard keys add`, `promote`, `disable`, `destroy`)"
)
FILLS: Final = f"more than four fifths of {MAX_REVOCATIONS} revocations are taken: {_WAY_OUT}"
"""What is told of a keyring that is `nearly_full`."""

RandomBytes = Callable[[int], bytes]
"""Returns that many unpredictable bytes; `os.urandom` outside of tests."""


@dataclass(frozen=True, slots=True)
class KekEntry:
    """One KEK and its state in the keyring. `created` is in seconds since 1970.

    `adopted` is the id of the keyring that it was adopted from, if it is none of this one: it opens
    and never seals. `thumbprint` are the 16 bytes that distinguish it from all others, whatever its
    id; they are made from the key, and outlive one that is given up.
    """

    id: str
    number: int
    created: int
    state: KekState
    key: Kek
    thumbprint: bytes = b""
    adopted: str = ""

    def __post_init__(self) -> None:
        """Make the thumbprint, unless this is another state of a KEK that has it."""
        if not self.thumbprint:
            object.__setattr__(self, "thumbprint", derivation.key_thumbprint(self.key))


@dataclass(frozen=True, slots=True)
class AdoptedKeyring:
    """Another keyring whose tokens open here, since a time in seconds since 1970.

    Its name keys, of which the first was in use, find its revocations and what it kept in the same
    store; they name nothing new. Its record key authenticates what lies there. `past` are the
    thumbprints (16 bytes) of record keys that it has turned away: none of them is used again.
    """

    id: str
    name_keys: tuple[NameKey, ...]
    record_key: RecordKey
    since: int
    past: frozenset[bytes] = frozenset()

    def joined(self, other: AdoptedKeyring) -> AdoptedKeyring:
        """Return two states in one; this one's record key is used, unless it was turned away."""
        first, second = self, other
        if derivation.key_thumbprint(self.record_key) in other.past:
            first, second = other, self
        more = tuple(key for key in second.name_keys if key not in first.name_keys)
        return AdoptedKeyring(
            self.id,
            first.name_keys + more,
            first.record_key,
            min(self.since, other.since),
            self.past | other.past,
        )


@dataclass(frozen=True, slots=True)
class Revocation:
    """What began before `not_before` (seconds since 1970) under a name of the store is refused.

    The name is that of a conversation's sessions or of its key packages, and reveals nothing about
    it. `of_record`: it is that of a record of a participant or of pins, of which those with an
    epoch below `not_before` are refused; that never ends.
    """

    name: str
    not_before: int
    of_record: bool = False


def latest(some: tuple[Revocation, ...], more: tuple[Revocation, ...]) -> tuple[Revocation, ...]:
    """Return the revocations of both; of two of one name the later one."""
    found: dict[str, Revocation] = {}
    for one in some + more:
        known = found.get(one.name)
        if known is None or known.not_before < one.not_before:
            found[one.name] = one
    return tuple(found.values())


def marked_id(name: str, key: Kek) -> str:
    """Return the id of a new KEK: its name, then four characters of its thumbprint.

    They are lower case letters and digits (base32, RFC 4648), easy to read out. Without a name they
    follow a k: each character of an id costs one of what a narrow column holds.
    """
    mark = mark_of(derivation.key_thumbprint(key))
    return f"{name}-{mark}" if name else f"k{mark}"


def mark_of(thumbprint: bytes) -> str:
    """Return the four characters that the id of a new KEK ends in."""
    return base64.b32encode(thumbprint).decode().lower()[:MARK_CHARS]


def new_number(taken: frozenset[int], random: RandomBytes) -> int:
    """Return an unused KEK number: the first free one at or after a random one.

    Raises KeyringError when none is left.
    """
    drawn = int.from_bytes(random(_NUMBER_BYTES))
    for step in range(HIGHEST_NUMBER):
        number = (drawn + step) % HIGHEST_NUMBER + 1
        if number not in taken:
            return number
    raise KeyringError("no KEK number is left; create a new keyring")


def check_kek(entry: KekEntry) -> None:
    """Raise KeyringError for a KEK with an invalid id, number, time or state."""
    if not KEK_ID_PATTERN.fullmatch(entry.id):
        raise KeyringError(f"`{entry.id}` is no KEK id; write 1 to 32 of A-Z a-z 0-9 _ -")
    if not 1 <= entry.number <= HIGHEST_NUMBER:
        raise KeyringError(f"a KEK number is 1 to {HIGHEST_NUMBER}; create a new keyring")
    if entry.created < 0:
        raise KeyringError("a KEK was created before 1970")
    if entry.state not in STATES:
        raise KeyringError("a KEK is primary, decrypt or disabled")


def check_distinct(keks: Sequence[KekEntry]) -> None:
    """Raise KeyringError where two KEKs have one id, one number or one key."""
    for what, found in (
        ("id", {entry.id for entry in keks}),
        ("number", {entry.number for entry in keks}),
        ("key", {entry.thumbprint for entry in keks}),
    ):
        if len(found) != len(keks):
            raise KeyringError(f"two KEKs have the same {what}")


class Beside(Protocol):
    """A key that is not in use, and since when (seconds since 1970) it has its state."""

    @property
    def key(self) -> Secret:
        """The key."""

    @property
    def state(self) -> str:
        """What it is now."""

    @property
    def since(self) -> int:
        """Since when."""


def check_beside(
    what: str, own: Secret, others: Sequence[Beside], states: Sequence[str], most: int
) -> None:
    """Raise KeyringError unless these can be the keys of one kind beside the one in use."""
    if len(others) > most:
        raise KeyringError(f"a keyring has at most {most} {what}s beside its own")
    keys = [own, *(one.key for one in others)]
    if any(one == other for at, one in enumerate(keys) for other in keys[:at]):
        raise KeyringError(f"two {what}s are the same")
    if any(one.state not in states or one.since < 0 for one in others):
        raise KeyringError(f"a {what} beside the one in use has an unknown state or time")


def check_adopted(keks: Sequence[KekEntry], adopted: Sequence[AdoptedKeyring], own: str) -> None:
    """Raise KeyringError unless each KEK is of this keyring or of one that is adopted."""
    known = [one.id for one in adopted]
    if len(known) > MAX_ADOPTED or len(set(known)) != len(known) or own in known:
        raise KeyringError(f"a keyring adopts at most {MAX_ADOPTED} others, each once")
    if not all(_NAME.fullmatch(one.id) and one.since >= 0 and one.name_keys for one in adopted):
        raise KeyringError("an adopted keyring has a malformed id or time, or no name key")
    for entry in keks:
        if entry.adopted and (entry.adopted not in known or entry.state == "primary"):
            raise KeyringError("an adopted KEK needs its keyring, and never seals")


def check_numbers(numbers: Sequence[int], retired: frozenset[int]) -> None:
    """Raise KeyringError unless these can be the numbers of KEKs and of removed KEKs."""
    if retired.intersection(numbers):
        raise KeyringError("the retired KEK numbers do not match the KEKs")
    if len(retired) > MAX_RETIRED:
        raise KeyringError(f"a keyring retires at most {MAX_RETIRED} numbers; create a new one")
    if not all(1 <= number <= HIGHEST_NUMBER for number in retired):
        raise KeyringError(f"a KEK number is 1 to {HIGHEST_NUMBER}")


def check_revocations(revocations: Sequence[Revocation]) -> None:
    """Raise KeyringError for too many revocations, and for invalid or repeated ones."""
    if len(revocations) > MAX_REVOCATIONS:
        raise KeyringError(f"a keyring holds at most {MAX_REVOCATIONS} revocations: {_WAY_OUT}")
    if len({one.name for one in revocations}) != len(revocations):
        raise KeyringError("a name is revoked twice")
    for one in revocations:
        if not _NAME.fullmatch(one.name) or one.not_before < 0:
            raise KeyringError("a revocation has a malformed name or time")
