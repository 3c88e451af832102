from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from dataclasses import replace

import pytest

from proxy.core.errors import KeyringError, KeyUnavailable
from proxy.keys.keyring.kek import HIGHEST_NUMBER, RandomBytes
from proxy.keys.keyring.keyring import Keyring, create
from proxy.keys.keyring.merging import merge
from proxy.keys.policy import MAX_RETIRED

from ..builders import NOW, a_keyring, some_bytes


def test_a_new_keyring_has_one_primary_kek_and_the_first_generation() -> None:
    keyring = create("k1", now=NOW, random=some_bytes)
    assert [(kek.id, kek.state) for kek in keyring.keks] == [("k1", "primary")]
    assert keyring.generation == 1


def test_a_keyring_keeps_its_id_and_every_change_of_its_keks_raises_the_generation() -> None:
    keyring = a_keyring("k2", "k3")
    changes: list[Callable[[Keyring], Keyring]] = [
        lambda one: one.promote("k2"),
        lambda one: one.disable("k1"),
        lambda one: one.remove("k1"),
        lambda one: one.add("k4", now=NOW, random=some_bytes),
        lambda one: merge(one, one.add("k5", now=NOW, random=some_bytes), now=NOW),
    ]
    for change in changes:
        changed = change(keyring)
        assert changed.id == keyring.id
        assert changed.generation > keyring.generation
        assert changed.digest != keyring.digest
        keyring = changed


def test_what_changes_no_kek_leaves_generation_and_digest() -> None:
    keyring = a_keyring("k2").disable("k2")
    for same in (
        keyring.revoke("A" * 22, 7),
        keyring.promote("k1"),
        keyring.disable("k2"),
        merge(keyring, keyring.revoke("A" * 22, 7), now=NOW),
    ):
        assert (same.generation, same.digest) == (keyring.generation, keyring.digest)


def drawn(byte: int) -> RandomBytes:
    """Return a source of one byte: a mark has 20 bits and a number 16, which may meet by chance."""
    return lambda size: bytes([byte]) * size


def test_two_keyrings_have_other_ids_and_their_first_keks_too() -> None:
    one, other = (create("", now=NOW, random=drawn(byte), marked=True) for byte in (1, 2))
    assert one.id != other.id
    assert one.primary.id != other.primary.id
    assert one.digest != other.digest


def test_the_id_of_a_new_kek_ends_in_a_mark_of_its_key() -> None:
    keyring = create("", now=NOW, random=drawn(1), marked=True)
    named = keyring.add("k2027", now=NOW, random=drawn(2), marked=True).keks[-1].id
    assert re.fullmatch(r"k[a-z2-7]{4}", keyring.primary.id)
    assert re.fullmatch(r"k2027-[a-z2-7]{4}", named)
    mark = hashlib.sha256(keyring.primary.key.reveal()).digest()
    assert base64.b32encode(mark).decode().lower()[:4] != keyring.primary.id[1:]


def test_a_key_whose_mark_another_kek_has_is_drawn_anew() -> None:
    keyring = create("", now=NOW, random=drawn(1), marked=True)
    bytes_ = iter((1, 1, 2))
    added = keyring.add(
        "", now=NOW, random=lambda size: bytes((next(bytes_, 3),)) * size, marked=True
    )
    assert added.keks[-1].key.reveal() == bytes((2,)) * 32
    with pytest.raises(KeyringError, match="two KEKs have the same id"):
        keyring.add("", now=NOW, random=drawn(1), marked=True)


def test_after_a_backup_is_restored_a_new_kek_has_neither_the_number_nor_the_id_of_a_lost_one() -> (
    None
):
    backup = create("", now=NOW, random=drawn(1), marked=True)
    lost, new = (
        backup.add("", now=NOW, random=drawn(byte), marked=True).keks[-1] for byte in (2, 3)
    )
    assert lost.id != new.id
    assert lost.number != new.number


def test_a_number_is_never_given_again() -> None:
    keyring = a_keyring()
    for _ in range(60):
        keyring = keyring.add("k2", now=NOW, random=lambda size: bytes(size - 1) + b"\x07")
        number = keyring.entry("k2").number
        keyring = keyring.disable("k2").remove("k2")
        assert number in keyring.retired
    assert len(keyring.retired) == 60


def test_a_restored_keyring_goes_on_after_whatever_generation_is_known() -> None:
    keyring = a_keyring()
    assert [keyring.after(known).generation for known in (0, 7)] == [2, 8]


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
    assert keyring.usable(kek_id="k2") is keyring.usable(number=2) is None


def test_an_operation_leaves_the_old_keyring_as_it_was() -> None:
    keyring = a_keyring("k2")
    keyring.promote("k2").disable("k1")
    assert [kek.state for kek in keyring.keks] == ["primary", "decrypt"]


def test_opening_finds_a_kek_by_id_and_by_number() -> None:
    keyring = a_keyring("k2")
    number = keyring.keks[1].number
    assert keyring.usable(kek_id="k2") == keyring.usable(number=number) == keyring.keks[1]


def test_opening_finds_nothing_for_an_ephemeral_or_unknown_key() -> None:
    keyring = a_keyring()
    for found in ({}, {"kek_id": "x"}, {"number": 9}):
        assert keyring.usable(**found) is None


def test_merging_adds_unknown_keks_and_promotes_none() -> None:
    ours = a_keyring()
    theirs = ours.add("k2", now=NOW, random=some_bytes).promote("k2")
    merged = merge(ours, theirs, now=NOW)
    assert [(kek.id, kek.state) for kek in merged.keks] == [("k1", "primary"), ("k2", "decrypt")]


def test_merging_keeps_the_state_that_stands_here() -> None:
    before = a_keyring("k2")
    assert merge(before.disable("k2"), before, now=NOW).entry("k2").state == "disabled"


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
        lambda keyring: replace(keyring, retired=frozenset({1})),
        lambda keyring: replace(keyring, retired=frozenset({0})),
        lambda keyring: replace(keyring, retired=frozenset({HIGHEST_NUMBER + 1})),
        lambda keyring: replace(keyring, retired=frozenset(range(100, 101 + MAX_RETIRED))),
        lambda keyring: replace(keyring, pruned=-1),
        lambda keyring: replace(keyring, generation=0),
        lambda keyring: replace(keyring, keks=()),
        lambda keyring: replace(keyring, keks=(keyring.keks[1],)),
        lambda keyring: replace(keyring, keks=(*keyring.keks, keyring.keks[0])),
        lambda keyring: replace(keyring, keks=tuple(replace(k, number=7) for k in keyring.keks)),
        lambda keyring: replace(
            keyring, keks=(*keyring.keks, replace(keyring.keks[1], id="k3", number=7))
        ),
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
    secrets = [
        keyring.identity,
        keyring.name_key,
        keyring.record_key,
        *(kek.key for kek in keyring.keks),
    ]
    assert not any(repr(secret.reveal()) in shown for secret in secrets)


def test_given_up_keks_are_gone_from_all_keyrings_that_have_them() -> None:
    keyring = a_keyring("k2", "k3")
    other = keyring.disable("k3")
    materials = [one.key.reveal() for one in keyring.keks]
    known = [one.thumbprint for one in other.keks]

    keyring.give_up()

    for one in (keyring, other, other.promote("k2")):
        for entry in one.keks:
            with pytest.raises(KeyUnavailable):
                entry.key.reveal()
    assert materials == [bytes(32)] * 3  # the very bytes, which nothing else had
    assert [one.thumbprint for one in other.promote("k2").keks] == known
    assert len(other.digest) == 22
    assert other != a_keyring("k2", "k3").disable("k3")
    keyring.give_up()  # does nothing
