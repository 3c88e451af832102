"""Messages of a stream, one behind the other, each planned for itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from proxy.core.compiled.rule_table import RuleTable
from proxy.core.errors import (
    InvalidBody,
    InvalidExpression,
    OpenFailed,
    RejectedByRule,
    UnlistedName,
    UnsupportedBody,
)
from proxy.core.expressions.sources import parse_source
from proxy.core.http.message import Direction, RequestHead, SocketHead
from proxy.core.http.path import canonical
from proxy.core.planning.exchange import Announced, Exchange, Messages
from proxy.core.rules.model import Block, Names, Rule, Verdict
from proxy.core.transform import apply, pass_handshake, plan_message
from tests.factories import NOW, a_block, a_rule, an_item, keys_for

CONST = Names(parse_source("const:clinic"), parse_source("const:c1"))
PARTS = ("tenant", "conversation", "field")
HEAD = RequestHead("GET", "/ws/c9", "room=r1", ())
TOKENS = an_item("tokens", bind=["tenant", "conversation"])


def messages(
    rule: Rule,
    direction: Direction = "request",
    before: Callable[[], Announced] | None = None,
) -> Messages:
    book = RuleTable((rule,), pass_unmatched=True)
    decision = book.decide("GET", canonical(HEAD.path), websocket=True)
    return Messages(Exchange(decision, HEAD), direction, before)


def ws(
    request: Block | tuple[Block, ...] = (), response: Block | None = None, names: Names = CONST
) -> Rule:
    rule = a_rule("WS /ws/{id}", names=names)
    if request:
        rule = replace(rule, request=request if isinstance(request, tuple) else (request,))
    return rule if response is None else replace(rule, response=(response,))


def through(one: Messages, body: bytes | str, *, binary: bool = False) -> bytes:
    raw = body.encode() if isinstance(body, str) else body
    plan = plan_message(one, raw, binary=binary)
    out = apply(plan, keys_for(plan.needs), NOW).forwardable.body
    assert out is not None
    return out


@pytest.mark.parametrize("binary", [False, True])
def test_each_message_has_names_of_its_own(*, binary: bool) -> None:
    names = replace(CONST, conversation=parse_source("$.cid"))
    one = messages(ws(a_block(encrypt=["$.content"]), names=names))
    back = messages(ws(None, a_block(decrypt=["$.content"], names=names)), "response")  # type: ignore[arg-type]  # no block

    sealed = [
        through(one, f'{{"cid":"c{at}","content":"CANARY"}}', binary=binary) for at in range(2)
    ]

    assert not any(b"CANARY" in message for message in sealed)
    assert [json.loads(through(back, message))["content"] for message in sealed] == ["CANARY"] * 2
    with pytest.raises(OpenFailed):
        through(back, sealed[0].replace(b'"c0"', b'"c1"'))


def test_names_of_the_handshake_bind_every_message() -> None:
    names = replace(CONST, conversation=parse_source("path:id"))
    plan = plan_message(messages(ws(a_block(encrypt=["$.a"]), names=names)), b'{"a":1}')

    assert [scope.conversation for scope in plan.needs.seals] == ["c9"]


@pytest.mark.parametrize("body", ["no json", "", '{"content":1}x'])
def test_what_a_rule_cannot_read_does_not_pass(body: str) -> None:
    one = messages(ws(a_block(encrypt=["$.content"])))

    for binary in (False, True):
        with pytest.raises(Exception, match=r"not-json|missing-value|trailing-bytes"):
            through(one, body, binary=binary)


def test_a_direction_without_a_block_passes() -> None:
    one = messages(ws(a_block(encrypt=["$.content"])), "response")

    assert through(one, b"\xff\x00", binary=True) == b"\xff\x00"


@pytest.mark.parametrize("selector", ["body", "text"])
@pytest.mark.parametrize("text", ["hello", "\u00e9\U0001f600", "{"])
def test_whole_messages_are_sealed_and_opened(selector: str, text: str) -> None:
    item = an_item(selector, field="message")
    rule = ws(a_block(encrypt=[item]), a_block(decrypt=[item]))

    sealed = through(messages(rule), text)

    assert sealed.startswith(b"eyJ")
    assert through(messages(rule, "response"), sealed).decode() == text
    with pytest.raises(OpenFailed):
        through(messages(rule, "response"), text)


def test_binary_messages_are_sealed_whole() -> None:
    item = an_item("body", field="message")
    rule = ws(a_block(encrypt=[item]), a_block(decrypt=[item]))

    sealed = through(messages(rule), b"\xff\x00", binary=True)

    assert through(messages(rule, "response"), sealed, binary=True) == b"\xff\x00"
    with pytest.raises(OpenFailed, match="not-text"):
        through(messages(rule, "response"), sealed)


def test_tokens_are_opened_in_json_and_in_other_text() -> None:
    item = an_item("$.content", bind=TOKENS.bind)
    token = json.loads(through(messages(ws(a_block(encrypt=[item]))), '{"content":"a\\"b"}'))[
        "content"
    ]
    one = messages(ws((), a_block(decrypt=[TOKENS])), "response")

    assert through(one, json.dumps({"x": [f"Re: {token}"]})) == b'{"x": ["Re: a\\"b"]}'
    assert through(one, f"MSG {token}.") == b'MSG a"b.'
    assert through(one, "nothing here") == b"nothing here"


def test_blocks_are_told_apart_by_text_and_binary() -> None:
    item = an_item("body", field="message")
    binary = replace(a_block(encrypt=[item]), types=("application/octet-stream",))
    text = replace(a_block(encrypt=["$.content"]), types=("text/plain",))
    one = messages(ws((binary, text)))

    assert through(one, b"\x00", binary=True).startswith(b"eyJ")
    assert through(one, '{"content":"a"}').startswith(b'{"content":"eyJ')
    with pytest.raises(UnsupportedBody):
        through(messages(ws((binary,))), "{}")
    opens = replace(a_block(decrypt=[item]), types=("text/plain",))
    assert through(messages(ws((), opens), "response"), b"\x00", binary=True) == b"\x00"


def packets(block: Block) -> Block:
    return replace(block, format="socketio")


def test_a_packet_of_socketio_is_one_message() -> None:
    one = messages(ws(packets(a_block(encrypt=["optional $[1].content"]))))

    assert through(one, "2probe") == b"2probe"
    assert b"CANARY" not in through(one, '42["m",{"content":"CANARY"}]')
    for body in ('42["m"]\x1e42["m",{"content":"CANARY"}]', "hello"):
        with pytest.raises(InvalidBody):
            through(one, body)


def test_attachments_pass_where_they_were_announced() -> None:
    one = messages(ws(packets(a_block(encrypt=["optional $[1].content"]))))
    announcing = '452-["m",{"file":{"_placeholder":true,"num":0}}]'

    with pytest.raises(InvalidBody, match="attachment-not-announced"):
        through(one, b"\x01", binary=True)
    assert through(one, announcing) == announcing.encode()
    assert through(one, b"\x01", binary=True) == b"\x01"
    assert through(one, "bAQ==") == b"bAQ=="
    assert one.announced == ()
    through(one, announcing)
    with pytest.raises(InvalidBody, match="attachment-missing"):
        through(one, '42["m"]')


@pytest.mark.parametrize(
    ("request_", "response", "names"),
    [
        (a_block(encrypt=[an_item("form:a", field="a")]), None, CONST),
        (a_block(encrypt=[an_item("header:a", field="a")]), None, CONST),
        ((), a_block(decrypt=["$.a"]), replace(CONST, conversation=parse_source("$.cid"))),
    ],
)
def test_a_websocket_has_no_pairs_headers_or_one_request(
    request_: Block, response: Block | None, names: Names
) -> None:
    with pytest.raises(InvalidExpression):
        RuleTable((ws(request_, response, names),), pass_unmatched=True)


def test_unmatched_websockets_have_no_blocks() -> None:
    decision = RuleTable((), pass_unmatched=True).decide("GET", canonical("/x"), websocket=True)

    assert through(Messages(Exchange(decision, HEAD), "request"), "as it is") == b"as it is"


def test_a_handshake_passes_unless_its_query_has_what_is_not_listed() -> None:
    block = a_block(encrypt=["$.a"])
    passed = pass_handshake(messages(ws(block)).exchange)

    assert passed.head is HEAD
    assert passed.body is None
    closed = a_block(encrypt=["$.a"], plain=[])
    with pytest.raises(UnlistedName):
        pass_handshake(messages(ws(closed)).exchange)
    rejecting = replace(ws(block), response=Verdict.REJECT)
    with pytest.raises(RejectedByRule):
        pass_handshake(messages(rejecting).exchange)
    unmatched = RuleTable((), pass_unmatched=True).decide("GET", canonical("/x"), websocket=True)
    assert pass_handshake(Exchange(unmatched, HEAD)).head is HEAD


def test_a_head_that_is_none_has_no_headers() -> None:
    assert SocketHead("request").headers == ()


@pytest.mark.parametrize(
    ("block", "seals"),
    [
        (a_block(encrypt=["$.a"]), True),
        (a_block(plain=["$.a"], others="seal"), True),
        (a_block(decrypt=["$.a"]), False),
        ((), False),
    ],
)
def test_messages_tell_whether_they_are_sealed(block: Block, *, seals: bool) -> None:
    assert messages(ws(block)).seals is seals
