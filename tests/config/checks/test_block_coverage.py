"""Blocks of a rule that never apply, since one before them takes all of their messages."""

from __future__ import annotations

import pytest

from tests.config.builders import warnings_of, with_rules


def told(*blocks: str, direction: str = "request", match: str = "POST /a") -> list[str]:
    """Return the places of the blocks that never apply."""
    rules = f"      - name: send\n        match: {match}\n        {direction}:\n"
    rules += "".join(f"          - {{{one}}}\n" for one in blocks)
    found = [one for one in warnings_of(with_rules(rules)) if "never applies" in one]
    return [one.split(" ")[1].partition(direction)[2] for one in found]


WHEN = "when: {$.type: secret}"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("encrypt: optional $.text, nothing: pass", f"{WHEN}, encrypt: [$.text, $.card]"),
        ("encrypt: $.text", "encrypt: $.card"),
        ('encrypt: "form:text"', 'encrypt: "form:card"'),
        ("encrypt: body", "encrypt: $.card"),
        ("type: text/*, encrypt: body", "type: [text/plain, text/csv], encrypt: body as b"),
        ("type: '*/*', encrypt: body", "type: text/*, encrypt: body as b"),
        ("format: json, encrypt: $.text", f"type: application/json, {WHEN}, encrypt: $.card"),
    ],
)
def test_a_block_behind_one_that_takes_its_messages_is_warned_of(first: str, second: str) -> None:
    assert told(first, second) == ["[1]"]


def test_it_is_told_of_responses_as_well() -> None:
    assert told("status: 2xx, decrypt: $.a", "status: 200, decrypt: $.b", direction="response") == [
        "[1]"
    ]
    tokens = "bind: [tenant], decrypt: tokens"
    assert told(tokens, "status: 4xx, decrypt: $.b", direction="response") == []
    assert told("status: 200, decrypt: $.a", "decrypt: $.b", direction="response") == []


def test_it_is_told_of_websockets_as_well() -> None:
    assert told("encrypt: $.a", f"{WHEN}, encrypt: $.b", match="WS /a") == ["[1]"]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (f"{WHEN}, encrypt: $.card", "encrypt: $.text"),
        (f"{WHEN}, encrypt: $.card", "when: {$.type: open}, encrypt: $.text"),
        ("encrypt: $.text", 'encrypt: "form:text"'),
        ('encrypt: "form:text"', "encrypt: $.text"),
        ("encrypt: $.text", "encrypt: body"),
        ("encrypt: $.text", "type: text/plain, encrypt: $.card"),
        ("type: application/json, encrypt: $.text", "encrypt: $.card"),
        ("type: text/plain, encrypt: body", "type: text/*, encrypt: body as b"),
    ],
)
def test_a_block_that_may_still_apply_is_not(first: str, second: str) -> None:
    assert told(first, second) == []


def unsealed(*blocks: str) -> list[str]:
    """Return the warnings of statuses that no block of a response seals."""
    rules = "      - name: send\n        match: POST /a\n        response:\n"
    rules += "".join(f"          - {{{one}}}\n" for one in blocks)
    return [one for one in warnings_of(with_rules(rules)) if "some statuses alone" in one]


@pytest.mark.parametrize(
    "blocks",
    [
        ("encrypt: $.a",),
        ("status: all, encrypt: $.a",),
        ("status: 2xx, decrypt: $.a",),
        ("status: 200, encrypt: $.a", "encrypt: $.b"),
        ("status: 2xx, decrypt: $.a", "status: all, encrypt: $.b"),
    ],
)
def test_a_rule_that_seals_every_status_is_not_warned_of(blocks: tuple[str, ...]) -> None:
    assert unsealed(*blocks) == []


@pytest.mark.parametrize(
    "blocks", [("status: 2xx, encrypt: $.a",), ("status: 200, encrypt: $.a", "decrypt: $.b")]
)
def test_a_rule_that_seals_some_statuses_alone_is_warned_of(blocks: tuple[str, ...]) -> None:
    assert len(unsealed(*blocks)) == 1
