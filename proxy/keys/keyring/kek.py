"""The parts of a keyring: KEKs with their ids and numbers, merged keyrings, and revocations."""

from __future__ import annotations

import base64
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from ...core.crypto import base64url, derivation
from ...core.crypto.secret import Kek, NameKey, RecordKey
from ...core.crypto.token import KEK_ID_PATTERN
from ...core.errors import KeyringError

KekState = Literal["primary", "decrypt", "disabled"]
STATES: Final[tuple[KekState, ...]] = ("primary", "decrypt", "disabled")

MAX_NUMBER: Final = 65535
MAX_RETIRED: Final = 4096
MAX_REVOCATIONS: Final = 10_000
MAX_FORMER: Final = 8
MAX_CANDIDATES: Final = 4
"""How many KEKs may share one number or one id; all of them are tried."""
MARK_CHARS: Final = 4
"""How many characters of its thumbprint end the id of a new KEK."""

_LONGEST_RUN: Final = 256
_NUMBER_BYTES: Final = 4
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{22}")
_WAY_OUT: Final = (
    "a new revocation drops those that are older than 368 days and a day older than every KEK, so"
    " rotate the KEK and, when nothing needs the old ones any more, disable and remove them"
    " (`sealyard keys add`, `promote`, `disable`, `remove`); a keyring in the old format keeps all"
    " revocations until `sealyard keys upgrade`"
)

RandomBytes = Callable[[int], bytes]
"""Returns that many unpredictable bytes; `os.urandom` outside of tests."""


@dataclass(frozen=True, slots=True)
class KekEntry:
    """One KEK and its state in the keyring. `created` is in seconds since 1970.

    `also` are other ids by which tokens name it, from keyrings that were merged into this one.
    `thumbprint` are the 16 bytes that distinguish it from all others, whatever its id; they are
    made from the key, and outlive one that is given up.
    """

    id: str
    number: int
    created: int
    state: KekState
    key: Kek
    also: tuple[str, ...] = ()
    thumbprint: bytes = b""

    def __post_init__(self) -> None:
        """Make the thumbprint, unless this is another state of a KEK that has it."""
        if not self.thumbprint:
            object.__setattr__(self, "thumbprint", derivation.kek_thumbprint(self.key))


@dataclass(frozen=True, slots=True)
class Former:
    """The name key and record key of a keyring that was merged into this one.

    Its records and revocations still use them. Its KEKs are among those of the keyring.
    """

    name_key: NameKey
    record_key: RecordKey

    @property
    def id(self) -> str:
        """The id of that keyring."""
        return keyring_id(self.name_key)


@dataclass(frozen=True, slots=True)
class Revocation:
    """Sessions of the conversation `name` that began before `not_before` (seconds) are refused.

    `name` is the conversation's name in the store, which reveals nothing about it.
    """

    name: str
    not_before: int


def keyring_id(name_key: NameKey) -> str:
    """Return the id (22 characters) of the keyring that has this name key."""
    return base64url.encode(derivation.keyring_id(name_key)).decode()


def marked_id(name: str, key: Kek) -> str:
    """Return the id of a new KEK: its name, then four characters of its thumbprint.

    They are lower case letters and digits (base32, RFC 4648), easy to read out. Without a name they
    follow a k: each character of an id costs one of what a narrow column holds.
    """
    mark = base64.b32encode(derivation.kek_thumbprint(key)).decode().lower()[:MARK_CHARS]
    return f"{name}-{mark}" if name else f"k{mark}"


def new_number(taken: frozenset[int], random: RandomBytes) -> int:
    """Return an unused KEK number: the first free one at or after a random one.

    Raises KeyringError when none is left.
    """
    drawn = int.from_bytes(random(_NUMBER_BYTES))
    for step in range(MAX_NUMBER):
        number = (drawn + step) % MAX_NUMBER + 1
        if number not in taken:
            return number
    raise KeyringError("no KEK number is left; create a new keyring")


def removed_numbers(numbers: Iterable[int], highest: int) -> frozenset[int]:
    """Return the numbers of the KEKs that were removed from a keyring of the old format.

    It assigns numbers in order, so the missing ones up to `highest` were removed. A longer run than
    256 of them was never assigned: above it is the random number of a KEK that was merged in from a
    keyring of the new format.
    """
    removed: set[int] = set()
    before = 0
    for number in sorted({*numbers, highest + 1}):
        missing = range(before + 1, number)
        if len(missing) <= _LONGEST_RUN:
            removed.update(missing)
        before = number
    return frozenset(removed)


def check_kek(entry: KekEntry) -> None:
    """Raise KeyringError for a KEK with an invalid id, number, time or state."""
    if len(entry.also) != len({entry.id, *entry.also}) - 1:
        raise KeyringError("a KEK has the same id twice")
    if not all(KEK_ID_PATTERN.fullmatch(one) for one in (entry.id, *entry.also)):
        raise KeyringError("a KEK id is 1 to 32 of the characters A-Z a-z 0-9 _ -")
    if not 1 <= entry.number <= MAX_NUMBER:
        raise KeyringError(f"a KEK number is 1 to {MAX_NUMBER}; create a new keyring")
    if entry.created < 0:
        raise KeyringError("a KEK was created before 1970")
    if entry.state not in STATES:
        raise KeyringError("a KEK is primary, decrypt or disabled")


def check_old_numbers(numbers: Sequence[int], highest: int, retired: frozenset[int]) -> None:
    """Raise KeyringError unless the KEK numbers are possible in a keyring of the old format."""
    if len(set(numbers)) != len(numbers):
        raise KeyringError("two KEKs have the same number")
    if not max(numbers) <= highest <= MAX_NUMBER or retired:
        raise KeyringError("the highest KEK number does not match the KEKs")


def check_numbers(numbers: Sequence[int], highest: int, retired: frozenset[int]) -> None:
    """Raise KeyringError unless the KEK numbers are possible in a keyring of the new format."""
    if highest or retired.intersection(numbers):
        raise KeyringError("the retired KEK numbers do not match the KEKs")
    if len(retired) > MAX_RETIRED:
        raise KeyringError(f"a keyring retires at most {MAX_RETIRED} numbers; create a new one")
    if not all(1 <= number <= MAX_NUMBER for number in retired):
        raise KeyringError(f"a KEK number is 1 to {MAX_NUMBER}")


def check_merged(own_id: str, keks: Sequence[KekEntry], former: Sequence[Former]) -> None:
    """Raise KeyringError where KEKs or merged keyrings repeat, or share an id too often."""
    if len({entry.thumbprint for entry in keks}) != len(keks):
        raise KeyringError("the keyring holds one KEK twice")
    if len({own_id, *(one.id for one in former)}) != len(former) + 1:
        raise KeyringError("the keyring holds one former keyring twice")
    if len(former) > MAX_FORMER:
        raise KeyringError(f"at most {MAX_FORMER} keyrings can be merged into one")
    named: Counter[str | int] = Counter()
    for entry in keks:
        named.update({entry.id, *entry.also, entry.number})
    if max(named.values()) > MAX_CANDIDATES:
        raise KeyringError(f"more than {MAX_CANDIDATES} KEKs have the same id or number")


def check_revocations(revocations: Sequence[Revocation]) -> None:
    """Raise KeyringError for too many revocations, and for invalid or repeated ones."""
    if len(revocations) > MAX_REVOCATIONS:
        raise KeyringError(f"a keyring holds at most {MAX_REVOCATIONS} revocations: {_WAY_OUT}")
    if len({one.name for one in revocations}) != len(revocations):
        raise KeyringError("a conversation is revoked twice")
    for one in revocations:
        if not _NAME.fullmatch(one.name) or one.not_before < 0:
            raise KeyringError("a revocation has a malformed name or time")
