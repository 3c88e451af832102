"""Attachments of packets: sealed and opened as the values that they stand for, and nowhere else."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Final

import pytest

from proxy.core.errors import ForbiddenValue, InvalidBody, MissingValue, OpenFailed
from proxy.core.expressions.sources import parse_source
from proxy.core.formats.records.socketio import attachments
from proxy.core.http.message import Headers
from proxy.core.rules.model import Block, Names, Rule
from proxy.core.transform import apply, plan_message, plan_request
from tests.core.planning.test_messages import messages, ws
from tests.core.rules.test_conditions import when
from tests.factories import (
    NOW,
    Trip,
    a_block,
    a_message,
    a_response,
    a_rule,
    keys_for,
    send,
    sent,
)

TEXT: Final[Headers] = ((b"Content-Type", b"text/plain;charset=UTF-8"),)
NAMES = Names(parse_source("const:clinic"), parse_source("$[1].conversationId"))
CANARY: Final = b"CANARY\x00\xff"
PLACE: Final = '{"_placeholder":true,"num":%d}'


def packets(block: Block) -> Block:
    return replace(block, format="socketio")


def sealing(*selectors: str, **changes: object) -> Rule:
    block = replace(packets(a_block(encrypt=selectors)), **changes)  # type: ignore[arg-type]  # fields
    return a_rule(request=block, names=NAMES)


def opening(*selectors: str, keep: bool = False) -> Rule:
    block = replace(packets(a_block(decrypt=selectors)), keep_unopened=keep)
    return a_rule(request=block, names=NAMES)


def b(data: bytes) -> str:
    return "b" + base64.b64encode(data).decode()


def packet(*places: str, conversation: str = "c1", count: int | None = None) -> str:
    values = ",".join(f'"{name}":{PLACE % number}' for number, name in enumerate(places))
    number = len(places) if count is None else count
    return f'45{number}-["m",{{"conversationId":"{conversation}",{values}}}]'


def attached(body: bytes) -> list[bytes]:
    return [base64.b64decode(body[start:end]) for start, end in attachments(body)]


def test_an_attachment_is_sealed_and_opened_as_the_value_that_it_stands_for() -> None:
    event = '42["x",{"file":"t","conversationId":"c1"}]'
    body = "\x1e".join((packet("file", "plain"), b(CANARY), b(b"open"), event))

    sealed = sent(sealing("$[1].file"), a_message(body, headers=TEXT))
    opened = sent(opening("$[1].file"), a_message(sealed, headers=TEXT))

    assert sealed.startswith(packet("file", "plain").encode())
    first, second = attached(sealed)
    assert first.startswith(b"eyJ")
    assert second == b"open"
    assert opened == body.encode()


@pytest.mark.parametrize(("selector", "conversation"), [("$[1].other", "c1"), ("$[1].file", "c2")])
def test_an_attachment_opens_in_no_other_place(selector: str, conversation: str) -> None:
    body = f"{packet('file')}\x1e{b(CANARY)}"
    (token,) = attached(sent(sealing("$[1].file"), a_message(body, headers=TEXT)))
    name = selector.removeprefix("$[1].")
    moved = f"{packet(name, conversation=conversation)}\x1e{b(token)}"

    with pytest.raises(OpenFailed):
        send(opening(selector), a_message(moved, headers=TEXT))
    kept = sent(opening(selector, keep=True), a_message(moved, headers=TEXT))

    assert kept == moved.encode()


def test_an_attachment_does_not_open_as_a_text() -> None:
    body = f"{packet('file')}\x1e{b(CANARY)}"
    (token,) = attached(sent(sealing("$[1].file"), a_message(body, headers=TEXT)))
    moved = f'42["m",{{"conversationId":"c1","file":"{token.decode()}"}}]'

    with pytest.raises(OpenFailed):
        send(opening("$[1].file"), a_message(moved, headers=TEXT))


def test_old_attachments_stay_where_the_block_lets_them() -> None:
    body = f"{packet('file')}\x1e{b(CANARY)}"
    lax = opening("$[1].file", keep=True)

    assert sent(lax, a_message(body, headers=TEXT)) == body.encode()
    with pytest.raises(OpenFailed):
        send(opening("$[1].file"), a_message(body, headers=TEXT))


def test_a_value_without_its_names_stays_or_is_refused() -> None:
    body = f'451-["m",{{"file":{PLACE % 0}}}]\x1e{b(CANARY)}'

    with pytest.raises(MissingValue):
        send(opening("$[1].file"), a_message(body, headers=TEXT))
    assert sent(opening("$[1].file", keep=True), a_message(body, headers=TEXT)) == body.encode()


@pytest.mark.parametrize(
    "body",
    [
        f'451-["m",{{"conversationId":"c1","file":{PLACE % 1}}}]\x1ebAA==',
        '451-["m",{"conversationId":"c1","file":{"_placeholder":true,"num":0,"x":1}}]\x1ebAA==',
        '451-["m",{"conversationId":"c1","file":[{"_placeholder":true,"num":0}]}]\x1ebAA==',
        f'451-["m",{{"conversationId":"c1","file":{PLACE % 0},"two":{PLACE % 0}}}]\x1ebAA==',
    ],
)
def test_an_attachment_that_is_not_clearly_one_value_is_refused(body: str) -> None:
    rule = sealing("$[1].file", "optional $[1].two")

    with pytest.raises(ForbiddenValue):
        send(rule, a_message(body, headers=TEXT))


def test_a_value_that_two_selectors_open_is_opened_once() -> None:
    shared = f'451-["m",{{"conversationId":"c1","file":{PLACE % 0},"two":{PLACE % 0}}}]'
    sealed = sent(sealing("$[1].file"), a_message(f"{shared}\x1e{b(CANARY)}", headers=TEXT))

    opened = sent(opening("$[1].file", "$[1].two"), a_message(sealed, headers=TEXT))

    assert attached(opened) == [CANARY]


def test_a_selected_attachment_must_be_base64_to_every_reader() -> None:
    with pytest.raises(InvalidBody, match="attachment-not-base64"):
        send(sealing("$[1].file"), a_message(f"{packet('file')}\x1ebQQ", headers=TEXT))


def test_a_placeholder_in_an_event_without_attachments_is_a_value_like_any_other() -> None:
    body = f'42["m",{{"conversationId":"c1","file":{PLACE % 0}}}]'

    sealed = sent(sealing("$[1].file"), a_message(body, headers=TEXT))

    assert b"_placeholder" not in sealed
    assert sent(opening("$[1].file"), a_message(sealed, headers=TEXT)) == body.encode()
    with pytest.raises(OpenFailed):
        send(opening("$[1].file"), a_message(body, headers=TEXT))


def test_each_packet_has_the_block_that_takes_it() -> None:
    named = replace(packets(a_block(encrypt=["$[1].file"])), when=when("$[0]", b'"m"'))
    rule = a_rule(request=(named, packets(a_block(encrypt=["optional $[1].other"]))), names=NAMES)
    other = packet("other").replace('"m"', '"n"')
    body = f"{packet('file')}\x1e{b(CANARY)}\x1e{other}\x1e{b(CANARY)}"

    first, second = attached(sent(rule, a_message(body, headers=TEXT)))

    assert first.startswith(b"eyJ")
    assert second.startswith(b"eyJ")


def test_attachments_may_come_in_the_next_body() -> None:
    trip = Trip((sealing("$[1].file"),), a_message(packet("file", "plain"), headers=TEXT))
    plan = plan_request(trip.exchange, packet("file", "plain").encode())
    first = apply(plan, keys_for(plan.needs), NOW).forwardable.body
    awaited = trip.exchange.announced["request"]
    rest = f"{b(CANARY)}\x1e2"
    plan = plan_request(trip.exchange, rest.encode())
    second = apply(plan, keys_for(plan.needs), NOW).forwardable.body

    assert first == packet("file", "plain").encode()
    assert [one is not None for one in awaited] == [True, False]
    assert second is not None
    assert second.startswith(b"b")
    assert attached(second)[0].startswith(b"eyJ")
    assert second.endswith(b"\x1e2")
    assert trip.exchange.announced["request"] == (None,)


def test_attachments_of_a_websocket_are_sealed_in_binary() -> None:
    one = messages(replace(ws(packets(a_block(encrypt=["$[1].file"]))), names=NAMES))
    plan_message(one, packet("file").encode())
    plan = plan_message(one, CANARY, binary=True)

    sealed = apply(plan, keys_for(plan.needs), NOW).forwardable.body

    assert sealed is not None
    assert sealed.startswith(b"eyJ")
    assert one.announced == ()


def test_a_websocket_goes_on_with_what_polls_have_announced() -> None:
    rule = replace(ws(packets(a_block(encrypt=["$[1].file"]))), names=NAMES)
    polled = messages(rule)
    plan_message(polled, packet("file").encode())
    one = messages(rule, before=lambda: polled.announced)

    plan_message(one, b"2probe")
    assert one.announced == ()
    plan = plan_message(one, CANARY, binary=True)
    sealed = apply(plan, keys_for(plan.needs), NOW).forwardable.body

    assert sealed is not None
    assert sealed.startswith(b"eyJ")
    with pytest.raises(InvalidBody, match="attachment-not-announced"):
        plan_message(one, CANARY, binary=True)
    other = messages(rule, before=lambda: polled.announced)
    with pytest.raises(InvalidBody, match="attachment-missing"):
        plan_message(other, b'42["m",{"conversationId":"c1","file":"a"}]')


def test_an_attachment_whose_place_has_a_twin_stays_sealed() -> None:
    body = f"{packet('file')}\x1e{b(CANARY)}"
    sealed = sent(sealing("$[1].file"), a_message(body, headers=TEXT))
    twin = sealed.replace(b'"file":', b'"File":1,"file":', 1)
    rule = a_rule(response=packets(a_block(decrypt=["$[1].file"])), names=Names(NAMES.tenant))
    block = replace(packets(a_block(decrypt=["$[1].file"])), names=NAMES)
    trip = Trip((replace(rule, response=(block,)),), a_message())

    opened = trip.response(sealed, a_response(headers=TEXT))
    kept = trip.response(twin, a_response(headers=TEXT))

    assert opened is not None
    assert opened.forwardable.body == body.encode()
    assert kept is not None
    assert kept.forwardable.body == twin


def test_a_value_within_a_text_is_no_attachment() -> None:
    event = packet("file").replace("{", '{"note":"{\\"text\\":\\"secret\\"}",', 1)
    body = f"{event}\x1e{b(CANARY)}"

    sealed = sent(sealing("$[1].note json:$.text", "$[1].file"), a_message(body, headers=TEXT))
    opened = sent(opening("$[1].note json:$.text", "$[1].file"), a_message(sealed, headers=TEXT))

    assert b"secret" not in sealed
    assert opened == body.encode()


def test_a_field_of_strings_is_refused_with_its_packet() -> None:
    block = packets(a_block(encrypt=["$[1].file"]))
    text = replace(block, encrypt=tuple(replace(one, min_chars=0) for one in block.encrypt))

    with pytest.raises(ForbiddenValue, match="binary-placeholder"):
        send(a_rule(request=text, names=NAMES), a_message(packet("file"), headers=TEXT))
