"""Blocks for GraphQL that take any mutation are warned of."""

from __future__ import annotations

import pytest

from tests.config.builders import warnings_of, with_rules


def warned(when: str, *, mode: str = "enforce") -> list[str]:
    rules = f"""\
      - name: operations
        match: POST /graphql
        mode: {mode}
        request:
          - format: graphql
            encrypt: $.fields.send.text
            {when}
      - name: others
        match: POST /others
        request: {{encrypt: $.text}}
      - name: closed
        match: GET /graphql
        request: reject
"""
    return [one for one in warnings_of(with_rules(rules)) if "takes mutations" in one]


@pytest.mark.parametrize(
    "when",
    ["", "when: {$.name: Send}", "when: {$.type: mutation}", "when: {$.type: [query, mutation]}"],
)
def test_a_block_that_takes_any_mutation_is_warned_of(when: str) -> None:
    assert len(warned(when)) == 1
    assert warned(when, mode="observe") == []


@pytest.mark.parametrize(
    "when",
    [
        "when: {$.type: mutation, $.field: send}",
        "when: {$.field: [send, edit]}",
        "when: {$.type: [query, subscription]}",
        "when: {$.persisted: ab}",
    ],
)
def test_a_block_that_chooses_by_the_schema_is_not(when: str) -> None:
    assert warned(when) == []
