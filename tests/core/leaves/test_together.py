"""Many tokens of one body at once: the same as one after the other."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.core.leaves.tokens import JWE_PREFIX, token_parts, token_text, tokens_at

heads = st.sampled_from([JWE_PREFIX, JWE_PREFIX + b"abc", JWE_PREFIX + b"abc.", b"eyJ0eXAi"])
tokens = st.builds(
    token_text, heads, st.binary(min_size=12, max_size=12), st.binary(min_size=16, max_size=24)
)


@st.composite
def altered(draw: st.DrawFn) -> bytes:
    """Return a token in which a byte is another, is missing, or is there twice."""
    token = draw(tokens)
    at = draw(st.integers(0, len(token) - 1))
    put = draw(st.sampled_from([b"", b".", b"=", b"+", b"A", b"B", b"Q", token[at : at + 1] * 2]))
    return token[:at] + put + token[at + 1 :]


def one_by_one(body: bytes, places: list[int]) -> list[object]:
    ends = iter(places)
    return [
        token_parts(body[start + 1 : end - 1])
        if 0 <= start < end - 1 < len(body) and body[start] == body[end - 1] == ord('"')
        else None
        for start, end in zip(ends, ends, strict=True)
    ]


TOKEN = token_text(JWE_PREFIX, bytes(12), bytes(16))


@given(st.lists(tokens | altered() | st.sampled_from([b"", b"plain", b"a.b"]), max_size=5))
@example([TOKEN, TOKEN[:-1] + b"B"])  # bits that no encoder sets
def test_tokens_of_a_list_are_decoded_as_each_alone(texts: list[bytes]) -> None:
    body = b'"' + b'""'.join(texts) + b'"'
    marks = [at for at, byte in enumerate(body) if byte == ord('"')]
    places = [place for start, end in pairwise(marks) for place in (start, end + 1)]

    assert tokens_at(body, places) == one_by_one(body, places)
    assert tokens_at(body, [*places, 1, 2]) == one_by_one(body, [*places, 1, 2])


@pytest.mark.parametrize("places", [[1, 3], [1, 3, 1, 3], [0, 999, 1, 3], [-1, 5, 0, 5]])
def test_what_is_no_string_is_no_token_though_the_body_is_one(places: list[int]) -> None:
    body = b'"%b"' % TOKEN

    assert tokens_at(body, places) == one_by_one(body, places)


def test_a_large_token_is_decoded_by_itself() -> None:
    long, short = (token_text(JWE_PREFIX, bytes(12), bytes(size)) for size in (60_000, 20))
    body = b'"%b""%b"' % (long, short)
    places = [0, len(long) + 2, len(long) + 2, len(body)]

    assert (
        tokens_at(body, places)
        == one_by_one(body, places)
        == [
            (JWE_PREFIX, bytes(12), bytes(60_000)),
            (JWE_PREFIX, bytes(12), bytes(20)),
        ]
    )
