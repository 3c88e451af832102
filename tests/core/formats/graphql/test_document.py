"""Documents of GraphQL are read as the specification says, or refused."""

from __future__ import annotations

import pytest

from proxy.core.errors import BodyTooLarge, ForbiddenValue, InvalidBody, MessageError
from proxy.core.formats.graphql.arguments import arguments_of
from proxy.core.formats.graphql.document import (
    Field,
    ListValue,
    Literal,
    ObjectValue,
    Spread,
    Variable,
    read,
)
from proxy.core.policy import (
    DOCUMENT_CHARS,
    DOCUMENT_DEPTH,
    DOCUMENT_FIELDS,
    DOCUMENT_LEVELS,
    DOCUMENT_TOKENS,
)

NOTE = 'mutation A($n: String!) { send(note: $n, tags: ["a", B, 1, -2.5e3, true, null, {x: $n}]) }'


def test_a_document_is_read_as_it_says() -> None:
    document = read(NOTE)

    (send,) = document.selections
    assert isinstance(send, Field)
    assert (document.type, document.name, document.variables) == ("mutation", "A", {"n": None})
    (note, given), (tags, values) = send.arguments
    assert (note, given, tags) == ("note", Variable("n"), "tags")
    assert isinstance(values, ListValue)
    *literals, last = values.values
    assert last == ObjectValue((("x", Variable("n")),))
    assert [one.text for one in literals if isinstance(one, Literal)] == [
        *('"a"', '"B"', "1", "-2.5e3", "true", "null")
    ]
    assert [one.is_string for one in literals if isinstance(one, Literal)] == [
        *(True, False, False, False, False, False)
    ]


def test_a_literal_knows_where_it_is() -> None:
    text = 'query { find(text: "é" # a comment ) }\n, by: NAME) }'
    (field,) = read(text).selections

    assert isinstance(field, Field)
    for (_, one), spelled in zip(field.arguments, ('"é"', "NAME"), strict=True):
        assert isinstance(one, Literal)
        assert text[one.start : one.end] == spelled


def test_fragments_aliases_types_and_conditions_are_read() -> None:
    document = read(
        "query Q($a: [[Int!]!]! = [1], $on: Boolean) @include(if: $on) {"
        " other: one @skip(if: false) { ...F ... on T @include(if: $on) { two } ... { three } }"
        "} fragment F on T { four(x: $a) }"
    )

    (field,) = document.selections
    assert isinstance(field, Field)
    assert (field.name, field.alias) == ("one", "other")
    first, *others = field.selections
    assert first == Spread("F")
    assert [one.name for one in others if isinstance(one, Field)] == ["two", "three"]
    assert document.conditions == {"on"}
    assert arguments_of(document).renamed == {"one", "other"}


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "{",
            "{}",
            "{a",
            "query",
            "query {}",
            "{a}}",
            "a",
            "{a(b: )}",
            "{a(b:",
            "{a()}",
            "{a(b 1)}",
        ),
        *("query () {a}", "query ($a) {a}", "query ($a: [Int) {a}", "query (a: Int) {a}"),
        *("query ($a: Int = $b) {a}", "{a(b: 01)}", "{a(b: 1.)}", "{a(b: 1x)}", "{a(b: .5)}"),
        *('{a(b: "x)}', '{a(b: "\\x")}', '{a(b: "\\u{41}")}', '{a(b: "x\ny")}', "{a(b: $)}"),
        *("{...}", "{a @skip}", '{a @skip(if: "x")}', "{a @include(if: 1)}", "type A {b: C}"),
        *("{a} fragment on on T {b}", "{a} fragment F {b}", "{a} fragment F on T", "{a: }"),
        *("extend type A {b: C}", '"text" query {a}', "{a(b: {c: 1)}", "{a(b: [1)}", "{a & b}"),
        *("query A query B {a}", "{a(b: 1, b: 2)}", "{a(b: {c: 1, c: 2})}", "{a!}"),
        "query ($a: Int, $a: Int) {b(c: $a)}",
        "{...F} fragment F on T {a} fragment F on T {b}",
    ],
)
def test_what_is_no_document_is_refused(text: str) -> None:
    with pytest.raises((InvalidBody, ForbiddenValue)):
        read(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{a(b: """x""")}', "block-string"),
        ('{a(b: "\\ud800")}', "lone-surrogate"),
        ("{a} {b}", "several-operations"),
        ("query A {a} query B {b}", "several-operations"),
        ("fragment F on T {a}", "several-operations"),
        ("{a @log(text: $x)}", "directive"),
        ("{a @skip(if: true, unless: false)}", "directive"),
        ("\ufeff{a}", "document-characters"),
        ("# x\r mutation {a}", "document-characters"),
        ("# x\u2028 mutation {a}", "document-characters"),
        ('{a(b: "\x85")}', "document-characters"),
        ("{a}\0", "document-characters"),
    ],
)
def test_what_servers_may_read_in_two_ways_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ForbiddenValue) as refused:
        read(text)

    assert refused.value.reason == reason


@pytest.mark.parametrize(
    "text",
    [
        "{a(b: " + "[" * (DOCUMENT_DEPTH + 1) + "]" * (DOCUMENT_DEPTH + 1) + ")}",
        "{a" * (DOCUMENT_DEPTH + 1) + "}" * (DOCUMENT_DEPTH + 1),
        "{" + "a " * DOCUMENT_TOKENS + "}",
        "query ($a: " + "[" * 100_000,
        "{a} # " + "x" * DOCUMENT_CHARS,
    ],
)
def test_long_and_deep_documents_are_refused(text: str) -> None:
    with pytest.raises(BodyTooLarge):
        read(text)


@pytest.mark.parametrize(
    ("text", "error", "reason"),
    [
        ("{a(b: $x)}", InvalidBody, "variable-undeclared"),
        ("{a @skip(if: $x)}", InvalidBody, "variable-undeclared"),
        ("query ($x: Int) {a}", ForbiddenValue, "variable-unused"),
        ("{...F}", InvalidBody, "fragment-missing"),
        ("{...F} fragment F on T {...F}", InvalidBody, "fragment-missing"),
        ("{...F} fragment F on T {...G} fragment G on T {...F}", InvalidBody, "fragment-missing"),
        ("{a} fragment F on T {b}", ForbiddenValue, "fragment-unused"),
    ],
)
def test_variables_and_fragments_are_there_and_used(
    text: str, error: type[MessageError], reason: str
) -> None:
    with pytest.raises(error) as refused:
        arguments_of(read(text))

    assert refused.value.reason == reason


def test_fragments_cannot_multiply() -> None:
    doubling = "".join(f"fragment F{at} on T {{...F{at + 1} ...F{at + 1}}} " for at in range(40))

    with pytest.raises(BodyTooLarge):
        arguments_of(read("{...F0} " + doubling + "fragment F40 on T {a}"))


def test_fragments_cannot_nest_without_end() -> None:
    count = DOCUMENT_LEVELS + 1
    chain = "".join(f"fragment F{at} on T {{...F{at + 1}}} " for at in range(count))

    with pytest.raises(BodyTooLarge):
        arguments_of(read("{...F0} " + chain + f"fragment F{count} on T {{a}}"))
    assert count < DOCUMENT_FIELDS


def test_arguments_below_are_those_of_their_field() -> None:
    tree = arguments_of(
        read("{me {name friends(first: 1) {name}} ...F} fragment F on Query {all {id} __typename}")
    )

    (me, of_me), (everyone, nothing), _ = tree.fields
    assert (me, everyone, nothing) == ("me", "all", ((), ()))
    assert [name for name, _ in of_me.fields] == ["friends"]
