"""What a caller gets of a value, and may seal, by all rules together."""

from __future__ import annotations

from dataclasses import replace

import pytest

from proxy.core.callers import VerifiedCaller
from proxy.core.crypto.context import Context, Scope
from proxy.core.crypto.joined_names import Joined, Name
from proxy.core.crypto.token import Form
from proxy.core.errors import (
    CallerMayNotOpen,
    CallerMayNotSeal,
    CallerMayNotSearch,
    PurposeMissing,
)
from proxy.core.expressions.sources import (
    ComposedSource,
    FirstSource,
    ListSource,
    MembersSource,
    NameSource,
    SameSource,
    Source,
    parse_source,
)
from proxy.core.rules import by_hand
from proxy.core.rules.audience import CallerAudience, Mask, Shown
from proxy.core.rules.model import Names, Rule
from tests.factories import a_block, a_rule, an_item

DOCTOR = VerifiedCaller("doctor", "https://id", "grace", {"org": "clinic", "all": ("a", "b")})
CONTEXT = Context(Scope("clinic", "c1"), field="content")
PAN = Mask(last=4)


def got_by_hand(
    rules: list[Rule], caller: VerifiedCaller | None, purpose: str, context: Context
) -> Shown:
    return by_hand.got_by_hand(((one, caller) for one in rules), purpose, context)


def refuse_sealing(
    rules: list[Rule], caller: VerifiedCaller | None, context: Context, form: Form = "jwe"
) -> None:
    by_hand.refuse_sealing(((one, caller) for one in rules), "", context, form)


def opening(shown: Shown, *, names: Names | None = None, purpose: str | None = None) -> Rule:
    audience = CallerAudience((("doctor", shown),), "refuse", purpose)
    item = replace(an_item("$.content"), audience=audience)
    rule = a_rule(response=a_block(decrypt=[item]))
    return replace(
        rule,
        callers=("doctor",),
        purposes=frozenset({"treatment"}),
        names=names or Names(parse_source("const:clinic"), parse_source("path:id")),
    )


def sealing(*callers: str, names: Names | None = None) -> Rule:
    block = replace(a_block(encrypt=["$.content"]), callers=frozenset(callers))
    rule = replace(a_rule(request=block), callers=("doctor", "clerk"))
    return rule if names is None else replace(rule, names=names)


def test_where_no_listener_has_callers_everybody_gets_the_value() -> None:
    rule = replace(opening("refuse"), callers=())
    assert got_by_hand([rule], None, "", CONTEXT) == "value"
    refuse_sealing([replace(sealing("doctor"), callers=())], None, CONTEXT)


def test_the_least_that_any_rule_gives_is_what_a_caller_gets() -> None:
    assert got_by_hand([opening("value")], DOCTOR, "", CONTEXT) == "value"
    assert got_by_hand([opening("value"), opening(PAN)], DOCTOR, "", CONTEXT) == PAN
    everybody = replace(opening("value"), response=(a_block(decrypt=["$.content"]),))
    assert got_by_hand([everybody], None, "", CONTEXT) == "value"


def test_what_others_open_for_everybody_is_no_secret_of_a_listener_with_callers() -> None:
    note = CONTEXT._replace(field="note")
    free = a_rule(response=a_block(decrypt=["$.note"]))
    assert got_by_hand([opening("refuse"), free], None, "", note) == "value"
    with pytest.raises(CallerMayNotOpen):
        got_by_hand(
            [opening("refuse"), a_rule(response=a_block(decrypt=["$.content"]))], None, "", CONTEXT
        )


def all_tokens(shown: Shown) -> list[Rule]:
    """Return a rule that opens all tokens, and one of others that opens the field."""
    item = replace(an_item("tokens"), audience=CallerAudience((("doctor", shown),)))
    rule = replace(opening("value"), response=(a_block(decrypt=[item]),))
    return [rule, a_rule(response=a_block(decrypt=["$.content"]))]


def test_a_rule_that_opens_all_tokens_opens_those_of_each_field() -> None:
    assert got_by_hand(all_tokens("value"), DOCTOR, "", CONTEXT) == "value"
    assert got_by_hand(all_tokens(PAN), DOCTOR, "", CONTEXT) == PAN
    for rules, caller in ((all_tokens("value"), None), (all_tokens("refuse"), DOCTOR)):
        with pytest.raises(CallerMayNotOpen):
            got_by_hand(rules, caller, "", CONTEXT)


def test_a_member_named_tokens_is_a_field_like_others() -> None:
    audience = CallerAudience((("doctor", "value"),))
    item = replace(an_item("$.tokens"), audience=audience)
    rule = replace(opening("value"), response=(a_block(decrypt=[item]),))
    assert got_by_hand([rule], DOCTOR, "", Context(CONTEXT.scope, field="tokens")) == "value"
    with pytest.raises(CallerMayNotOpen):
        got_by_hand([rule], DOCTOR, "", CONTEXT)


@pytest.mark.parametrize("less", ["refuse", "absent", "token"])
def test_what_is_less_than_a_mask_is_refused(less: Shown) -> None:
    with pytest.raises(CallerMayNotOpen):
        got_by_hand([opening("value"), opening(less)], DOCTOR, "", CONTEXT)


def test_nobody_and_others_get_what_rules_give_them_and_no_other_field() -> None:
    for caller in (None, VerifiedCaller("clerk")):
        with pytest.raises(CallerMayNotOpen):
            got_by_hand([opening("value")], caller, "", CONTEXT)
    with pytest.raises(CallerMayNotOpen):
        got_by_hand([opening("value")], DOCTOR, "", CONTEXT._replace(field="note"))


@pytest.mark.parametrize(
    ("claim", "tenant", "fits"),
    [
        ("org", "clinic", True),
        ("org", "other", False),
        ("org", None, False),
        ("all", "b", True),
        ("all", "c", False),
        ("none", "clinic", False),
    ],
)
def test_a_tenant_that_rules_read_from_a_claim_is_that_of_the_caller(
    claim: str, tenant: str | None, *, fits: bool
) -> None:
    names = Names(parse_source(f"caller:{claim}"), None)
    context = Context(Scope(tenant, "c1"), field="content")
    if fits:
        assert got_by_hand([opening("value", names=names)], DOCTOR, "", context) == "value"
        refuse_sealing([sealing("doctor", names=names)], DOCTOR, context)
        return
    with pytest.raises(CallerMayNotOpen):
        got_by_hand([opening("value", names=names)], DOCTOR, "", context)
    with pytest.raises(CallerMayNotSeal):
        refuse_sealing([sealing("doctor", names=names)], DOCTOR, context)


def test_a_purpose_of_use_is_asked_for_where_a_rule_does() -> None:
    rule = opening("value", purpose="x-purpose")
    assert got_by_hand([rule], DOCTOR, "treatment", CONTEXT) == "value"
    for purpose in ("", "research"):
        with pytest.raises(PurposeMissing):
            got_by_hand([rule], DOCTOR, purpose, CONTEXT)


def test_only_those_may_seal_whom_each_rule_lets() -> None:
    refuse_sealing([sealing("doctor", "clerk"), sealing("doctor")], DOCTOR, CONTEXT)
    with pytest.raises(CallerMayNotSeal):
        refuse_sealing([sealing("doctor"), sealing("clerk")], DOCTOR, CONTEXT)
    with pytest.raises(CallerMayNotSeal):
        refuse_sealing([sealing("doctor")], None, CONTEXT)
    refuse_sealing([sealing("clerk")], DOCTOR, CONTEXT._replace(field="note"))


def test_a_field_that_no_rule_names_is_sealed_by_those_of_unlisted_values() -> None:
    rest = replace(a_block(plain=[], others="seal"), callers=frozenset({"clerk"}))
    unlisted = replace(a_rule(request=rest), callers=("doctor", "clerk"))
    with pytest.raises(CallerMayNotSeal):
        refuse_sealing([unlisted, sealing("doctor")], DOCTOR, CONTEXT._replace(field="note"))
    refuse_sealing([unlisted, sealing("doctor")], DOCTOR, CONTEXT)
    refuse_sealing([unlisted], VerifiedCaller("clerk"), CONTEXT)


def test_a_caller_of_one_listener_is_not_that_of_another_by_its_name() -> None:
    inside, outside = opening("value"), opening("value")
    met = [(inside, None), (outside, DOCTOR)]
    with pytest.raises(CallerMayNotOpen):
        by_hand.got_by_hand(met, "", CONTEXT)
    assert by_hand.got_by_hand([(inside, DOCTOR), (outside, DOCTOR)], "", CONTEXT) == "value"
    with pytest.raises(CallerMayNotSeal):
        by_hand.refuse_sealing([(sealing("doctor"), None)], "", CONTEXT, "jwe")


ORG, PATH = NameSource("caller", "org"), NameSource("path", "id")
LACKING = NameSource("caller", "lacking")
BOTH = ListSource((ORG, PATH))


@pytest.mark.parametrize(
    ("source", "name", "fits"),
    [
        (SameSource(PATH, (ORG,)), "clinic", True),
        (SameSource(PATH, (ORG,)), "other", False),
        (FirstSource((LACKING, ORG, PATH)), "clinic", True),
        (FirstSource((ORG, PATH)), "other", False),
        (FirstSource((LACKING, PATH)), "other", True),
        (FirstSource((LACKING,)), "other", False),
        (ComposedSource("Org/", ORG, "!"), "Org/clinic!", True),
        (ComposedSource("Org/", ORG, "!"), "Org/other!", False),
        (ComposedSource("Org/", ORG, "!"), "Org/clinic", False),
        (ComposedSource("Org/", ORG, "!"), "clinic!", False),
        (ComposedSource("Org/", ORG, ""), "Org/clinic", True),
        (ComposedSource("Org/", ORG, ""), None, False),
        (BOTH, Joined("list", ["clinic", "x"]), True),
        (BOTH, Joined("list", ["x", "clinic"]), False),
        (BOTH, Joined("list", ["clinic"]), False),
        (BOTH, "clinic", False),
        (BOTH, None, False),
        (MembersSource((ORG, PATH)), Joined("members", ["a", "clinic"]), True),
        (MembersSource((ORG, PATH)), Joined("members", ["a", "other"]), False),
    ],
)
def test_claims_within_other_sources_are_those_of_the_caller(
    source: Source, name: Name | None, *, fits: bool
) -> None:
    rule = opening("value", names=Names(None, source))
    (block,) = rule.blocks_of("response")
    of_block = replace(rule, names=Names(), response=(replace(block, names=Names(None, source)),))
    for one in (rule, of_block):
        context = Context(Scope("clinic", name), field="content")
        if fits:
            assert got_by_hand([one], DOCTOR, "", context) == "value"
            continue
        with pytest.raises(CallerMayNotOpen):
            got_by_hand([one], DOCTOR, "", context)


@pytest.mark.parametrize("shown", ["refuse", "absent", "token", PAN])
def test_who_does_not_get_a_value_may_not_have_it_sealed_as_equal_ones_are(shown: Shown) -> None:
    """Such a token finds the value in what the backend stores."""
    rules = [sealing("doctor"), opening(shown)]
    refuse_sealing(rules, DOCTOR, CONTEXT)
    with pytest.raises(CallerMayNotSearch):
        refuse_sealing(rules, DOCTOR, CONTEXT, "equal")
    refuse_sealing([sealing("doctor"), opening("value")], DOCTOR, CONTEXT, "equal")


def test_what_nobody_opens_nobody_looks_up_by_hand() -> None:
    with pytest.raises(CallerMayNotSearch):
        refuse_sealing([sealing("doctor")], DOCTOR, CONTEXT, "equal")


def test_a_look_up_by_hand_needs_the_purpose_that_opening_needs() -> None:
    rules = [sealing("doctor"), opening("value", purpose="read")]
    with pytest.raises(PurposeMissing):
        refuse_sealing(rules, DOCTOR, CONTEXT, "equal")
