from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.errors import InvalidExpression
from proxy.core.expressions.selectors import parse_json_selector
from proxy.core.expressions.sources import (
    AskSource,
    ComposedSource,
    FirstSource,
    JsonSource,
    ListSource,
    MembersSource,
    NameSource,
    SameSource,
    Source,
    also,
    ask_sources,
    giving,
    json_sources,
    name_sources,
    parse_ask,
    parse_source,
    places_beside,
)

BODY = parse_source("$.a")
PATH = parse_source("path:id")
ROOM = parse_json_selector("$.room")
ASK = parse_ask("GET /notes/{id}", ROOM)
LABEL, VIEW = NameSource("path", "id"), NameSource("query", "view")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("path:id", NameSource("path", "id")),
        ("query:Tenant", NameSource("query", "Tenant")),
        ("header:X-Tenant", NameSource("header", "x-tenant")),
        ("jwt-unverified:org", NameSource("jwt-unverified", "org")),
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
    st.text()
    | st.sampled_from(["$", "path:", "jwt-unverified:"]).flatmap(lambda p: st.text().map(p.__add__))
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


@pytest.mark.parametrize(
    ("text", "path", "query"),
    [
        ("GET /notes", ("/notes",), ("",)),
        ("GET   /notes/{id}", ("/notes/", LABEL, ""), ("",)),
        ("GET /notes/{path:id}/text", ("/notes/", LABEL, "/text"), ("",)),
        ("GET /n?f=room&v={query:view}", ("/n",), ("f=room&v=", VIEW, "")),
        ("GET /{id}?v={query:view}&i={id}", ("/", LABEL, ""), ("v=", VIEW, "&i=", LABEL, "")),
    ],
)
def test_what_is_asked_has_texts_and_names_in_turn(
    text: str, path: tuple[str | NameSource, ...], query: tuple[str | NameSource, ...]
) -> None:
    source = parse_ask(text, ROOM)
    assert (source.text, source.selector) == (text, ROOM)
    assert (source.path, source.query) == (path, query)
    assert source.parts == tuple(one for one in (*path, *query) if isinstance(one, NameSource))


@pytest.mark.parametrize(
    ("text", "complaint", "hint"),
    [
        ("POST /notes", "does not say what to ask", "for example `GET /api/notes/{id}`"),
        ("get /notes", "does not say what to ask", "for example `GET /api/notes/{id}`"),
        ("GET/notes", "does not say what to ask", "for example `GET /api/notes/{id}`"),
        ("GET notes", "does not say what to ask", "for example `GET /api/notes/{id}`"),
        ("GET //host/notes", "does not say what to ask", "for example `GET /api/notes/{id}`"),
        ("GET http://host/", "does not say what to ask", "for example `GET /api/notes/{id}`"),
        ("GET /notes#a", "does not say what to ask", "for example `GET /api/notes/{id}`"),
        ("GET /a b", "does not say what to ask", "for example `GET /api/notes/{id}`"),
        ("GET /a\r\nX: b", "does not say what to ask", "for example `GET /api/notes/{id}`"),
        ("GET /\u00e9", "does not say what to ask", "for example `GET /api/notes/{id}`"),
        ("GET /notes/{", "has a brace alone", ""),
        ("GET /notes/}", "has a brace alone", ""),
        ("GET /notes/{{id}}", "has a brace alone", ""),
        ("GET /notes/{}", "`{}` is no name", "one of: {label}, {query:name}"),
        ("GET /notes/{query:}", "`{query:}` is no name", "one of: {label}, {query:name}"),
        ("GET /notes/{header:x}", "`{header:x}` is no name", "one of: {label}, {query:name}"),
        (
            "GET /notes/{jwt-unverified:sub}",
            "`{jwt-unverified:sub}` is no name",
            "one of: {label}, {query:name}",
        ),
    ],
)
def test_what_cannot_be_asked_is_refused_with_a_hint(text: str, complaint: str, hint: str) -> None:
    with pytest.raises(InvalidExpression, match=re.escape(complaint)) as caught:
        parse_ask(text, ROOM)
    assert hint == caught.value.hint


@given(st.text(st.sampled_from("/a{}:?#& query:path"), max_size=12))
def test_any_text_can_be_asked_as_it_is_written_or_not_at_all(text: str) -> None:
    try:
        source = parse_ask(f"GET {text}", ROOM)
    except InvalidExpression:
        return
    assert text.lstrip(" ").startswith("/")
    assert not text.lstrip(" ").startswith("//")
    texts = [one for one in (*source.path, *source.query) if isinstance(one, str)]
    assert not set("{}# ") & set("".join(texts))
    assert len(source.parts) == text.count("{")


COMPOSED = ComposedSource("Patient/", NameSource("path", "id"), "")
SAME = SameSource(ASK, also=(JsonSource(ROOM), VIEW))


def test_parts_of_what_is_asked_or_composed_are_told_too() -> None:
    beside = SAME.also[0]
    assert (*SAME.parts,) == (ASK, beside, VIEW)
    assert list(json_sources(SAME)) == [beside]
    assert list(name_sources(SAME)) == [LABEL, VIEW]
    assert list(ask_sources(SAME)) == [ASK]
    assert (list(name_sources(ASK)), list(json_sources(ASK))) == ([LABEL], [])
    assert (list(name_sources(COMPOSED)), list(json_sources(COMPOSED))) == ([LABEL], [])
    several = ListSource((PATH, FirstSource((BODY, SAME)), COMPOSED))
    assert list(ask_sources(several)) == [ASK]
    assert list(json_sources(several)) == [BODY, beside]
    assert [*ask_sources(None), *ask_sources(PATH), *ask_sources(BODY)] == []


def test_places_beside_a_source_give_no_name() -> None:
    assert (giving(SAME), places_beside(SAME)) == (ASK, SAME.also)
    for one in (ASK, COMPOSED, PATH, BODY):
        assert (giving(one), places_beside(one)) == (one, ())
    assert giving(None) is None


@pytest.mark.parametrize("source", [LABEL, ASK, COMPOSED])
def test_what_is_outside_of_bodies_has_places_beside_it(
    source: NameSource | AskSource | ComposedSource,
) -> None:
    one = also(source, VIEW)
    assert one == SameSource(source, also=(VIEW,))
    other = NameSource("header", "x")
    assert also(one, other) == SameSource(source, also=(VIEW, other))


def test_what_is_added_to_such_places_loses_nothing() -> None:
    unrelated = parse_json_selector("$.rooms")
    source = SameSource(ASK, SAME.also, (unrelated,))
    assert also(source, LABEL) == SameSource(ASK, (*SAME.also, LABEL), (unrelated,))


@pytest.mark.parametrize(
    "source",
    [
        BODY,
        ComposedSource("a/", JsonSource(ROOM), ""),
        ListSource((PATH, PATH)),
        FirstSource((PATH,)),
    ],
)
def test_what_is_in_bodies_or_several_has_none(source: Source) -> None:
    assert also(source, VIEW) is None
