"""What the names of one message may cost."""

from __future__ import annotations

import json

import pytest

from proxy.core.errors import BodyTooLarge
from proxy.core.expressions.sources import parse_source
from proxy.core.rules.model import Names
from tests.factories import USUAL_PARTS, a_block, a_message, a_rule, an_item, send

RULE = a_rule(
    request=a_block(
        encrypt=[an_item("$.items.*.card", bind=USUAL_PARTS | {"message"})],
        names=Names(
            tenant=parse_source("const:clinic"),
            conversation=parse_source("$.members.*"),
            message=parse_source("$.items.*.id"),
        ),
    ),
    names=Names(),
)


def a_body(members: int, items: int) -> str:
    return json.dumps(
        {
            "members": ["m" * 20] * members,
            "items": [{"id": str(at), "card": "4111"} for at in range(items)],
        }
    )


def test_a_long_name_binds_some_values() -> None:
    assert send(RULE, a_message(a_body(1000, 3))).counts["sealed"] == 3


def test_a_long_name_does_not_bind_many_values() -> None:
    with pytest.raises(BodyTooLarge, match="names-too-long"):
        send(RULE, a_message(a_body(1000, 1000)))
