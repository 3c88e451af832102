"""A revocation is dropped when no session that still opens can be older than it, and not before."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.errors import KeyringError
from proxy.keys.keyring import jwk_set
from proxy.keys.keyring.kek import Revocation
from proxy.keys.keyring.keyring import LONGEST_SECONDS, Keyring, create
from proxy.keys.keyring.merging import merge
from proxy.keys.policy import CLOCKS_SECONDS, MAX_REVOCATIONS
from tests.keys.builders import NOW, some_bytes

DAY = 24 * 3600
YEAR = 366 * DAY
LATER = NOW + 3 * YEAR
NAME = "A" * 22


def a_keyring(*made: int) -> Keyring:
    """Return a keyring whose KEKs were made at these times."""
    first, *more = made
    keyring = create("k1", now=first, random=some_bytes, marked=True)
    for at, when in enumerate(more, 2):
        keyring = keyring.add(f"k{at}", now=when, random=some_bytes)
    return keyring


def numbered(number: int) -> str:
    return f"{number:022d}"


times = st.integers(NOW, LATER + YEAR)
skews = st.integers(-CLOCKS_SECONDS // 2, CLOCKS_SECONDS // 2)


@given(
    made=st.lists(times, min_size=1, max_size=4),
    revoked=st.lists(times, min_size=1, max_size=8),
    now=times,
    age=st.integers(0, 2 * YEAR),
    maker=skews,
    sealer=skews,
    at=st.integers(0, 3),
    which=st.integers(0, 7),
)
def test_no_session_that_was_refused_opens_after_some_were_dropped(  # noqa: PLR0917 - the law's
    made: list[int],
    revoked: list[int],
    now: int,
    age: int,
    maker: int,
    sealer: int,
    at: int,
    which: int,
) -> None:
    # The keyring tells when a KEK was made by the clock of whoever made it.
    keyring = a_keyring(*(one + maker for one in made))
    revocations = tuple(Revocation(numbered(n), one) for n, one in enumerate(revoked))
    keyring = replace(keyring, revocations=revocations)
    after = keyring.without_idle(now)
    name, kek = numbered(which % len(revoked)), made[at % len(made)]

    # A durable session began after its KEK was made; its id says when by the sealer's clock.
    began = kek + age + sealer
    assert (began < keyring.not_before(name)) == (began < after.not_before(name))

    # Any other still opens only if it began within the longest life.
    began = now - (age % (LONGEST_SECONDS + 1)) + sealer
    assert (began < keyring.not_before(name)) == (began < after.not_before(name))


def test_what_is_older_than_all_keks_and_a_year_is_dropped_by_the_next() -> None:
    keyring = a_keyring(NOW + 10 * DAY, NOW + 20 * DAY).revoke(NAME, NOW)
    assert keyring.revoke("B" * 22, NOW, now=NOW + 30 * DAY).not_before(NAME) == NOW
    after = keyring.revoke("B" * 22, LATER, now=LATER)
    assert [one.name for one in after.revocations] == ["B" * 22]
    assert after.pruned == NOW
    assert (after.generation, after.digest) == (keyring.generation, keyring.digest)
    assert jwk_set.decode(jwk_set.encode(after)) == after


def test_a_kek_that_is_still_there_keeps_what_was_revoked_under_it() -> None:
    keyring = a_keyring(NOW, NOW + 20 * DAY).revoke(NAME, NOW + 5 * DAY)
    old = keyring.keks[0].id
    keyring = keyring.promote("k2")
    for one in (keyring, keyring.disable(old)):
        assert one.idle(LATER) == ()
    assert len(keyring.disable(old).remove(old).idle(LATER)) == 1


def test_a_removed_kek_that_comes_back_does_not_open_what_was_revoked() -> None:
    backup = a_keyring(NOW, NOW + 20 * DAY)
    old = backup.keks[0]
    keyring = backup.revoke(NAME, NOW + 5 * DAY).promote("k2").disable(old.id).remove(old.id)
    kept = merge(keyring, backup, now=NOW)
    assert kept.entry(old.id).state == "decrypt"
    assert kept.not_before(NAME) == NOW + 5 * DAY
    merged = merge(keyring.without_idle(LATER), backup, now=NOW)
    assert merged.entry(old.id).state == "disabled"
    assert merged.pruned == NOW + 5 * DAY
    # One that was made later opens, and so does one that was never here.
    other = backup.add("k3", now=NOW, random=some_bytes)
    assert merge(keyring.without_idle(LATER), other, now=NOW).keks[-1].state == "decrypt"


def test_a_removed_kek_of_an_older_backup_does_not_open_once_the_newer_state_is_merged() -> None:
    backup = a_keyring(NOW, NOW + 20 * DAY)
    old = backup.keks[0]
    keyring = backup.revoke(NAME, NOW + 5 * DAY).promote("k2").disable(old.id).remove(old.id)
    pruned = keyring.without_idle(LATER)
    older = backup.promote("k2")
    assert merge(older, keyring, now=NOW) == older.revoke(NAME, NOW + 5 * DAY)
    merged = merge(older, pruned, now=NOW)
    assert merged.entry(old.id).state == "disabled"
    assert merged.generation > pruned.generation
    # An operator may enable it all the same; to merge again does not undo that.
    assert merge(merged.enable(old.id), pruned, now=NOW).entry(old.id).state == "decrypt"
    with pytest.raises(KeyringError, match=r"the primary here.*import this keyring into the other"):
        merge(backup, pruned, now=NOW)


def test_ten_thousand_are_no_wall_while_keks_rotate_and_else_the_way_out_is_told() -> None:
    keyring = replace(
        a_keyring(NOW + 10 * DAY),
        revocations=tuple(Revocation(numbered(n), NOW) for n in range(MAX_REVOCATIONS)),
    )
    assert len(keyring.revoke(NAME, LATER, now=LATER).revocations) == 1
    with pytest.raises(KeyringError, match=r"rotate the KEK.*keys add"):
        keyring.revoke(NAME, NOW + DAY, now=NOW + 20 * DAY)
    assert keyring.revoke(numbered(7), NOW + DAY, now=NOW + 20 * DAY).not_before(numbered(7))
