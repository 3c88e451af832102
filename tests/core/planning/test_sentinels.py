"""Sentinels: records that are no JSON pass where a block names them, and nothing else does."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.errors import InvalidBody, MessageError, MissingValue, UnsupportedBody
from proxy.core.expressions.selectors import parse_json_selector
from proxy.core.expressions.sources import parse_source
from proxy.core.http.message import Headers
from proxy.core.rules.conditions import Condition, text_value
from proxy.core.rules.model import Block, Names, Rule
from proxy.core.transform import apply, plan_message
from tests.core.planning.test_messages import messages, ws
from tests.core.planning.test_record_stream import begun, flowed, parted
from tests.factories import (
    NOW,
    USUAL_NAMES,
    a_block,
    a_message,
    a_response,
    a_rule,
    keys_for,
    replied,
    reply,
    sent,
)

CONST = Names(tenant=parse_source("const:clinic"), conversation=parse_source("const:c1"))
EVENTS: Headers = ((b"Content-Type", b"text/event-stream"),)
LINES: Headers = ((b"Content-Type", b"application/x-ndjson"),)
SEQUENCE: Headers = ((b"Content-Type", b"application/json-seq"),)
SEALS = a_block(encrypt=["$.v"])
OPENS = a_block(decrypt=["$.v"])
CANARY = "canary-4f1d"


def rule(block: Block = SEALS, **changes: object) -> Rule:
    return a_rule(response=replace(block, **changes), names=CONST)  # type: ignore[arg-type]  # names of fields


@pytest.mark.parametrize(
    ("headers", "form"),
    [(EVENTS, "data: %b\n\n"), (LINES, "%b\n"), (SEQUENCE, "\x1e%b\n")],
)
def test_done_passes_where_json_is_sealed_and_where_it_is_opened(
    headers: Headers, form: str
) -> None:
    spelled = form.encode()
    stream = spelled % (b'{"v":"%b"}' % CANARY.encode()) + spelled % b"[DONE]"
    head = a_response(headers=headers)

    sealed = replied(rule(), stream, head)
    opened = replied(rule(OPENS), sealed, head)

    assert sealed.endswith(spelled % b"[DONE]")
    assert CANARY.encode() not in sealed
    assert opened == stream


@pytest.mark.parametrize("data", [" [DONE]", "[DONE]  ", "\t[DONE]\t", "[DONE]", "[DONE]\ndata: "])
def test_white_space_may_surround_a_sentinel(data: str) -> None:
    stream = f'data: {{"v":"a"}}\n\ndata:{data}\n\n'

    assert replied(rule(), stream, a_response(headers=EVENTS)).endswith(f"data:{data}\n\n".encode())


def test_whoever_counts_is_told_of_it() -> None:
    stream = 'data: {"v":"a"}\n\ndata: [DONE]\n\ndata: [DONE]\n\n'

    assert reply(rule(), stream, a_response(headers=EVENTS)).counts == {"sealed": 1, "sentinel": 2}


@pytest.mark.parametrize(
    "data",
    [
        "[DONE]x",
        "x[DONE]",
        "[done]",
        "[DONE",
        '"[DONE]',
        "[DONE][DONE]",
        "[DONE]\ndata: canary",
        "\x0b[DONE]",
        "[DONE]\xa0",
        "DONE",
        "[ DONE ]",
    ],
)
def test_whatever_else_is_no_json_is_refused(data: str) -> None:
    with pytest.raises(MessageError):
        reply(rule(), f'data: {{"v":"a"}}\n\ndata: {data}\n\n', a_response(headers=EVENTS))


NAMED = ("[DONE]", "ping", "x y")


@given(
    st.text(st.characters(exclude_characters="\r\n"), max_size=9) | st.sampled_from(NAMED),
    st.sets(st.sampled_from(NAMED)),
)
def test_only_what_is_exactly_a_sentinel_passes(data: str, named: set[str]) -> None:
    body = f'{{"v":"a"}}\n{data}\n'
    text = data.strip(" \t")

    try:
        out = replied(rule(sentinels=tuple(sorted(named))), body, a_response(headers=LINES))
    except MessageError:
        assert text
        assert text not in named
    else:
        assert text in {"", *named}
        assert out.endswith(f"\n{data}\n".encode())


def test_a_block_names_its_own_and_none_where_it_says_so() -> None:
    stream = 'data: {"v":"a"}\n\ndata: %s\n\n'
    head = a_response(headers=EVENTS)

    assert replied(rule(sentinels=("bye",)), stream % "bye", head).endswith(b"data: bye\n\n")
    for sentinels, data in (((), "[DONE]"), (("bye",), "[DONE]")):
        with pytest.raises(InvalidBody):
            reply(rule(sentinels=sentinels), stream % data, head)


def test_where_the_data_of_events_are_sealed_as_texts_none_passes_unless_it_is_named() -> None:
    text, head = a_block(encrypt=["text"]), a_response(headers=EVENTS)

    assert b"[DONE]" not in replied(rule(text), "data: [DONE]\n\n", head)
    named = replied(rule(text, sentinels=("[DONE]",)), "data: a\n\ndata: [DONE]\n\n", head)
    assert named.endswith(b"\n\ndata: [DONE]\n\n")


def test_a_body_of_nothing_but_sentinels_lacks_its_values_as_an_empty_one_does() -> None:
    with pytest.raises(MissingValue):
        reply(rule(), "data: [DONE]\n\n", a_response(headers=EVENTS))


def test_one_json_body_is_no_record() -> None:
    with pytest.raises(InvalidBody):
        reply(rule(), "[DONE]")


def test_a_sentinel_meets_no_condition_and_is_of_any_block_of_the_records() -> None:
    condition = Condition(parse_json_selector("$.type"), frozenset({text_value("delta")}))
    first = replace(SEALS, when=(condition,), sentinels=())
    other = a_block(encrypt=["$.w"])
    both = a_rule(response=(first, other), names=CONST)
    stream = 'data: [DONE]\n\ndata: {"type":"delta","v":"a"}\n\ndata: {"w":"b"}\n\n'

    assert reply(both, stream, a_response(headers=EVENTS)).counts == {"sealed": 2, "sentinel": 1}
    alone = a_rule(response=(first,), names=CONST)
    with pytest.raises(UnsupportedBody):
        reply(alone, 'data: {"w":1}\n\n', a_response(headers=EVENTS))


def test_requests_of_records_may_end_so_too_and_their_names_are_kept() -> None:
    block = a_rule(
        request=a_block(encrypt=["$.content"]), response=a_block(decrypt=["$.a"]), names=USUAL_NAMES
    )
    message = json.dumps({"conversationId": "c1", "content": CANARY})
    body = f"[DONE]\n{message}\n[DONE]\n"

    out = sent(block, a_message(body, headers=LINES))

    assert out.count(b"[DONE]\n") == 2
    assert CANARY.encode() not in out


@pytest.mark.parametrize("binary", [False, True])
def test_a_message_of_a_websocket_may_be_a_sentinel_if_it_is_text(binary: bool) -> None:  # noqa: FBT001
    one = messages(ws(replace(SEALS, sentinels=("ping",)), names=CONST))
    if binary:
        with pytest.raises(InvalidBody):
            plan_message(one, b"ping", binary=True)
        return
    plan = plan_message(one, b"ping")

    assert apply(plan, keys_for(plan.needs), NOW).forwardable.body == b"ping"
    with pytest.raises(InvalidBody):
        plan_message(one, b"pong")
    sealed = plan_message(one, json.dumps({"v": CANARY}).encode())
    assert CANARY.encode() not in (
        apply(sealed, keys_for(sealed.needs), NOW).forwardable.body or b""
    )


def test_a_packet_is_no_sentinel() -> None:
    block = replace(a_block(encrypt=["optional $[1].v"]), format="socketio")

    with pytest.raises(MessageError):
        plan_message(messages(ws(block, names=CONST)), b"[DONE]")


@given(st.lists(st.integers(0, 400), max_size=12), st.sampled_from(["\n", "\r\n", "\r"]))
def test_in_any_pieces_a_stream_with_sentinels_comes_out_alike(cuts: list[int], end: str) -> None:
    parts = [": hi", 'data: {"v":"a"}', "", "data: [DONE]", "", 'data: {"v":"\\u00e9"}', ""]
    body = "".join(f"{one}{end}" for one in [*parts, "data:[DONE]", ""]).encode()
    head, kinds = a_response(headers=EVENTS), [rule(), rule(OPENS)]

    sealed = b"".join(flowed(begun(kinds[0], head), parted(body, cuts)))
    opened = b"".join(flowed(begun(kinds[1], head), parted(sealed, cuts[::-1])))

    assert sealed.count(b"[DONE]") == 2
    assert opened == body.replace(b"\\u00e9", "é".encode())
