"""A stored element with a twin stays sealed, and all others of its list are opened."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from proxy.core.crypto.context import Context, Scope
from proxy.core.errors import InvalidBody, SealyardError
from proxy.core.expressions.selectors import parse_json_selector
from proxy.core.expressions.sources import ListSource, parse_source
from proxy.core.rules.conditions import Condition
from proxy.core.rules.model import Names, Part, Rule
from proxy.core.transform import Applied
from tests.factories import a_block, a_response, a_rule, a_session, an_item, reply

BIND: tuple[Part, ...] = ("tenant", "conversation")
CLINIC = parse_source("const:clinic")


def a_token(conversation: str = "c1") -> str:
    scope = Scope("clinic", conversation)
    return a_session(scope).seal(b"hello", Context(scope)).decode()


def a_list(*, keep: bool = False, select: str = "$.data.*.content", **names: str) -> Rule:
    sources = {part: parse_source(text) for part, text in names.items()}
    block = a_block(decrypt=[an_item(select, field="content", bind=BIND)], names=Names(**sources))
    return a_rule(
        response=replace(block, keep_unopened=keep), names=Names(CLINIC, parse_source("const:c1"))
    )


def rows(*odd: str) -> str:
    """Return a list of three: the second has odd members before its own."""
    members = "".join(f"{one}," for one in odd)
    own = f'"conversationId":"c1","content":"{a_token()}"'
    return f'{{"data":[{{{own}}},{{{members}{own}}},{{{own}}}]}}'


def contents(applied: Applied) -> list[str]:
    body = applied.forwardable.body
    assert body is not None
    return [one["content"] for one in json.loads(body)["data"]]


TWINS = (
    '"Content":"x"',
    '"con_tent":"x"',
    '"content.x":"x"',
    '"__proto__":{"content":"x"}',
    '"ConversationId":"c2"',
    '"conversation_id":"c1"',
    '"conversationId":"c2"',
    '"\\uff43ontent":"x"',
)


@pytest.mark.parametrize("odd", TWINS)
@pytest.mark.parametrize("keep", [True, False])
def test_a_list_with_a_stored_twin_has_its_other_elements_opened(odd: str, *, keep: bool) -> None:
    rule = a_list(keep=keep, conversation="$.data.*.conversationId")
    applied = reply(rule, rows(odd))
    opened = contents(applied)
    assert (opened[0], opened[2]) == ("hello", "hello")
    assert opened[1].startswith("eyJ")
    assert applied.counts == {"opened": 2, "kept": 1}
    assert (b"Sealyard-Kept", b"1") in applied.forwardable.frame.added_headers


def test_a_stored_element_with_its_value_twice_stays_as_it_is() -> None:
    rule = a_list(conversation="$.data.*.conversationId")
    applied = reply(rule, rows(f'"content":"{a_token()}"'))
    assert applied.counts == {"opened": 2, "kept": 2}
    with pytest.raises(SealyardError, match="not-a-token"):
        reply(rule, rows('"content":"in plain"'))


@pytest.mark.parametrize("odd", TWINS[4:7])
def test_twins_of_names_that_bind_nothing_there_spoil_nothing(odd: str) -> None:
    assert contents(reply(a_list(), rows(odd))) == ["hello"] * 3


def test_what_one_name_binds_stays_all_of_it() -> None:
    rule = a_list(conversation="$.room")
    body = f'{{"room":"c1","Room":"c2",{rows()[1:]}'
    applied = reply(rule, body)
    assert applied.counts == {"kept": 3}
    assert reply(rule, body.replace('"Room"', '"Rooms"')).counts == {"opened": 3}


def test_a_twin_above_an_element_spoils_all_that_is_in_it() -> None:
    body = rows().replace('{"data":', '{"Data":[],"data":', 1)
    assert reply(a_list(), body).counts == {"kept": 3}


@pytest.mark.parametrize("odd", ['"conversationId":17', '"conversationId":""'])
def test_a_name_that_is_none_concerns_its_own_element(odd: str) -> None:
    rule = a_list(keep=True, conversation="$.data.*.id")
    own = f'"id":"c1","content":"{a_token()}"'
    bad = own.replace('"c1"', '""' if '""' in odd else "[1]")
    applied = reply(rule, f'{{"data":[{{{own}}},{{{bad}}},{{{own}}}]}}')
    assert applied.counts == {"opened": 2, "kept": 1}
    with pytest.raises(SealyardError, match="missing-conversation"):
        reply(a_list(conversation="$.data.*.id"), f'{{"data":[{{{bad}}}]}}')


def test_a_joined_name_lacks_none_of_its_parts() -> None:
    rule = a_list(keep=True, conversation="$.to.*")
    body = f'{{"to":["c1",[]],{rows()[1:]}'
    assert reply(rule, body).counts == {"kept": 3}
    joined = ListSource((parse_source("$.a"), parse_source("$.b")))
    block = a_block(
        decrypt=[an_item("$.data.*.content", field="content", bind=BIND)],
        names=Names(conversation=joined),
    )
    rule = a_rule(response=replace(block, keep_unopened=True), names=Names(CLINIC))
    assert reply(rule, f'{{"a":"x","b":"","A":"y",{rows()[1:]}').counts == {"kept": 3}


def test_tokens_anywhere_stay_where_the_name_that_binds_them_has_a_twin() -> None:
    item = an_item("tokens", field="tokens", bind=BIND)
    block = a_block(decrypt=[item], names=Names(conversation=parse_source("$.topic")))
    rule = a_rule(response=block, names=Names(CLINIC))
    body = f'{{"topic":"c1","x":"{a_token()}"}}'
    assert reply(rule, body).counts == {"opened": 1}
    assert reply(rule, body.replace("{", '{"Topic":"c2",')).counts == {"kept": 1}


def test_what_a_response_seals_is_refused_beside_a_twin() -> None:
    block = a_block(encrypt=[an_item("$.content", bind=BIND)])
    rule = a_rule(response=block, names=Names(CLINIC, parse_source("const:c1")))
    for odd, error in (('"Content":1', SealyardError), ('"content":1', InvalidBody)):
        with pytest.raises(error):
            reply(rule, f'{{{odd},"content":"x"}}')


@pytest.mark.parametrize("odd", ['"Type":"x"', '"type":"chat"'])
def test_a_condition_with_a_twin_opens_nothing_and_passes(odd: str) -> None:
    when = (Condition(parse_json_selector("$.type"), frozenset({b'"chat"'})),)
    block = a_block(decrypt=[an_item("$.content", field="content", bind=BIND)])
    rule = a_rule(response=replace(block, when=when), names=Names(CLINIC, parse_source("const:c1")))
    body = f'{{"type":"CHAT",{odd},"content":"{a_token()}"}}'
    assert reply(rule, body, a_response()).counts == {}
