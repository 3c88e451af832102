"""Where each byte of a text within a body is spelled takes a few bytes, and none if nobody asks."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from urllib.parse import quote_plus

import pytest

from proxy.core.errors import MessageError
from proxy.core.expressions.sources import parse_source
from proxy.core.http.message import Headers
from proxy.core.rules.model import Names
from tests.factories import JSON_TYPE, a_block, a_message, a_rule, sent

NAMES = Names(tenant=parse_source("const:clinic"), conversation=parse_source("const:c1"))
FORM: Headers = ((b"Content-Type", b"application/x-www-form-urlencoded"),)
LETTERS = "x" * 256 * 1024
ESCAPES = "\\n" * 64 * 1024


@pytest.mark.no_cover
@pytest.mark.parametrize("inside", [LETTERS, ESCAPES])
@pytest.mark.parametrize(
    ("text", "selected"),
    [('{"b":"%s","a":"y"}', True), ('{"b":"%s"}', False), ('{"a":"y","b":"%s"', False)],
)
@pytest.mark.parametrize(
    ("selector", "headers", "spell"),
    [
        ("form:x $.a", FORM, lambda text: f"x={quote_plus(text)}"),
        ("$.x json:$.a", JSON_TYPE, lambda text: json.dumps({"x": text})),
    ],
)
def test_it_takes_less_than_nine_times_the_body(  # noqa: PLR0917 - parameters
    selector: str,
    headers: Headers,
    spell: Callable[[str], str],
    text: str,
    selected: bool,  # noqa: FBT001 - a parameter
    inside: str,
) -> None:
    rule = a_rule(request=a_block(encrypt=[selector]), names=NAMES)
    message = a_message(spell(text % inside), headers=headers)
    sealed = b""

    tracemalloc.start()
    try:
        with suppress(MessageError):
            sealed = sent(rule, message)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (b"eyJ" in sealed) is selected
    assert most < 9 * len(message.body)
