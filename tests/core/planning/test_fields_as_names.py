"""A field of a form that names the conversation: `From` of Twilio, `channel_id` of Slack."""

from __future__ import annotations

from dataclasses import replace

import pytest

from proxy.core.crypto.context import Scope
from proxy.core.errors import InvalidExpression, MessageError
from proxy.core.expressions.sources import MembersSource, parse_source
from proxy.core.planning.exchange import Exchange
from proxy.core.rules.model import Names, Others, Rule
from proxy.core.transform import plan_request
from tests.factories import Trip, a_block, a_message, a_rule, an_item

FORM = ((b"Content-Type", b"application/x-www-form-urlencoded"),)
NAMES = Names(parse_source("form:AccountSid"), parse_source("form:From"))


def taking(names: Names = NAMES, others: Others = "refuse") -> Rule:
    block = a_block(encrypt=[an_item("form:Body")], plain=["form:To"], others=others)
    return a_rule(request=block, names=names)


def scope(rule: Rule, body: str, target: str = "/api/messages") -> Scope:
    """Return what a value of a form is bound to."""
    trip = Trip((rule,), a_message(body, headers=FORM, target=target))
    (found,) = plan_request(trip.exchange, trip.message.body).needs.seals
    return found


@pytest.mark.parametrize("others", ["refuse", "seal", "pass"])
def test_a_field_gives_the_name_that_it_spells(others: Others) -> None:
    body = "From=%2B1415+555&AccountSid=AC1&Body=hello&To=1"

    found = scope(taking(others=others), body)
    assert (found.tenant, found.conversation) == ("AC1", "+1415 555")


def test_two_fields_name_those_who_talk() -> None:
    both = MembersSource((parse_source("form:From"), parse_source("form:To")))
    rule = taking(replace(NAMES, conversation=both))

    assert scope(rule, "From=a&To=b&AccountSid=1&Body=x") == scope(
        rule, "From=b&To=a&AccountSid=1&Body=x"
    )


def test_several_names_may_be_of_one_field() -> None:
    rule = taking(Names(parse_source("form:From"), parse_source("form:From")))

    found = scope(rule, "From=a&Body=x")
    assert (found.tenant, found.conversation) == ("a", "a")


@pytest.mark.parametrize(
    ("body", "target"),
    [
        ("AccountSid=1&Body=x", ""),
        ("From=&AccountSid=1&Body=x", ""),
        ("From&AccountSid=1&Body=x", ""),
        ("From=a&From=b&AccountSid=1&Body=x", ""),
        ("From=a&from=b&AccountSid=1&Body=x", ""),
        ("From=a&From[]=b&AccountSid=1&Body=x", ""),
        ("From=a&AccountSid=1&Body=x;From=b", ""),
        ("From=%ff&AccountSid=1&Body=x", ""),
        ("From=a&AccountSid=1&Body=x", "?From=b"),
    ],
)
@pytest.mark.parametrize("others", ["refuse", "pass"])
def test_a_name_that_is_missing_or_has_two_readings_is_refused(
    body: str, target: str, others: Others
) -> None:
    with pytest.raises(MessageError):
        scope(taking(others=others), body, "/api/messages" + target)


def test_an_answer_is_bound_to_the_name_of_its_request() -> None:
    rule = replace(taking(), response=(a_block(decrypt=["$.text"]),))
    trip = Trip((rule,), a_message("From=a&AccountSid=1&Body=x", headers=FORM))
    trip.request()

    assert isinstance(trip.exchange, Exchange)
    assert set(trip.exchange.facts.values()) == {"a", "1"}


@pytest.mark.parametrize("text", ["part:From", "form:From~", "part:file"])
def test_what_gives_no_name_is_refused(text: str) -> None:
    with pytest.raises(InvalidExpression):
        parse_source(text)
