"""Deltas joined before they are sealed: a stream says the same, in fewer records."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.compiled.stream_records import Deltas
from proxy.core.errors import BodyTooLarge, InvalidBody, MessageError
from proxy.core.expressions.selectors import parse_json_selector
from proxy.core.expressions.sources import parse_source
from proxy.core.http.message import Headers
from proxy.core.planning.block_choice import choose_response
from proxy.core.planning.plan import Step
from proxy.core.planning.record_stream import RecordFlow, streamed_response
from proxy.core.policy import RUN_BYTES
from proxy.core.rules.conditions import Condition, text_value
from proxy.core.rules.model import Batching, Block, Names, Rule
from proxy.core.transform import begin_stream
from tests.core.planning.test_record_stream import parted
from tests.factories import (
    Trip,
    a_block,
    a_message,
    a_response,
    a_rule,
    replied,
    reply,
    streamed,
)

CONST = Names(tenant=parse_source("const:clinic"), conversation=parse_source("const:c1"))
EVENTS: Headers = ((b"Content-Type", b"text/event-stream"),)
LINES: Headers = ((b"Content-Type", b"application/x-ndjson"),)
CANARY = "canary-77c0"
CONTENT = "optional $.choices.*.delta.content"
JOINS = replace(a_block(encrypt=[CONTENT]), batch=Batching(0.25))
OPENS = a_rule(response=a_block(decrypt=["$.choices.*.delta.content"]), names=CONST)


def rule(block: Block = JOINS, **changes: object) -> Rule:
    return a_rule(response=replace(block, **changes), names=CONST)  # type: ignore[arg-type]  # names of fields


def flow_of(one: Rule, headers: Headers = EVENTS, limit: int = 1_000_000) -> RecordFlow:
    trip, head = Trip((one,), a_message()), a_response(headers=headers)
    compiled = choose_response(trip.exchange, head)
    assert compiled is not None
    kind = streamed_response(compiled, head, None)
    assert kind is not None
    flow = begin_stream(trip.exchange, compiled, head, kind, limit).flow
    assert isinstance(flow, RecordFlow)
    return flow


def done(steps: Iterable[Step]) -> bytes:
    """Return what becomes of what feed, flush and end give."""
    return b"".join(streamed(steps))


def through(one: Rule, parts: list[bytes], flushes: frozenset[int] = frozenset()) -> bytes:
    """Return what comes out; `flushes` are the parts behind which time is up."""
    flow, out = flow_of(one), b""
    for at, part in enumerate(parts):
        out += done(flow.feed(part))
        if at in flushes:
            out += done(flow.flush())
            assert flow.run is None
    return out + done(flow.end())


@dataclass(frozen=True)
class Event:
    """An event as a client reads it: its id, its name and its data."""

    id: str
    name: str
    data: str


def events(stream: bytes) -> list[Event]:
    """Read a stream as WHATWG HTML section 9.2.6 says; nothing here is Sealyard's."""
    found: list[Event] = []
    data: list[str] = []
    last = name = ""
    for line in re.split("\r\n|\n|\r", stream.decode().removeprefix("\ufeff"))[:-1]:
        if not line:
            if data:
                found.append(Event(last, name, "\n".join(data)))
            name, data = "", []
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "id":
            last = value
        elif field == "event":
            name = value
        elif field == "data":
            data.append(value)
    return found


def told(stream: bytes) -> list[Any]:
    """Return what a client makes of a stream: deltas of one kind that follow each other are one."""
    made: list[Any] = []
    for one in events(stream):
        if one.data == "[DONE]":
            made.append(one.data)
            continue
        record = json.loads(one.data)
        deltas = [choice["delta"] for choice in record["choices"]]
        texts = [delta.get("content") for delta in deltas]
        for delta in deltas:
            if "content" in delta:
                delta["content"] = ""
        rest = [one.name, record]
        if texts and None not in texts and made and made[-1][0] == rest:
            made[-1] = [rest, [a + b for a, b in zip(made[-1][1], texts, strict=True)]]
        else:
            made.append([rest, texts])
    return made


def chunk(content: str | None, **more: object) -> str:
    delta = {} if content is None else {"content": content}
    return json.dumps({"id": "c-1", "choices": [{"index": 0, "delta": delta}], **more})


contents = st.text(max_size=5).map(lambda text: f"{CANARY}{text}") | st.just("")
records = st.one_of(
    contents.map(lambda text: f"data: {chunk(text)}"),
    contents.map(lambda text: f"data: {chunk(text)}"),
    contents.map(lambda text: f"data:{chunk(text, usage=1)}"),
    contents.map(lambda text: f"event: e\nid: 9\ndata: {chunk(text)}"),
    st.tuples(st.integers(0, 99), contents).map(lambda one: f"id: {one[0]}\ndata: {chunk(one[1])}"),
    st.just(f"data: {chunk(None)}"),
    st.just('data: {"choices":[]}'),
    st.just("data: [DONE]"),
    st.just(": still here"),
)


@given(
    st.lists(records, max_size=9),
    st.lists(st.integers(0, 3000), max_size=9),
    st.frozensets(st.integers(0, 9), max_size=3),
    st.sampled_from(["\n", "\r\n", "\r"]),
)
def test_whatever_is_joined_a_client_is_told_the_same(
    drawn: list[str], cuts: list[int], flushes: frozenset[int], end: str
) -> None:
    text = "".join(f"{one}\n\n" for one in drawn).replace("\n", end)
    stream = text.encode()

    sealed = through(rule(), parted(stream, cuts), flushes)
    opened = through(OPENS, parted(sealed, cuts[::-1]))

    assert told(opened) == told(stream)
    assert CANARY.encode() not in sealed
    assert sealed.count(b": still here") == stream.count(b": still here")
    before, behind = events(stream), events(opened)
    assert len(behind) <= len(before)
    assert [one.id for one in before[-1:]] == [one.id for one in behind[-1:]]


@given(st.lists(records, max_size=9), st.sampled_from(["\n", "\r\n", "\r"]), st.data())
def test_what_is_joined_does_not_depend_on_the_pieces(
    drawn: list[str], end: str, data: st.DataObject
) -> None:
    stream = "".join(f"{one}\n\n" for one in drawn).replace("\n", end).encode()
    pieces = data.draw(
        st.sampled_from(
            [[stream], [bytes([one]) for one in stream], stream.splitlines(keepends=True)]
        )
    )

    opened = through(OPENS, [through(rule(), pieces)])

    assert events(opened) == events(through(OPENS, [through(rule(), [stream])]))
    assert told(opened) == told(stream)


def stream_of(*texts: str) -> bytes:
    return "".join(f"data: {chunk(one)}\n\n" for one in texts).encode()


def test_a_run_is_held_back_until_it_is_let_go() -> None:
    flow = flow_of(rule())

    assert flow.joins
    assert flow.run is None
    assert not done(flow.flush())
    assert not done(flow.feed(stream_of("Hel", "lo")))
    run = flow.run
    assert run is not None
    assert run.delay == 0.25
    assert not done(flow.feed(stream_of(" there")))
    assert flow.run is run
    out = done(flow.flush())
    assert flow.run is None
    assert replied(OPENS, out, a_response(headers=EVENTS)) == stream_of("Hello there")


def test_a_record_of_another_kind_lets_the_run_go_before_it() -> None:
    flow = flow_of(rule(batch=Batching(None)))

    out = done(flow.feed(stream_of("a", "b") + f"data: {chunk(None)}\n\ndata: [DONE]\n\n".encode()))

    assert flow.run is None
    expected = stream_of("ab") + f"data: {chunk(None)}\n\ndata: [DONE]\n\n".encode()
    assert replied(OPENS, out, a_response(headers=EVENTS)) == expected


def test_comments_do_not_wait_and_end_no_run() -> None:
    flow = flow_of(rule())

    assert done(flow.feed(stream_of("a") + b": ping\n\n" + stream_of("b"))) == b": ping\n\n"
    opened = replied(OPENS, done(flow.end()), a_response(headers=EVENTS))
    assert opened == stream_of("ab")


def test_a_run_takes_so_much_and_no_more() -> None:
    texts = ["x" * (RUN_BYTES // 2), "y" * (RUN_BYTES // 2), "z", "w" * (RUN_BYTES + 1), "v"]

    sealed = through(rule(), [stream_of(one) for one in texts])

    assert through(OPENS, [sealed]) == stream_of(texts[0] + texts[1], texts[2], texts[3], texts[4])


def test_the_rest_that_nothing_ends_is_joined_to_nothing() -> None:
    stream = stream_of("a") + stream_of("b")[:-1]

    sealed = through(rule(), [stream])

    assert through(OPENS, [sealed]) == stream


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (
            '{"choices":[{"delta":{"content":"a"}}],"t":1}',
            '{"choices":[{"delta":{"content":"b"}}],"t":2}',
        ),
        ('{"choices":[{"delta":{"content":"a"}}]}', '{"choices": [{"delta":{"content":"b"}}]}'),
        ('{"choices":[{"delta":{"content":"a"}}]}', '{"choices":[{"delta":{"content":["b"]}}]}'),
        ('{"choices":[{"delta":{"content":"a"}}]}', '{"choices":[{"delta":{}}]}'),
        (
            '{"choices":[{"delta":{"content":"a"}}]}',
            '{"choices":[{"delta":{"content":"b"}},{"delta":{"content":"c"}}]}',
        ),
    ],
)
def test_what_differs_in_anything_else_stays_by_itself(first: str, second: str) -> None:
    stream = f"data: {first}\n\ndata: {second}\n\n".encode()

    assert through(OPENS, [through(rule(), [stream])]) == stream


@pytest.mark.parametrize(
    "data",
    [
        '{"choices":[{"delta":{"content":"b"}}]',
        '{"choices":[{"delta":{"content":"b","content":"c"}}]}',
        '{"choices":[{"delta":{"content":"b","Content":"c"}}]}',
        "canary",
        '{"choices":[{"delta":{"content":\ndata:"b"}}]}\nData: x',
    ],
)
def test_what_is_refused_alone_is_refused_behind_a_run(data: str) -> None:
    flow = flow_of(rule())
    assert not done(flow.feed(stream_of(CANARY)))

    with pytest.raises(MessageError):
        done(chain(flow.feed(f"data: {data}\n\n".encode()), flow.end()))


def test_a_longer_record_than_the_limit_is_refused() -> None:
    flow = flow_of(rule(), limit=1000)

    with pytest.raises(BodyTooLarge):
        done(flow.feed(b"data: " + b"x" * 2000))


def test_values_that_may_differ_are_those_of_the_last() -> None:
    block = replace(
        a_block(encrypt=["$.message.content"]),
        batch=Batching(1.0, (parse_json_selector("$.created_at"), parse_json_selector("$.n"))),
    )
    opens = a_rule(response=a_block(decrypt=["$.message.content"]), names=CONST)
    lines = [
        json.dumps({"created_at": f"t{at}", "message": {"content": text}, "n": [at], "done": False})
        for at, text in enumerate(["Hel", "lo", "!"])
    ]
    head = a_response(headers=LINES)
    flow = flow_of(rule(block), LINES)

    assert not done(flow.feed("".join(f"{one}\r\n" for one in lines).encode()))
    opened = replied(opens, done(flow.end()), head)

    assert opened == lines[-1].replace('"!"', '"Hello!"').encode() + b"\r\n"


def test_a_null_is_no_delta_and_joins_nothing() -> None:
    both = replace(a_block(encrypt=["optional $.a", "optional $.b"]), batch=Batching(None))
    lines = [b'{"a":"x","b":null}\n', b'{"a":"y","b":null}\n', b'{"a":null,"b":"z"}\n']
    opens = a_rule(response=a_block(decrypt=["$.a", "$.b"]), names=CONST)

    flow = flow_of(rule(both), LINES)
    sealed = done(flow.feed(b"".join(lines))) + done(flow.end())

    opened = replied(opens, sealed, a_response(headers=LINES))
    assert opened == b'{"a":"xy","b":null}\n' + lines[2]


def test_a_value_that_may_differ_lies_in_no_other() -> None:
    with pytest.raises(InvalidBody):
        Deltas(
            replace(a_block(encrypt=["$.a.b"]), batch=Batching(1.0, (parse_json_selector("$..b"),)))
        ).find(b'{"a":{"b":"x"}}')


def test_a_block_without_a_batch_has_no_deltas() -> None:
    with pytest.raises(TypeError):
        Deltas(a_block(encrypt=["$.v"]))


def test_each_record_has_its_own_block() -> None:
    def kind(name: str) -> tuple[Condition, ...]:
        return (Condition(parse_json_selector("$.type"), frozenset({text_value(name)})),)

    delta = replace(
        a_block(encrypt=["$.delta"]),
        when=kind("delta"),
        batch=Batching(None, (parse_json_selector("$.n"),)),
    )
    text = replace(a_block(encrypt=["$.text"]), when=kind("done"))
    other = a_block(encrypt=["optional $.text"])
    blocks = a_rule(response=(delta, text, other), names=CONST)
    said = [{"type": "delta", "n": at, "delta": CANARY} for at in range(3)]
    said += [{"type": "done", "text": CANARY * 3}, {"type": "end"}]
    stream = "".join(f"data: {json.dumps(one)}\n\n" for one in said).encode()

    sealed = through(blocks, [stream])

    assert sealed.count(b"eyJ0eXAiOiJzeTEi") == 2
    assert CANARY.encode() not in sealed
    assert [json.loads(one.data)["type"] for one in events(sealed)] == ["delta", "done", "end"]


def test_a_whole_body_is_joined_too() -> None:
    stream = stream_of("a", "b", "c") + b"data: [DONE]\n\n"
    head = a_response(headers=EVENTS)

    answer = reply(rule(), stream, head)

    assert answer.counts == {"sealed": 1, "sentinel": 1}
    sealed = answer.forwardable.body
    assert sealed is not None
    assert replied(OPENS, sealed, head) == stream_of("abc") + b"data: [DONE]\n\n"


def test_one_json_body_is_sealed_as_ever() -> None:
    body = chunk("a")

    assert replied(OPENS, replied(rule(), body)) == body.encode()


def test_the_line_feed_of_a_late_chunk_stays_with_its_event() -> None:
    flow = flow_of(rule())
    stream = stream_of("a").replace(b"\n", b"\r\n")

    assert not done(flow.feed(stream[:-1]))
    assert not done(flow.feed(stream[-1:] + stream))
    opened = replied(OPENS, done(flow.end()), a_response(headers=EVENTS))

    assert opened == stream_of("aa").replace(b"\n", b"\r\n")
