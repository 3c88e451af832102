"""`records` in the configuration: where it may stand, and what it cannot have beside it."""

from __future__ import annotations

import pytest

from proxy.core.rules.model import Block
from tests.config.builders import loaded, problems_of, with_rules


def text(block: str, direction: str = "request") -> str:
    return with_rules(
        f"      - name: r\n        match: POST /a\n        {direction}: {{{block}}}\n",
        defaults="{tenant: const:t, conversation: $.room}",
    )


def block_of(text: str) -> Block:
    (listener,) = loaded(text).settings.listeners
    request = listener.rules[0].request
    assert isinstance(request, tuple)
    return request[0]


@pytest.mark.parametrize(
    ("said", "at"), [("one-or-many", "$"), ("one-or-many $.data.rows", "$.data.rows")]
)
def test_where_the_records_are(said: str, at: str) -> None:
    block = block_of(text(f"encrypt: $.content, plain: [$.room, $.id], records: {said}"))
    assert block.records is not None
    assert block.records.text == at
    assert problems_of(text(f"decrypt: $.content, records: {said}", "response")) == []


@pytest.mark.parametrize(
    ("block", "told"),
    [
        ("encrypt: $.a, records: many", "write `one-or-many`, or `one-or-many $.data`"),
        ("encrypt: $.a, records: 'one-or-many $.data.*'", "may be more than one place"),
        ("encrypt: $.a, records: 'one-or-many $..data'", "may be more than one place"),
        ("encrypt: $.a, when: {$.b: c}, records: one-or-many", "does not apply with `when`"),
        ("encrypt: 'form:a', records: one-or-many", "`form:a` is no place in a record of JSON"),
        ("encrypt: body, records: one-or-many", "`body` is no place in a record of JSON"),
        ("encrypt: [$.a, 'header:x-a'], records: one-or-many", "without `when` and `records`"),
    ],
)
def test_what_it_cannot_be(block: str, told: str) -> None:
    assert any(told in one for one in problems_of(text(block))), problems_of(text(block))
