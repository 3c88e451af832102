"""`where`: an item applies in those elements of a list that meet its conditions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.errors import MessageError, MissingValue, UnlistedName
from proxy.core.expressions.selectors import parse_json_selector
from proxy.core.expressions.sources import parse_source
from proxy.core.rules.conditions import Condition, text_value
from proxy.core.rules.model import Item, Names, Others, Rule
from tests.config.builders import loaded, problems_of, with_rules
from tests.factories import Trip, a_block, a_message, a_rule, an_item, send, sent

NAMES = Names(tenant=parse_source("const:clinic"), conversation=parse_source("const:c1"))
CANARY = "canary-b10c"
KIND = Condition(
    parse_json_selector("$.type"), frozenset({text_value("section"), text_value("note")})
)


def item(selector: str = "$.blocks.*.text", *, needed: bool = True) -> Item:
    made = an_item(selector, optional=True)
    return replace(made, where=(KIND,), needed_where=needed)


def rule(
    *encrypt: Item | str, plain: tuple[str, ...] = ("$.blocks.*.type",), others: Others = "refuse"
) -> Rule:
    block = replace(
        a_block(encrypt=encrypt or [item()], plain=plain, others=others), nothing="pass"
    )
    return a_rule(request=block, names=NAMES)


def stored(made: Rule, value: object) -> Any:  # noqa: ANN401 - what JSON holds
    body = value if isinstance(value, str) else json.dumps(value)
    return json.loads(sent(made, a_message(body)))


def refused(made: Rule, value: object, error: type[Exception]) -> None:
    body = value if isinstance(value, str) else json.dumps(value)
    with pytest.raises(error):
        send(made, a_message(body))


def blocks(*each: Mapping[str, object]) -> dict[str, object]:
    return {"blocks": list(each)}


@given(kinds=st.lists(st.sampled_from(["section", "note", "image", "divider"]), max_size=5))
def test_what_is_sealed_is_what_the_conditions_say(kinds: list[str]) -> None:
    made = rule(plain=("$.blocks.*.type", "$.blocks.*.text"))
    found = stored(made, blocks(*({"type": one, "text": CANARY} for one in kinds)))
    for one, kind in zip(found["blocks"], kinds, strict=True):
        assert one["text"].startswith("eyJ") == (kind in {"section", "note"})


@pytest.mark.parametrize(
    "element",
    [
        {"type": "image", "text": CANARY},
        {"text": CANARY},
        {"type": None, "text": CANARY},
        {"type": ["image"], "text": CANARY},
        {"type": "image", "text": {"type": "section", "text": CANARY}},
        {"type": "image", "Text": CANARY},
    ],
)
def test_elsewhere_a_value_is_not_listed(element: dict[str, object]) -> None:
    refused(rule(), blocks({"type": "section", "text": "a"}, element), MessageError)
    refused(rule(), blocks(element), MessageError)


@pytest.mark.parametrize("kind", ["Section", " section", "SECTION", ["section"], "\uff53ection"])
def test_what_a_lax_backend_takes_for_it_is_refused(kind: object) -> None:
    made = rule(plain=("$.blocks.*.type", "$.blocks.*.text"))
    refused(made, blocks({"type": kind, "text": CANARY}), MessageError)


@pytest.mark.parametrize(
    "members",
    [
        '"type":"image","type":"section"',
        '"type":"section","type":"image"',
        '"type":"image","Type":"section"',
        '"type":"image","__proto__":{"type":"section"}',
    ],
)
@pytest.mark.parametrize("others", ["refuse", "pass"])
def test_no_element_has_two_kinds(members: str, others: Others) -> None:
    made = rule(plain=("$.blocks.*.type", "$.blocks.*.text"))
    if others == "pass":
        made = a_rule(request=a_block(encrypt=[item()]), names=NAMES)
    refused(made, f'{{"blocks":[{{{members},"text":"{CANARY}"}}]}}', MessageError)


def test_the_condition_is_of_its_own_element() -> None:
    made = rule(
        item("$.pages.*.blocks.*.text"),
        plain=("$.pages.*.blocks.*.type", "$.pages.*.type", "$.pages.*.blocks.*.text"),
    )
    page = {
        "type": "section",
        "blocks": [{"type": "image", "text": "a"}, {"type": "note", "text": "b"}],
    }
    (found,) = stored(made, {"pages": [page]})["pages"]
    assert found["blocks"][0]["text"] == "a"
    assert found["blocks"][1]["text"].startswith("eyJ")


def test_where_it_applies_the_value_is_needed() -> None:
    refused(rule(), blocks({"type": "section"}, {"type": "section", "text": "a"}), MissingValue)
    stored(rule(item(needed=False)), blocks({"type": "section"}, {"type": "section", "text": "a"}))
    stored(rule(), blocks({"type": "image"}, {"type": "section", "text": "a"}))
    stored(rule(), blocks({"type": "image"}))


@pytest.mark.parametrize("value", [{"a": CANARY}, [CANARY], '{"a":1}'])
def test_plain_is_a_scalar_there_too(value: object) -> None:
    made = rule(plain=("$.blocks.*.type", "$.blocks.*.text"))
    refused(made, blocks({"type": "image", "text": value}), UnlistedName)
    stored(made, blocks({"type": "section", "text": value}))


@pytest.mark.parametrize("value", [CANARY, 7, {"a": CANARY}, [CANARY]])
def test_others_are_sealed_where_the_rule_seals_them(value: object) -> None:
    made = rule(others="seal")
    text = json.dumps(stored(made, blocks({"type": "image", "text": value})))
    assert CANARY not in text
    assert '"text": "eyJ' in text


def test_answers_open_where_the_condition_is_met() -> None:
    made = rule()
    token = stored(made, blocks({"type": "section", "text": CANARY}))["blocks"][0]["text"]
    opening = replace(a_block(decrypt=[item()], names=NAMES), keep_unopened=True)
    made = replace(made, response=(opening,))
    answer = blocks(
        {"type": "section", "text": token},
        {"type": "image", "text": token},
        {"type": "SECTION", "text": token},
        {"type": "section", "Type": "image", "text": token},
        {"text": token},
    )
    trip = Trip((made,), a_message(json.dumps(blocks({"type": "image"}))))
    trip.request()
    applied = trip.response(json.dumps(answer))
    assert applied is not None
    found = json.loads(applied.forwardable.body or b"")["blocks"]
    assert [one["text"] for one in found] == [CANARY, token, token, token, token]


def test_records_are_elements_too() -> None:
    block = a_block(encrypt=[item("$.parts.*.text")], plain=["$.parts.*.type", "$.type"])
    block = replace(block, nothing="pass", records=parse_json_selector("$"))
    made = a_rule(request=block, names=NAMES)
    one = {"type": "image", "parts": [{"type": "section", "text": CANARY}]}
    assert CANARY not in json.dumps(stored(made, one))
    assert CANARY not in json.dumps(stored(made, [one, one]))
    refused(made, [{"type": "section", "parts": [{"type": "image", "text": CANARY}]}], UnlistedName)


def told(item: str, more: str = "plain: '$.blocks.*.{type,text}'") -> list[str]:
    keys = f"        request: {{encrypt: [{item}], {more}, nothing: pass}}\n"
    return problems_of(
        with_rules(f"      - name: r\n        match: POST /a\n{keys}", defaults="{tenant: const:t}")
    )


def test_how_it_is_written() -> None:
    item = "{select: '$.blocks.*.text', where: {$.type: [section, note]}}"
    assert told(item) == []
    keys = f"        request: {{encrypt: [{item}], nothing: pass}}\n"
    (listener,) = loaded(
        with_rules(f"      - name: r\n        match: POST /a\n{keys}")
    ).settings.listeners
    (made,) = listener.rules[0].blocks[0].encrypt
    assert [one.values for one in made.where] == [KIND.values]
    assert (made.optional, made.needed_where) == (True, True)


@pytest.mark.parametrize(
    ("item", "problem"),
    [
        ("{select: $.text, where: {$.type: a}}", "within elements"),
        ("{select: '$..text', where: {$.type: a}}", "within elements"),
        ("{select: 'form:text', where: {$.type: a}}", "within elements"),
        ("{select: '$.blocks.*.text', where: {type: a}}", "is not a JSON selector"),
        ("'$.blocks.*.text'", "overlaps"),
    ],
)
def test_what_it_cannot_be(item: str, problem: str) -> None:
    assert any(problem in one for one in told(item)), told(item)


def test_a_block_of_such_items_alone_says_what_nothing_means() -> None:
    item = "{select: '$.blocks.*.text', where: {$.type: a}}"
    keys = f"        request: {{encrypt: [{item}]}}\n"
    (problem,) = problems_of(with_rules(f"      - name: r\n        match: POST /a\n{keys}"))
    assert "write `nothing: refuse`" in problem
