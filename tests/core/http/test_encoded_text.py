"""Encoded words and extended values: one text, or refused."""

from __future__ import annotations

import base64
import contextlib
import email.header
import time
from urllib.parse import quote

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from proxy.core.errors import InvalidBody
from proxy.core.http.encoded_text import as_extended, decoded, extended

# RFC 2047 section 2 and 8 (its bare parts), and what clients send.
WORDS = {
    b"=?iso-8859-1?q?this=20is=20some=20text?=": "this is some text",
    b"=?ISO-8859-1?Q?Keld_J=F8rn_Simonsen?= <k@d.dk>": "Keld J\u00f8rn Simonsen <k@d.dk>",
    b"=?ISO-8859-1?Q?Andr=E9?= Pirard": "Andr\u00e9 Pirard",
    b"=?ISO-8859-1?B?SWYgeW91IGNhbiByZWFkIHRoaXMgeW8=?=": "If you can read this yo",
    b"=?US-ASCII?Q?Keith_Moore?= <moore@cs.utk.edu>": "Keith Moore <moore@cs.utk.edu>",
    b"=?ISO-8859-1?Q?a?=": "a",
    b"=?ISO-8859-1?Q?a?= b": "a b",
    b"=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?=": "ab",
    b"=?ISO-8859-1?Q?a?= \t  =?ISO-8859-1?Q?b?=": "ab",
    b"=?ISO-8859-1?Q?a_b?=": "a b",
    b"=?ISO-8859-1?Q?a?= =?ISO-8859-2?Q?_b?=": None,
    b"=?ISO-8859-1?Q?=E9?= =?utf-8?q?=c3=A9?= =?us-ascii?b?ZQ==?=": "\u00e9\u00e9e",
    b"x  =?utf-8?q?a?=\t=?utf-8?q?b?=  y": "x  ab  y",
    b"=?UTF-8?B?8J+Ygg==?=": "\U0001f602",
    b"=?UTF-8?Q?50%_=3D?=": "50% =",
    "\u00e9 =?utf-8?q?a?=".encode(): "\u00e9 a",
}
REFUSED = [
    b"=?utf-8?q??=",
    b"=?utf-8?q?a b?=",
    b"=?utf-8?q?a=?=",
    b"=?utf-8?q?a=4?=",
    b"=?utf-8?q?=ff?=",
    b"=?utf-8?q?=c3?= =?utf-8?q?=a9?=",
    b"=?utf-8?q?=0a?=",
    b"=?iso-8859-1?q?=80?=",
    b"=?us-ascii?q?=e9?=",
    b"=?utf-8?b?ZQ?=",
    b"=?utf-8?b?ZQ=?=",
    b"=?utf-8?b?ZR==?=",
    b"=?utf-8?b?Z!==?=",
    b"=?utf-8?b?ZQ==ZQ==?=",
    b"=?utf-8?x?a?=",
    b"=?utf-7?q?+AOk-?=",
    b"=?windows-1252?q?a?=",
    b"=?utf-8*en?q?a?=",
    b"=??q?a?=",
    b'"=?utf-8?q?a?="',
    b"(=?utf-8?q?a?=)",
    b"a=?utf-8?q?a?=",
    b"=?utf-8?q?a?==?utf-8?q?b?=",
    b"=?utf-8?q?=3D=3Futf-8=3Fq=3Fa=3F=3D?=",
    b"=?utf-8?q?a?= =?utf-8?q?b",
]
PLAIN = [b"", b"a", b"=?", b"?=", b"=?utf-8?q?a", b"a = ?b", b"=?a?=", "\u00e9".encode(), b"it's"]
# RFC 8187 section 3.2.3, and what clients send.
EXTENDED = {
    b"iso-8859-1'en'%A3%20rates": "\u00a3 rates",
    b"UTF-8''%c2%a3%20and%20%e2%82%ac%20rates": "\u00a3 and \u20ac rates",
    b"utf-8'en-GB'a": "a",
    b"UTF-8''": "",
}
NOT_EXTENDED = [
    b"UTF-8''%zz",
    b"UTF-8''%ff",
    b"UTF-8''%0A",
    b"UTF-8''a/b",
    b"UTF-8'en'a%",
    b"iso-8859-1''%85",
]


@pytest.mark.parametrize(("value", "text"), WORDS.items())
def test_encoded_words(value: bytes, text: str | None) -> None:
    if text is None:
        with pytest.raises(InvalidBody):
            decoded(value)
    else:
        assert decoded(value).decode() == text


@pytest.mark.parametrize("value", [*REFUSED, *NOT_EXTENDED])
def test_what_has_more_than_one_reading_is_refused(value: bytes) -> None:
    with pytest.raises(InvalidBody):
        decoded(value)


@pytest.mark.parametrize("value", [*PLAIN, b"UTF-8'' is a name", b"windows-1252''a"])
def test_what_is_not_encoded_is_its_own_text(value: bytes) -> None:
    assert decoded(value) == value


@pytest.mark.parametrize(("value", "text"), EXTENDED.items())
def test_extended_values(value: bytes, text: str) -> None:
    assert extended(value).decode() == decoded(value).decode() == text


@pytest.mark.parametrize("value", [*NOT_EXTENDED, b"a", b"windows-1252''a", b"UTF-8'a"])
def test_what_is_no_extended_value_is_refused(value: bytes) -> None:
    with pytest.raises(InvalidBody):
        extended(value)


texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1, max_size=30)


def encoded(text: str, encoding: str, charset: str) -> bytes:
    data = text.encode(charset)
    if encoding in "bB":
        word = base64.b64encode(data)
    else:
        word = b"".join(b"_" if one == 32 else b"=%02X" % one for one in data)
    return b"=?%b?%b?%b?=" % (charset.encode(), encoding.encode(), word)


@given(texts, st.sampled_from("bBqQ"), st.sampled_from(["utf-8", "UTF-8", "iso-8859-1"]))
def test_a_text_comes_back_from_its_word(text: str, encoding: str, charset: str) -> None:
    assume("=?" not in text)
    assume(charset != "iso-8859-1" or all(ord(one) < 256 for one in text))
    assert decoded(encoded(text, encoding, charset)).decode() == text


@given(texts)
def test_a_text_comes_back_from_the_words_of_the_standard_library(text: str) -> None:
    assume("=?" not in text and text.isprintable())
    value = email.header.Header(text, "utf-8").encode(linesep="", maxlinelen=40).encode()
    assert decoded(value).decode() == text


@given(texts)
def test_a_text_comes_back_from_its_extended_value(text: str) -> None:
    assert extended(as_extended(text)).decode() == text
    assert extended(b"utf-8''" + quote(text, safe="").encode()).decode() == text


pieces = st.lists(
    st.sampled_from([b"=?", b"?=", b"utf-8", b"iso-8859-1", b"?q?", b"?b?", b"?", b"=", b" ", b"a"])
    | st.sampled_from([b"=?utf-8?q?=c3=a9?=", b"=?utf-8?b?w6k=?=", b"=C3", b"YQ==", b"_", b"b\t"]),
    max_size=8,
).map(b"".join)


@given(pieces)
def test_what_is_accepted_reads_as_the_standard_library_reads_it(value: bytes) -> None:
    try:
        text = decoded(value).decode()
    except InvalidBody:
        return
    if text.encode() == value:
        return
    read = email.header.decode_header(value.decode())
    theirs = str(email.header.make_header(read))
    assert "".join(theirs.split()) == "".join(text.split())


@pytest.mark.timing
@pytest.mark.parametrize("piece", [b"=?", b"=?a?", b"=?utf-8?q?a?= ", b" ", b"?=", b"=?utf-8?q?"])
def test_a_long_value_takes_no_time(piece: bytes) -> None:
    value = piece * (16 * 1024 // len(piece))
    start = time.process_time()
    with contextlib.suppress(InvalidBody):
        decoded(value)
    assert time.process_time() - start < 1
