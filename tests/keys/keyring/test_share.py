from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.errors import KeyringError
from proxy.keys.keyring import share
from proxy.keys.keyring.share import KeyringShare

ID = base64.urlsafe_b64encode(bytes(range(100, 116))).decode().rstrip("=")
SHARE = KeyringShare.of(ID, 1_800_000_000, 3, 2, bytes(range(32)))
FROZEN = (
    "041G1  4S35C  CSKP6  GTBAW  DDNMN\n"
    "KMG0P  000GJ  40R45  0M303  E209P\n"
    "185GG  R38E4  1W818  24GKJ  2GAHN\n"
    "C5RR0  34D17  P70XH  3RFJT  1GX1T"
)
COMMITMENT = "Lrs1o3Uo9V5u7uEc5JYzew"

shares = st.builds(
    KeyringShare.of,
    st.binary(min_size=16, max_size=16).map(
        lambda one: base64.urlsafe_b64encode(one).decode().rstrip("=")
    ),
    st.integers(0, 2**32 - 1),
    st.integers(2, 32),
    st.integers(1, 32),
    st.binary(min_size=32, max_size=32),
)


def test_a_frozen_share_stays_as_it_is() -> None:
    assert SHARE.text() == FROZEN
    assert SHARE.commitment == COMMITMENT
    assert share.parse(FROZEN) == SHARE


@given(shares)
def test_what_is_printed_is_read_again(one: KeyringShare) -> None:
    text = one.text()

    assert [len(line.split()) for line in text.splitlines()] == [5, 5, 5, 5]
    assert share.parse(text) == one


@pytest.mark.parametrize(
    "typed",
    [
        FROZEN.lower(),
        FROZEN.replace("  ", "-").replace("\n", " "),
        "".join(FROZEN.split()),
        f"  {FROZEN}\r\n\n",
        FROZEN.replace("0", "O").replace("1", "l"),
        FROZEN.replace("0", "o").replace("1", "I"),
    ],
)
def test_case_spaces_and_similar_characters_do_not_matter(typed: str) -> None:
    assert share.parse(typed) == SHARE


@given(shares, st.integers(0, 99), st.sampled_from("0123456789ABCDEFGHJKMNPQRSTVWXYZU?é"))
def test_one_mistyped_character_is_found_in_its_group(
    one: KeyringShare, at: int, typed: str
) -> None:
    characters = list("".join(one.text().split()))
    if characters[at] == typed:
        return
    characters[at] = typed
    with pytest.raises(KeyringError) as refused:
        share.parse("".join(characters))
    assert str(refused.value.reason) == f"group {at // 5 + 1} of the share is mistyped"


@given(shares, st.integers(0, 98))
def test_two_characters_the_wrong_way_round_are_refused(one: KeyringShare, at: int) -> None:
    characters = list("".join(one.text().split()))
    if characters[at] == characters[at + 1]:
        return
    characters[at : at + 2] = reversed(characters[at : at + 2])
    with pytest.raises(KeyringError, match="mistyped"):
        share.parse("".join(characters))


@given(shares, st.integers(0, 18))
def test_two_groups_the_wrong_way_round_are_refused(one: KeyringShare, at: int) -> None:
    groups = one.text().split()
    groups[at : at + 2] = reversed(groups[at : at + 2])
    if groups == one.text().split():
        return
    with pytest.raises(KeyringError, match="mistyped"):
        share.parse(" ".join(groups))


@pytest.mark.parametrize(
    ("typed", "reason"),
    [
        ("", "nothing was typed"),
        ("ABC", "this has 3"),
        (FROZEN + "0", "this has 101"),
        ("é" * 100, "group 1 "),
        ("ß" * 60, "this has 120"),
    ],
)
def test_what_is_no_share_has_a_reason(typed: str, reason: str) -> None:
    with pytest.raises(KeyringError, match=reason):
        share.parse(typed)


def _text_of(version: int, needed: int, index: int, check: bytes | None = None) -> str:
    whole = bytes([version, needed, index]) + bytes(44)
    return " ".join(share._groups(whole + (check or share._check(whole))))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (_text_of(2, 2, 1), "newer"),
        (_text_of(1, 1, 1), "numbers"),
        (_text_of(1, 33, 1), "numbers"),
        (_text_of(1, 2, 0), "numbers"),
        (_text_of(1, 2, 33), "numbers"),
        (_text_of(1, 2, 1, b"\1\2\3"), "do not belong together"),
    ],
)
def test_what_is_typed_well_and_is_no_share_is_refused(text: str, reason: str) -> None:
    with pytest.raises(KeyringError, match=reason):
        share.parse(text)


@given(shares, shares)
def test_a_commitment_is_of_one_share(one: KeyringShare, other: KeyringShare) -> None:
    assert (one == other) == (one.commitment == other.commitment)


def test_a_share_does_not_show_its_value() -> None:
    assert "hidden" in repr(SHARE)
    assert bytes(range(32)).hex() not in repr(SHARE)
