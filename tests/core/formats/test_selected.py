from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from proxy.core.errors import BodyTooLarge, InvalidBody
from proxy.core.formats.json.selection import Selection
from proxy.core.leaves import quote
from proxy.core.policy import MOST_SELECTED
from tests.factories import a_block, a_message, a_rule, an_item, reply, send, with_block

SEALING = a_rule(request=a_block(encrypt=["$.list[*].text"]))
OPENING = a_rule(response=a_block(decrypt=["$.list[*].text"]))


def a_list(number: int) -> str:
    return '{"conversationId":"c1","list":[' + ",".join(['{"text":""}'] * number) + "]}"


@pytest.mark.no_cover
def test_as_many_values_may_be_selected_as_the_limit_says() -> None:
    # The conversation is selected, too.
    most = MOST_SELECTED - 1
    sealing = with_block(SEALING, max_values=MOST_SELECTED)
    assert send(sealing, a_message(a_list(most))).counts == {"sealed": most}


@pytest.mark.parametrize(
    "attempt",
    [lambda body: send(SEALING, a_message(body)), lambda body: reply(OPENING, body)],
    ids=["sealing", "opening"],
)
def test_more_are_refused_before_any_key_is_asked_for(attempt: Callable[[str], object]) -> None:
    with pytest.raises(BodyTooLarge) as caught:
        attempt(a_list(MOST_SELECTED + 1))
    assert caught.value.reason == "too-many-selected-values"


def test_what_no_selector_leads_to_is_not_counted() -> None:
    body = a_list(1)[:-1] + ',"other":[' + "0," * (MOST_SELECTED + 1) + "0]}"
    assert send(SEALING, a_message(body)).counts == {"sealed": 1}


@pytest.mark.parametrize("text", ["", "a", '"', "\\", "\x00\n", "é", "\U0001f600"])
def test_a_text_reads_as_it_was_spelled(text: str) -> None:
    spelled = quote(text.encode())
    assert spelled is not None
    assert json.loads(spelled) == text
    assert Selection.text(spelled) == text.encode()


@pytest.mark.parametrize("again", ["null", '"x"', "{}"])
def test_an_optional_member_may_not_occur_twice_whatever_it_is_the_second_time(again: str) -> None:
    """Some backends read the first; it would pass as it is if only the second were looked at."""
    rule = a_rule(request=a_block(encrypt=[an_item("$.text", optional=True), an_item("$.note")]))
    body = f'{{"conversationId":"c1","text":"CANARY","note":"x","text":{again}}}'

    with pytest.raises(InvalidBody) as caught:
        send(rule, a_message(body))
    assert caught.value.reason == "duplicate-member"
