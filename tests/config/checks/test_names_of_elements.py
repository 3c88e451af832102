"""Tokens that open by names of their elements: something else must bind them, or be given up."""

from __future__ import annotations

import pytest

from tests.config.builders import problems_of, with_rules

ELEMENTS = "response: {decrypt: tokens, conversation: '$.entry.*.subject'%s}"
UNBOUND = "a value that is moved with its names opens"


def told(keys: str, tenant: str = "const:t", match: str = "GET /{org}/notes") -> list[str]:
    lines = "".join(f"        {line}\n" for line in keys.splitlines())
    rule = f"      - name: r\n        match: {match}\n{lines}"
    return problems_of(with_rules(rule, defaults=f"{{tenant: {tenant}}}"))


@pytest.mark.parametrize("tenant", ["const:t", "$.org"])
def test_names_of_the_answer_alone_are_a_mistake(tenant: str) -> None:
    keys = ELEMENTS % ""
    if tenant != "const:t":
        keys = keys.replace("decrypt", f"tenant: {tenant}, decrypt")
    assert any(UNBOUND in one for one in told(keys))
    assert told(keys.replace("decrypt", "accept_unbound: true, decrypt")) == []


def test_a_record_is_an_element() -> None:
    keys = "response: {records: one-or-many, decrypt: tokens, conversation: $.subject}"
    assert any(UNBOUND in one for one in told(keys))
    assert not any(UNBOUND in one for one in told(keys.replace("records: one-or-many, ", "")))


@pytest.mark.parametrize(
    ("tenant", "more"),
    [
        ("path:org", ""),
        ("const:t", ", message: path:org, bind: [conversation, message]"),
        ("const:t", ", message: 'org/{path:org}', bind: [conversation, message]"),
    ],
)
def test_a_part_of_the_request_is_enough(tenant: str, more: str) -> None:
    assert told(ELEMENTS % more, tenant) == []
    problems = told(ELEMENTS % f"{more}, accept_unbound: true", tenant)
    assert any("accepts nothing here" in one for one in problems)


def test_a_part_that_is_not_bound_is_not() -> None:
    assert any(UNBOUND in one for one in told(ELEMENTS % ", bind: [conversation]", "path:org"))
    chosen = told(ELEMENTS % ", message: query:q, bind: [conversation, message]")
    assert any(UNBOUND in one for one in chosen)


def test_no_one_element_has_what_stands_anywhere() -> None:
    keys = "response: {decrypt: tokens, conversation: '$..subject'}"
    assert any("`..` leads to no one element" in one for one in told(keys, "path:org"))
