from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.http.header_names import names_of
from proxy.core.http.message import (
    MediaType,
    RequestHead,
    ResponseHead,
    SocketHead,
    header_values,
    parse_media_type,
)


@pytest.mark.parametrize(
    ("value", "essence", "text", "charset"),
    [
        (b"application/json", "application/json", "application/json", None),
        (b" Application/JSON\t", "application/json", "application/json", None),
        (b"text/plain;charset=UTF-8", "text/plain", "text/plain; charset=UTF-8", "utf-8"),
        (b'text/plain ; Charset="Utf-8"', "text/plain", "text/plain; charset=Utf-8", "utf-8"),
        (b'a/b; c="d e"; f=g', "a/b", 'a/b; c="d e"; f=g', None),
        (b'a/b; c="d\\"e"', "a/b", 'a/b; c="d\\"e"', None),
        (b'a/b; c=""', "a/b", 'a/b; c=""', None),
        (b"a/b;", "a/b", "a/b", None),
        (b"a/b; ", "a/b", "a/b", None),
    ],
)
def test_a_media_type_is_read(value: bytes, essence: str, text: str, charset: str | None) -> None:
    assert MediaType(essence, text, charset) == parse_media_type(value)


@pytest.mark.parametrize(
    "value",
    [
        *(b"", b"json", b"a/", b"/b", b"a/b c", b"a/b; c", b"a/b; c=", b"a/b; =d", b"a/b; c=d e"),
        *(b"a/b, c/d", b"a/b; c=\xff", b'a/b; c="', b"a/b;;c=d", b"a/b; charset=a; charset=b"),
        *(b"a/b; charset*=utf-8''utf-7", b"a/b; Charset*0=utf; charset*1=-7"),
    ],
)
def test_what_is_no_media_type_is_told(value: bytes) -> None:
    assert parse_media_type(value) is None


@pytest.mark.parametrize(
    ("value", "is_json"),
    [
        (b"application/json", True),
        (b"application/fhir+json; charset=utf-8", True),
        (b"text/json", False),
        (b"application/json5", False),
        (b"application/jsonl", False),
        (b"application/json+xml", False),
    ],
)
def test_json_is_json_or_has_its_suffix(value: bytes, is_json: bool) -> None:  # noqa: FBT001 - a table
    media = parse_media_type(value)
    assert media is not None
    assert is_json == media.is_json


@pytest.mark.parametrize(
    ("charset", "is_utf8"),
    [
        (b"", True),
        (b"; charset=utf-8", True),
        (b"; charset=UTF8", True),
        (b'; charset="UTF-8"', True),
        (b"; charset=us-ascii", True),
        (b"; charset=utf-7", False),
        (b"; charset=utf-16", False),
        (b"; charset=latin1", False),
    ],
)
def test_only_utf_8_is_utf_8(charset: bytes, is_utf8: bool) -> None:  # noqa: FBT001 - a table
    media = parse_media_type(b"application/json" + charset)
    assert media is not None
    assert is_utf8 == media.is_utf8


def test_a_header_is_found_in_any_case_and_in_order() -> None:
    headers = ((b"X-A", b"1"), (b"x-b", b"2"), (b"x-a", b"3"))
    assert header_values(headers, b"x-a") == [b"1", b"3"]
    assert header_values(headers, b"x-c") == []


@given(st.binary() | st.text('ab/;= "\\c', max_size=20).map(str.encode))
def test_any_bytes_are_a_media_type_or_none(value: bytes) -> None:
    media = parse_media_type(value)
    if media is not None:
        again = parse_media_type(media.text.encode())
        assert media == again


def test_names_that_the_reader_has_read_are_not_read_again() -> None:
    headers, names = ((b"Content-Type", b"a/b"),), names_of(b":content-type")
    for head in (
        RequestHead("GET", "/", None, headers, names),
        ResponseHead(200, b"", headers, names),
    ):
        assert head.names is names
        assert head.facts[b"content-type"] == [b"a/b"]
    assert SocketHead("request").names.lows == ()


def test_messages_that_say_the_same_share_what_rules_read() -> None:
    said = (b"Content-Type", b"application/json"), (b"Cache-Control", b"no-store")
    one, other = (ResponseHead(200, b"", (*said, (b"Date", date))) for date in (b"1", b"2"))
    assert one.facts is other.facts
    assert one.facts == {b"content-type": [said[0][1]], b"cache-control": [said[1][1]]}
    digest = (b"Content-MD5", b"x")
    one, other = (ResponseHead(200, b"", (*said, digest)) for _ in range(2))
    assert one.facts == other.facts
    assert one.facts is not other.facts  # a digest comes once
    assert not one.facts.plain_json


def test_only_a_lone_type_says_what_a_body_is() -> None:
    typed = (b"Content-Type", b"text/plain")
    for headers, lone in (
        ((), None),
        ((typed,), b"text/plain"),
        ((typed, typed), None),
        ((typed, (b"Content-Encoding", b"gzip")), None),
    ):
        assert ResponseHead(200, b"", headers).facts.lone_type == lone
