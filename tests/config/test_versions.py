"""The versions of the configuration: what the second requires, and how the first warns of it."""

from __future__ import annotations

import pytest

from proxy.config.sections.document import VERSIONS
from proxy.core.rules.model import Block, Nothing
from tests.config.builders import loaded, problems_of, warnings_of, with_rules

AT_WILL = (
    "encrypt: optional $.a",
    "encrypt: [optional $.a, {select: $.b, optional: true}]",
    "encrypt: 'optional form:a'",
    "encrypt: 'optional part:a'",
    "encrypt: 'optional header:x-a'",
    "encrypt: optional $.a, decrypt: $.b",
    "encrypt: optional $.a, absent: $.b",
)
ALWAYS = (
    "encrypt: $.a",
    "encrypt: [$.a, optional $.b]",
    "encrypt: optional body",
    "encrypt: optional text",
    "encrypt: [optional text, 'optional header:x-a']",
    "decrypt: optional $.a",
    "absent: $.a",
)


def text(version: int, block: str, direction: str = "request", nothing: str = "") -> str:
    said = f", nothing: {nothing}" if nothing else ""
    rule = f"      - name: r\n        match: POST /a\n        {direction}: {{{block}{said}}}\n"
    return with_rules(rule).replace("version: 1", f"version: {version}")


def block_of(text: str) -> Block:
    (listener,) = loaded(text).settings.listeners
    request = listener.rules[0].request
    assert isinstance(request, tuple)
    return request[0]


@pytest.mark.parametrize("version", VERSIONS)
def test_both_versions_are_read(version: int) -> None:
    assert loaded(text(version, "encrypt: $.a")).settings.version == version


@pytest.mark.parametrize("direction", ["request", "response"])
@pytest.mark.parametrize("block", AT_WILL)
def test_the_second_version_demands_a_word(block: str, direction: str) -> None:
    (told,) = problems_of(text(2, block, direction))
    assert "everything that rule `r` seals here is optional; write `nothing: refuse`, or" in told
    for word in ("refuse", "pass"):
        assert problems_of(text(2, block, direction, word)) == []


@pytest.mark.parametrize("direction", ["request", "response"])
@pytest.mark.parametrize("block", AT_WILL)
def test_of_the_first_version_it_is_warned(block: str, direction: str) -> None:
    (told,) = (one for one in warnings_of(text(1, block, direction)) if "version: 2" in one)
    assert "changes with `version: 2`: everything that rule `r` seals here is optional" in told
    for word in ("refuse", "pass"):
        assert not any("version: 2" in one for one in warnings_of(text(1, block, nothing=word)))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("block", ALWAYS)
def test_no_word_is_needed_where_something_is_always_there(block: str, version: int) -> None:
    assert problems_of(text(version, block)) == []
    assert not any("version: 2" in one for one in warnings_of(text(version, block)))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("word", ["refuse", "pass"])
def test_what_is_said_holds_in_either_version(version: int, word: Nothing) -> None:
    assert block_of(text(version, AT_WILL[0], nothing=word)).nothing == word


def test_the_first_version_lets_messages_pass_as_ever() -> None:
    assert block_of(text(1, AT_WILL[0])).nothing == "pass"


def test_a_block_of_the_defaults_is_told_of_for_each_rule_that_it_changes() -> None:
    rules = "".join(f"      - name: {name}\n        match: POST /{name}\n" for name in "ab")
    defaults = "{tenant: const:t, request: {encrypt: optional $.content}}"
    told = [one for one in warnings_of(with_rules(rules, defaults=defaults)) if "version" in one]
    assert [name for name in ("`a`", "`b`") if any(f"rule {name}" in one for one in told)] == [
        "`a`",
        "`b`",
    ]
