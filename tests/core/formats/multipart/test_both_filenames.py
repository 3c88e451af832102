"""A filename that a client gives twice, as `filename` and `filename*`, is sealed in both."""

from __future__ import annotations

import email
import email.charset
import email.header
import re
from dataclasses import replace
from urllib.parse import quote, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.crypto.token import JWE_PREFIX
from proxy.core.errors import InvalidBody, OpenFailed
from tests.core.formats.multipart.test_reader import (
    ALL,
    NAMES,
    OPEN,
    SEAL,
    TOKENS,
    a_body,
    a_part,
    a_token,
    through,
)
from tests.factories import a_block, a_rule, an_item

NAMED = a_rule(request=a_block(decrypt=[ALL[2]]), names=NAMES)  # opens names alone
CARD = a_part("card", b"1")


def a_file(name: str, whole: str, mark: str = '"') -> bytes:
    """Return a part with both spellings of its filename."""
    part = a_part("file", b"content", filename=None)
    added = f"; filename={mark}{name}{mark}; filename*=utf-8''{whole}\r\n"
    return part.replace(b'name="file"\r\n', b'name="file"' + added.encode(), 1)


def names_of(body: bytes) -> tuple[str, str]:
    """Return both spellings in a body."""
    match = re.search(rb"filename=(\"[^\"]*\"|[^;]*); filename\*=UTF-8''([^\r]*)\r\n", body)
    assert match is not None, body
    return match[1].strip(b'"').decode(), match[2].decode()


def as_dot_net(name: str) -> str:
    """Return a name as HttpClient of .NET has it in `filename`: as an encoded word."""
    if name.isascii():
        return name
    words = email.charset.Charset("utf-8")
    words.header_encoding = email.charset.BASE64
    return email.header.Header(name, words, maxlinelen=2000).encode(linesep="")


def sealed(name: str, whole: str, mark: str = '"') -> bytes:
    came = through(SEAL, a_body(CARD, a_file(name, whole, mark)))
    first, second = names_of(came)
    assert first == second
    assert first.encode().startswith(JWE_PREFIX)
    return came


texts = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Zl", "Zp"], exclude_characters='\\"'),
    min_size=1,
    max_size=40,
).filter(
    lambda text: (
        "=?" not in text
        and not re.search(r"name[0-9*]*\s*=", text, re.IGNORECASE)
        and not re.fullmatch(r"(?i:utf-8|iso-8859-1)'.*", text)
        and text.strip() == text
        and text.isprintable()
    )
)


@given(texts, st.booleans())
def test_a_name_comes_back_in_both_places(name: str, dot_net: bool) -> None:  # noqa: FBT001 - drawn
    came = sealed(as_dot_net(name) if dot_net else name, quote(name, safe=""))

    unbound = a_block(encrypt=[an_item("filename:file", bind=["tenant", "conversation"])])
    in_any_field = through(
        a_rule(request=unbound, names=NAMES), a_body(a_file(name, quote(name, safe="")))
    )
    for rule, body in ((OPEN, came), (TOKENS, in_any_field)):
        opened = through(rule, body)
        first, second = names_of(opened)
        assert (first, unquote(second)) == (name, name)
        # The standard library reads it as one name.
        head = re.search(rb"Content-Disposition: form-data; name=\"file\"[^\r]*", opened)
        assert head is not None
        assert (
            email.message_from_bytes(head[0] + b"\r\n\r\n").get_content_disposition() == "form-data"
        )


def test_a_name_is_readable_in_neither_place() -> None:
    for came in (sealed("CANARY", "CANARY"), sealed(as_dot_net("CANARY é"), "CANARY%20%C3%A9")):
        assert b"CANARY" not in came
        assert b"=?" not in came


def test_a_quote_comes_back_as_browsers_spell_it() -> None:
    came = sealed("a%22b.txt", "a%22b.txt")

    assert names_of(through(OPEN, came)) == ("a%22b.txt", "a%22b.txt")


def test_a_name_without_quotes_gets_them_where_it_needs_them() -> None:
    came = sealed("a", "a", "")
    assert b"filename=eyJ" in came
    assert names_of(through(OPEN, came)) == ("a", "a")
    token = a_token(b"a b", "file name").decode()
    assert b"filename=\"a b\"; filename*=UTF-8''a%20b\r\n" in through(
        NAMED, a_body(a_file(token, token, ""))
    )


@pytest.mark.parametrize(
    ("name", "whole"),
    [
        ("a.txt", "b.txt"),
        ("r_sum_.pdf", "r%C3%A9sum%C3%A9.pdf"),
        ("=?utf-8?q?=ff?=", "a"),
        ("a", "%ff"),
        ("a", "%0A"),
        ("a", ""),
    ],
)
def test_two_names_are_refused(name: str, whole: str) -> None:
    for rule in (SEAL, OPEN):
        with pytest.raises(InvalidBody):
            through(rule, a_body(a_part("card", a_token(b"1")), a_file(name, whole)))


@pytest.mark.parametrize("text", [b"\xff", b"a\\b"])
def test_what_is_no_filename_does_not_open(text: bytes) -> None:
    token = a_token(text, "file name").decode()

    with pytest.raises(OpenFailed):
        through(NAMED, a_body(a_file(token, token)))
    unbound = a_token(text, None).decode()
    body = a_body(a_file("a", unbound))
    assert (text == b"\xff") == (through(TOKENS, body) == body)


def test_a_name_that_is_sealed_already_may_stay() -> None:
    token = a_token(b"a", "file name").decode()
    block = replace(a_block(encrypt=[ALL[2]]), already_sealed="keep")
    keeps = a_rule(request=block, names=NAMES)
    body = a_body(a_file(token, token))

    assert through(keeps, body) == body
