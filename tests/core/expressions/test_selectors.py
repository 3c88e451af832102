from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.errors import InvalidExpression
from proxy.core.expressions.selectors import (
    Any,
    JsonSelector,
    NamedSelector,
    Step,
    Whole,
    parse_json_selector,
    parse_selector,
)

MEMBER = Any.MEMBER


KNOWN = "one of: $.path, body, text, tokens, form:, part:, filename:, query:, header:"


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("$", ()),
        ("$.a", (Step("a"),)),
        ("$.a.b_1", (Step("a"), Step("b_1"))),
        ("$['a']", (Step("a"),)),
        ('$["a b"]', (Step("a b"),)),
        ("$[ 'a' ]", (Step("a"),)),
        ("$['it\\'s']", (Step("it's"),)),
        ("$['a\\\\b']", (Step("a\\b"),)),
        ("$['']", (Step(""),)),
        ("$[0]", (Step(0),)),
        ("$[ 12 ]", (Step(12),)),
        ("$.*", (Step(MEMBER),)),
        ("$[*]", (Step(MEMBER),)),
        ("$..a", (Step("a", deep=True),)),
        ("$..*", (Step(MEMBER, deep=True),)),
        ("$..['a']", (Step("a", deep=True),)),
        ("$..[0]", (Step(0, deep=True),)),
        ("$.a..b[*].c", (Step("a"), Step("b", deep=True), Step(MEMBER), Step("c"))),
        ("$.größe", (Step("größe"),)),
        ("$.世界", (Step("世界"),)),
    ],
)
def test_a_json_selector_is_read_as_steps(text: str, steps: tuple[Step, ...]) -> None:
    assert JsonSelector(text, steps) == parse_selector(text)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("$a", "is not a selector"),
        ("$.", "is not a selector"),
        ("$..", "is not a selector"),
        ("$...a", "is not a selector"),
        ("$.a.", "is not a selector"),
        ("$.['a']", "is not a selector"),
        ("$[", "is not a selector"),
        ("$[]", "is not a selector"),
        ("$['a", "is not a selector"),
        ("$['a'", "is not a selector"),
        ("$[01]", "is not a selector"),
        ("$[1.5]", "is not a selector"),
        ("$[1234567890]", "is not a selector"),
        ("$.1a", "is not a selector"),
        ("$ .a", "is not a selector"),
        ("$.a b", "is not a selector"),
        ("$[-1]", "negative indexes"),
        ("$[?(@.a)]", "filters"),
        ("$[0:2]", "slices"),
        ("$[:]", "slices"),
        ("$.the-name", "needs brackets"),
        ("$a-b", "is not a selector"),
        ("$['a','b']", "is not a selector"),
    ],
)
def test_what_is_no_json_selector_is_refused_with_a_reason(text: str, complaint: str) -> None:
    with pytest.raises(InvalidExpression, match=re.escape(complaint)):
        parse_json_selector(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("body", Whole.BODY),
        ("text", Whole.TEXT),
        ("tokens", Whole.TOKENS),
        ("query:name", NamedSelector("query", "name")),
        ("query:a b", NamedSelector("query", "a b")),
        ("header:X-Name", NamedSelector("header", "x-name")),
    ],
)
def test_other_selectors_name_parts_of_a_message(text: str, expected: object) -> None:
    assert expected == parse_selector(text)


@pytest.mark.parametrize(
    ("text", "complaint", "hint"),
    [
        ("content", "is not a selector", "write `$.content`"),
        ("a.b", "is not a selector", "write `$.a.b`"),
        ("Body", "is not a selector", "write `$.Body`"),
        ("", "is not a selector", KNOWN),
        ("a b", "is not a selector", KNOWN),
        ("cookie:a", "is not a selector", KNOWN),
        ("query:", "lacks a valid name", "for example `query:note`"),
        ("header:", "lacks a valid name", "for example `header:note`"),
        ("header:a b", "lacks a valid name", "for example `header:note`"),
        ("header:a_b", "lacks a valid name", "for example `header:note`"),
        ("form:", "lacks a valid name", "for example `form:note`"),
        ("form:[]", "lacks a valid name", "for example `form:note`"),
        ("part:", "lacks a valid name", "for example `part:note`"),
        ("filename:[]", "lacks a valid name", "for example `filename:note`"),
    ],
)
def test_what_is_no_selector_is_refused_with_a_hint(text: str, complaint: str, hint: str) -> None:
    with pytest.raises(InvalidExpression, match=re.escape(complaint)) as caught:
        parse_selector(text)
    assert hint == caught.value.hint


@pytest.mark.parametrize(
    ("text", "field"),
    [("$.a.b", "b"), ("$.a[0]", "a"), ("$.a.*", "a"), ("$", None), ("$.*", None), ("$..x", "x")],
)
def test_a_field_is_named_for_the_last_member(text: str, field: str | None) -> None:
    assert field == parse_json_selector(text).field


@given(st.text() | st.text("$.[]'\"*ab0-\\ ?:", max_size=10).map(lambda rest: "$" + rest))
def test_any_text_is_a_selector_or_refused(text: str) -> None:
    try:
        selector = parse_selector(text)
    except InvalidExpression:
        return
    if isinstance(selector, JsonSelector):
        assert text == selector.text


@given(st.lists(st.text(max_size=5) | st.integers(0, 10**9 - 1) | st.just(MEMBER), max_size=5))
def test_every_name_can_be_selected(keys: list[str | int | Any]) -> None:
    def spelled(key: str | int | Any) -> str:
        if isinstance(key, str):
            return "['" + key.replace("\\", "\\\\").replace("'", "\\'") + "']"
        return f"[{key}]" if isinstance(key, int) else "[*]"

    selector = parse_json_selector("$" + "".join(map(spelled, keys)))
    assert keys == [step.key for step in selector.steps]
