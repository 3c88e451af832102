"""Which keyring a process goes by when files come back from the past, and others are ahead."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from proxy.core.crypto.secret import RecordKey
from proxy.keys.fleet import keyring_marker
from proxy.keys.fleet.lineage import Accepted, Lineage
from proxy.keys.keyring.head import KeyringHead, Origin
from proxy.keys.keyring.kek import KekEntry, KekState, Revocation
from proxy.keys.keyring.keyring import Keyring
from proxy.keys.keyring.merging import merge
from proxy.keys.policy import MAX_REVOCATIONS
from proxy.keys.stores.records import RecordRefused, RecordUnknown, sign

from ..builders import NOW, a_keyring, numbered, some_bytes

NAME = "A" * 22


def states(keyring: Keyring) -> dict[str, str]:
    return {kek.id: kek.state for kek in keyring.keks}


def marker_of(keyring: Keyring) -> keyring_marker.Marker:
    return keyring_marker.of(keyring)


def test_an_older_file_is_not_taken_while_running() -> None:
    old = a_keyring("k2")
    new = old.promote("k2").disable("k1").revoke(NAME, 7)
    line = Lineage(new)
    assert line.take(old) == new
    assert (line.older, line.states["older"]) == (old.generation, True)
    line.take(new)
    assert line.older is None


def test_what_an_older_file_disables_and_revokes_is_taken_from_it() -> None:
    old = a_keyring("k2", "k3").disable("k3").revoke(NAME, 9)
    new = a_later(old)
    line = Lineage(new)
    taken = line.take(old)
    assert (states(taken)["k3"], taken.not_before(NAME)) == ("disabled", 9)
    assert not line.forked
    assert line.take(new).entry("k3").state == "disabled"


def test_of_a_later_file_nothing_but_what_it_takes_away_is_taken() -> None:
    held = a_keyring("k2", "k3")
    later = held.disable("k2").disable("k3").remove("k3").revoke(NAME, NOW, now=NOW)
    later = later.add("k4", now=NOW, random=some_bytes)
    lineage = Lineage(held)
    used = lineage.lessen(later)
    assert states(used) == {"k1": "primary", "k2": "disabled", "k3": "disabled"}
    assert [one.name for one in used.revocations] == [NAME]
    assert used.generation == held.generation
    assert lineage.lessen(a_keyring("k2").disable("k2")) == used  # of another keyring
    assert lineage.take(later) == later


def test_a_kek_that_is_enabled_again_opens_at_the_next_reload() -> None:
    old = a_keyring("k2").disable("k2")
    line = Lineage(old)
    line.learn(marker_of(old))
    enabled = old.enable("k2")
    assert enabled.generation == old.generation + 1
    assert states(line.take(enabled))["k2"] == "decrypt"
    line.learn(marker_of(enabled))
    assert states(line.keyring)["k2"] == "decrypt"
    assert states(line.take(old))["k2"] == "disabled"  # the older file cannot be told from a no


def a_later(keyring: Keyring) -> Keyring:
    """Return a later generation in which k3 opens and nothing is revoked."""
    again = Keyring(
        tuple(a_state(kek, "decrypt") if kek.id == "k3" else kek for kek in keyring.keks),
        keyring.identity,
        keyring.name_key,
        keyring.record_key,
        generation=keyring.generation + 1,
    )
    assert again.id == keyring.id
    return again


def a_state(kek: KekEntry, state: KekState) -> KekEntry:
    return replace(kek, state=state)


def test_revocations_are_merged_over_reloads() -> None:
    keyring = a_keyring()
    line = Lineage(keyring.revoke(NAME, 9))
    assert line.take(keyring).not_before(NAME) == 9
    assert line.take(keyring.revoke(NAME, 5)).not_before(NAME) == 9


def test_two_files_of_one_generation_that_differ_are_told_as_forked() -> None:
    base = a_keyring("k2")
    ours, theirs = base.promote("k2"), base.add("k3", now=NOW, random=some_bytes)
    line = Lineage(ours)
    assert not line.forked
    line.learn(marker_of(theirs))
    assert line.forked
    line.learn(marker_of(ours))
    assert not line.forked
    line.take(theirs)
    assert line.forked


def test_a_fork_lasts_until_a_later_generation_however_often_the_file_is_read() -> None:
    base = a_keyring("k2")
    ours, theirs = base.promote("k2"), base.add("k3", now=NOW, random=some_bytes)
    line = Lineage(ours)
    for _ in range(2):
        line.take(theirs)
        assert line.forked
    line.take(theirs.promote("k3"))
    assert not line.forked


def test_a_later_generation_in_the_fleet_is_told_and_changes_nothing_else() -> None:
    old = a_keyring("k2")
    line = Lineage(old)
    assert line.learn(marker_of(old.promote("k2"))) == old
    assert (line.behind, line.lacks) == (old.generation + 1, False)
    assert line.take(old.promote("k2")).primary.id == "k2"
    assert line.behind is None


def test_what_the_fleet_disabled_or_destroyed_stays_so_under_an_older_file() -> None:
    old = a_keyring("k2", "k3")
    new = old.promote("k2").disable("k1").disable("k3").remove("k3")
    line = Lineage(old)
    assert states(line.learn(marker_of(new))) == {
        "k1": "disabled",
        "k2": "primary",
        "k3": "disabled",
    }
    assert (line.held, line.lacks) == (old, False)


def test_the_sealing_kek_may_be_missing_from_a_backup() -> None:
    backup = a_keyring()
    new = backup.add("k2", now=NOW, random=some_bytes).promote("k2").disable("k1")
    line = Lineage(backup)
    assert states(line.learn(marker_of(new))) == {"k1": "primary"}
    assert line.lacks
    restored = backup.after(new.generation)
    assert line.take(restored) == restored
    assert not line.lacks


def test_a_later_file_takes_no_kek_out_of_memory_that_nobody_destroyed() -> None:
    backup = a_keyring()
    new = backup.add("k2", now=NOW, random=some_bytes).promote("k2")
    line = Lineage(new)
    restored = backup.after(new.generation)
    taken = line.take(restored)
    assert states(taken) == {"k1": "primary", "k2": "decrypt"}
    assert (line.held, line.missing, line.forked) == (restored, ("k2",), True)
    line.learn(marker_of(restored))
    assert (states(line.keyring)["k2"], line.forked) == ("decrypt", True)
    later = restored.add("k3", now=NOW, random=some_bytes)
    assert states(line.take(later))["k2"] == "decrypt"

    merged = merge(later, new, now=NOW)
    assert states(line.take(merged)) == {"k1": "primary", "k2": "decrypt", "k3": "decrypt"}
    assert (line.missing, line.forked) == ((), False)
    gone = merged.disable("k2").remove("k2")
    assert "k2" not in states(line.take(gone))
    assert not line.forked


def test_a_kek_that_the_fleet_destroyed_does_not_stay_in_memory() -> None:
    backup = a_keyring()
    new = backup.add("k2", now=NOW, random=some_bytes)
    line = Lineage(new)
    line.take(backup.after(new.generation))
    destroyed = new.after(9).disable("k2").remove("k2")
    line.learn(marker_of(destroyed))
    assert states(line.keyring) == {"k1": "primary", "k2": "disabled"}


def test_what_a_fork_or_an_accepted_older_file_lacks_stays_in_memory() -> None:
    base = a_keyring("k2")
    ours, theirs = (base.add(name, now=NOW, random=some_bytes) for name in ("k3", "k4"))
    line = Lineage(ours)
    assert states(line.take(theirs)).keys() == {"k1", "k2", "k3", "k4"}
    line = Lineage(ours, Accepted(base.id, base.generation))
    assert states(line.take(base)).keys() == {"k1", "k2", "k3"}


def test_a_kek_whose_number_or_id_is_taken_in_the_file_is_left_to_it() -> None:
    backup = a_keyring()
    line = Lineage(numbered(backup.add("k2", now=NOW, random=some_bytes)))
    line.take(numbered(backup.add("k3", now=NOW, random=some_bytes)).after(2))
    assert states(line.keyring).keys() == {"k1", "k3"}
    line = Lineage(backup.add("k2", now=NOW, random=some_bytes))
    taken = line.take(backup.add("k2", now=NOW, random=some_bytes).after(2))
    assert len(taken.keks) == 2


def from_a_file(keyring: Keyring, *former: Keyring, signed: bool | None = True) -> Keyring:
    """Return a keyring as it is read from a file whose head follows from these others."""
    made = KeyringHead(keyring.id, keyring.state, "w" * 43, tuple(one.state for one in former))
    return replace(keyring, origin=Origin(made, (), signed))


def test_of_a_file_that_nobody_signed_revocations_alone_are_taken() -> None:
    ours = a_keyring("k2")
    line = Lineage(from_a_file(ours))
    planted = ours.add("planted", now=NOW, random=some_bytes).promote("planted").disable("k2")
    planted = replace(planted, generation=99).revoke(NAME, 7)
    taken = line.take(from_a_file(planted, ours, signed=False))
    assert (taken.state, taken.primary.id, states(taken)["k2"]) == (ours.state, "k1", "decrypt")
    assert taken.not_before(NAME) == 7
    assert (line.unsigned, line.older, line.states["unsigned"]) == (True, None, True)

    line.take(from_a_file(ours))  # a revocation that is cut out of the file comes back
    assert (line.unsigned, line.keyring.not_before(NAME)) == (False, 7)
    later = ours.promote("k2")
    assert line.take(from_a_file(later, ours)).primary.id == "k2"
    # Where no keys are configured that sign, the same file is taken.
    assert Lineage(ours).take(from_a_file(planted, signed=None)).primary.id == "planted"


def test_a_signed_file_that_does_not_follow_is_refused() -> None:
    ours = a_keyring("k2")
    theirs, later = ours.add("k3", now=NOW, random=some_bytes), ours.promote("k2")
    line = Lineage(from_a_file(theirs, ours))
    line.take(from_a_file(later.after(5), ours, later))
    assert (line.unsigned, line.keyring.primary.id) == (True, "k1")
    line.take(from_a_file(merge(theirs, later, now=NOW), ours, later, theirs))
    assert (line.unsigned, line.keyring.primary.id) == (False, "k1")


def test_a_signed_older_file_revokes_and_disables_and_nothing_else() -> None:
    old = a_keyring("k2", "k3")
    beside, new = old.disable("k3").revoke(NAME, 9), old.promote("k2").after(5)
    line = Lineage(from_a_file(new, old))
    taken = line.take(from_a_file(beside, old))
    assert (line.unsigned, line.older) == (False, beside.generation)
    assert (states(taken)["k3"], taken.not_before(NAME)) == ("disabled", 9)
    assert states(line.take(from_a_file(new, old)))["k3"] == "disabled"


def test_a_signed_older_file_disables_nothing_that_was_enabled_since() -> None:
    first = a_keyring("k2", "k3")
    old = first.disable("k3").revoke(NAME, 9)
    new = old.enable("k3")
    line = Lineage(from_a_file(new, first, old))
    for taken in (line.take(from_a_file(old, first)), line.lessen(from_a_file(old, first))):
        assert (states(taken)["k3"], taken.not_before(NAME)) == ("decrypt", 9)
    again = new.disable("k3")
    line = Lineage(from_a_file(again, first, old, new))
    assert states(line.take(from_a_file(old, first)))["k3"] == "disabled"
    assert states(line.take(from_a_file(again, first, old, new)))["k3"] == "disabled"


def many(keyring: Keyring, times: Iterable[int], mark: str) -> Keyring:
    names = (Revocation(f"{at:05}".rjust(22, mark), time) for at, time in enumerate(times))
    return replace(keyring, revocations=tuple(names))


@pytest.mark.parametrize("lessens", [True, False])
def test_what_nobody_signed_displaces_no_revocation_and_reaches_no_future(lessens: bool) -> None:  # noqa: FBT001 - a parameter of the test
    ours = many(a_keyring(), range(1, 6), "A")
    line = Lineage(from_a_file(ours), clock=lambda: NOW)
    flood = many(ours, [NOW] * MAX_REVOCATIONS, "B")
    planted = replace(flood, revocations=(*flood.revocations[1:], Revocation(NAME, NOW + 3600)))
    for _ in range(2):
        (line.lessen if lessens else line.take)(from_a_file(planted, signed=False))
    held = {one.name: one.not_before for one in line.keyring.revocations}
    assert held.items() >= {one.name: one.not_before for one in ours.revocations}.items()
    assert (len(held), held.get(NAME)) == (MAX_REVOCATIONS, None)
    later = many(ours, range(1, 100), "A").revoke(NAME, NOW, now=NOW)
    line.take(from_a_file(later, ours))
    held = {one.name: one.not_before for one in line.keyring.revocations}
    assert held.items() >= {one.name: one.not_before for one in later.revocations}.items()


@pytest.mark.parametrize("signed", [True, False])
def test_another_keyring_is_not_taken_while_running_where_files_are_signed(signed: bool) -> None:  # noqa: FBT001 - a parameter of the test
    ours = from_a_file(a_keyring())
    line = Lineage(ours)
    assert line.take(from_a_file(a_keyring().revoke(NAME, 7), signed=signed)) == ours
    assert line.unsigned


def test_an_older_marker_changes_nothing() -> None:
    new = a_keyring("k2").disable("k2")
    line = Lineage(new)
    assert line.learn(marker_of(a_keyring("k2"))) == new
    assert line.states == dict.fromkeys(("older", "behind", "forked", "unsigned"), False)


def test_what_an_operator_accepts_is_taken_whatever_is_known() -> None:
    old = a_keyring("k2")
    new = old.promote("k2").disable("k1")
    line = Lineage(new, Accepted(old.id, old.generation))
    assert states(line.take(old)) == {"k1": "primary", "k2": "decrypt"}
    assert states(line.learn(marker_of(new))) == {"k1": "primary", "k2": "decrypt"}
    assert not any(line.states.values())
    assert line.take(new) == new
    other = Lineage(new, Accepted("B" * 22, old.generation))
    assert other.take(old) == new


def test_another_keyring_is_taken_whole() -> None:
    line = Lineage(a_keyring("k2").disable("k2").promote("k1"))
    other = a_keyring()
    assert line.take(other) == other
    assert line.states == dict.fromkeys(("older", "behind", "forked", "unsigned"), False)


@pytest.mark.parametrize(
    "keyring",
    [
        a_keyring(),
        a_keyring("k2", "k3").disable("k2").disable("k3").remove("k3"),
    ],
)
def test_a_marker_is_read_back(keyring: Keyring) -> None:
    made = keyring_marker.of(keyring)
    record = keyring_marker.encode(made, "n", keyring.record_key)
    assert keyring_marker.decode(record, "n", keyring.record_key) == made
    assert made.retired == {number for number in (2, 3) if number in made.retired}


def test_a_marker_of_nobody_who_has_the_keyring_is_refused() -> None:
    keyring = a_keyring("k2").disable("k2")
    record = keyring_marker.encode(marker_of(keyring), "n", keyring.record_key)
    forged = [
        (b"", "n", keyring.record_key),
        (b"x" * 200, "n", keyring.record_key),
        (record, "m", keyring.record_key),
        (record, "n", RecordKey(b"r" * 32)),
        (record[:20] + bytes((record[20] ^ 1,)) + record[21:], "n", keyring.record_key),
    ]
    for text, name, key in forged:
        with pytest.raises(RecordRefused):
            keyring_marker.decode(text, name, key)


@pytest.mark.parametrize("values", [b"", b"\x02" + b"x" * 90, b"\x01" + b"\xff" * 50, b"\x01" * 52])
def test_an_authentic_marker_of_another_form_is_unknown(values: bytes) -> None:
    keyring = a_keyring()
    record = sign(values, b"sealyard/v1/record/keyring\x00", "n", keyring.record_key)
    with pytest.raises(RecordUnknown):
        keyring_marker.decode(record, "n", keyring.record_key)
