"""Between whom a value is end to end: read from the message, for each value from its element."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from proxy.core.crypto import derivation
from proxy.core.crypto.context import Context, Parties, Scope
from proxy.core.crypto.secret import Kek, NameKey, RecordKey
from proxy.core.errors import MissingValue
from proxy.core.expressions.sources import (
    FirstSource,
    ListSource,
    MembersSource,
    Source,
    parse_source,
)
from proxy.core.planning.block_choice import choose_response
from proxy.core.rules.model import Block, Item, NamedPart, Names, Rule
from proxy.core.transform import plan_request, plan_response
from proxy.core.values.key_needs import Needs
from tests.factories import (
    USUAL_NAMES,
    Message,
    Trip,
    a_message,
    a_response,
    a_rule,
    a_session,
    an_item,
)

SEALING: frozenset[NamedPart] = frozenset({"sender", "recipients"})
READING: frozenset[NamedPart] = frozenset({"reader"})


def source(text: str) -> Source:
    return parse_source(text)


def sealing(recipients: Source, *, sender: str = "$.from", select: str = "$.content") -> Rule:
    names = replace(USUAL_NAMES, sender=source(sender), recipients=recipients)
    return with_item(names, replace(an_item(select), parties=SEALING))


def with_item(names: Names, item: Item) -> Rule:
    return a_rule(names=names, request=Block(encrypt=(item,)))


def scopes(rule: Rule, message: Message) -> set[Scope]:
    return set(plan_request(Trip((rule,), message).exchange, message.body).needs.seals)


def parties(rule: Rule, message: Message) -> list[Parties | None]:
    return sorted((one.parties for one in scopes(rule, message)), key=str)


def answer_needs(rule: Rule, message: Message, body: bytes) -> Needs:
    exchange, head = Trip((rule,), message).exchange, a_response()
    if exchange.decision.reads_request:
        plan_request(exchange, message.body)
    compiled = choose_response(exchange, head)
    assert compiled is not None
    return plan_response(exchange, compiled, head, body).needs


def test_the_recipients_are_every_text_that_their_source_gives_each_once() -> None:
    body = '{"conversationId":"c1","from":"alice","to":["bob","carol","bob"],"content":"x"}'
    rule = sealing(source("$.to.*"))
    assert scopes(rule, a_message(body)) == {
        Scope("clinic", "c1", Parties("alice", ("bob", "carol")))
    }


@pytest.mark.parametrize(
    ("recipients", "expected"),
    [
        (source("$.to"), ("bob",)),
        (source("const:carol"), ("carol",)),
        (source("query:also"), ("dora",)),
        (ListSource((source("$.to"), source("query:also"))), ("bob", "dora")),
        (
            MembersSource((source("query:also"), source("$.to"), source("$.from"))),
            ("alice", "bob", "dora"),
        ),
        (FirstSource((source("$.none"), source("$.to"), source("query:also"))), ("bob",)),
    ],
)
def test_every_kind_of_source_gives_recipients(
    recipients: Source, expected: tuple[str, ...]
) -> None:
    body = '{"conversationId":"c1","from":"alice","to":"bob","content":"x"}'
    message = a_message(body, target="/api/messages?also=dora")
    assert parties(sealing(recipients), message) == [Parties("alice", expected)]


def test_each_value_is_for_the_recipients_of_its_own_element() -> None:
    rule = sealing(source("$.m.*.to.*"), sender="$.m.*.from", select="$.m.*.content")
    body = (
        '{"conversationId":"c1","m":[{"from":"alice","to":["bob"],"content":"x"},'
        '{"from":"bob","to":["alice","carol"],"content":"y"}]}'
    )
    assert parties(rule, a_message(body)) == [
        Parties("alice", ("bob",)),
        Parties("bob", ("alice", "carol")),
    ]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ('{"conversationId":"c1","from":"alice","content":"x"}', "missing-recipients"),
        ('{"conversationId":"c1","from":"alice","to":[],"content":"x"}', "missing-recipients"),
        ('{"conversationId":"c1","to":["bob"],"content":"x"}', "missing-sender"),
    ],
)
def test_without_parties_nothing_is_sealed(body: str, reason: str) -> None:
    with pytest.raises(MissingValue) as caught:
        scopes(sealing(source("$.to.*")), a_message(body))
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    "recipients",
    [
        ListSource((parse_source("$.to"), parse_source("$.none"))),
        FirstSource((parse_source("$.none"),)),
    ],
)
def test_a_source_that_gives_less_than_it_says_gives_none(recipients: Source) -> None:
    body = '{"conversationId":"c1","from":"alice","to":"bob","content":"x"}'
    with pytest.raises(MissingValue):
        scopes(sealing(recipients), a_message(body))


def test_an_item_without_a_source_of_recipients_seals_nothing() -> None:
    names = replace(USUAL_NAMES, sender=source("const:alice"))
    item = replace(an_item("$.content"), parties=SEALING)
    with pytest.raises(MissingValue):
        scopes(with_item(names, item), a_message())


def test_names_of_the_request_choose_the_keys_of_its_answer() -> None:
    names = replace(USUAL_NAMES, sender=source("$.from"), recipients=source("$.to.*"))
    item = replace(an_item("$.content"), parties=SEALING)
    rule = a_rule(names=names, response=Block(encrypt=(item,)))
    body = '{"conversationId":"c1","from":"alice","to":["bob","carol"]}'
    assert set(answer_needs(rule, a_message(body), b'{"content":"x"}').seals) == {
        Scope("clinic", "c1", Parties("alice", ("bob", "carol")))
    }


def test_the_reader_chooses_the_key_and_is_bound_to_nothing() -> None:
    names = Names(tenant=source("const:clinic"), reader=source("query:as"))
    item = replace(an_item("$.content", bind=["tenant"]), parties=READING)
    rule = a_rule(names=names, response=Block(decrypt=(item,)))
    sealed = a_session(ephemeral=True).seal(b"x", Context(Scope("clinic"))).decode()
    token = json.dumps({"content": sealed})
    message = a_message("{}", target="/api/messages?as=bob")
    assert {scope for scope, _ in answer_needs(rule, message, token.encode()).opens} == {
        Scope("clinic", None, Parties(reader="bob"))
    }
    one, other = (Scope("clinic", "c1", Parties(reader=name)) for name in ("bob", "eve"))
    assert (
        Context(one).encode() == Context(other).encode() == Context(Scope("clinic", "c1")).encode()
    )


def test_each_value_that_is_read_names_by_whom_it_must_be() -> None:
    names = Names(tenant=source("const:clinic"), reader=source("query:as"))
    own = Names(sender=source("$.m.*.from"))
    item = replace(an_item("$.m.*.content", bind=["tenant"]), parties=READING | {"sender"})
    rule = a_rule(names=names, response=Block(decrypt=(item,), names=own))
    sealed = a_session(ephemeral=True).seal(b"x", Context(Scope("clinic"))).decode()
    records = [{"from": who, "content": sealed} for who in ("alice", "eve")]
    message = a_message("{}", target="/api/messages?as=bob")
    needs = answer_needs(rule, message, json.dumps({"m": records}).encode())
    assert {scope.parties for scope, _ in needs.opens} == {
        Parties("alice", reader="bob"),
        Parties("eve", reader="bob"),
    }
    with pytest.raises(MissingValue, match="missing-sender"):
        answer_needs(rule, message, json.dumps({"m": [{"content": sealed}]}).encode())


@pytest.mark.parametrize("part", ["sender", "reader"])
def test_no_participant_has_a_joined_name(part: NamedPart) -> None:
    names = replace(USUAL_NAMES, **{part: source("$.to.*"), "recipients": source("$.to.*")})
    parties: frozenset[NamedPart] = SEALING if part == "sender" else READING
    rule = with_item(names, replace(an_item("$.content"), parties=parties))
    body = '{"conversationId":"c1","to":["alice"],"content":"x"}'
    with pytest.raises(MissingValue, match=f"joined-{part}"):
        scopes(rule, a_message(body))


def test_all_values_of_a_message_are_for_the_same_recipients() -> None:
    names = replace(USUAL_NAMES, sender=source("$.from"), recipients=source("$.to.*"))
    items = tuple(replace(an_item(one), parties=SEALING) for one in ("$.content", "$.note"))
    rule = a_rule(names=names, request=Block(encrypt=items))
    body = '{"conversationId":"c1","from":"alice","to":["bob"],"content":"x","note":"y"}'
    assert parties(rule, a_message(body)) == [Parties("alice", ("bob",))]


def test_recipients_are_the_texts_within_joined_names() -> None:
    joined = ListSource((source("$.to.*"), MembersSource((source("$.from"), source("$.to.*")))))
    rule = sealing(FirstSource((source("path:none"), joined)))
    body = '{"conversationId":"c1","from":"alice","to":["bob","5:alice3:bob"],"content":"x"}'
    assert parties(rule, a_message(body)) == [Parties("alice", ("5:alice3:bob", "alice", "bob"))]


def test_a_scope_with_parties_has_no_key_and_no_record_of_its_own() -> None:
    scope = Scope("clinic", "c1", Parties(reader="bob"))
    with pytest.raises(ValueError, match="key packages alone"):
        derivation.session_key(Kek(bytes(32)), bytes(12), scope)
    with pytest.raises(ValueError, match="key packages alone"):
        derivation.record_name(NameKey(bytes(32)), scope)


def test_the_key_of_private_keys_is_not_the_record_key() -> None:
    one, other = (derivation.private_key_wrapping(RecordKey(bytes([at]) * 32)) for at in (1, 2))
    assert len({one, other, bytes([1]) * 32, bytes([2]) * 32}) == 4
