"""The roster of keyrings in a store: unsigned, bounded, and good for a warning alone."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proxy.keys.fleet import presence
from proxy.keys.fleet.presence import Roster
from proxy.keys.policy import ROSTER_KEYRINGS, ROSTER_LIVE_SECONDS

from ..builders import NOW

OURS, THEIRS = "A" * 22, "C" * 21 + "A"


def test_a_roster_is_read_back() -> None:
    made = Roster({OURS: NOW, THEIRS: NOW - 3})
    assert presence.decode_roster(presence.encode_roster(made)) == made


def test_others_are_told_while_they_are_seen() -> None:
    seen = Roster({OURS: NOW, THEIRS: NOW})
    assert seen.others(OURS, NOW) == (THEIRS,)
    assert seen.others(OURS, NOW + ROSTER_LIVE_SECONDS) == ()
    assert seen.others(OURS, NOW - ROSTER_LIVE_SECONDS) == ()


def test_ours_is_told_of_anew_every_few_seconds() -> None:
    empty = Roster({})
    assert empty.due(OURS, NOW)
    told = empty.with_seen(OURS, NOW)
    assert (told.due(OURS, NOW + 4), told.due(OURS, NOW + 5)) == (False, True)


def test_those_that_are_gone_are_forgotten_and_no_more_kept_than_fit() -> None:
    crowd = {f"{number:021}A": NOW - number % 50 for number in range(40)}
    told = Roster({**crowd, THEIRS: NOW - 1000}).with_seen(OURS, NOW)
    assert len(told.seen) == ROSTER_KEYRINGS
    assert told.seen[OURS] == NOW
    assert THEIRS not in told.seen


def test_no_note_is_an_empty_roster() -> None:
    assert presence.decode_roster(None) == Roster({})


def test_of_a_thousand_only_those_seen_last_are_looked_at() -> None:
    rows = {f"{number:021}A": number for number in range(1000)}
    found = presence.decode_roster(presence.encode_roster(Roster(rows)))
    assert min(found.seen.values()) == 1000 - ROSTER_KEYRINGS


@given(st.binary(max_size=300))
def test_anybody_may_write_anything(note: bytes) -> None:
    assert len(presence.decode_roster(note).others(OURS, NOW)) <= ROSTER_KEYRINGS


def test_what_is_huge_is_no_roster() -> None:
    assert presence.decode_roster(b"\x01" + bytes(24 * 10_000)) == Roster({})
