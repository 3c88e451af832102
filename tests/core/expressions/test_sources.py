from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.errors import InvalidExpression
from proxy.core.expressions.selectors import parse_json_selector
from proxy.core.expressions.sources import (
    FirstSource,
    JsonSource,
    ListSource,
    MembersSource,
    NameSource,
    Source,
    json_sources,
    name_sources,
    parse_source,
)

BODY = parse_source("$.a")
PATH = parse_source("path:id")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("path:id", NameSource("path", "id")),
        ("query:Tenant", NameSource("query", "Tenant")),
        ("header:X-Tenant", NameSource("header", "x-tenant")),
        ("jwt:org", NameSource("jwt", "org")),
        ("const:clinic", NameSource("const", "clinic")),
        ("const:a:b c", NameSource("const", "a:b c")),
    ],
)
def test_a_source_outside_bodies_is_read(text: str, expected: Source) -> None:
    assert expected == parse_source(text)


@pytest.mark.parametrize(
    ("text", "selector", "member_name"), [("$.a.b", "$.a.b", False), ("$.a.*~", "$.a.*", True)]
)
def test_a_source_inside_bodies_is_read(text: str, selector: str, member_name: bool) -> None:  # noqa: FBT001 - a table
    source = parse_source(text)
    assert isinstance(source, JsonSource)
    assert (parse_json_selector(selector), member_name) == (source.selector, source.member_name)


@pytest.mark.parametrize(
    ("text", "complaint", "hint"),
    [
        ("clinic", "is not a source", "did you mean `const:clinic`?"),
        ("", "is not a source", ""),
        ("a b", "is not a source", ""),
        ("cookie:a", "is not a source", ""),
        ("path:", "lacks a name", "for example `path:room`"),
        ("const:", "lacks a name", "for example `const:room`"),
        ("$a", "is not a selector", "for example `$.content` or `$.messages[*].content`"),
    ],
)
def test_what_is_no_source_is_refused_with_a_hint(text: str, complaint: str, hint: str) -> None:
    with pytest.raises(InvalidExpression, match=re.escape(complaint)) as caught:
        parse_source(text)
    assert hint == caught.value.hint


@given(
    st.text() | st.sampled_from(["$", "path:", "jwt:"]).flatmap(lambda p: st.text().map(p.__add__))
)
def test_any_text_is_a_source_or_refused(text: str) -> None:
    try:
        parse_source(text)
    except InvalidExpression as error:
        assert error.message  # noqa: PT017 - either outcome is lawful


@pytest.mark.parametrize("kind", [ListSource, MembersSource, FirstSource])
def test_parts_of_a_source_are_told_by_where_they_are_read(
    kind: type[ListSource | MembersSource | FirstSource],
) -> None:
    source = kind((PATH, ListSource((BODY, PATH)), BODY))
    assert list(json_sources(source)) == [BODY, BODY]
    assert list(name_sources(source)) == [PATH, PATH]


def test_no_source_has_no_parts() -> None:
    assert [*json_sources(None), *name_sources(None), *json_sources(PATH)] == []
    assert list(name_sources(BODY)) == []
