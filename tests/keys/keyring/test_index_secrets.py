"""The secrets of search in a keyring: their generations, and what becomes of them in a merge."""

from __future__ import annotations

from dataclasses import replace

import pytest

from proxy.core.crypto.secret import IndexSecret
from proxy.core.errors import KeyringError, KeyUnavailable
from proxy.keys.keyring import jwk_set
from proxy.keys.keyring.index_secrets import IndexGeneration, sealing
from proxy.keys.keyring.keyring import Keyring
from proxy.keys.keyring.merging import adopt, merge
from tests.keys.builders import NOW, a_keyring, some_bytes


def rotated(keyring: Keyring) -> Keyring:
    return keyring.rotate_index(now=NOW, random=some_bytes)


def generations(keyring: Keyring) -> list[int]:
    return [one.generation for one in keyring.index]


def test_generations_follow_each_other_and_two_may_stand_together() -> None:
    first = rotated(a_keyring())
    both = rotated(first)
    assert (generations(first), generations(both)) == ([1], [1, 2])
    with pytest.raises(KeyringError, match="drop the former one"):
        rotated(both)
    last = both.drop_index()
    assert (generations(last), last.index[0]) == ([2], both.index[1])
    assert generations(rotated(last)) == [2, 3]
    for one in (last, a_keyring()):
        with pytest.raises(KeyringError, match="no former generation"):
            one.drop_index()


def test_each_state_is_read_back_and_has_a_digest_of_its_own() -> None:
    plain = a_keyring()
    first = rotated(plain)
    states = [plain, first, rotated(first), rotated(first).drop_index()]
    assert len({one.digest for one in states}) == len(states)
    for one in states:
        assert jwk_set.decode(jwk_set.encode(one)) == one


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'"generation":1,"since"', b'"generation":0,"since"'),
        (b'"generation":1,"since"', b'"generation":true,"since"'),
        (b'"generation":1,"since":1', b'"generation":1,"since":-1'),
        (b'"use":"index","kid":"', b'"use":"index","kid":"x'),
    ],
)
def test_an_impossible_secret_is_refused(before: bytes, after: bytes) -> None:
    text = jwk_set.encode(rotated(a_keyring()))
    assert before in text
    with pytest.raises(KeyringError):
        jwk_set.decode(text.replace(before, after))


def test_impossible_generations_are_refused() -> None:
    one, two, three = (IndexGeneration(IndexSecret(some_bytes(32)), at, NOW) for at in (1, 2, 3))
    for secrets in ((two, one), (one, one), (one, two, three)):
        with pytest.raises(KeyringError):
            replace(a_keyring(), index=secrets)


def test_a_kek_that_is_rotated_or_destroyed_leaves_the_secret() -> None:
    first = rotated(a_keyring("k2"))
    later = first.promote("k2").disable("k1").remove("k1")
    assert later.index == first.index


def test_a_merge_takes_the_later_generation_and_lets_dropped_ones_go() -> None:
    plain = a_keyring()
    first = rotated(plain)
    both = rotated(first)
    last = both.drop_index()
    for one, other in ((plain, first), (first, both), (both, last), (first, last)):
        assert merge(one, other, now=NOW).index == other.index
        assert merge(other, one, now=NOW).index == other.index
    with pytest.raises(KeyringError, match="index secret 1 is another one there"):
        merge(first, rotated(plain), now=NOW)


def test_an_adopted_keyring_brings_no_secret() -> None:
    assert adopt(a_keyring(), replace_ids(rotated(a_keyring())), now=NOW).index == ()


def replace_ids(keyring: Keyring) -> Keyring:
    """Return the keyring with another id of its KEK, and another number."""
    (kek,) = keyring.keks
    return replace(keyring, keks=(replace(kek, id="other", number=7),))


def test_the_end_of_the_root_takes_the_secret_away() -> None:
    keyring = rotated(a_keyring())
    keyring.give_up()
    with pytest.raises(KeyUnavailable):
        keyring.index[0].key.reveal()


def test_values_in_the_equal_form_turn_once_and_a_merge_takes_the_turn() -> None:
    first = rotated(a_keyring())
    with pytest.raises(KeyringError, match="no former generation"):
        first.turn_index(now=NOW)
    both = rotated(first)
    turned = both.turn_index(now=NOW)
    settled = turned.turn_index(now=NOW + 9)
    assert [(one.index[1].turned, one.index[1].settled) for one in (turned, settled)] == [
        (NOW, 0), (NOW, NOW + 9),
    ]  # fmt: skip
    assert [sealing(one.index) for one in (a_keyring(), both, turned, turned.drop_index())] == [
        0, 1, 2, 2,
    ]  # fmt: skip
    for one, later in ((both, turned), (turned, settled)):
        assert merge(one, later, now=NOW).index == merge(later, one, now=NOW).index == later.index
        assert jwk_set.decode(jwk_set.encode(later)) == later
        assert later.digest != one.digest
