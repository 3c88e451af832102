"""Values in the equal form: sealed, opened and looked for as rules say."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from proxy.core.callers import VerifiedCaller
from proxy.core.crypto import token
from proxy.core.crypto.context import Context, Scope
from proxy.core.errors import CallerMayNotSearch, IndexIncomplete, KeyUnavailable
from proxy.core.explain.dry_run import assumed_keys, with_trial_sealing
from proxy.core.expressions.sources import parse_source
from proxy.core.rules.audience import CallerAudience, Mask, Shown
from proxy.core.rules.model import Item, Names, Part, Rule
from proxy.core.transform import Applied, apply, plan_request
from proxy.core.values.key_needs import Keys, KeysInUse, Unrevoked
from tests.factories import (
    INDEX_KEYS,
    NOW,
    Message,
    Trip,
    a_block,
    a_message,
    a_rule,
    an_item,
    keys_for,
    sent,
)

BIND: tuple[Part, ...] = ("tenant", "field")
NAMES = Names(tenant=parse_source("const:clinic"), conversation=parse_source("const:c1"))
BODY = '{"email":"ann@example.com"}'
SEALED = INDEX_KEYS.equal(Scope("clinic")).seal(
    b"ann@example.com", Context(Scope("clinic"), "email")
)


def equal(selector: str = "$.email", *, seeks: bool = False) -> Item:
    return replace(an_item(selector, field="email", bind=BIND, form="equal"), seeks=seeks)


def rule(item: Item | None = None, pattern: str = "POST /api/messages") -> Rule:
    answer = a_block(decrypt=[an_item("$.*.email", bind=BIND)])
    request = a_block(encrypt=[item or equal()])
    return a_rule(pattern, names=NAMES, request=request, response=answer)


def applied(made: Rule, message: Message, keys: Keys | None = None) -> Applied:
    plan = plan_request(Trip((made,), message).exchange, message.body)
    return apply(plan, keys or keys_for(plan.needs), NOW)


def test_equal_values_are_one_token_that_opens_in_a_list() -> None:
    tokens = [json.loads(sent(rule(), a_message(BODY)))["email"] for _ in range(2)]
    assert tokens == [SEALED.decode()] * 2
    trip = Trip((rule(),), a_message(BODY))
    trip.request()
    answer = trip.response(json.dumps([{"email": one} for one in tokens]))
    assert answer is not None
    assert json.loads(answer.forwardable.body or b"") == [json.loads(BODY)] * 2


def test_a_search_gets_the_token_and_waits_while_values_are_sealed_anew() -> None:
    target = "/api/messages?email=ann%40example.com"
    asked = a_message("", method="GET", target=target)
    pattern = "GET /api/messages"
    head = applied(rule(equal("query:email"), pattern), asked).forwardable.head
    assert b"email=" + SEALED in repr(head).encode()
    with pytest.raises(IndexIncomplete, match="being-sealed-anew"):
        applied(rule(equal("query:email", seeks=True), pattern), asked)


@pytest.mark.parametrize("shown", [Mask(), "token", "absent", "refuse"])
def test_who_does_not_get_the_values_may_not_look_for_one(shown: Shown) -> None:
    """An answer with a mask in it would tell that there is such a value."""
    get = replace(rule(equal("query:email", seeks=True), "GET /api/find"), name="find")
    request, response = get.request, get.response
    assert isinstance(request, tuple)
    assert isinstance(response, tuple)
    callers = ("ada", "bob")
    audience = CallerAudience((("ada", "value"), ("bob", shown)))
    block = replace(
        response[0], decrypt=tuple(replace(one, audience=audience) for one in response[0].decrypt)
    )
    listed = replace(get, name="list", request=(), response=(block,), callers=callers)
    listed = replace(listed, patterns=a_rule("GET /api/messages").patterns)
    find = replace(get, response=(), callers=callers)
    asked = a_message("", method="GET", target="/api/find?email=ann%40example.com")
    for name, refusal in (("ada", IndexIncomplete), ("bob", CallerMayNotSearch)):
        trip = Trip((find, listed), asked)
        trip.exchange.caller = VerifiedCaller(name)
        plan = plan_request(trip.exchange, b"")
        with pytest.raises(refusal):
            apply(plan, keys_for(plan.needs), NOW)


def test_without_an_index_secret_nothing_is_sealed() -> None:
    message = a_message(BODY)
    needs = plan_request(Trip((rule(),), message).exchange, message.body).needs
    keys = replace(keys_for(needs), standing=Unrevoked())
    with pytest.raises(KeyUnavailable, match="no-index-secret"):
        applied(rule(), message, keys)
    with pytest.raises(KeyUnavailable, match="no-index-secret"):
        KeysInUse(keys).seal_for(Scope("clinic"), "equal")
    assert KeysInUse(keys).seal_for(Scope("clinic")) is keys.sealing[Scope("clinic")]


def test_a_trial_seals_by_an_index_secret_of_its_own() -> None:
    message = a_message(BODY)
    needs = plan_request(Trip((rule(),), message).exchange, message.body).needs
    body = applied(rule(), message, with_trial_sealing(assumed_keys(needs), needs, NOW))
    found = json.loads(body.forwardable.body or b"")["email"].encode()
    assert found != SEALED
    assert token.decode(found).form == "equal"


def test_what_it_seals_by_the_index_secret_is_told() -> None:
    assert [one.field for one in rule().comparable] == ["email"]
    assert not rule(an_item("$.email")).comparable
