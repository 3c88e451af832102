"""What `validate` plays: which usual answers of a backend would end in 502, and which do not."""

from __future__ import annotations

import json

import pytest

from proxy.explaining.plays import played
from tests.cli.conftest import invoke
from tests.config.builders import FILE, loaded, with_rules

OLD = "never sealed ends in 502 (`not-a-token`)"
LACKS = "without any of the values ends in 502 (`missing-value`)"
PAGE = "a page in place of JSON (404) ends in 502 (`response-fits-no-block`)"


def told(*lines: str, defaults: str = "{tenant: const:t}") -> list[str]:
    """Return what is told of one rule that has these keys."""
    rule = "      - name: one\n" + "".join(f"        {one}\n" for one in lines)
    text = with_rules(rule, defaults=defaults)
    text = text.replace("    rules:", "    trusted_names: true\n    rules:", 1)
    return [found for one in loaded(text).settings.listeners for found in played(one)]


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        ("{decrypt: tokens, bind: [tenant]}", []),
        ("{decrypt: $.content}", [OLD]),
        ("{decrypt: '$.items.*.content'}", [OLD]),
        ("{decrypt: $.content, on_error: keep}", []),
        ("{decrypt: $.content, mode: permissive until 2100-01-01}", []),
        ("{encrypt: $.content}", [LACKS, PAGE]),
        ("{encrypt: optional $.content, nothing: pass}", [PAGE]),
        ("{encrypt: optional $.content, nothing: pass, status: 2xx}", []),
        ("pass", []),
    ],
)
@pytest.mark.parametrize(
    "request_",
    [
        ("match: POST /a", "conversation: const:c", "request: {encrypt: $.content}"),
        ("match: GET /a/{id}/*/b", "conversation: path:id"),
        ("match: PUT /a/**", "conversation: $.room", "request: {encrypt: ['$.a.*.b', $.c]}"),
    ],
)
def test_what_ends_in_5xx_is_told(
    response: str, expected: list[str], request_: tuple[str, ...]
) -> None:
    found = told(*request_, f"response: {response}")

    assert len(found) == len(expected)
    assert all(one.startswith("api / one: ") for one in found)
    assert all(any(one in each for each in found) for one in expected)


@pytest.mark.parametrize(
    "rule",
    [
        ("match: POST /a", "conversation: jwt-unverified:sub", "request: {encrypt: $.a}"),
        ("match: POST /a", "conversation: const:c", "request: {encrypt: 'form:a'}"),
        ("match: POST /a", "conversation: const:c", "request: {decrypt: $.a}"),
        ("match: POST /a", "conversation: const:c", "request: {encrypt: $..a, others: pass}"),
        ("match: WS /a", "conversation: const:c", "request: {encrypt: $.a}"),
    ],
)
def test_of_what_cannot_be_derived_nothing_is_told(rule: tuple[str, ...]) -> None:
    assert told(*rule, "response: {decrypt: $.a}") == []


def test_a_condition_and_a_least_length_are_met() -> None:
    found = told(
        "match: POST /a",
        "conversation: query:room",
        "request: {when: {$.type: send}, encrypt: {select: $.a, min_chars: 20}}",
        "response: {decrypt: $.a}",
    )
    assert len(found) == 1


def test_the_command_tells_it_and_finds_the_file_valid(tmp_path: object) -> None:
    file = FILE.__class__(str(tmp_path)) / "sealyard.yaml"
    rule = "      - {name: one, match: GET /a, conversation: const:c, response: {decrypt: $.a}}\n"
    file.write_text(with_rules(rule))

    assert OLD in invoke("validate", "--config", str(file)).stdout
    document = json.loads(invoke("validate", "--json", "--config", str(file)).stdout)
    assert document["valid"]
    assert len(document["plays"]) == 1
