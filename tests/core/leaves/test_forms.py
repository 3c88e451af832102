"""Both forms of a leaf return the same, and native code never panics."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Final

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.core.leaves import base64url, choice, spans, strings, tokens

native = pytest.importorskip(
    "sealyard_native", reason="the native leaves are not built: `./dev native` builds them"
)
if native.__version__ != choice.EXPECTED:
    pytest.skip(f"the native leaves are {native.__version__}", allow_module_level=True)

CHARACTERS: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
STRAY: Final = [
    b"",
    b".",
    b"..",
    b"=",
    b"+",
    b"/",
    b" ",
    b"\n",
    b"\x00",
    b"\xff",
    b"\xc3\xa9",
    b"A",
]
HEADS: Final = st.sampled_from([tokens.JWE_PREFIX, tokens.JWE_PREFIX + b"Zm9v", b"eyJ", b""])
# Small, around the sizes at which a form takes another way, and large enough to release the lock.
DATA: Final = st.one_of(
    st.binary(max_size=100),
    st.builds(
        lambda size, seed: (seed * (size // len(seed) + 1))[:size],
        st.sampled_from([185, 191, 192, 193, 255, 256, 257, 1024, 49_152, 65_535, 65_536, 70_001]),
        st.binary(min_size=1, max_size=40),
    ),
)


def outcome(function: Callable[..., Any], *arguments: object) -> object:
    """Return what a leaf returns, or the class of the error that it raises."""
    try:
        return function(*arguments)
    except (ValueError, TypeError) as error:  # a PanicException is neither
        return type(error)


def same(leaf: Callable[..., Any], *arguments: object) -> object:
    """Return what both forms return; fail where they differ."""
    expected = outcome(leaf, *arguments)
    assert expected == outcome(getattr(native, leaf.__name__), *arguments)
    return expected


@st.composite
def mutated(draw: st.DrawFn, texts: st.SearchStrategy[bytes]) -> bytes:
    """Return a text with up to three bytes of it replaced, taken out or put in."""
    text = draw(texts)
    for _ in range(draw(st.integers(0, 3))):
        at = draw(
            st.one_of(st.integers(0, len(text)), st.integers(max(0, len(text) - 25), len(text)))
        )
        text = text[:at] + draw(st.sampled_from(STRAY)) + text[at + draw(st.integers(0, 2)) :]
    return text


@given(DATA)
def test_encode(data: bytes) -> None:
    text = same(base64url.encode, data)
    assert same(base64url.decode, text) == data


@given(st.one_of(mutated(DATA.map(base64url.encode)), st.binary(max_size=20)))
def test_decode(text: bytes) -> None:
    data = same(base64url.decode, text)
    assert data is None or base64url.encode(data) == text  # type: ignore[arg-type] # it is bytes


def test_decode_knows_each_character() -> None:
    for size in (2, 3, 4, 5, 6, 7, 8, 66, 67, 68, 300):
        for at in {0, size // 2, size - 2, size - 1}:
            for byte in range(256):
                same(base64url.decode, b"A" * at + bytes((byte,)) + b"A" * (size - at - 1))


TEXTS: Final = st.builds(
    tokens.token_text, HEADS, st.binary(min_size=12, max_size=12), DATA.map(bytes(16).__add__)
)


@given(st.binary(max_size=30), st.binary(max_size=14) | st.just(bytes(12)), DATA)
def test_token_text(head: bytes, iv: bytes, sealed: bytes) -> None:
    same(tokens.token_text, head, iv, sealed)


@given(mutated(TEXTS))
def test_token_parts(text: bytes) -> None:
    parts = same(tokens.token_parts, text)
    assert parts is None or tokens.token_text(*parts) == text  # type: ignore[misc] # three bytes


def test_token_parts_of_every_beginning() -> None:
    text = tokens.token_text(tokens.JWE_PREFIX, bytes(12), bytes(40))
    for end in range(len(text)):
        assert same(tokens.token_parts, text[:end]) is None
        assert same(tokens.token_parts, text[:end] + b"." + text[end:]) is None
    assert same(tokens.token_parts, text) is not None


@given(st.one_of(DATA, mutated(st.text(max_size=60).map(str.encode))))
@example(bytes(range(128)))
@example(b'\xed\xa0\x80"')
def test_quote(utf8: bytes) -> None:
    same(strings.quote, utf8)


@given(
    DATA,
    st.lists(st.integers(-3, 110), max_size=9),
    st.lists(st.binary(max_size=5), max_size=5),
    st.booleans(),
)
def test_splice(body: bytes, places: list[int], texts: list[bytes], in_order: bool) -> None:  # noqa: FBT001 - hypothesis draws it
    if in_order:
        places = sorted(abs(one) for one in places)[: 2 * len(texts)]
        texts = texts[: len(places) // 2]
    same(spans.splice, body, places, texts)


@pytest.mark.parametrize(
    "leaf", [base64url.encode, base64url.decode, tokens.token_parts, strings.quote]
)
@pytest.mark.parametrize("wrong", ["text", None, 1, bytearray(b"x"), memoryview(b"x")])
def test_native_leaves_take_bytes_alone(leaf: Callable[..., Any], wrong: object) -> None:
    with pytest.raises(TypeError):
        getattr(native, leaf.__name__)(wrong)


def test_a_law_can_fail() -> None:
    wrong = functools.partial(base64url.encode)
    functools.update_wrapper(wrong, base64url.decode)
    with pytest.raises(AssertionError):
        same(wrong, b"AAAA")
