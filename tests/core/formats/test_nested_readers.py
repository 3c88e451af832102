"""What passes a rule for JSON in a text holds nothing selected for any reader, however lax."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.errors import MessageError
from proxy.core.rules.model import Rule
from tests.core.test_nested_json import C1
from tests.factories import a_block, a_message, a_rule, an_item, sent
from tools.fuzz import nested

PIECES = [
    *('"', "'", "\\", "{", "}", "[", "]", ":", ",", " ", "\n", "\0", "\ufeff", "\u2028", "\x85"),
    *("//", "/*", "*/", "#", "NaN", "-Infinity", "0x1", "01", "1.", "undefined", "!!str "),
    *('"note":"4111-CANARY"', '"Note":"4111-CANARY"', "note: 4111-CANARY", "'note'", "\\u006e"),
    *("\\ud800", "\\udc00", "\\/", "\\x41", ",}", "}{", '"__proto__":{"note":"4111-CANARY"}'),
]
ACCEPTED = 4
"""So many of the texts have one reading; the others have none, or a second one."""


def rule_of(holder: nested.Holder) -> Rule:
    item = an_item(holder.selector, field="note")
    return a_rule(request=a_block(encrypt=[item]), names=C1)


def accepts(holder: nested.Holder, text: str) -> bool:
    try:
        sent(rule_of(holder), a_message(holder.hold(text), headers=holder.headers))
    except MessageError:
        return False
    return True


@pytest.mark.parametrize("number", range(len(nested.HOLDERS)))
@pytest.mark.parametrize("text", nested.TEXTS)
def test_an_oddity_leaves_nothing_for_a_reader(text: str, number: int) -> None:
    nested.nested(bytes((number,)) + text.encode())


@pytest.mark.parametrize("holder", nested.HOLDERS, ids=lambda one: one.selector)
def test_a_text_with_a_second_reading_is_refused(holder: nested.Holder) -> None:
    found = [text for text in nested.TEXTS if accepts(holder, text)]

    assert found[:ACCEPTED] == list(nested.TEXTS[:ACCEPTED])
    for text in found[ACCEPTED:]:  # an escape of a name is one reading, and is sealed
        (name,) = json.loads(text)
        assert name == "note"


@pytest.mark.parametrize("text", nested.TEXTS)
def test_the_readers_see_what_is_there_without_a_rule(text: str) -> None:
    names = [name for name, value in nested.readings(text) if "CANARY" in str(value)]
    hidden = text.startswith(("[{", '"{')) or not text.endswith(("}", "\n", "CANARY"))

    assert any(map(nested.is_selected, names)) is not hidden


@pytest.mark.no_cover
@settings(max_examples=400)
@given(st.data())
def test_a_changed_text_leaves_nothing_for_a_reader(data: st.DataObject) -> None:
    text = data.draw(st.sampled_from(nested.TEXTS))
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        end = start + data.draw(st.integers(0, 4))
        text = text[:start] + data.draw(st.sampled_from(PIECES)) + text[end:]
    number = data.draw(st.integers(0, len(nested.HOLDERS) - 1))
    nested.nested(bytes((number,)) + text.encode())
