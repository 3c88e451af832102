"""The keyring: the durable set of KEKs, and the two keys that outlive every KEK.

Every operation is pure: it returns a new keyring and leaves the old one as it was, so a message
goes on with the keyring that it began with.
"""

from __future__ import annotations

import base64
import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from ...core.crypto import base64url, derivation
from ...core.crypto.secret import KEY_BYTES, Kek, NameKey, RecordKey
from ...core.crypto.token import KEK_ID_PATTERN
from ...core.errors import KeyringError

KekState = Literal["primary", "decrypt", "disabled"]
STATES: Final[tuple[KekState, ...]] = ("primary", "decrypt", "disabled")

MAX_KEKS: Final = 256
MAX_NUMBER: Final = 65535
MAX_RETIRED: Final = 4096
MAX_REVOCATIONS: Final = 10_000
MAX_FORMER: Final = 8
MAX_CANDIDATES: Final = 4
"""So many KEKs may have one number or one id, which are all tried."""
MARK_CHARS: Final = 4
"""So many characters of its thumbprint end the id of a new KEK."""
SHOWN_CHARS: Final = 16

_DAY: Final = 24 * 3600
CLOCKS_SECONDS: Final = _DAY
"""So far may the clock of whoever made a KEK be from those of the processes that seal under it."""
LONGEST_SECONDS: Final = _DAY + 366 * _DAY
"""So long after it began may an ephemeral session, or one out of a key package, still open."""

_NUMBER_BYTES: Final = 4
_MOST_NAME_CHARS: Final = 27
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{22}")
_WAY_OUT: Final = (
    "one is dropped by itself at the next once it is older than 368 days and than every KEK by a"
    " day, so rotate the KEK and, when nothing needs them any more, disable and remove those from"
    " before (`sealyard keys add`, `promote`, `disable`, `remove`); a keyring in the old form keeps"
    " all of them until `sealyard keys upgrade`"
)

RandomBytes = Callable[[int], bytes]
"""Returns that many bytes nobody can guess; `os.urandom` outside of tests."""


@dataclass(frozen=True, slots=True)
class KekEntry:
    """One KEK and its place in the keyring. `created` is in seconds since 1970.

    `also` are other ids by which tokens name it, from keyrings that were merged into this one.
    """

    id: str
    number: int
    created: int
    state: KekState
    key: Kek
    also: tuple[str, ...] = ()

    @property
    def thumbprint(self) -> bytes:
        """The 16 bytes that tell it from all others, whatever it is called."""
        return derivation.kek_thumbprint(self.key)


@dataclass(frozen=True, slots=True)
class Former:
    """The keys of a keyring that was merged into this one: its records and revocations are theirs.

    Its KEKs are among those of the keyring.
    """

    name_key: NameKey
    record_key: RecordKey

    @property
    def id(self) -> str:
        """The id of the keyring that it was."""
        return _id_of(self.name_key)


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
    (`highest_number`) in place of them. `former` are the keyrings that were merged into this one:
    since then, one id or number may stand for a few KEKs. A revocation that stands here survives
    the loss of every store; up to `pruned` (seconds since 1970) some have been dropped, since no
    session was left that they would have refused.
    """

    keks: tuple[KekEntry, ...]
    name_key: NameKey
    record_key: RecordKey
    highest_number: int = 0
    revocations: tuple[Revocation, ...] = ()
    generation: int = 0
    joined_since: int | None = None
    retired: frozenset[int] = frozenset()
    former: tuple[Former, ...] = ()
    pruned: int = 0

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
        if min(self.generation, self.pruned) < 0 or (
            self.joined_since is not None and self.joined_since < 0
        ):
            raise KeyringError("a keyring's generation and times are not below 0")
        _check_numbers(self)
        _check_merged(self)
        _check_revocations(self)

    @property
    def id(self) -> str:
        """The 22 characters that tell this keyring from all others, whatever is changed in it."""
        return _id_of(self.name_key)

    @property
    def digest(self) -> str:
        """The 22 characters that tell what this generation holds, revocations aside."""
        keks = sorted(
            [kek.id, kek.number, kek.created, kek.state, kek.thumbprint.hex(), *kek.also]
            for kek in self.keks
        )
        contents: dict[str, object] = {
            "highest_number": self.highest_number,
            "joined_since": self.joined_since,
            "keks": keks,
            "retired": sorted(self.retired),
        }
        if self.former:
            contents["former"] = sorted(one.id for one in self.former)
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

    def candidates(
        self, *, kek_id: str | None = None, number: int | None = None
    ) -> tuple[KekEntry, ...]:
        """Return the KEKs of that id, or else of that number, that may open tokens."""
        if kek_id is not None:
            found = [one for one in self.keks if kek_id == one.id or kek_id in one.also]
        else:
            found = [one for one in self.keks if number == one.number]
        return tuple(one for one in found if one.state != "disabled")

    @property
    def all_names(self) -> tuple[Former, ...]:
        """The name key and the record key of this keyring, and then of those merged into it."""
        return (Former(self.name_key, self.record_key), *self.former)

    def not_before(self, name: str) -> int:
        """Return since when the sessions of a conversation count (seconds); 0 for none revoked."""
        return next((one.not_before for one in self.revocations if one.name == name), 0)

    def revoke(self, name: str, not_before: int, *, now: int = 0) -> Keyring:
        """Return the keyring that refuses the conversation's sessions from before `not_before`.

        A later time wins over an earlier one. At `now` (seconds since 1970; 0: not known) what
        refuses nothing any more is dropped. Raises KeyringError when no more revocations fit.
        """
        pruned = self.without_idle(now)
        others = tuple(one for one in pruned.revocations if one.name != name)
        latest = max(not_before, self.not_before(name))
        return replace(pruned, revocations=(*others, Revocation(name, latest)))

    def idle(self, now: int) -> tuple[Revocation, ...]:
        """Return the revocations that no session can be older than which still opens at `now`.

        A durable session is no older than its KEK, by the clocks of those who made the two. An
        ephemeral one, or one out of a key package, does not open for longer than `LONGEST_SECONDS`.
        The old form has no place to say that some were dropped, and keeps all.
        """
        if self.joined_since is None:
            return ()
        oldest = min(kek.created for kek in self.keks) - CLOCKS_SECONDS
        latest = min(oldest, now - LONGEST_SECONDS - CLOCKS_SECONDS)
        return tuple(one for one in self.revocations if one.not_before <= latest)

    def without_idle(self, now: int) -> Keyring:
        """Return the keyring without the revocations that are idle at `now`.

        It keeps up to when some were dropped: a KEK that was removed and comes back out of a backup
        does not open, since what was revoked under it is known no more.
        """
        idle = self.idle(now)
        if not idle:
            return self
        gone = frozenset(idle)
        stay = tuple(one for one in self.revocations if one not in gone)
        pruned = max(self.pruned, *(one.not_before for one in idle))
        return replace(self, revocations=stay, pruned=pruned)

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

    def enable(self, kek_id: str) -> Keyring:
        """Return the keyring in which a disabled KEK opens again; it does not seal.

        Raises KeyringError for an unknown KEK and for one that is not disabled.
        """
        if self.entry(kek_id).state != "disabled":
            raise KeyringError("only a disabled KEK can be enabled")
        return self._with_states({kek_id: "decrypt"})

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

    def set_apart(self, joined_since: int, now: int) -> Keyring:
        """Return the keyring that sets joined names apart at another time, both yet to come.

        Raises KeyringError where that time has come already: what was sealed since says so.
        """
        if self.joined_since is None or min(self.joined_since, joined_since) <= now:
            raise KeyringError("joined names are set apart already, or at a time that has passed")
        return self._changed(joined_since=joined_since)

    def after(self, generation: int) -> Keyring:
        """Return the keyring as it goes on from here when `generation` is known elsewhere."""
        return replace(self, generation=max(self.generation, generation) + 1)

    def merge(self, other: Keyring, *, now: int) -> Keyring:
        """Return this keyring with all that `other` has; its KEKs open, and none is promoted.

        Ids and numbers stay as they are in tokens: a KEK whose id is taken is called otherwise
        from now on and is still found by it, and one number may stand for several. Of another
        keyring the name key and the record key are kept, by which its revocations are found. `now`
        is in seconds since 1970. Raises KeyringError where the old form cannot hold that, and where
        one name would stand for too many KEKs.
        """
        revocations = _latest(self.revocations, other.revocations)
        merged = replace(self, revocations=revocations, pruned=max(self.pruned, other.pruned))
        keks, former = self._merged_keks(other), self._merged_former(other)
        if (keks, former) == (self.keks, self.former):
            return merged
        generation = max(self.generation, other.generation) + 1
        if self.joined_since is None:
            if former or any(kek.also for kek in keks):
                raise KeyringError("the old form holds one keyring: run `sealyard keys upgrade`")
            highest = max(self.highest_number, other.highest_number, *(kek.number for kek in keks))
            return replace(merged, keks=keks, generation=generation, highest_number=highest)
        since = other.joined_since
        if other.id == self.id:
            joined = max(self.joined_since, since or 0)
        else:  # what is older there was bound as before
            joined = max(self.joined_since, now if since is None else since)
        used = frozenset(kek.number for kek in keks)
        retired = self.retired.union(other.retired, range(1, other.highest_number + 1)) - used
        return replace(
            merged,
            keks=keks,
            former=former,
            generation=generation,
            joined_since=joined,
            retired=retired,
        )

    def _merged_keks(self, other: Keyring) -> tuple[KekEntry, ...]:
        keks = {kek.thumbprint: kek for kek in self.keks}
        for entry in other.keks:
            ours = keks.get(entry.thumbprint)
            names = dict.fromkeys((entry.id, *entry.also))
            if ours is None:
                taken = {kek.id for kek in keks.values()}
                state: KekState = "decrypt" if entry.state == "primary" else entry.state
                if entry.number in self.retired and entry.created < self.pruned:
                    state = "disabled"  # what was revoked under it stands nowhere any more
                ours = replace(entry, state=state)
                if entry.id in taken:
                    ours = replace(ours, id=marked_id(entry.id[:_MOST_NAME_CHARS], entry.key))
            elif ours.number != entry.number:
                raise KeyringError("one KEK has different numbers in the two keyrings")
            names |= dict.fromkeys(ours.also)
            also = tuple(name for name in names if name != ours.id)
            # In the order of before where there is nothing new, so that it is no change.
            known = set(also) == set(ours.also)
            keks[entry.thumbprint] = ours if known else replace(ours, also=also)
        return tuple(keks.values())

    def _merged_former(self, other: Keyring) -> tuple[Former, ...]:
        found = {one.id: one for one in self.former}
        for one in other.all_names:
            if one.id != self.id:
                found.setdefault(one.id, one)
        return tuple(found.values())

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


def _id_of(name_key: NameKey) -> str:
    return base64url.encode(derivation.keyring_id(name_key)).decode()


def _latest(*several: tuple[Revocation, ...]) -> tuple[Revocation, ...]:
    latest: dict[str, int] = {}
    for one in (one for revocations in several for one in revocations):
        latest[one.name] = max(one.not_before, latest.get(one.name, 0))
    return tuple(Revocation(*row) for row in latest.items())


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
    if keyring.joined_since is None:
        if len(numbers) != len(keyring.keks):
            raise KeyringError("two KEKs have the same number")
        if not max(numbers) <= keyring.highest_number <= MAX_NUMBER or keyring.retired:
            raise KeyringError("the highest KEK number does not fit the KEKs")
        return
    if keyring.highest_number or keyring.retired & numbers:
        raise KeyringError("the retired KEK numbers do not fit the KEKs")
    if len(keyring.retired) > MAX_RETIRED:
        raise KeyringError(f"a keyring retires at most {MAX_RETIRED} numbers; start a new one")
    if not all(1 <= number <= MAX_NUMBER for number in keyring.retired):
        raise KeyringError(f"a KEK number is 1 to {MAX_NUMBER}")


def _check_merged(keyring: Keyring) -> None:
    if len({entry.thumbprint for entry in keyring.keks}) != len(keyring.keks):
        raise KeyringError("one KEK is there twice")
    if len({keyring.id, *(one.id for one in keyring.former)}) != len(keyring.former) + 1:
        raise KeyringError("one former keyring is there twice")
    if len(keyring.former) > MAX_FORMER:
        raise KeyringError(f"a keyring takes in at most {MAX_FORMER} others")
    named: Counter[str | int] = Counter()
    for entry in keyring.keks:
        named.update({entry.id, *entry.also, entry.number})
    if max(named.values()) > MAX_CANDIDATES:
        raise KeyringError(f"one id or number stands for more than {MAX_CANDIDATES} KEKs")


def _check_revocations(keyring: Keyring) -> None:
    revocations = keyring.revocations
    if len(revocations) > MAX_REVOCATIONS:
        raise KeyringError(f"a keyring holds at most {MAX_REVOCATIONS} revocations: {_WAY_OUT}")
    if len({one.name for one in revocations}) != len(revocations):
        raise KeyringError("one conversation is revoked twice")
    for one in revocations:
        if not _NAME.fullmatch(one.name) or one.not_before < 0:
            raise KeyringError("a revocation has a malformed name or time")


def _check(entry: KekEntry) -> None:
    if len(entry.also) != len({entry.id, *entry.also}) - 1:
        raise KeyringError("a KEK has one id twice")
    if not all(KEK_ID_PATTERN.fullmatch(one) for one in (entry.id, *entry.also)):
        raise KeyringError("a KEK id is 1 to 32 of the characters A-Z a-z 0-9 _ -")
    if not 1 <= entry.number <= MAX_NUMBER:
        raise KeyringError(f"a KEK number is 1 to {MAX_NUMBER}; a new keyring starts afresh")
    if entry.created < 0:
        raise KeyringError("a KEK was created before 1970")
    if entry.state not in STATES:
        raise KeyringError("a KEK is primary, decrypt or disabled")
