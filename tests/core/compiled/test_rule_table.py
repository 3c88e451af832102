from __future__ import annotations

import gc
import sys
from dataclasses import replace

import pytest

from proxy.core.compiled.rule_table import Decision, RuleTable
from proxy.core.errors import AmbiguousRequest, RejectedByRule
from proxy.core.expressions.sources import parse_source
from proxy.core.http.path import REMEMBERED, canonical
from proxy.core.policy import KEPT_PATH_CHARS
from proxy.core.rules.model import Names, Rule, Verdict
from tests.factories import a_block, a_rule, an_item

BLOCK = a_block(encrypt=["$.content"])


def decide(
    *rules: Rule, request: str = "POST /api/messages", websocket: bool = False, passes: bool = True
) -> Decision:
    method, path = request.split(" ")
    return RuleTable(rules, pass_unmatched=passes).decide(
        method, canonical(path), websocket=websocket
    )


def test_the_first_rule_that_matches_decides() -> None:
    first, second = a_rule(name="first"), a_rule(name="second")
    assert decide(first, second).rule == first
    assert decide(a_rule("/else"), second).rule == second


def test_a_decision_has_the_captures() -> None:
    decision = decide(a_rule("GET /c/{id}/messages"), request="GET /c/a%20b/messages")
    assert decision.captures == {"id": "a b"}


def test_unmatched_requests_pass_or_are_rejected_as_the_listener_says() -> None:
    decision = decide(request="GET /else", passes=True)
    assert (
        decision.rule,
        decision.reads_request,
        decision.may_read_response,
    ) == (None, False, False)
    with pytest.raises(RejectedByRule) as caught:
        decide(request="GET /else", passes=False)
    assert (caught.value.reason, caught.value.rule) == ("no-rule", None)


def test_a_rule_can_reject() -> None:
    with pytest.raises(RejectedByRule) as caught:
        decide(a_rule(request=Verdict.REJECT))
    assert (caught.value.reason, caught.value.rule) == ("rule-rejects", a_rule().name)


def test_an_ambiguous_path_is_refused_whether_unmatched_requests_pass_or_not() -> None:
    for passes in (True, False):
        with pytest.raises(AmbiguousRequest):
            decide(a_rule(), request="POST /API/messages", passes=passes)


def test_a_handshake_cannot_go_around_the_rules_of_its_route() -> None:
    with pytest.raises(RejectedByRule) as caught:
        decide(a_rule("GET /chat"), request="GET /chat", websocket=True)
    assert caught.value.reason == "upgrade-on-ruled-route"


def test_a_handshake_meets_its_own_rule_or_passes_unmatched() -> None:
    rule = a_rule("WS /chat")
    assert decide(rule, request="GET /chat", websocket=True).rule == rule
    assert decide(rule, request="GET /else", websocket=True).rule is None
    with pytest.raises(RejectedByRule) as caught:
        decide(rule, request="GET /else", websocket=True, passes=False)
    assert (caught.value.reason, caught.value.rule) == ("no-rule", None)


@pytest.mark.parametrize(
    ("request_", "response", "expected"),
    [
        (Verdict.PASS, Verdict.PASS, (False, False)),
        (BLOCK, Verdict.PASS, (True, False)),
        (Verdict.PASS, BLOCK, (True, True)),  # the answer's conversation stands in the request
        (BLOCK, BLOCK, (True, True)),
    ],
)
def test_a_decision_tells_which_bodies_are_read(
    request_: object, response: object, expected: tuple[bool, bool]
) -> None:
    decision = decide(a_rule(request=request_, response=response))  # type: ignore[arg-type]  # a table
    assert expected == (decision.reads_request, decision.may_read_response)


def test_a_request_is_read_for_its_answer_only_where_the_answer_needs_it() -> None:
    unbound = a_block(decrypt=[an_item("$.content", bind=["tenant", "field"])])
    own = a_block(decrypt=["$.content"], names=Names(conversation=parse_source("$.cid")))
    by_path = Names(parse_source("const:clinic"), parse_source("path:id"))
    assert not decide(a_rule(response=unbound)).reads_request
    assert not decide(a_rule(response=own)).reads_request
    assert not decide(a_rule(response=BLOCK, names=by_path)).reads_request


def test_a_request_read_for_its_answer_is_not_changed() -> None:
    rule = a_rule(response=a_block(decrypt=["$.content"]))
    decision = decide(rule)
    assert decision.compiled_rule is not None
    assert decision.compiled_rule.request[0].encrypt == ()


def test_a_rule_tells_what_it_does_in_each_direction() -> None:
    rule = a_rule(request=BLOCK, response=Verdict.REJECT)
    assert rule.behaviour("request") == (BLOCK,)
    assert rule.behaviour("response") is Verdict.REJECT


@pytest.mark.parametrize(
    ("path", "ruled"),
    [("/api/messages", True), ("/API/messages/", True), ("/ws", True), ("/api", False)],
)
def test_a_path_is_ruled_if_a_rule_takes_it_in_some_reading(path: str, *, ruled: bool) -> None:
    book = RuleTable((a_rule("PUT /api/messages"), a_rule("WS /ws")), pass_unmatched=True)

    assert book.rules_path(canonical(path)) == ruled


@pytest.mark.parametrize("length", [20, KEPT_PATH_CHARS - len("GET"), KEPT_PATH_CHARS, 5000])
def test_a_remembered_decision_is_the_one_that_was_made(length: int) -> None:
    book = RuleTable((a_rule("GET /a/{name}"), a_rule("/b/**", name="b")), pass_unmatched=True)
    text = "/a/".ljust(length, "x")
    for method, target in [("GET", text), ("PUT", text), ("GET", "/b" + text[:-2])] * 2:
        path = canonical(target)
        made, again = (book.decide(method, path) for _ in range(2))
        assert (made.rule, dict(made.captures)) == (again.rule, dict(again.captures))
        fresh = RuleTable((a_rule("GET /a/{name}"), a_rule("/b/**", name="b")), pass_unmatched=True)
        assert fresh.decide(method, path).captures == again.captures
    assert book.decide("PUT", canonical(text)).rule is None
    assert dict(book.decide("GET", canonical(text)).captures) == {"name": text[3:]}


def test_a_refusal_is_made_each_time() -> None:
    book = RuleTable((a_rule("GET /a"),), pass_unmatched=False)
    for _ in range(3):
        with pytest.raises(RejectedByRule):
            book.decide("GET", canonical("/b"))


def test_what_is_remembered_is_bounded_by_count_and_by_length() -> None:
    book = RuleTable((a_rule("GET /a/{name}"),), pass_unmatched=True)
    for number in range(2 * REMEMBERED):
        book.decide("GET", canonical(f"/a/{number}"))
    assert book._remembered.cache_info().currsize == REMEMBERED
    asked = book._remembered.cache_info().misses
    book.decide("GET", canonical("/a/" + "x" * KEPT_PATH_CHARS))
    book.decide("X" * KEPT_PATH_CHARS, canonical("/a/1"))
    assert book._remembered.cache_info().misses == asked


OBSERVING = replace(a_rule("GET,POST /api/messages", request=BLOCK), observes=True)


@pytest.mark.parametrize("path", ["/api/Messages", "/api/messages/", "/api/messages.json"])
def test_a_rule_that_only_observes_refuses_no_second_reading(path: str) -> None:
    enforced = a_rule("GET,POST /api/messages", request=BLOCK)
    with pytest.raises(AmbiguousRequest):
        decide(enforced, request=f"POST {path}")
    assert decide(OBSERVING, request=f"POST {path}").rule is None
    with pytest.raises(AmbiguousRequest):
        decide(OBSERVING, enforced, request=f"POST {path}")


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_a_rule_that_only_observes_adds_no_reading_of_a_path_to_too_many(method: str) -> None:
    """Of a name with dots, as many beginnings are readings as the dots of a rule are."""
    path = "/index.php/a.b.c.d.e.f/app/app.php/app/x.y.z.tar.gz.json"
    dotted, other = a_rule("GET /files/a.b.c.d.e.f.g.h", name="dotted"), a_rule(name="other")
    with pytest.raises(AmbiguousRequest):
        decide(dotted, other, request=f"{method} {path}")
    plain = decide(other, request=f"{method} {path}")
    seen = decide(replace(dotted, observes=True), other, request=f"{method} {path}")
    assert (seen.rule, seen.ruled, seen.overridable) == (None, plain.ruled, plain.overridable)


def test_a_rule_that_only_observes_refuses_no_handshake_and_no_override() -> None:
    assert decide(OBSERVING, request="GET /api/messages", websocket=True).rule is None
    book = RuleTable((OBSERVING,), pass_unmatched=True)
    assert not book.rules_path(canonical("/api/messages"))


@pytest.mark.parametrize("sealed", ["POST /chat", "GET /chat", "/**", "WS /chat"])
def test_a_rule_that_only_observes_opens_no_way_around_one_that_seals(sealed: str) -> None:
    watching = replace(a_rule("WS /chat", name="watching"), observes=True)
    assert decide(watching, request="GET /chat", websocket=True).observes is not None
    with pytest.raises(RejectedByRule) as caught:
        decide(watching, a_rule(sealed, request=BLOCK), request="GET /chat", websocket=True)
    assert caught.value.reason == "upgrade-on-ruled-route"


def test_beside_a_rule_that_only_observes_another_takes_what_is_its_own() -> None:
    other = a_rule("POST /api/**", request=BLOCK, name="other")
    assert decide(OBSERVING, other, request="POST /api/Messages").rule == other


def test_a_table_that_is_replaced_is_gone_at_once() -> None:
    """A cycle would keep it until the oldest generation is collected, which is seldom."""
    table = RuleTable((a_rule(), replace(a_rule(name="seen"), observes=True)), pass_unmatched=True)
    table.decide("POST", canonical("/api/messages"))
    rule = table.rules[0]
    gc.disable()
    try:
        del table
        assert sys.getrefcount(rule) == 2  # this name, and the argument
    finally:
        gc.enable()
