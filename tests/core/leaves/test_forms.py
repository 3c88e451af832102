"""Both forms of a leaf return the same, and native code never panics."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Final

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from proxy.core.leaves import base64url, choice, heads, masks, spans, strings, tokens, values

native = pytest.importorskip(
    "sealyard_native", reason="the native leaves are not built: `./dev native` builds them"
)
assert native.__version__ == choice.EXPECTED, "other native leaves are here: `./dev native`"

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
many = settings(max_examples=250)
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
    except (ValueError, TypeError, OverflowError) as error:  # a PanicException is neither
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


@many
@given(DATA)
def test_encode(data: bytes) -> None:
    text = same(base64url.encode, data)
    assert same(base64url.decode, text) == data


@many
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


@many
@given(st.binary(max_size=30), st.binary(max_size=14) | st.just(bytes(12)), DATA)
def test_token_text(head: bytes, iv: bytes, sealed: bytes) -> None:
    same(tokens.token_text, head, iv, sealed)


@many
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


@many
@given(st.one_of(DATA, mutated(st.text(max_size=60).map(str.encode))))
@example(bytes(range(128)))
@example(b'\xed\xa0\x80"')
def test_quote(utf8: bytes) -> None:
    same(strings.quote, utf8)


def spelled(text: str, ways: list[int]) -> bytes:
    """Return a text as a JSON string, each character as it is, escaped shortly or by its number."""
    short = {'"': '"', "\\": "\\", "/": "/", "\b": "b", "\f": "f", "\n": "n", "\r": "r", "\t": "t"}
    written = []
    for at, one in enumerate(text):
        way = ways[at % len(ways)] if ways else 0
        if way == 1 and one in short:
            written.append("\\" + short[one])
        elif way == 2:
            units = one.encode("utf-16-be", "surrogatepass").hex()
            written += ["\\u" + units[place : place + 4] for place in range(0, len(units), 4)]
        elif way == 3:
            units = one.encode("utf-16-be", "surrogatepass").hex().upper()
            written += ["\\u" + units[place : place + 4] for place in range(0, len(units), 4)]
        else:
            written.append(one)
    return f'"{"".join(written)}"'.encode(errors="surrogatepass")


ANY_TEXT: Final = st.text(
    st.one_of(
        st.characters(codec=None, exclude_categories=()), st.sampled_from('"\\/bfnrtu\b\f\n\r\t')
    ),
    max_size=20,
)


@many
@given(mutated(st.builds(spelled, ANY_TEXT, st.lists(st.integers(0, 3), max_size=5))))
@example(b'"')
@example(b' "a"')
@example(b'"a" ')
@example(b'"a""b"')
@example(b'"\\ud83d\\ude00\\ud83d"')
@example(b'"\\ud83d\\ud83d\\ude00"')
@example(b'"\\ude00\\ud83d"')
@example(b'"\\u+123\\u 123\\u0_12"')
@example(b'"\\ud83d\\u+e00"')
@example(b'"\x7f\\"')
def test_unquote(literal: bytes) -> None:
    text = same(strings.unquote, literal)
    assert text is None or strings.unquote(strings.quote(text)) == text  # type: ignore[arg-type] # bytes


@many
@given(ANY_TEXT)
def test_what_is_quoted_reads_as_it_was(text: str) -> None:
    utf8 = text.encode(errors="replace")
    assert same(strings.unquote, same(strings.quote, utf8)) == utf8


@many
@given(
    st.lists(
        st.one_of(
            TEXTS.filter(lambda text: len(text) < 2000),
            mutated(TEXTS.filter(lambda text: len(text) < 2000)),
            st.sampled_from(
                [tokens.JWE_PREFIX, b"sy1.", b"sy1.A", b"sy1", b"eyJ0eXAiOiJzeTE", b"."]
            ),
            st.binary(min_size=55, max_size=60).map(lambda some: b"A" * len(some)),
            st.text(CHARACTERS.decode(), max_size=70).map(str.encode),
            st.sampled_from(STRAY),
        ),
        max_size=8,
    ).map(b"".join),
    st.integers(0, 400),
    st.integers(0, 3000),
)
def test_candidates(text: bytes, at: int, length: int) -> None:
    places = same(tokens.candidates, text, at, at + length)
    whole = tokens._CANDIDATE.finditer(text)
    assert same(tokens.candidates, text, 0, len(text)) == [at for one in whole for at in one.span()]
    assert places == sorted(places)  # type: ignore[call-overload] # a list of numbers


@pytest.mark.parametrize("first", [b"A", b"C", b"I"])
def test_a_candidate_is_found_wherever_a_piece_ends(first: bytes) -> None:
    text = b'["sy1.' + first + b"A" * 78 + b'"]'
    for end in range(len(text) + 1):
        assert same(tokens.candidates, text, 0, end) == ([2, len(text) - 2] if end > 2 else [])


@pytest.mark.parametrize("place", [(-1, 5), (0, -1), (5, 2), (0, 10**6), (10**6, 10**7)])
def test_candidates_of_any_place(place: tuple[int, int]) -> None:
    same(tokens.candidates, b"sy1." + b"A" * 60, *place)


@many
@given(
    st.lists(mutated(TEXTS.filter(lambda text: len(text) < 2000)), max_size=4),
    st.lists(st.integers(-2, 700), max_size=6),
)
def test_tokens_at(texts: list[bytes], more: list[int]) -> None:
    body = b"[" + b",".join(b'"%s"' % one for one in texts) + b"]"
    places, at = [], 1
    for one in texts:
        places += [at, at + len(one) + 2]
        at += len(one) + 3
    found = same(tokens.tokens_at, body, places)
    assert found == [tokens.token_parts(one) for one in texts]
    same(tokens.tokens_at, body, places + more)


@many
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


@many
@given(DATA, st.binary(min_size=4, max_size=4) | st.binary(max_size=6))
def test_masking(data: bytes, mask: bytes) -> None:
    same(masks.masking, data, mask)


FIELDS: Final = st.lists(
    st.sampled_from(
        [
            b"Host: h\r\n",
            b"x-lower:y\r\n",
            b"X_Odd~Name:\t a \x80\xff b \t\r\n",
            b"Empty:\r\n",
            b"Blank: \t \r\n",
            b"Content-Length: 12\r\n",
        ]
    ),
    max_size=6,
).map(lambda lines: b"".join(lines) + b"\r\n")


@many
@given(mutated(FIELDS), st.integers(0, 30), st.integers(0, 120), st.booleans())
def test_fields(block: bytes, start: int, end: int, whole: bool) -> None:  # noqa: FBT001 - hypothesis draws it
    same(heads.fields, block, *((0, len(block)) if whole else (start, end)))


@pytest.mark.parametrize(
    "block",
    [
        b"%c:\r\n\r\n",
        b"a%c:\r\n\r\n",
        b"a:%c\r\n\r\n",
        b"a: b%cc\r\n\r\n",
        b"a:b\r%c\r\n",
        b"a:b\r\n%c\n",
        b"a:b\r\n\r%c",
    ],
)
def test_fields_of_every_byte(block: bytes) -> None:
    for byte in range(256):
        same(heads.fields, block % byte, 0, len(block % byte))


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


def test_thousands_of_spans_are_spliced() -> None:
    places = [at for start in range(0, 9000, 3) for at in (start, start + 1)]
    assert same(spans.splice, b"abc" * 3000, places, [b"x"] * 3000) == b"xbc" * 3000


STRINGS: Final = st.one_of(
    mutated(st.builds(spelled, ANY_TEXT, st.lists(st.integers(0, 3), max_size=5))),
    st.sampled_from([b'"%b"' % one for one in tokens.PREFIXES] + [b"1", b"null", b'"sy1"']),
)


@st.composite
def bodies(draw: st.DrawFn) -> tuple[bytes, list[int]]:
    """Return a body and places of literals in it, now and then in another order, or none."""
    body, places = b"", []
    for literal in draw(st.lists(STRINGS, max_size=5)):
        body += draw(st.sampled_from([b"", b"{", b", "]))
        places.append((len(body), len(body) + len(literal)))
        body += literal
    flat = [place for span in draw(st.permutations(places)) for place in span]
    if flat and draw(st.integers(0, 5)) == 0:
        flat[draw(st.integers(0, len(flat) - 1))] = draw(st.integers(-1, len(body) + 2))
    return body, flat[draw(st.integers(0, 20)) == 20 :]


@many
@given(bodies())
def test_texts_at(lying: tuple[bytes, list[int]]) -> None:
    texts = same(values.texts_at, *lying)
    assert texts is None or same(values.put_texts, *lying, texts) is not None


@many
@given(bodies(), st.lists(DATA, max_size=5))
def test_put_texts(lying: tuple[bytes, list[int]], texts: list[bytes]) -> None:
    same(values.put_texts, *lying, texts)


@many
@given(
    bodies(),
    st.lists(HEADS, max_size=5),
    st.lists(DATA.map(bytes(16).__add__) | st.binary(max_size=17), max_size=5),
    st.integers(-1, 1),
)
def test_put_tokens(
    lying: tuple[bytes, list[int]], heads: list[bytes], sealed: list[bytes], more: int
) -> None:
    count = len(lying[1]) // 2
    heads, sealed = (heads * 5)[:count], (sealed * 5)[:count]
    ivs = bytes(range(256))[: max(0, 12 * len(sealed) + more)]
    body = same(values.put_tokens, *lying, heads, ivs, sealed)
    if isinstance(body, bytes) and count:
        first = tokens.token_text(heads[0], ivs[:12], sealed[0])
        assert b'"%b"' % first in body
