"""Methods that no rule reads at a path where one seals, and what browsers ask before they send."""

from __future__ import annotations

from dataclasses import replace

import pytest

from proxy.core.compiled.rule_table import Decision, RuleTable
from proxy.core.errors import InvalidExpression, MethodNotAllowed, UnlistedName
from proxy.core.expressions.selectors import parse_json_selector
from proxy.core.expressions.sources import SameSource, parse_ask, parse_source
from proxy.core.http.message import RequestHead
from proxy.core.http.path import canonical
from proxy.core.planning.exchange import Exchange
from proxy.core.planning.treatment import PASS, READ_REQUEST, treat_request
from proxy.core.rules.model import Names, Rule, Verdict
from proxy.core.transform import plan_request
from tests.factories import USUAL_NAMES, a_block, a_rule

PATH = "/api/messages"
SEALS = a_rule(request=a_block(encrypt=["$.content"]))
CLOSED = a_rule(request=a_block(encrypt=["$.content"], plain=["$.to"]))
LIMIT = 1 << 20


def exchange_of(decision: Decision, query: str | None = None, method: str = "PUT") -> Exchange:
    return Exchange(decision, RequestHead(method, PATH, query, ()))


def decide(*rules: Rule, method: str = "PUT") -> Decision:
    return RuleTable(rules, pass_unmatched=True).decide(method, canonical(PATH))


def preflight(*rules: Rule, asked: str = "POST", path: str = PATH) -> Decision | None:
    return RuleTable(rules, pass_unmatched=True).preflight(asked, canonical(path))


def test_a_body_passes_with_no_other_method() -> None:
    exchange = exchange_of(decide(SEALS))
    for refused in (
        lambda: treat_request(exchange, 1, LIMIT),
        lambda: plan_request(exchange, b"{}"),
    ):
        with pytest.raises(MethodNotAllowed, match="other-method"):
            refused()
    assert treat_request(exchange, 0, LIMIT) is PASS
    # How long a body in chunks is shows where it ends.
    assert treat_request(exchange, None, LIMIT) is READ_REQUEST


@pytest.mark.parametrize(
    ("pattern", "opens"),
    [
        (f"PUT {PATH}", True),
        (f"PUT,PATCH {PATH}", True),
        (PATH, False),
        ("PUT /**", False),
        ("PUT /api/**", False),
        ("PUT /api/{any}", False),
        (f"PUT {PATH}/**", False),
        ("/**", False),
    ],
)
def test_only_a_rule_that_names_path_and_method_opens_what_another_seals(
    pattern: str,
    opens: bool,  # noqa: FBT001 - a table
) -> None:
    passing = a_rule(pattern, name="passing")
    decision = decide(SEALS, passing)
    assert decision.rule == passing
    assert (decision.other is None) == opens


def test_a_preflight_is_held_to_what_the_request_may_be() -> None:
    decision = preflight(CLOSED)
    assert decision is not None
    assert (decision.rule, decision.ruled, decision.takes_no_body) == (None, True, True)
    exchange_of(decision, method="OPTIONS").refuse_unclear()
    with pytest.raises(UnlistedName, match="unlisted-query"):
        exchange_of(decision, "page=1").refuse_unclear()
    with pytest.raises(MethodNotAllowed) as caught:
        exchange_of(decision).refuse_body()
    assert caught.value.allow == "POST"


@pytest.mark.parametrize("query", ["content=a", "Content=a", "content"])
@pytest.mark.parametrize("allowed", ["page=1", "to=a", "conversationId=c1"])
def test_a_preflight_has_no_name_that_is_sealed(query: str, allowed: str) -> None:
    decision = preflight(SEALS)
    assert decision is not None
    exchange_of(decision, allowed).refuse_unclear()
    with pytest.raises(MethodNotAllowed):
        exchange_of(decision, f"{allowed}&{query}").refuse_unclear()


def test_a_preflight_is_a_request_like_others_where_no_rule_takes_what_is_to_come() -> None:
    assert preflight(SEALS, asked="PUT") is None
    assert preflight(SEALS, path="/else") is None
    assert preflight(replace(SEALS, observes=True)) is None
    assert preflight(a_rule(request=Verdict.REJECT)) is None
    assert preflight(SEALS, a_rule(f"OPTIONS {PATH}", name="own")) is None
    assert preflight(SEALS, a_rule(PATH, name="any")) is not None


def test_a_websocket_outlives_a_name_that_was_asked_for() -> None:
    ask = parse_ask("GET /notes/{id}", parse_json_selector("$.room"))
    names = Names(tenant=parse_source("const:t"), conversation=SameSource(ask))
    rule = a_rule("WS /notes/{id}", request=a_block(encrypt=["$.text"]), names=names)
    with pytest.raises(InvalidExpression, match="outlives a name"):
        RuleTable((rule,), pass_unmatched=True)
    own = replace(rule, names=replace(names, conversation=USUAL_NAMES.conversation))
    RuleTable((own,), pass_unmatched=True)
