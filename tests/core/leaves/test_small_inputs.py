"""Both forms of a leaf return the same for every small input of a kind, not only for some."""

from __future__ import annotations

from itertools import product

import pytest

from proxy.core.leaves import base64url, masks, spans, strings, tokens

native = pytest.importorskip(
    "sealyard_native", reason="the native leaves are not built: `./dev native` builds them"
)

BODY = b'"a"'
PLACES = range(-1, len(BODY) + 2)
TWO_SPANS = [list(one) for one in product(PLACES, repeat=4)]
HEAD = tokens.JWE_PREFIX
SHORT = tokens.token_text(HEAD, bytes(12), bytes(16))
"""The shortest token."""


@pytest.mark.parametrize("texts", [[b"", b""], [b"x", b'"']], ids=["empty", "some"])
def test_two_spans_anywhere(texts: list[bytes]) -> None:
    for places in TWO_SPANS:
        assert native.splice(BODY, places, texts) == spans.splice(BODY, places, texts)


def test_strings_at_any_two_places() -> None:
    body = b'"%s"' % SHORT
    ends = [-1, 0, 1, 2, len(body) - 2, len(body) - 1, len(body), len(body) + 1]
    for places in product(ends, repeat=2):
        for text in (body, body[:-1] + b"x", b"x" + body[1:], b"x" + body + b"x"):
            assert native.tokens_at(text, list(places)) == tokens.tokens_at(text, list(places))


def test_texts_of_any_byte() -> None:
    for byte in range(256):
        for text in (b"%c", b"x%c", b"%cx", b"\xc3%c", b"\\u00%c0", b"\\%c", b"\\ud83d\\u%cc00"):
            one = text % byte
            assert native.quote(one) == strings.quote(one)
            assert native.unquote(b'"%s"' % one) == strings.unquote(b'"%s"' % one)
            assert native.unquote(one) == strings.unquote(one)


def test_escapes_of_every_unit_around_the_surrogates() -> None:
    units = (0, 0x41, 0xFF, 0xD7FF, 0xD800, 0xDBFF, 0xDC00, 0xDFFF, 0xE000, 0xFFFF)
    for first, second in product(units, repeat=2):
        for form in (b'"\\u%04x\\u%04x"', b'"\\u%04X\\u%04X"', b'"\\u%04xx\\u%04x"'):
            literal = form % (first, second)
            assert native.unquote(literal) == strings.unquote(literal)


def test_base64url_of_every_length_and_last_character() -> None:
    for size in range(40):
        data = bytes(range(7, 7 + size * 6, 6))
        assert native.encode(data) == base64url.encode(data)
        text = b"-_Az09" * 7
        for byte in range(256):
            one = text[:size] + bytes((byte,))
            assert native.decode(one) == base64url.decode(one)


def test_masking_of_every_length_and_byte() -> None:
    for size in range(40):
        data = bytes(range(size))
        assert native.masking(data, b"\x01\x80\xff\x10") == masks.masking(data, b"\x01\x80\xff\x10")
    for byte in range(256):
        for mask in (b"%c\x00\x00\x00", b"\x00%c\x00\x00", b"\x00\x00%c\x00", b"\x00\x00\x00%c"):
            assert native.masking(bytes(12), mask % byte) == (mask % byte) * 3


def test_token_texts_of_small_parts() -> None:
    for size in (16, 17, 18, 19, 20, 40):
        for head in (b"", b"e", HEAD):
            sealed = bytes(range(1, size + 1))
            text = native.token_text(head, bytes(range(12)), sealed)
            assert text == tokens.token_text(head, bytes(range(12)), sealed)
    for iv, size in ((11, 16), (13, 16), (12, 15), (12, 0)):
        with pytest.raises(ValueError, match="an IV has 12 bytes and a tag 16"):
            native.token_text(HEAD, bytes(iv), bytes(size))


def test_tokens_cut_or_changed_anywhere() -> None:
    longer = tokens.token_text(HEAD + b"Zm9v", bytes(range(12)), bytes(range(40)))
    for text in (SHORT, longer):
        for at in range(len(text)):
            for new in (b"", b".", b"A", b"=", b"..", text[at : at + 1] * 2):
                one = text[:at] + new + text[at + 1 :]
                assert native.token_parts(one) == tokens.token_parts(one)
                assert native.candidates(one, 0, len(one)) == tokens.candidates(one, 0, len(one))


def test_candidates_of_any_piece() -> None:
    short = tokens.SHORT_PREFIX + b"A" * 48
    text = b".".join((SHORT, short, short[:20], SHORT[:30], HEAD, HEAD + b"..", SHORT + SHORT))
    for at in range(0, len(text) + 2, 3):
        for end in (0, at - 1, at, at + 1, at + 7, len(text) - 1, len(text), len(text) + 9):
            if end >= 0:
                assert native.candidates(text, at, end) == tokens.candidates(text, at, end)


def test_short_candidates_of_every_length() -> None:
    for size in range(70):
        for text in (b"A" * size, b"B" + b"A" * size, b"-" * size + b".", b"A." + b"A" * size):
            one = tokens.SHORT_PREFIX + text
            for body in (one, b"." + one + b" ", one + one, SHORT + one):
                expected = tokens.candidates(body, 0, len(body))
                assert native.candidates(body, 0, len(body)) == expected
