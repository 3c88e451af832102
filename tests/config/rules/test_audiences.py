"""Who gets what, as rules write it: `for`, `otherwise`, masks, purposes of use."""

from __future__ import annotations

import pytest

from proxy.core.rules.audience import CallerAudience, Mask
from proxy.core.rules.model import Block, Rule
from tests.config.builders import loaded, problems_of, with_rules

JWT = "jwt: {issuer: https://id, audience: a, jwks: {file: j.json}, algorithms: [ES256], claims: "
CALLERS = f"[{{name: doctor, {JWT}{{r: doctor}}}}}}, {{name: billing, {JWT}{{r: billing}}}}}}]"
TOP = """\
masks: {pan: {keep: {first: 6, last: 4}}, mail: email, short: {keep: {last: 4}, length: 8}}
purposes_of_use: [treatment, billing]
"""
READS = """\
      - name: history
        match: GET /api/conversations/{id}/messages
        conversation: path:id
        response:
          decrypt:
            - {select: '$.*.content', for: {doctor: value, billing: absent}, otherwise: refuse}
            - {select: '$.*.card', for: {billing: value}, otherwise: {mask: pan},
               purpose_of_use: header:x-purpose-of-use}
"""
WRITES = """\
      - name: send
        match: POST /a/{id}
        request: {encrypt: $.content, for: [doctor]}
        response: {decrypt: $.content}
"""


def text(rules: str, *, callers: str = CALLERS, top: str = TOP) -> str:
    written = with_rules(rules, top=top)
    return (
        written.replace("    defaults:", f"    callers: {callers}\n    defaults:")
        if callers
        else written
    )


def rule_of(written: str) -> Rule:
    return loaded(written).settings.listeners[0].rules[0]


def blocks(rule: Rule, direction: str) -> tuple[Block, ...]:
    return rule.blocks_of("request" if direction == "request" else "response")


def test_who_gets_what_of_each_item() -> None:
    rule = rule_of(text(READS))
    content, card = blocks(rule, "response")[0].decrypt
    assert content.audience == CallerAudience((("doctor", "value"), ("billing", "absent")))
    assert card.audience == CallerAudience((("billing", "value"),), Mask(6, 4), "x-purpose-of-use")
    assert rule.callers == ("doctor", "billing")
    assert rule.deciding == (b"Authorization", b"X-Purpose-Of-Use")
    assert rule.purposes == {"treatment", "billing"}
    assert str(content.audience) == "doctor value, billing absent, others refuse"
    assert str(card.audience) == "billing value, others mask"


@pytest.mark.parametrize(
    ("name", "mask"),
    [("pan", Mask(6, 4)), ("mail", Mask(email=True)), ("short", Mask(last=4, length=8))],
)
def test_masks_have_names(name: str, mask: Mask) -> None:
    rule = rule_of(text(READS.replace("mask: pan", f"mask: {name}")))
    audience = blocks(rule, "response")[0].decrypt[1].audience
    assert audience is not None
    assert audience.otherwise == mask


def test_without_for_every_caller_gets_values_and_nobody_else() -> None:
    rule = rule_of(text(WRITES))
    (block,) = blocks(rule, "response")
    audience = block.decrypt[0].audience
    assert audience == CallerAudience((("doctor", "value"), ("billing", "value")))
    assert audience.to("anyone") == "refuse"
    assert blocks(rule, "request")[0].callers == frozenset({"doctor"})
    assert rule_of(text(WRITES.replace(", for: [doctor]", ""))).request != rule.request
    anyone = rule_of(text(WRITES.replace("[doctor]", "anyone")))
    assert blocks(anyone, "request")[0].callers == frozenset({"anyone"})


def test_values_for_anyone_are_written_out() -> None:
    everybody = CallerAudience((), "value")
    assert (everybody.to("anyone"), everybody.to("doctor")) == ("refuse", "value")
    assert CallerAudience((("anyone", "value"),)).to("anyone") == "value"


def test_a_request_that_opens_is_of_callers() -> None:
    opens = "      - {name: a, match: POST /a, request: {decrypt: $.content}}\n"
    assert blocks(rule_of(text(opens)), "request")[0].callers == frozenset({"doctor", "billing"})
    assert blocks(rule_of(text(opens, callers="")), "request")[0].callers is None


def test_tokens_of_any_field_are_told_apart_too() -> None:
    rule = rule_of(text(WRITES.replace("{decrypt: $.content}", "{decrypt: tokens}")))
    assert blocks(rule, "response")[0].decrypt[0].audience is not None


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("billing: absent", "biling: absent", "the listener has no caller `biling`; did you mean"),
        ("mask: pan", "mask: pann", "no mask has the name `pann`; did you mean `pan`?"),
        ("otherwise: refuse", "otherwise: mask", "`mask` is unknown; one of: absent, refuse"),
        ("header:x-purpose-of-use", "query:x", "`query:x` is no header; write `header:NAME`"),
        ("select: '$.*.card'", "select: body", "a whole body has no mask"),
        ("for: {billing: value}", "for: [billing]", "a mapping is expected"),
        (
            "otherwise: refuse}",
            "purpose_of_use: header:x-why}",
            "the rule reads the purpose of use from another header already",
        ),
    ],
)
def test_a_mistake_in_what_callers_get_is_told(old: str, new: str, told: str) -> None:
    assert any(told in one for one in problems_of(text(READS.replace(old, new))))


def test_callers_are_those_of_the_listener() -> None:
    for rules in (READS, WRITES):
        found = problems_of(text(rules, callers=""))
        assert all("the listener tells no callers apart" in one for one in found)
        assert found
    (told,) = problems_of(text(WRITES.replace("[doctor]", "[doc]")))
    assert "the listener has no caller `doc`" in told


def test_for_stands_where_something_is_opened_for_a_client() -> None:
    sealed = WRITES.replace(
        "encrypt: $.content", "encrypt: {select: $.content, for: {doctor: value}}"
    )
    (told,) = problems_of(text(sealed))
    assert "only apply to `decrypt` in a response" in told
    (told,) = problems_of(
        text(WRITES.replace("{decrypt: $.content}", "{decrypt: $.content, for: doctor}"))
    )
    assert "of a block, `for` only applies to requests" in told


def test_purposes_are_listed_and_plain() -> None:
    (told,) = problems_of(text(READS, top=TOP.partition("purposes")[0]))
    assert "list them under `purposes_of_use`" in told
    found = problems_of(text(READS, top=TOP.replace("[treatment, billing]", "[A b, x, x]")))
    assert ["`A b` is no purpose of use" in found[0], "`x` is listed twice" in found[1]] == [
        True
    ] * 2
