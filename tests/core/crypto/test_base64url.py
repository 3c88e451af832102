from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.crypto import base64url
from proxy.core.errors import OpenFailed

ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
SIZES = st.integers(0, 600) | st.integers(65_500, 66_000)


@given(st.binary(max_size=1000) | st.binary(min_size=185, max_size=200))
def test_encoding_agrees_with_the_standard_library(data: bytes) -> None:
    text = base64url.encode(data)
    assert base64.urlsafe_b64encode(data).rstrip(b"=") == text
    assert data == base64url.decode(text)
    assert base64url.encoded_length(len(data)) == len(text)


@given(st.text(alphabet=ALPHABET.decode() + "+/= \n", max_size=12))
def test_what_decodes_has_one_spelling(text: str) -> None:
    try:
        data = base64url.decode(text.encode())
    except OpenFailed as error:
        assert error.reason == "base64-not-canonical"  # noqa: PT017 - either outcome is lawful
    else:
        assert text.encode() == base64url.encode(data)


@pytest.mark.parametrize("size", [1, 2, 4, 5])
def test_a_last_character_with_stray_bits_is_refused(size: int) -> None:
    text = base64url.encode(bytes(size))
    accepted = 0
    for character in ALPHABET:
        try:
            base64url.decode(text[:-1] + bytes((character,)))
        except OpenFailed:
            continue
        accepted += 1
    assert accepted == {1: 4, 2: 16}[size % 3]


@pytest.mark.parametrize(
    "text",
    [
        *(b"A", b"AAAAA", b"AA==", b"AAA=", b"AAAA=", b"=", b"===="),
        *(b"+AAA", b"/AAA", b"A+AA", b"*AAA", b"AA.A", b"\xff\xff\xff\xff", b"AAA\xc3\xa9"),
        *(b" AAA", b"AA A", b"AAAA\n", b"AA\nAA"),
    ],
)
def test_no_other_spelling_is_taken(text: bytes) -> None:
    with pytest.raises(OpenFailed) as caught:
        base64url.decode(text)
    assert caught.value.reason == "base64-not-canonical"


@pytest.mark.parametrize("size", [190, 191, 192, 193, 750, 9000, 70_000, 70_001, 70_002])
@pytest.mark.parametrize("stray", [b"+", b"/", b"=", b" ", b"\n", b".", b"\xe9", b"\x00"])
def test_no_other_character_is_taken_in_a_text_of_any_length(size: int, stray: bytes) -> None:
    text = base64url.encode(bytes(size))
    for at in (0, len(text) // 2, *range(len(text) - 6, len(text))):
        spoiled = text[:at] + stray + text[at + 1 :]
        with pytest.raises(OpenFailed) as caught:
            base64url.decode(spoiled)
        assert caught.value.reason == "base64-not-canonical"


def test_the_empty_text_is_no_bytes() -> None:
    assert base64url.decode(b"") == b""


@given(st.integers(0, 2000))
def test_capacity_is_the_most_that_fits(characters: int) -> None:
    capacity = base64url.decoded_capacity(characters)
    assert base64url.encoded_length(capacity) <= characters
    assert base64url.encoded_length(capacity + 1) > characters


def test_nothing_fits_into_less_than_nothing() -> None:
    assert base64url.decoded_capacity(-5) == 0
