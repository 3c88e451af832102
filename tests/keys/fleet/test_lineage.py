"""Which keyring a process goes by when files come back from the past, and others are ahead."""

from __future__ import annotations

from dataclasses import replace

import pytest

from proxy.core.crypto.secret import RecordKey
from proxy.keys.fleet import keyring_marker
from proxy.keys.fleet.lineage import Accepted, Lineage
from proxy.keys.keyring.kek import KekEntry, KekState
from proxy.keys.keyring.keyring import Keyring
from proxy.keys.stores.records import RecordRefused, RecordUnknown, sign

from ..builders import NOW, a_keyring, some_bytes

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


def test_an_older_marker_changes_nothing() -> None:
    new = a_keyring("k2").disable("k2")
    line = Lineage(new)
    assert line.learn(marker_of(a_keyring("k2"))) == new
    assert line.states == {"older": False, "behind": False, "forked": False}


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
    assert line.states == {"older": False, "behind": False, "forked": False}


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
