from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from proxy.core.errors import KeyringError
from proxy.keys.keyring import MAX_NUMBER, Keyring, create

from .builders import NOW, a_keyring, some_bytes


def test_a_new_keyring_has_one_primary_kek_of_number_one() -> None:
    keyring = create("k1", now=NOW, random=some_bytes)
    assert [(kek.id, kek.number, kek.state) for kek in keyring.keks] == [("k1", 1, "primary")]


def test_an_added_kek_opens_and_does_not_seal() -> None:
    keyring = a_keyring("k2")
    assert (keyring.entry("k2").state, keyring.primary.id) == ("decrypt", "k1")


def test_promoting_turns_the_old_primary_to_decrypt() -> None:
    keyring = a_keyring("k2").promote("k2")
    assert [kek.state for kek in keyring.keks] == ["decrypt", "primary"]


def test_promoting_the_primary_changes_nothing() -> None:
    keyring = a_keyring("k2")
    assert keyring.promote("k1") == keyring


def test_a_disabled_kek_neither_seals_nor_opens() -> None:
    keyring = a_keyring("k2").disable("k2")
    assert keyring.opening(kek_id="k2") is keyring.opening(number=2) is None


def test_an_operation_leaves_the_old_keyring_as_it_was() -> None:
    keyring = a_keyring("k2")
    keyring.promote("k2").disable("k1")
    assert [kek.state for kek in keyring.keks] == ["primary", "decrypt"]


def test_opening_finds_a_kek_by_id_and_by_number() -> None:
    keyring = a_keyring("k2")
    assert keyring.opening(kek_id="k2") is keyring.opening(number=2) is keyring.keks[1]


def test_opening_finds_nothing_for_an_ephemeral_or_unknown_key() -> None:
    keyring = a_keyring()
    assert [keyring.opening(), keyring.opening(kek_id="x"), keyring.opening(number=9)] == [None] * 3


def test_the_number_of_a_removed_kek_is_never_given_again() -> None:
    keyring = a_keyring("k2").disable("k2").remove("k2").add("k2", now=NOW, random=some_bytes)
    assert keyring.entry("k2").number == 3


def test_merging_adds_unknown_keks_and_promotes_none() -> None:
    ours = a_keyring()
    theirs = ours.add("k2", now=NOW, random=some_bytes).promote("k2")
    merged = ours.merge(theirs)
    assert [(kek.id, kek.state) for kek in merged.keks] == [("k1", "primary"), ("k2", "decrypt")]
    assert merged.highest_number == 2


def test_merging_keeps_the_state_that_stands_here() -> None:
    before = a_keyring("k2")
    assert before.disable("k2").merge(before).entry("k2").state == "disabled"


@pytest.mark.parametrize(
    "refused",
    [
        lambda keyring: keyring.disable("k1"),
        lambda keyring: keyring.disable("k9"),
        lambda keyring: keyring.promote("k9"),
        lambda keyring: keyring.disable("k2").promote("k2"),
        lambda keyring: keyring.remove("k2"),
        lambda keyring: keyring.add("k2", now=NOW, random=some_bytes),
        lambda keyring: keyring.add("k/3", now=NOW, random=some_bytes),
        lambda keyring: keyring.add("", now=NOW, random=some_bytes),
        lambda keyring: keyring.add("k" * 33, now=NOW, random=some_bytes),
        lambda keyring: replace(keyring, highest_number=MAX_NUMBER).add(
            "k3", now=NOW, random=some_bytes
        ),
        lambda keyring: replace(keyring, highest_number=1),
        lambda keyring: replace(keyring, keks=()),
        lambda keyring: replace(keyring, keks=(keyring.keks[1],)),
        lambda keyring: replace(keyring, keks=(*keyring.keks, keyring.keks[0])),
        lambda keyring: keyring.merge(a_keyring()),
    ],
)
def test_what_the_laws_of_the_keyring_forbid_is_refused(
    refused: Callable[[Keyring], Keyring],
) -> None:
    with pytest.raises(KeyringError):
        refused(a_keyring("k2"))


def test_a_keyring_does_not_show_its_keys() -> None:
    keyring = a_keyring("k2")
    shown = repr(keyring) + str(keyring)
    secrets = [keyring.name_key, keyring.record_key, *(kek.key for kek in keyring.keks)]
    assert not any(repr(secret.reveal()) in shown for secret in secrets)
