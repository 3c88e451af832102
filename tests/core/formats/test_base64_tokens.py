"""`decrypt: tokens` finds tokens in base64 form, however their characters are escaped."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable
from dataclasses import replace
from urllib.parse import quote_plus

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.core.crypto.token import BASE64_PREFIX
from proxy.core.errors import InvalidBody
from proxy.core.formats import embedded_tokens, token_places
from tests.core.formats.test_embedded_tokens import (
    CONTEXT,
    RULE,
    SESSION,
    opened,
    sealed,
    unwrapped,
    wrapped,
)
from tests.factories import a_block, a_response, a_rule, an_item, replied


def in_base64(content: bytes) -> str:
    return SESSION.seal(content, CONTEXT, form="base64").decode()


def plain(text: str) -> str:
    return json.dumps(text)


def as_php_does(text: str) -> str:
    return json.dumps(text).replace("/", "\\/")


def as_dotnet_does(text: str) -> str:
    return json.dumps(text).replace("+", "\\u002B")


def as_gson_does(text: str) -> str:
    return json.dumps(text).replace("=", "\\u003d")


def as_nobody_does(text: str) -> str:
    escaped = json.dumps(text).replace("+", "\\u002b")
    return escaped.replace("/", "\\u002F").replace("=", "\\u003D")


SPELLINGS = (plain, as_php_does, as_dotnet_does, as_gson_does, as_nobody_does)
Spelling = Callable[[str], str]
contents = st.binary(max_size=60)


@given(contents, st.integers(1, 4), st.sampled_from(SPELLINGS), st.sampled_from(SPELLINGS))
@example(b"\xff\xfe\xfd" * 9, 3, as_nobody_does, as_php_does)
def test_they_open_in_strings_at_any_depth_however_they_are_escaped(
    content: bytes, depth: int, outer: Spelling, inner: Spelling
) -> None:
    text = in_base64(content)
    for _ in range(depth - 1):
        text = '{"in":[' + inner(text) + "]}"
    body = '{"a":' + outer(text) + ', "b":1.10}'

    answer = json.loads(replied(RULE, body))

    assert unwrapped(answer["a"], depth) == b64encode(content).decode()
    assert answer["b"] == 1.1


@given(contents, st.sampled_from(SPELLINGS))
def test_they_open_within_other_text(content: bytes, spelling: Spelling) -> None:
    around = "scan (data:image/png;base64,{}) and {}, {}."
    text = around.format(in_base64(content), in_base64(b"x" + content), sealed("a"))

    answer = json.loads(replied(RULE, '{"a":' + spelling(text) + "}"))

    expected = around.format(b64encode(content).decode(), b64encode(b"x" + content).decode(), "a")
    assert answer["a"] == expected


def test_one_that_is_all_of_a_value_keeps_the_bytes_beside_it() -> None:
    body = '{ "a" : "%s" , "b":"\\/" }'

    assert replied(RULE, body % in_base64(b"scan")) == (body % "c2Nhbg==").encode()


@pytest.mark.parametrize("cut", [1, 4, 24, 100])
def test_one_that_is_cut_stays_as_it_is(cut: int) -> None:
    document = {"a": in_base64(b"a scan")[:-cut] + "...", "b": sealed("b")}

    assert opened(document) == {**document, "b": "b"}


def test_a_backslash_that_is_read_as_one_is_no_escape() -> None:
    text = next(one for one in (in_base64(bytes(40)) for _ in range(99)) if "/" in one)
    at = text.index("/")
    spelled = f"{text[:at]}\\{text[at:]}"

    assert opened({"a": spelled, "b": sealed("b")}) == {"a": spelled, "b": "b"}


def test_what_only_begins_so_stays_and_leaves_the_others_alone() -> None:
    like = BASE64_PREFIX.decode()
    document = {"a": like, "b": f"{like}AAAA{sealed('b')}", "c": f"{like}== {in_base64(b'c')}"}

    answer = opened(document)

    assert answer["a"] == like
    assert answer["c"] == f"{like}== Yw=="


def test_names_of_members_are_searched_as_well() -> None:
    assert opened({in_base64(b"k"): in_base64(b"v")}) == {"aw==": "dg=="}


def test_more_than_the_limit_are_refused() -> None:
    body = json.dumps([in_base64(b"a")] * 3).encode()
    with pytest.raises(InvalidBody):
        embedded_tokens.find(body, 2)


def test_they_open_in_a_form_and_in_a_text() -> None:
    form = a_response(headers=((b"Content-Type", b"application/x-www-form-urlencoded"),))
    body = "a=1&data=" + quote_plus(in_base64(b"\xff\xfe\xfd scan"))
    assert replied(RULE, body, form) == b"a=1&data=%2F%2F79IHNjYW4%3D"

    lines = a_response(headers=((b"Content-Type", b"text/plain"),))
    block = replace(a_block(decrypt=[an_item("tokens", bind=["tenant"])]), format="text")
    rule = a_rule(response=block, names=RULE.names)
    assert replied(rule, f"scan: {in_base64(b'scan')}\n", lines) == b"scan: c2Nhbg==\n"


def test_a_text_within_a_text_that_is_no_strict_json_is_searched_as_text() -> None:
    document = {"a": "[1,] " + in_base64(b"scan"), "b": wrapped("x", 3)}

    assert opened(document) == {"a": "[1,] c2Nhbg==", "b": document["b"]}


@pytest.mark.parametrize(
    ("spelled", "read"),
    [
        (rb"ab", b"ab"),
        (rb"a\/b\\\/", b"a/b/"),
        (rb"\u002b\\u002B", b"++"),
        (rb"\u003d\\\\u003D", b"=="),
        (rb"\u002f", b"/"),
    ],
)
def test_escapes_are_read_at_whatever_depth(spelled: bytes, read: bytes) -> None:
    assert token_places.without_escapes(spelled) == read
