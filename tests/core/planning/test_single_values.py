"""One value where a selector has a list: some readers take it for a list of one."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from proxy.core.errors import ForbiddenValue
from proxy.core.expressions.sources import parse_source
from proxy.core.rules.model import Names, Rule
from tests.factories import a_block, a_message, a_rule, replied, sent

NAMES = Names(tenant=parse_source("const:clinic"), conversation=parse_source("const:c1"))
CANARY = "canary-71b0"
LISTS = ["$.notes[*]", "$.notes[*][*]", "$.notes[0]", "$..notes[*]"]
WITHIN = ["$.notes[*].text", "$.notes.*.text", "$.notes[*][*].text", "$.notes[0].text"]


def seals(*selectors: str) -> Rule:
    block = a_block(encrypt=["$.title", *(f"optional {one}" for one in selectors)])
    return a_rule(request=replace(block, nothing="refuse"), names=NAMES)


def body(notes: object) -> str:
    return json.dumps({"title": "a", "notes": notes})


@pytest.mark.parametrize("selector", LISTS)
@pytest.mark.parametrize("value", [CANARY, "", 4111, -0.5, True, False])
def test_a_scalar_in_the_place_of_a_list_is_refused(selector: str, value: object) -> None:
    with pytest.raises(ForbiddenValue) as caught:
        sent(seals(selector), a_message(body(value)))
    assert caught.value.reason == "name-hidden"


@pytest.mark.parametrize("name", ["text", "Text", "te_xt", "text.a"])
@pytest.mark.parametrize(
    "selector",
    [
        *WITHIN,
        "$.notes[0][*].text",
        "$.notes[*]..text",
        "$..notes[*].text",
    ],
)
def test_an_object_in_the_place_of_a_list_is_refused(selector: str, name: str) -> None:
    for notes in ({name: CANARY}, {"a": {"b": 1}, name: CANARY}):
        with pytest.raises(ForbiddenValue) as caught:
            sent(seals(selector), a_message(body(notes)))
        assert caught.value.reason in {"name-hidden", "name-variant"}


@pytest.mark.parametrize("selector", [*LISTS, *WITHIN])
@pytest.mark.parametrize("notes", ["null", "[]", "{}"])
def test_a_list_may_be_missing_or_empty(selector: str, notes: str) -> None:
    message = f'{{"notes":{notes},"title":"a"}}'
    if notes == "{}" and "[0]" in selector:  # an object has no first element
        with pytest.raises(ForbiddenValue, match="parent-of-another-type"):
            sent(seals(selector), a_message(message))
        return
    assert sent(seals(selector), a_message(message)).startswith(message[:-3].encode() + b"eyJ")
    assert b"eyJ" in sent(seals(selector), a_message('{"title":"a"}'))


@pytest.mark.parametrize("selector", WITHIN)
def test_a_scalar_that_is_no_such_element_is_none(selector: str) -> None:
    for notes in ("a", ["a"]):
        assert json.dumps(notes).encode() in sent(seals(selector), a_message(body(notes)))


def test_members_of_an_object_may_be_selected_as_those_of_a_list() -> None:
    texts = {"a": {"text": CANARY}, "b": {"text": CANARY}}
    assert CANARY.encode() not in sent(seals("$.notes.*.text"), a_message(body(texts)))
    both = seals("$.notes.text", "$.notes[*].text")
    for notes in ({"text": CANARY}, [{"text": CANARY}], {"a": {"text": CANARY}, "size": 1}):
        assert CANARY.encode() not in sent(both, a_message(body(notes)))


def test_of_values_at_any_depth_none_is_a_list() -> None:
    notes = {"size": 1, "a": {"text": CANARY}, "b": [{"text": CANARY}, 2]}
    for selector in ("$..*.text", "$..[*].text"):
        assert CANARY.encode() not in sent(seals(selector), a_message(body(notes)))


def test_a_response_that_is_only_opened_may_have_one_value_for_a_list() -> None:
    rule = a_rule(response=a_block(decrypt=["optional $.notes[*].text"], names=NAMES), names=NAMES)
    for notes in (CANARY, {"text": CANARY}):
        assert replied(rule, body(notes)) == body(notes).encode()


@pytest.mark.parametrize("name", ["['title']", '["title"]', "['Title'].x", "['title'][0]"])
def test_a_name_in_brackets_and_quotes_is_a_twin(name: str) -> None:
    text = json.dumps({"title": "a", name: CANARY})
    for selector, body_ in (
        *(("$.title", text), ("$..title", text), ("$.a.title", f'{{"a":{text}}}')),
        ("$.*.title", f"[{text}]"),
    ):
        rule = a_rule(request=a_block(encrypt=[f"optional {selector}"]), names=NAMES)
        with pytest.raises(ForbiddenValue):
            sent(rule, a_message(body_))


@pytest.mark.parametrize(
    ("selectors", "room", "values"),
    [
        (["$.notes[0]"], "$.notes.room", {"room": "c1", "card": CANARY}),
        (["$.notes.card"], "$.notes[*].room", [{"room": "c1", "card": CANARY}]),
        (["$.notes.card"], "$.notes[0].room", [{"room": "c1", "card": CANARY}]),
    ],
)
def test_a_name_that_is_read_there_makes_no_value_of_another_type_fit(
    selectors: list[str], room: str, values: object
) -> None:
    names = replace(NAMES, conversation=parse_source(room))
    made = replace(seals(*selectors), names=names)
    with pytest.raises(ForbiddenValue, match="parent-of-another-type"):
        sent(made, a_message(body(values)))


def test_a_rule_may_list_both_an_element_and_a_member() -> None:
    both = seals("$.notes.text", "$.notes[0].text")
    for notes in ({"text": CANARY}, [{"text": CANARY}]):
        assert CANARY.encode() not in sent(both, a_message(body(notes)))
