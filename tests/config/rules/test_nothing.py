"""Blocks that seal at will: the configuration must say what becomes of messages with nothing."""

from __future__ import annotations

import pytest

from proxy.core.rules.model import Block, Nothing
from tests.config.builders import loaded, problems_of, with_rules

AT_WILL = (
    "encrypt: optional $.a",
    "encrypt: [optional $.a, {select: $.b, optional: true}]",
    "encrypt: 'optional form:a'",
    "encrypt: 'optional part:a'",
    "encrypt: 'optional header:x-a'",
    "encrypt: optional $.a, decrypt: $.b",
)
ALWAYS = (
    "encrypt: $.a",
    "encrypt: [$.a, optional $.b]",
    "encrypt: optional body",
    "encrypt: optional text",
    "encrypt: [optional text, 'optional header:x-a']",
    "decrypt: optional $.a",
)


def text(block: str, direction: str = "request", nothing: str = "") -> str:
    said = f", nothing: {nothing}" if nothing else ""
    rule = f"      - name: r\n        match: POST /a\n        {direction}: {{{block}{said}}}\n"
    return with_rules(rule)


def block_of(text: str) -> Block:
    (listener,) = loaded(text).settings.listeners
    request = listener.rules[0].request
    assert isinstance(request, tuple)
    return request[0]


@pytest.mark.parametrize("direction", ["request", "response"])
@pytest.mark.parametrize("block", AT_WILL)
def test_where_all_items_are_optional_a_word_is_demanded(block: str, direction: str) -> None:
    (told,) = problems_of(text(block, direction))
    assert "everything that rule `r` seals here is optional; write `nothing: refuse`, or" in told
    for word in ("refuse", "pass"):
        assert problems_of(text(block, direction, word)) == []


@pytest.mark.parametrize("block", ALWAYS)
def test_no_word_is_needed_where_something_is_always_there(block: str) -> None:
    assert problems_of(text(block)) == []


@pytest.mark.parametrize("word", ["refuse", "pass"])
def test_what_is_said_holds(word: Nothing) -> None:
    assert block_of(text(AT_WILL[0], nothing=word)).nothing == word


def test_a_block_of_the_defaults_is_told_of_for_each_rule_that_it_changes() -> None:
    rules = "".join(f"      - name: {name}\n        match: POST /{name}\n" for name in "ab")
    defaults = "{tenant: const:t, request: {encrypt: optional $.content}}"
    told = [one for one in problems_of(with_rules(rules, defaults=defaults)) if "optional" in one]
    assert [f"rule {name}" in one for one, name in zip(told, ("`a`", "`b`"), strict=True)] == [
        True,
        True,
    ]
