from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.leaves import base64url

SIZES = st.one_of(st.integers(0, 600), st.integers(60_000, 70_000))


@pytest.mark.parametrize("size", [190, 191, 192, 193, 750, 9000, 70_000, 70_001, 70_002])
@pytest.mark.parametrize("stray", [b"+", b"/", b"=", b" ", b"\n", b".", b"\xe9", b"\x00"])
def test_no_other_character_is_taken_within_another_text(size: int, stray: bytes) -> None:
    text = base64url.encode(bytes(size))
    for at in (0, len(text) // 2, *range(len(text) - 6, len(text))):
        spoiled = text[:at] + stray + text[at + 1 :]
        assert base64url.decode_within(b"AB" + spoiled + b"C", 2, 2 + len(spoiled), b"") is None


@pytest.mark.parametrize("size", [199, 200, 70_000, 70_001])
def test_a_text_within_another_has_one_end(size: int) -> None:
    text = base64url.encode(bytes(size))
    for end in (text[:-1] + b"B", text + b"A" * (5 - len(text) % 4)):
        assert base64url.decode_within(end + b"AAA", 0, len(end), b"") is None


@given(SIZES, st.binary(max_size=20), st.binary(max_size=3))
def test_a_text_within_another_is_the_same_with_what_is_to_follow(
    size: int, behind: bytes, around: bytes
) -> None:
    data = bytes(at % 251 for at in range(size))
    text = base64url.encode(data)
    start = len(around)
    whole = around + text + around
    assert base64url.decode_within(whole, start, start + len(text), behind) == data + behind


@given(SIZES, SIZES)
def test_the_text_of_a_beginning_comes_in_two_pieces(size: int, end: int) -> None:
    data = bytes(at % 251 for at in range(size))
    end = min(end, size)
    assert b"".join(base64url.encode_within(data, end)) == base64url.encode(data[:end])
