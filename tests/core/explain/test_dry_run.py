"""Trials: what a rule would do is found out, and nothing of it is done."""

from __future__ import annotations

from dataclasses import replace

import pytest

from proxy.core.apply.passing import pass_request
from proxy.core.compiled.rule_table import Decision, RuleTable
from proxy.core.edits.key_needs import Keys, Needs
from proxy.core.errors import MissingValue, OpenFailed, ValueTooLong
from proxy.core.explain.dry_run import enforced_exchange, opening_needs, try_out
from proxy.core.expressions.routes import parse_pattern
from proxy.core.expressions.selectors import parse_selector
from proxy.core.expressions.sources import parse_source
from proxy.core.http.message import RequestHead
from proxy.core.http.path import canonical
from proxy.core.planning.exchange import Exchange
from proxy.core.planning.planner import plan_request
from proxy.core.rules.model import Block, Item, Names, Part, Rule, Verdict

BIND: frozenset[Part] = frozenset({"tenant", "field"})
NAMES = Names(tenant=parse_source("const:t"))
JSON = ((b"Content-Type", b"application/json"),)
NOTHING = Keys({}, {})


def an_exchange(block: Block | Verdict, *, observes: bool = True) -> Exchange:
    behaviour = block if isinstance(block, Verdict) else (block,)
    pattern = parse_pattern("POST /a")
    rule = Rule("r", (pattern,), NAMES, behaviour, observes=observes)
    book = RuleTable((rule,), pass_unmatched=False)
    return Exchange(book.decide("POST", canonical("/a")), RequestHead("POST", "/a", None, JSON))


def sealing(max_chars: int | None = None) -> Block:
    return Block(encrypt=(Item(parse_selector("$.a"), "a", BIND, max_chars=max_chars),))


def test_a_rule_that_observes_lets_its_messages_pass_unread() -> None:
    exchange = an_exchange(sealing())
    assert exchange.decision.rule is not None
    assert not exchange.decision.reads_request
    message = pass_request(exchange)
    assert (message.body, message.changed, message.ruled, message.added_headers) == (
        None,
        False,
        False,
        (),
    )


def test_not_even_a_rejection_is_carried_out() -> None:
    assert an_exchange(Verdict.REJECT).decision.observes is not None


def test_a_trial_counts_what_would_pass_as_a_sentinel() -> None:
    block = replace(sealing(), format="ndjson")
    plan = plan_request(enforced_exchange(an_exchange(block)), b'{"a": "x"}\n[DONE]\n')

    assert try_out(plan, NOTHING, 0.0) == ({"sealed": 1, "sentinel": 1}, None)


def test_a_trial_counts_what_would_be_sealed_and_asks_for_no_key_to_seal_with() -> None:
    exchange = enforced_exchange(an_exchange(sealing()))
    plan = plan_request(exchange, b'{"a": "x"}')
    assert opening_needs(plan) == Needs({})
    assert try_out(plan, NOTHING, 0.0) == ({"sealed": 1}, None)


def test_a_trial_meets_what_enforcing_would_meet() -> None:
    exchange = enforced_exchange(an_exchange(sealing(max_chars=210)))
    with pytest.raises(MissingValue):
        plan_request(exchange, b"{}")
    plan = plan_request(exchange, b'{"a": "%b"}' % (b"x" * 300))
    with pytest.raises(ValueTooLong):
        try_out(plan, NOTHING, 0.0)
    opening = Block(decrypt=(Item(parse_selector("$.a"), "a", BIND),))
    plan = plan_request(enforced_exchange(an_exchange(opening)), b'{"a": "x"}')
    with pytest.raises(OpenFailed):
        try_out(plan, NOTHING, 0.0)


@pytest.mark.parametrize(
    "decision", [Decision(None), an_exchange(sealing(), observes=False).decision]
)
def test_only_what_is_observed_is_tried(decision: Decision) -> None:
    with pytest.raises(TypeError):
        enforced_exchange(Exchange(decision, RequestHead("POST", "/a", None, JSON)))
