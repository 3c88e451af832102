"""Trials: what a rule would do is found out, and nothing of it is done."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from proxy.core.compiled.rule_table import RuleTable
from proxy.core.errors import MessageError, MissingValue
from proxy.core.explain.dry_run import DryRunResult, opening_needs, refused, try_out
from proxy.core.expressions.routes import parse_pattern
from proxy.core.expressions.selectors import parse_selector
from proxy.core.expressions.sources import parse_source
from proxy.core.http.message import RequestHead
from proxy.core.http.path import canonical
from proxy.core.planning.exchange import Exchange
from proxy.core.rules.model import Block, Item, Names, Part, Rule, Verdict
from proxy.core.transform import pass_request, plan_request
from proxy.core.values.key_needs import Keys, Needs

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


def tried(block: Block, body: bytes) -> DryRunResult:
    plan = plan_request(an_exchange(block, observes=False), body)
    return try_out(plan, NOTHING, 0.0)


def sealing(max_chars: int | None = None) -> Block:
    return Block(encrypt=(Item(parse_selector("$.a"), "a", BIND, max_chars=max_chars),))


def test_a_rule_that_observes_lets_its_messages_pass_unread() -> None:
    exchange = an_exchange(sealing())
    assert exchange.decision.rule is not None
    assert not exchange.decision.reads_request
    message = pass_request(exchange)
    assert (
        message.body,
        message.frame.changed,
        message.frame.ruled,
        message.frame.added_headers,
    ) == (
        None,
        False,
        False,
        (),
    )


def test_not_even_a_rejection_is_carried_out() -> None:
    assert an_exchange(Verdict.REJECT).decision.observes is not None


def test_a_trial_counts_what_would_pass_as_a_sentinel() -> None:
    block = replace(sealing(), format="ndjson")
    assert tried(block, b'{"a": "x"}\n[DONE]\n') == DryRunResult({"sealed": 1, "sentinel": 1})


def test_a_trial_counts_what_would_be_sealed_and_asks_for_no_key_to_seal_with() -> None:
    plan = plan_request(an_exchange(sealing(), observes=False), b'{"a": "x"}')
    assert opening_needs(plan) == Needs({})
    assert try_out(plan, NOTHING, 0.0) == DryRunResult({"sealed": 1})


def test_a_trial_meets_what_enforcing_would_meet() -> None:
    with pytest.raises(MissingValue):
        tried(sealing(), b"{}")
    assert tried(sealing(max_chars=210), b'{"a": "%b"}' % (b"x" * 300)) == refused("value-too-long")
    assert tried(opening("$.a"), b'{"a": 5}') == DryRunResult({}, "not-a-token")


def opening(*selectors: str) -> Block:
    return Block(decrypt=tuple(Item(parse_selector(one), "a", BIND) for one in selectors))


FORGED = "sy1.AAAA"


@pytest.mark.parametrize(
    ("block", "body", "expected"),
    [
        # What was never sealed passes in mode `permissive`, beside what opens nowhere it does not.
        (opening("$.a"), {"a": "x"}, DryRunResult({}, "not-a-token")),
        (opening("$.a", "$.b"), {"a": "x", "b": "y"}, DryRunResult({}, "not-a-token")),
        (opening("$.a", "$.b"), {"a": FORGED, "b": "y"}, refused("malformed-token")),
        (
            opening("$.a", "$.b"),
            {"a": "x", "b": FORGED},
            DryRunResult({}, "not-a-token", "malformed-token"),
        ),
        (replace(opening("$.a"), keep_unopened=True), {"a": "x"}, DryRunResult({"kept": 1})),
    ],
)
def test_a_trial_tells_what_mode_permissive_would_refuse_as_well(
    block: Block, body: dict[str, str], expected: DryRunResult
) -> None:
    sent = json.dumps(body).encode()
    result = tried(block, sent)
    assert result == expected

    lenient = replace(block, permissive_until=1.0)
    try:
        plan = plan_request(an_exchange(lenient, observes=False), sent)
        met = try_out(plan, NOTHING, 0.0).reason
    except MessageError as error:
        met = error.reason
    assert met == result.permissive


def test_what_only_observes_is_raised_with_the_rest() -> None:
    observing = RuleTable((a_rule(observes=True), a_rule("/b")), pass_unmatched=False)
    assert observing.raised is not None
    assert observing.raised.raised is None
    assert observing.raised.decide("POST", canonical("/a")).reads_request
    assert RuleTable((a_rule(),), pass_unmatched=False).raised is None


def a_rule(path: str = "/a", *, observes: bool = False) -> Rule:
    pattern = parse_pattern(f"POST {path}")
    return Rule(f"r{path}", (pattern,), NAMES, (sealing(),), observes=observes)
