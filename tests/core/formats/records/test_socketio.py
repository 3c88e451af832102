"""Packets of Engine.IO and Socket.IO: what is an event, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.errors import (
    BodyTooLarge,
    ForbiddenValue,
    InvalidBody,
    OpenFailed,
    UnsupportedBody,
)
from proxy.core.expressions.sources import parse_source
from proxy.core.formats.records import socketio
from proxy.core.http.message import Headers
from proxy.core.rules.model import Block, Names
from tests.core.rules.test_conditions import when
from tests.factories import Trip, a_block, a_message, a_response, a_rule, an_item, send, sent

CONST = Names(parse_source("const:clinic"), parse_source("const:c1"))
TEXT: Headers = ((b"Content-Type", b"text/plain;charset=UTF-8"),)


def packets(block: Block) -> Block:
    return replace(block, format="socketio")


TOKENS = an_item("tokens", bind=["tenant", "conversation"])
SEAL = a_rule(request=packets(a_block(encrypt=["$[1].content"])), names=CONST)
OPEN = a_rule(request=packets(a_block(decrypt=["$[1].content"])), names=CONST)
LAX = a_rule(request=packets(a_block(encrypt=["optional $[1].content"])), names=CONST)


@pytest.mark.parametrize(
    ("packet", "start"),
    [
        (b'42["m",{}]', 2),
        (b'4213["m"]', 4),
        (b'42/chat,["m"]', 8),
        (b'42/chat,7["m"]', 9),
        (b"43[1]", 2),
        (b"430[1]", 3),
        (b"43/a,12[]", 7),
    ],
)
def test_the_array_of_an_event_or_ack_is_found(packet: bytes, start: int) -> None:
    assert socketio.find(packet) == [(start, len(packet), 0, packet[1:2] == b"3")]


@pytest.mark.parametrize(
    "packet",
    [
        b"1",
        b"2",
        b"2probe",
        b"3",
        b"3probe",
        b"5",
        b"6",
        b'0{"sid":"a","upgrades":[]}',
        b"40",
        b'40{"token":"a"}',
        b"40/admin",
        b"40/admin,",
        b'40/admin,{"token":"a"}',
        b"41",
        b"41/admin,",
        b"41/admin",
        b'44{"message":"no"}',
        b'44"no"',
        b'44/a,{"message":"no"}',
    ],
)
def test_what_holds_no_event_is_none(packet: bytes) -> None:
    assert socketio.find(packet) == []


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"0",
        b"0x",
        b"0{",
        b"4",
        b"7",
        b"9",
        b"42",
        b"42/chat",
        b"42/chat,",
        b'42{"a":1}',
        b'42 ["m"]',
        b'42007["m"]',
        b'42"m"',
        b"45[1]",
        b"45-",
        b"4501-[1]",
        b"451 -[1]",
        b'47["m"]',
        b'442["m",{"content":"x"}]',
        b'48["m"]',
        b'40["m"]',
        b"40{",
        b'41{"a":1}',
        b"2x",
        b'25:42["m",{"content":"x"}]',  # a payload of version 3: a length, then the packet
        b'1:42["m"]',
        b"3prob",
        b'\xff42["m"]',
        b"b",
        b"bAQ==",
        b"ok",
        b'{"code":1,"message":"Session ID unknown"}',
        b"_0[1]",
    ],
)
def test_what_is_no_packet_is_refused(packet: bytes) -> None:
    with pytest.raises(InvalidBody):
        socketio.find(packet)


def test_packets_of_a_body_are_found_between_their_separators() -> None:
    body = b'2\x1e42["a"]\x1e40\x1e42["b"]'

    assert [body[one.start : one.end] for one in socketio.find(body)] == [b'["a"]', b'["b"]']


def test_attachments_follow_their_packet() -> None:
    body = b'452-["m",{"_placeholder":true,"num":0}]\x1ebAQ==\x1e2\x1eb\x1e42["x"]'

    assert [one.attachments for one in socketio.find(body)] == [2, 0]
    assert socketio.find(b"460-[1]") == [(4, 7, 0, True)]
    for wrong in (
        b'451-["m"]\x1e42["x"]',
        b'451-["m"]\x1e40',
        b'451-["m"]\x1ebA\x1ebA',
        b'451-["m"]\x1eb?',
        b'451-["m"]\x1e451-["m"]\x1ebA',
    ):
        with pytest.raises(InvalidBody):
            socketio.find(wrong)
    with pytest.raises(BodyTooLarge):
        socketio.find(b"410001-[]".replace(b"41", b"451", 1))
    with pytest.raises(BodyTooLarge):
        socketio.find(b"2\x1e" * 30_001)


@pytest.mark.parametrize(
    ("body", "names"),
    [
        (b'42["message:send",{"content":"CANARY"}]', "event message:send"),
        (b'451-/chat,7[ "files/new" ,{"_placeholder":true,"num":0}]', "event files/new"),
        (b'42["a"]\x1e2\x1e42["b.c"]\x1e42["a"]', "event a; event b.c"),
        (b'43["CANARY"]\x1e460-["CANARY"]', "ack"),
        (b'42["room 7"]', "event *"),
        (b'42["room7"]', "event *"),
        (b'42["\\u0061"]', "event *"),
        (b'42["%b"]' % (b"a" * 49), "event *"),
        (b'42[{"a":"CANARY"}]', "event *"),
        (b"42[]", "event *"),
        (b'40{"auth":"CANARY"}\x1e2', ""),
        (b"bQ0FOQVJZ", ""),
        (b"CANARY", ""),
    ],
)
def test_events_are_named_and_values_are_not(body: bytes, names: str) -> None:
    assert socketio.SOCKETIO.names(body) == names


def test_the_event_that_no_block_takes_is_told() -> None:
    block = replace(packets(a_block(encrypt=["$[1].content"])), when=when("$[0]", b'"send"'))
    rule = a_rule(request=block, names=CONST)

    with pytest.raises(UnsupportedBody) as refused:
        send(rule, a_message('42["note",{"content":"x"}]', headers=TEXT))

    assert refused.value.detail == "No block of the rule takes event note."


def test_attachments_may_be_awaited_from_before() -> None:
    assert socketio.find(b"bAQ==", 1) == []
    body = b"bAQ==\x1e2\x1eb"
    assert socketio.find(body, 3) == []
    assert [body[start:end] for start, end in socketio.attachments(body)] == [b"AQ==", b""]
    assert socketio.needs_session(b"42[]")
    assert not socketio.needs_session(b"2probe")


@pytest.mark.parametrize(
    ("value", "refused"),
    [
        (b'{"_placeholder":true,"num":0}', True),
        (b'{"a":[{"_placeholder":false}]}', True),
        (b'{"a":{"\\u005fplaceholder":true}}', True),
        (b'"_placeholder"', False),
        (b'{"a":"_placeholder","n":' + b"9" * 5000 + b',"x":1e999}', False),
        (b'"\\u0061"', False),
    ],
)
def test_a_value_that_is_sent_beside_its_event_is_refused(value: bytes, *, refused: bool) -> None:
    if not refused:
        socketio.refuse_placeholders(value)
        return
    with pytest.raises(ForbiddenValue):
        socketio.refuse_placeholders(value)


def test_a_value_of_an_event_is_sealed_and_all_else_stays() -> None:
    body = '2\x1e42/chat,7["m",{ "content":"CANARY","n":1.10}]\x1e40'

    out = sent(SEAL, a_message(body, headers=TEXT))

    before, _, behind = out.partition(b"eyJ")
    assert before == b'2\x1e42/chat,7["m",{ "content":"'
    assert behind.endswith(b'","n":1.10}]\x1e40')
    assert b"CANARY" not in out


def test_a_packet_without_events_needs_no_value() -> None:
    assert sent(SEAL, a_message("2", headers=TEXT)) == b"2"
    assert sent(LAX, a_message('43["ok"]', headers=TEXT)) == b'43["ok"]'


def test_a_value_with_binary_within_it_is_refused() -> None:
    placed = '451-["m",{"content":[{"_placeholder":true,"num":0}]}]\x1ebQ0FOQVJZ'
    beside = '451-["m",{"content":"CANARY","file":{"_placeholder":true,"num":0}}]\x1ebAA=='

    with pytest.raises(ForbiddenValue):
        send(SEAL, a_message(placed, headers=TEXT))
    with pytest.raises(OpenFailed):
        send(OPEN, a_message(placed, headers=TEXT))
    out = sent(SEAL, a_message(beside, headers=TEXT))
    assert b"CANARY" not in out
    assert out.endswith(b'"file":{"_placeholder":true,"num":0}}]\x1ebAA==')


def test_events_are_told_apart_by_their_names() -> None:
    seals = replace(SEAL.request[0], when=when("$[0]", b'"send"'))  # type: ignore[index]  # blocks
    rule = replace(LAX, request=(seals, *LAX.request))  # type: ignore[misc]  # blocks

    out = sent(
        rule,
        a_message('42["send",{"content":"CANARY"}]\x1e42["typing",{}]', headers=TEXT),
    )

    assert out.endswith(b'\x1e42["typing",{}]')
    assert b"CANARY" not in out
    with pytest.raises(UnsupportedBody):
        send(replace(rule, request=(seals,)), a_message('42["x"]', headers=TEXT))


def test_a_poll_is_opened_and_what_answers_a_post_passes() -> None:
    body = sent(SEAL, a_message('42["m",{"content":"a\x7f\\u001eb"}]', headers=TEXT))
    opening = replace(an_item("$[1].content"), bind=frozenset({"tenant", "conversation", "field"}))
    trip = Trip((a_rule(response=packets(a_block(decrypt=[opening])), names=CONST),), a_message())

    applied = trip.response(body, a_response(headers=TEXT))
    html = a_response(headers=((b"Content-Type", b"text/html"),))
    answered = trip.response(b"ok", html)
    in_python = trip.response(b"OK", html)

    assert applied is not None
    assert applied.forwardable.body == b'42["m",{"content":"a\x7f\\u001eb"}]'
    assert answered is not None
    assert answered.forwardable.body == b"ok"
    assert in_python is not None
    assert trip.response(b'{"code":1}', a_response(400)) is None
    with pytest.raises(InvalidBody):
        send(SEAL, a_message("ok", headers=TEXT))


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["42", "4217", "43/a,3", "42/x,"]),
            st.recursive(
                st.none() | st.booleans() | st.integers() | st.text(max_size=8),
                lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner),
                max_leaves=8,
            ),
            st.text(max_size=20),
        ),
        max_size=5,
    )
)
def test_every_event_comes_back_as_it_was(events: list[tuple[str, object, str]]) -> None:
    body = "\x1e".join(
        head + json.dumps(["m", {"content": text, "rest": rest}]) for head, rest, text in events
    )
    sealed = sent(LAX, a_message(body, headers=TEXT)) if body else b""
    opening = replace(LAX, request=(packets(a_block(decrypt=["optional $[1].content"])),))
    back = sent(opening, a_message(sealed, headers=TEXT)) if body else b""

    def read(raw: bytes) -> list[object]:
        return [json.loads(raw[one.start : one.end]) for one in socketio.find(raw)] if raw else []

    assert read(back) == read(body.encode())
    assert len(read(sealed)) == len(events)


@given(st.binary(max_size=60), st.integers(0, 3))
def test_any_bytes_are_packets_or_refused(body: bytes, awaited: int) -> None:
    try:
        found = socketio.find(body, awaited)
    except InvalidBody:
        return
    for one in found:
        assert body[one.start : one.start + 1] == b"["
        assert socketio.SEPARATOR not in body[one.start : one.end]
