"""A selected value within another is refused before either is copied."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable

import pytest

from proxy.core.errors import InvalidBody
from proxy.core.expressions.sources import parse_source
from proxy.core.http.message import Headers
from proxy.core.rules.model import Names
from tests.factories import JSON_TYPE, a_block, a_message, a_rule, send, sent

NAMES = Names(tenant=parse_source("const:clinic"), conversation=parse_source("const:c1"))
FORM: Headers = ((b"Content-Type", b"application/x-www-form-urlencoded"),)
PARTS: Headers = ((b"Content-Type", b"multipart/form-data; boundary=of-parts"),)
SIZE = 256 * 1024
LEVELS = 100


def nested(text: str) -> str:
    return '{"content":' * LEVELS + f'"{text}"' + "}" * LEVELS


def in_part(text: str) -> str:
    head = 'Content-Disposition: form-data; name="x"\r\nContent-Type: application/json'
    return f"--of-parts\r\n{head}\r\n\r\n{text}\r\n--of-parts--\r\n"


@pytest.mark.parametrize(
    ("selector", "headers", "spell"),
    [
        ("$..content", JSON_TYPE, str),
        ("$.x json:$..content", JSON_TYPE, lambda text: json.dumps({"x": text})),
        ("form:x $..content", FORM, lambda text: f"x={text}"),
        ("part:x $..content", PARTS, in_part),
    ],
)
def test_a_value_within_another_is_refused_before_it_is_copied(
    selector: str, headers: Headers, spell: Callable[[str], str]
) -> None:
    rule = a_rule(request=a_block(encrypt=[selector]), names=NAMES)
    once = a_message(spell('{"content":"a","b":[{"content":"c"}]}'), headers=headers)
    assert sent(rule, once).count(b"eyJ") == 2
    message = a_message(spell(nested("x" * SIZE)), headers=headers)

    tracemalloc.start()
    try:
        with pytest.raises(InvalidBody) as caught:
            send(rule, message)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert caught.value.reason == "spans-overlap"
    assert most < 20 * SIZE
