"""The keyring: the durable set of KEKs, and the three keys that outlive every KEK.

Every operation is pure: it returns a new keyring and leaves the old one as it was, so a message
finishes with the keyring that it began with. Only `give_up` takes the KEKs away from all of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final

from ...config.settings.keys import MOST_GRACE, MOST_TTL
from ...core.crypto import base64url, derivation
from ...core.crypto.context import Scope
from ...core.crypto.secret import (
    KEY_BYTES,
    IdentityKey,
    IndexSecret,
    Kek,
    NameKey,
    RecordKey,
)
from ...core.errors import KeyringError
from ...process import hardening
from ..policy import CLOCKS_SECONDS, MAX_KEKS, MAX_REVOCATIONS, MOST_DRAWS, SHOWN_ID_CHARS
from . import index_secrets, kek, name_keys, record_keys
from .head import Origin, State
from .index_secrets import IndexGeneration
from .kek import AdoptedKeyring, KekEntry, KekState, RandomBytes, Revocation
from .name_keys import NamePlace, OtherNameKey, record_name
from .record_keys import OtherRecordKey, RecordKeyState

UNSIGNED: Final = (
    "no key of keys.keyring.signed_by signed it as it is: see what changed, and sign it with"
    " `sealyard keys sign`"
)
LONGEST_SECONDS: Final = int(MOST_TTL + MOST_GRACE)
"""How long after its start an ephemeral session, or one from a key package, may still open."""


@dataclass(frozen=True, slots=True)
class Keyring:
    """All KEKs in the order in which they were added, exactly one of them primary.

    `generation` grows with every change of the KEKs, not with revocations. `retired` are the
    numbers of removed KEKs, which are never used again: otherwise a short-form token would be tried
    with the wrong KEK. A revocation in the keyring survives the loss of every store; those up to
    `pruned` (seconds since 1970) may have been dropped, once they could no longer refuse any
    session.
    """

    keks: tuple[KekEntry, ...]
    identity: IdentityKey
    name_key: NameKey
    record_key: RecordKey
    revocations: tuple[Revocation, ...] = ()
    generation: int = 1
    retired: frozenset[int] = frozenset()
    pruned: int = 0
    adopted: tuple[AdoptedKeyring, ...] = ()
    names: tuple[OtherNameKey, ...] = ()
    """The name keys beside the one in use."""
    records: tuple[OtherRecordKey, ...] = ()
    """The record keys beside the one in use."""
    index: tuple[IndexGeneration, ...] = ()
    """The secrets of search, the older generation first; there may be none."""
    origin: Origin | None = field(default=None, compare=False, repr=False)
    """The head and the signatures of the file that this, or what it was made of, was read from."""
    primary: KekEntry = field(init=False, compare=False, repr=False)
    """The one KEK that new sessions are sealed under."""
    _times: dict[str, int] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Raise KeyringError, naming the reason, for an impossible keyring."""
        if not 1 <= len(self.keks) <= MAX_KEKS:
            raise KeyringError(f"a keyring holds 1 to {MAX_KEKS} KEKs")
        for entry in self.keks:
            kek.check_kek(entry)
        kek.check_distinct(self.keks)
        primary = [entry for entry in self.keks if entry.state == "primary"]
        if len(primary) != 1:
            raise KeyringError("exactly one KEK must be primary")
        object.__setattr__(self, "primary", primary[0])
        if self.generation < 1 or self.pruned < 0:
            raise KeyringError("a keyring's generation is at least 1, and its times at least 0")
        kek.check_numbers([one.number for one in self.keks], self.retired)
        kek.check_revocations(self.revocations)
        times = {one.name: one.not_before for one in self.revocations}
        object.__setattr__(self, "_times", times)
        if self.adopted or any(entry.adopted for entry in self.keks):
            kek.check_adopted(self.keks, self.adopted, self.id)
        if self.index:
            index_secrets.check(self.index)
        if self.names:
            name_keys.check(self.name_key, self.names)
        if self.records or self.record_key.past:
            object.__setattr__(self, "record_key", record_keys.whole(self.record_key, self.records))

    @property
    def id(self) -> str:
        """The 22 characters that identify this keyring, whatever is changed in it."""
        return base64url.encode(derivation.keyring_id(self.identity)).decode()

    @property
    def salt(self) -> bytes:
        """The 16 bytes with which a passphrase opens each file of this keyring.

        They stay the same, so that a process that keeps only the key that it derived opens a
        restored backup, too.
        """
        return derivation.passphrase_salt(self.identity)

    @property
    def digest(self) -> str:
        """The 22 characters that identify what this generation holds, revocations aside."""
        keks = sorted(
            [one.id, one.number, one.created, one.state, one.thumbprint.hex()]
            + ([one.adopted] if one.adopted else [])
            for one in self.keks
        )
        own = [derivation.key_thumbprint(one).hex() for one in (self.name_key, self.record_key)]
        contents: dict[str, Any] = {"keks": keks, "keys": own, "retired": sorted(self.retired)}
        if self.adopted:
            contents["adopted"] = sorted(
                [one.id, *(derivation.key_thumbprint(key).hex() for key in one.name_keys)]
                + [derivation.key_thumbprint(one.record_key).hex() for _ in one.past][:1]
                + [mark.hex() for mark in sorted(one.past)]
                for one in self.adopted
            )
        if self.names:
            contents["names"] = sorted(
                [derivation.key_thumbprint(one.key).hex(), one.state, one.since]
                for one in self.names
            )
        if self.records:
            contents["records"] = sorted(
                [derivation.key_thumbprint(one.key).hex(), one.state, one.since]
                for one in self.records
            )
        if self.index:
            contents["index"] = [
                [derivation.key_thumbprint(one.key).hex(), one.generation, one.since]
                + [at for at in (one.turned, one.settled) if at]
                for one in self.index
            ]
        text = json.dumps(contents, separators=(",", ":"), sort_keys=True).encode()
        return base64url.encode(derivation.keyring_digest(self.identity, text)).decode()

    @property
    def state(self) -> State:
        """What tells this state of the keyring from others."""
        return State(self.generation, self.digest)

    def entry(self, kek_id: str) -> KekEntry:
        """Return the KEK `kek_id` in whatever state; raise KeyringError for an unknown id."""
        for entry in self.keks:
            if entry.id == kek_id:
                return entry
        known = ", ".join(entry.id for entry in self.keks)
        raise KeyringError(f"the keyring has no KEK `{kek_id}`; it has: {known}")

    def usable(self, *, kek_id: str | None = None, number: int | None = None) -> KekEntry | None:
        """Return the KEK with that id, or else that number, if it may open tokens."""
        for entry in self.keks:
            named = number == entry.number if kek_id is None else kek_id == entry.id
            if named and entry.state != "disabled":
                return entry
        return None

    def not_before(self, name: str) -> int:
        """Return the time (seconds) before which what is under a name is revoked; 0 for none.

        Of a record, it is the epoch below which it does not count.
        """
        return self._times.get(name, 0)

    def names_of(self, scope: Scope) -> tuple[str, ...]:
        """Return the names of a conversation in stores and revocations: its own one first.

        The others are its names under other name keys and adopted keyrings.
        """
        return tuple(record_name(key, scope) for key, _, _ in self._named())

    def places_of(self, scope: Scope) -> tuple[NamePlace, ...]:
        """Return where the records of a conversation may be: first where new ones are kept."""
        return tuple(
            NamePlace(
                record_name(key, scope),
                name_keys.packages_name(key, scope),
                record_key,
                adopted,
            )
            for key, record_key, adopted in self._named()
        )

    def _named(self) -> Iterator[tuple[NameKey, RecordKey, str]]:
        """Yield the name keys, the key of the records under each, and whose they are."""
        yield self.name_key, self.record_key, ""
        for other in self.names:
            yield other.key, self.record_key, ""
        for one in self.adopted:
            for key in one.name_keys:
                yield key, one.record_key, one.id

    @property
    def participant_names(self) -> NameKey:
        """The key that names the records of participants; it is never rotated."""
        return derivation.participant_names(self.identity)

    def refused_before(self, scope: Scope) -> int:
        """Return before when (seconds) the sessions of a conversation are revoked; 0 for never."""
        return max(map(self.not_before, self.names_of(scope))) if self.revocations else 0

    def revoke(
        self, name: str, not_before: int, *, now: int = 0, of_record: bool = False
    ) -> Keyring:
        """Return the keyring that refuses what is under a name from before `not_before`.

        That are sessions or key packages, or, `of_record`, records of lower epochs. A later time
        wins over an earlier one. Revocations that are idle at `now` (seconds since 1970; 0: not
        known) are dropped. Raises KeyringError when no more revocations fit.
        """
        pruned = self.without_idle(now)
        others = tuple(one for one in pruned.revocations if one.name != name)
        latest = max(not_before, self.not_before(name))
        return replace(pruned, revocations=(*others, Revocation(name, latest, of_record)))

    @property
    def nearly_full(self) -> bool:
        """Whether four fifths of the revocations that a keyring holds are taken."""
        return len(self.revocations) * 5 >= MAX_REVOCATIONS * 4

    def idle(self, now: int) -> tuple[Revocation, ...]:
        """Return the revocations that refuse no session that could still open at `now`.

        A durable session is no older than its KEK, by the clocks of those who made the two. An
        ephemeral one, or one from a key package, does not open for longer than `LONGEST_SECONDS`.
        A value in the equal form is no older than the generation of its index. A record has no end.
        """
        latest, listed = self.idle_until(now), self.revocations
        return tuple(one for one in listed if one.not_before <= latest and not one.of_record)

    def idle_until(self, now: int) -> int:
        """Return up to when (seconds since 1970) what was revoked refuses nothing any more."""
        made = [*(one.created for one in self.keks), *(one.since for one in self.index)]
        oldest = min(made) - CLOCKS_SECONDS
        return min(oldest, now - LONGEST_SECONDS - CLOCKS_SECONDS)

    def without_idle(self, now: int) -> Keyring:
        """Return the keyring without the revocations that are idle at `now`.

        It records up to when some were dropped: a removed KEK that comes back from a backup does
        not open, since what was revoked under it is no longer known.
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

        With `marked`, the id is `kek_id` and a mark of the key, so that no other KEK has it, in any
        keyring. Every process should know a KEK before one of them seals under it. Raises
        KeyringError when the id is malformed or taken, or the numbers are used up.
        """
        key = self._drawn(kek_id, random) if marked else Kek(random(KEY_BYTES))
        named = kek.marked_id(kek_id, key) if marked else kek_id
        taken = self.retired.union(one.number for one in self.keks)
        entry = KekEntry(named, kek.new_number(taken, random), now, "decrypt", key)
        return self._changed(keks=(*self.keks, entry))

    def _drawn(self, name: str, random: RandomBytes) -> Kek:
        """Return a new key whose marked id is free: one in a million has the mark of another."""
        taken = {one.id for one in self.keks}
        for _ in range(MOST_DRAWS):
            key = Kek(random(KEY_BYTES))
            if kek.marked_id(name, key) not in taken:
                break
        return key

    def promote(self, kek_id: str) -> Keyring:
        """Return the keyring with `kek_id` as primary; the old primary still opens.

        Raises KeyringError for an unknown or disabled KEK.
        """
        entry = self.entry(kek_id)
        if entry.state == "disabled":
            raise KeyringError("a disabled KEK cannot become primary")
        if entry.adopted:
            raise KeyringError("a KEK of an adopted keyring opens and never seals")
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
            raise KeyringError(f"KEK `{kek_id}` is not disabled; `keys list` shows its state")
        return self._with_states({kek_id: "decrypt"})

    def remove(self, kek_id: str) -> Keyring:
        """Return the keyring without a disabled KEK; what it sealed opens only with a backup.

        Raises KeyringError for an unknown KEK and for one that is not disabled.
        """
        removed = self.entry(kek_id)
        if removed.state != "disabled":
            raise KeyringError(f"KEK `{kek_id}` is not disabled; promote another, then disable it")
        keks = tuple(entry for entry in self.keks if entry.id != kek_id)
        return self._changed(keks=keks, retired=self.retired | {removed.number})

    def begin_names(self, *, now: int, random: RandomBytes) -> Keyring:
        """Return the keyring with a new name key that is next: it finds, and names nothing yet.

        Every process should know it before one of them keeps anything under it. Raises KeyringError
        where one is next already, and for too many.
        """
        if self.next_names is not None:
            raise KeyringError("a name key is next already")
        fresh = OtherNameKey(NameKey(random(KEY_BYTES)), "next", now)
        return self._changed(names=(*self.names, fresh))

    @property
    def next_names(self) -> OtherNameKey | None:
        """The name key that is next, if there is one."""
        return next((one for one in self.names if one.state == "next"), None)

    def turn_names(self, *, now: int) -> Keyring:
        """Return the keyring that keeps everything new under the next name key.

        Raises KeyringError where none is next.
        """
        fresh = self.next_names
        if fresh is None:
            raise KeyringError("no name key is next")
        others = tuple(one for one in self.names if one is not fresh)
        former = OtherNameKey(self.name_key, "former", now)
        return self._changed(name_key=fresh.key, names=(*others, former))

    def record_state(self, state: RecordKeyState) -> OtherRecordKey | None:
        """Return the record key that has this state, the latest of several."""
        return next((one for one in reversed(self.records) if one.state == state), None)

    def begin_records(self, *, now: int, random: RandomBytes) -> Keyring:
        """Return the keyring with a record key that is next: it verifies, and signs nothing yet.

        Raises KeyringError while a rotation is under way.
        """
        self._require_no_rotation()
        fresh = OtherRecordKey(RecordKey(random(KEY_BYTES)), "next", now)
        return self._changed(records=(*self.records, fresh))

    def turn_records(self, *, now: int) -> Keyring:
        """Return the keyring that signs with the next record key; the former one still verifies.

        That lasts for a day at most. Raises KeyringError where none is next.
        """
        fresh = self.record_state("next")
        if fresh is None:
            raise KeyringError("no record key is next")
        others = tuple(one for one in self.records if one is not fresh)
        former = OtherRecordKey(self.record_key, "former", now)
        return self._changed(record_key=fresh.key, records=(*others, former))

    def end_records(self, *, now: int) -> Keyring:
        """Return the keyring in which the former record key verifies no record any more.

        Lines of the audit log, receipts and poison tokens of its time still count. Raises
        KeyringError where none is former.
        """
        former = self.record_state("former")
        if former is None:
            raise KeyringError("no record key is former")
        others = tuple(one for one in self.records if one is not former)
        ended = OtherRecordKey(former.key, "ended", now)
        return self._changed(records=(*others, ended))

    def leak_records(self, *, now: int, random: RandomBytes) -> Keyring:
        """Return the keyring with a new record key; that of now counts for nothing from now on.

        Raises KeyringError for too many.
        """
        leaked = OtherRecordKey(self.record_key, "leaked", now)
        others = tuple(
            OtherRecordKey(one.key, "leaked", now) if one.state in {"next", "former"} else one
            for one in self.records
        )
        fresh = RecordKey(random(KEY_BYTES))
        return self._changed(record_key=fresh, records=(*others, leaked))

    def _require_no_rotation(self) -> None:
        if self.record_state("next") or self.record_state("former"):
            raise KeyringError("a rotation of the record key is under way")

    def rotate_index(self, *, now: int, random: RandomBytes) -> Keyring:
        """Return the keyring with an index secret of the next generation; the first is 1.

        Raises KeyringError while two generations stand beside each other.
        """
        if len(self.index) > 1:
            raise KeyringError("a generation of the index is being replaced: drop the former one")
        number = self.index[-1].generation + 1 if self.index else 1
        fresh = IndexGeneration(IndexSecret(random(KEY_BYTES)), number, now)
        return self._changed(index=(*self.index, fresh))

    def turn_index(self, *, now: int) -> Keyring:
        """Return the keyring that seals values in the equal form by its newer generation.

        Where it did so before, every process does by now, which a proof for `drop_index` must know.
        Raises KeyringError where there are no two.
        """
        former, latest = self._two_of_index()
        if latest.turned:
            return self._changed(index=(former, replace(latest, settled=now)))
        return self._changed(index=(former, replace(latest, turned=now)))

    def drop_index(self) -> Keyring:
        """Return the keyring without the older generation of two; raise KeyringError without."""
        return self._changed(index=self._two_of_index()[1:])

    def _two_of_index(self) -> tuple[IndexGeneration, ...]:
        if len(self.index) < 2:  # noqa: PLR2004 - the older and the newer
            raise KeyringError("there is no former generation of the index")
        return self.index

    def drop_names(self, name_id: str, *, now: int) -> Keyring:
        """Return the keyring without a former name key under which nothing can be revoked.

        That is once every KEK is younger than its rotation, and 368 days after it. Raises
        KeyringError, with how many revocations may be under it, before that.
        """
        one = next((each for each in self.names if each.id == name_id), None)
        if one is None:
            known = ", ".join(each.id for each in self.names) or "none"
            raise KeyringError(f"no other name key is `{name_id}`; there are: {known}")
        why = name_keys.needed_by(one, self.idle_until(now))
        if why:
            until = one.since + CLOCKS_SECONDS
            idle = self.idle(now)
            count = sum(each.not_before <= until and each not in idle for each in self.revocations)
            raise KeyringError(
                f"{name_id} stays: {why}; {count} revocations of the keyring may be under it, and"
                " more in the store. It can go 368 days after its rotation, once each KEK is"
                " younger than that"
            )
        return self._changed(names=tuple(each for each in self.names if each is not one))

    def end_adoption(self, keyring_id: str) -> Keyring:
        """Return the keyring without an adopted one, whose KEKs must be disabled.

        What they sealed opens with a backup alone. Its revocations stay until they are idle. Raises
        KeyringError for a keyring that is not adopted, and while one of its KEKs still opens.
        """
        if keyring_id not in {one.id for one in self.adopted}:
            known = ", ".join(one.id for one in self.adopted) or "none"
            raise KeyringError(f"no keyring {keyring_id} is adopted; adopted are: {known}")
        gone = [entry for entry in self.keks if entry.adopted == keyring_id]
        opening = [entry.id for entry in gone if entry.state != "disabled"]
        if opening:
            raise KeyringError(
                f"{len(opening)} of its KEKs still open ({', '.join(opening)}): seal anew what they"
                " sealed (`migrate reseal`), and disable them when `keys usage --report` says that"
                " nothing needs them"
            )
        return self._changed(
            keks=tuple(entry for entry in self.keks if entry.adopted != keyring_id),
            adopted=tuple(one for one in self.adopted if one.id != keyring_id),
            retired=self.retired.union(entry.number for entry in gone),
        )

    def after(self, generation: int) -> Keyring:
        """Return the keyring with a generation above its own and above `generation`."""
        return replace(self, generation=max(self.generation, generation) + 1)

    def following(self, *states: State) -> Keyring:
        """Return the keyring as one that follows from these states, too."""
        if self.origin is None:
            return self
        return replace(self, origin=self.origin.after(states))

    def require_signed(self) -> None:
        """Raise KeyringError where keys are configured that sign its file, and none of them did."""
        if self.origin is not None and self.origin.signed is False:
            raise KeyringError(UNSIGNED)

    def give_up(self) -> None:
        """Overwrite the KEKs; this keyring, and all that were made of it, keep their names alone.

        What needs one of them from then on gets KeyUnavailable.
        """
        for key in (*(one.key for one in self.keks), *(one.key for one in self.index)):
            hardening.overwrite_bytes(key.give_up())

    def _with_states(self, states: dict[str, KekState]) -> Keyring:
        keks = tuple(replace(entry, state=states.get(entry.id, entry.state)) for entry in self.keks)
        return self if keks == self.keks else self._changed(keks=keks)

    def _changed(self, **fields: Any) -> Keyring:  # noqa: ANN401 - fields of this class
        return replace(self, generation=self.generation + 1, **fields)


def create(kek_id: str, *, now: int, random: RandomBytes, marked: bool = False) -> Keyring:
    """Return a new keyring whose first KEK `kek_id` is primary. `now` is in seconds since 1970.

    With `marked`, a mark of the key is added to the id.
    """
    key = Kek(random(KEY_BYTES))
    named = kek.marked_id(kek_id, key) if marked else kek_id
    first = KekEntry(named, kek.new_number(frozenset(), random), now, "primary", key)
    name_key, record_key = NameKey(random(KEY_BYTES)), RecordKey(random(KEY_BYTES))
    return Keyring((first,), IdentityKey(random(KEY_BYTES)), name_key, record_key)


def shown(keyring_id: str) -> str:
    """Return the part of a keyring's id that the log shows: longer texts look like secrets."""
    return keyring_id[:SHOWN_ID_CHARS]
