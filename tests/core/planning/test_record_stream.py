"""Bodies of records in any pieces: what comes out is what all of the body would have become."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from itertools import chain, pairwise
from typing import cast

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from proxy.core.crypto.context import Context, Scope
from proxy.core.errors import (
    BodyTooLarge,
    InvalidBody,
    MessageError,
    MissingValue,
    OpenFailed,
    SealyardError,
    UnsupportedBody,
)
from proxy.core.expressions.selectors import parse_json_selector
from proxy.core.expressions.sources import parse_source
from proxy.core.formats.body_format import Kind
from proxy.core.formats.table import splitter
from proxy.core.http.message import Headers, RequestHead, ResponseHead
from proxy.core.planning.block_choice import choose_response
from proxy.core.planning.deltas import DeltaJoiner
from proxy.core.planning.plan import Plan
from proxy.core.planning.record_stream import RecordFlow, Records, streamed_response
from proxy.core.policy import RECORDS, RECORDS_WHOLE_BYTES
from proxy.core.rules.conditions import Condition, text_value
from proxy.core.rules.model import Batching, Block, Names, Rule
from proxy.core.transform import Forwardable, begin_stream
from proxy.core.values.key_needs import Needs
from proxy.core.values.table import Values
from tests.factories import (
    JSON_TYPE,
    Trip,
    a_block,
    a_message,
    a_response,
    a_rule,
    a_session,
    an_item,
    reply,
    streamed,
    streaming_request,
)

TYPES: dict[Kind, Headers] = {
    "sse": ((b"Content-Type", b"text/event-stream"),),
    "ndjson": ((b"Content-Type", b"application/x-ndjson"),),
    "json-seq": ((b"Content-Type", b"application/json-seq"),),
}
CONST = Names(tenant=parse_source("const:clinic"), conversation=parse_source("const:c1"))
PER_RECORD = Names(conversation=parse_source("$.conversationId"))
TOKENS = an_item("tokens", bind=["tenant", "conversation"])
OPEN = a_rule(
    response=replace(a_block(decrypt=[TOKENS], names=PER_RECORD), keep_unopened=True), names=CONST
)
SEAL = a_rule(response=a_block(encrypt=["$.v"]), names=CONST)
STRICT = a_rule(response=a_block(decrypt=["$.v"]), names=CONST)
DONE = ("[DONE]",)
LIMIT = 100_000


def begun(rule: Rule, head: ResponseHead, limit: int = LIMIT) -> Forwardable:
    trip = Trip((rule,), a_message())
    compiled = choose_response(trip.exchange, head)
    assert compiled is not None
    kind = streamed_response(compiled, head, None)
    assert kind is not None
    return begin_stream(trip.exchange, compiled, head, kind, limit)


def flowed(message: Forwardable, parts: list[bytes]) -> list[bytes]:
    """Return what comes out with each part, and what comes out in the end."""
    assert isinstance(message.flow, RecordFlow)
    flow = message.flow
    assert not flow.holds
    return [b"".join(streamed(flow.feed(part))) for part in parts] + [
        b"".join(streamed(flow.end()))
    ]


def parted(body: bytes, cuts: list[int]) -> list[bytes]:
    borders = [0, *sorted({cut % (len(body) + 1) for cut in cuts}), len(body)]
    parts = [body[one:other] for one, other in pairwise(borders)]
    return [part for part in parts if part]


def token(conversation: str, text: str) -> str:
    scope = Scope("clinic", conversation)
    return a_session(scope).seal(text.encode(), Context(scope)).decode()


records = st.lists(
    st.tuples(st.sampled_from(["c1", "c2", None]), st.text(max_size=8), st.booleans()), max_size=4
)


@given(
    records,
    st.lists(st.integers(0, 3000), max_size=8),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from(list(TYPES)),
)
def test_in_any_pieces_a_body_becomes_the_same(
    drawn: list[tuple[str | None, str, bool]], cuts: list[int], end: str, kind: Kind
) -> None:
    texts = []
    for name, text, fine in drawn:
        one = token(name or "c1", text)
        texts.append(json.dumps({"conversationId": name, "m": one if fine else one[:-5]}))
    if kind == "sse":
        body = f": hi{end}" + "".join(f"id: 1{end}data: {one}{end}{end}" for one in texts)
    elif kind == "ndjson":
        body = "".join(f"{one}\n" for one in texts)
    else:
        body = "".join(f"\x1e{one}\n" for one in texts)
    head = a_response(headers=TYPES[kind])

    whole = Trip((OPEN,), a_message()).response(body, head)
    pieces = flowed(begun(OPEN, head), parted(body.encode(), cuts))

    assert whole is not None
    assert b"".join(pieces) == whole.forwardable.body


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("sse", b'data: {"v":1}\n\n'),
        ("ndjson", b'{"v":1}\n'),
        ("json-seq", b'\x1e{"v":1}\n'),
    ],
)
def test_each_record_comes_out_with_its_last_byte(kind: Kind, body: bytes) -> None:
    message = begun(SEAL, a_response(headers=TYPES[kind]))

    first, second, third, rest = flowed(message, [body[:-1], body[-1:], body])

    assert first == rest == b""
    assert second.count(b"eyJ0eXAi") == third.count(b"eyJ0eXAi") == 1
    assert (message.body, message.frame.changed, message.frame.media_type) == (None, True, None)


def test_what_lasts_is_marked_before_anything_is_known_of_it() -> None:
    head = a_response(headers=TYPES["sse"])

    assert (b"Cache-Control", b"private, no-store") in begun(OPEN, head).frame.added_headers
    assert (b"Cache-Control", b"no-transform") in begun(SEAL, head).frame.added_headers


def test_a_record_that_fails_comes_out_as_nothing() -> None:
    head = a_response(headers=TYPES["sse"])
    fine = b'data: {"v":"%b"}\n\n' % a_session().seal(
        b"a", Context(Scope("clinic", "c1"), field="v")
    )

    assert flowed(begun(STRICT, head), [fine])[0] == b'data: {"v":"a"}\n\n'
    with pytest.raises(OpenFailed):
        flowed(begun(STRICT, head), [fine + b'data: {"v":"plain"}\n\n'])
    with pytest.raises(MissingValue):
        flowed(begun(SEAL, head), [b"data: {}\n\n"])
    with pytest.raises(InvalidBody):
        flowed(begun(SEAL, head), [b'data: {"v":"cut'])
    with pytest.raises(BodyTooLarge):
        flowed(begun(SEAL, head, limit=10), [b'data: {"v":"long'])


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        *((kind, b"") for kind in TYPES),
        ("ndjson", b"\n"),
        ("ndjson", b"[DONE]\n"),
        ("sse", b": ping\n\n"),
        ("sse", b"id: 1\n\ndata: [DONE]\n\n"),
        ("json-seq", b"\x1e\n"),
    ],
)
def test_a_stream_without_a_record_lacks_the_value_that_its_rule_needs(
    kind: Kind, body: bytes
) -> None:
    head = a_response(headers=TYPES[kind])
    seals = a_rule(response=replace(a_block(encrypt=["$.v"]), sentinels=DONE), names=CONST)

    with pytest.raises(MissingValue):
        reply(seals, body, head)
    with pytest.raises(MissingValue):
        flowed(begun(seals, head), [body] if body else [])
    optional = a_rule(response=a_block(encrypt=["optional $.v"]), names=CONST)
    assert b"".join(flowed(begun(optional, head), [body] if body else [])) == body


def broken_off(
    rule: Rule, head: ResponseHead, parts: list[bytes], limit: int = LIMIT
) -> tuple[bytes, str]:
    """Return what comes out before a stream is refused, and why it is."""
    flow = begun(rule, head, limit).flow
    assert isinstance(flow, RecordFlow)
    out: list[bytes] = []
    steps = chain(chain.from_iterable(map(flow.feed, parts)), flow.end())
    with pytest.raises(MessageError) as caught:
        out.extend(streamed(steps))
    return b"".join(out), caught.value.reason


FINE = json.dumps({"v": a_session().seal(b"a", Context(Scope("clinic", "c1"), field="v")).decode()})
FAULTS = ('{"v":"plain"}', "{", f'{{"v":"{FINE[7:40]}"}}')


@given(
    st.lists(st.sampled_from([FINE, "{}", "[DONE]", *FAULTS]), max_size=8),
    st.lists(st.integers(0, 3000), max_size=8),
    st.sampled_from(["ndjson", "json-seq"]),
)
def test_in_any_pieces_the_first_fault_is_told_and_what_goes_before_it_goes_on(
    texts: list[str], cuts: list[int], kind: Kind
) -> None:
    before = "\x1e" if kind == "json-seq" else ""
    rule = a_rule(response=replace(a_block(decrypt=["$.v"]), sentinels=DONE), names=CONST)
    first = next((at for at, one in enumerate(texts) if one in FAULTS), None)
    assume(first is not None)
    written = [f"{before}{one}\n".encode() for one in texts]
    opened = [one.replace(FINE.encode(), b'{"v": "a"}') for one in written[:first]]
    head = a_response(headers=TYPES[kind])

    out, reason = broken_off(rule, head, parted(b"".join(written), cuts))

    assert out == b"".join(opened)
    with pytest.raises(MessageError) as caught:
        reply(rule, b"".join(written), head)
    assert caught.value.reason == reason


@given(
    st.lists(st.sampled_from([FINE, "{}", "[DONE]", *FAULTS]), max_size=8),
    st.lists(st.integers(0, 3000), max_size=8),
    st.sampled_from(list(TYPES)),
    st.integers(1, len(FINE) + 12),
)
def test_in_any_pieces_a_record_above_the_limit_is_told_behind_those_before_it(
    texts: list[str], cuts: list[int], kind: Kind, limit: int
) -> None:
    rule = a_rule(response=replace(a_block(decrypt=["$.v"]), sentinels=DONE), names=CONST)
    before, behind = {"json-seq": ("\x1e", "\n"), "sse": ("data: ", "\n\n")}.get(kind, ("", "\n"))
    written = [f"{before}{one}{behind}".encode() for one in texts]
    faults = [at for at, one in enumerate(texts) if one in FAULTS and (kind != "sse" or one != "{")]
    long = next((at for at, one in enumerate(written) if len(one) > limit), None)
    assume(long is not None and long < min(faults, default=9))
    opened = [one.replace(FINE.encode(), b'{"v": "a"}') for one in written[:long]]

    told = broken_off(rule, a_response(headers=TYPES[kind]), parted(b"".join(written), cuts), limit)

    assert told == (b"".join(opened), "record")


def test_deltas_that_are_held_go_on_before_a_record_above_the_limit() -> None:
    rule = a_rule(response=replace(a_block(encrypt=["$.v"]), batch=Batching(None)), names=CONST)
    parts = [b'data: {"v":"a"}\n\ndata: {"v":"b"}\n\n', b"data: " + b"1" * 90]

    out, reason = broken_off(rule, a_response(headers=TYPES["sse"]), parts, 80)

    assert (out.count(b"eyJ0eXAi"), reason) == (1, "record")


def test_more_records_than_a_body_may_have_pass_as_a_stream() -> None:
    head = a_response(headers=TYPES["ndjson"])
    optional = a_rule(response=a_block(encrypt=["optional $.v"]), names=CONST)
    body = b"{}\n" * (RECORDS + 1)

    assert b"".join(flowed(begun(optional, head), [body])) == body
    with pytest.raises(BodyTooLarge):
        reply(optional, body, head)


@pytest.mark.parametrize(
    ("headers", "length", "streams"),
    [
        (TYPES["sse"], None, True),
        (TYPES["ndjson"], RECORDS_WHOLE_BYTES + 1, True),
        (TYPES["ndjson"], RECORDS_WHOLE_BYTES, False),
        (JSON_TYPE, None, False),
        ((*TYPES["sse"], (b"Content-Encoding", b"gzip")), None, False),
    ],
)
def test_what_is_short_coded_or_no_records_is_read_whole(
    headers: Headers,
    length: int | None,
    streams: bool,  # noqa: FBT001 - from the table
) -> None:
    head = a_response(headers=headers)
    trip = Trip((SEAL,), a_message())
    compiled = choose_response(trip.exchange, head)

    assert compiled is not None
    assert (streamed_response(compiled, head, length) is not None) is streams


KEPT = a_rule(
    request=a_block(encrypt=["$.v"]),
    response=a_block(decrypt=["$.v"]),
)
IN_HEAD = a_rule(
    request=a_block(encrypt=["$.v", an_item("header:title", field="title")]), names=CONST
)
PLAIN = a_rule(request=a_block(encrypt=["$.v"]), names=CONST)
DIGEST = ((b"Content-Digest", b"sha-256=:AAAA:"),)


@pytest.mark.parametrize(
    ("rule", "headers", "length", "streams"),
    [
        (PLAIN, TYPES["ndjson"], None, True),
        (PLAIN, TYPES["ndjson"], 11, True),
        (PLAIN, TYPES["ndjson"], 10, False),
        (PLAIN, JSON_TYPE, None, False),
        (PLAIN, ((b"Content-Type", b"image/png"),), None, False),
        (PLAIN, (*TYPES["ndjson"], *DIGEST), None, False),
        (KEPT, TYPES["ndjson"], None, False),
        (IN_HEAD, TYPES["ndjson"], None, False),
        (a_rule("/other", request=a_block(encrypt=["$.v"])), TYPES["ndjson"], None, False),
        (a_rule(), TYPES["ndjson"], None, False),
    ],
)
def test_a_request_of_which_all_must_be_known_is_read_whole(
    rule: Rule,
    headers: Headers,
    length: int | None,
    streams: bool,  # noqa: FBT001 - from the table
) -> None:
    trip = Trip((rule,), a_message(headers=headers))

    assert (streaming_request(trip.exchange, length, 10) is not None) is streams


def test_a_request_is_sealed_record_by_record() -> None:
    head: RequestHead = a_message(headers=TYPES["ndjson"]).head
    trip = Trip((PLAIN,), a_message(headers=TYPES["ndjson"]))
    chosen = streaming_request(trip.exchange, None, LIMIT)
    assert chosen is not None

    message = begin_stream(trip.exchange, chosen[0], head, chosen[1], LIMIT)
    first, second, rest = flowed(message, [b'{"v":1}\n{"v"', b":2}"])

    assert [one.count(b"eyJ0eXAi") for one in (first, second, rest)] == [1, 0, 1]
    assert message.frame.added_headers == ((b"Cache-Control", b"no-transform"),)


def only(kind: str, block: Block) -> Block:
    """Return a block for records of one type."""
    return replace(
        block, when=(Condition(parse_json_selector("$.type"), frozenset({text_value(kind)})),)
    )


OPENS_OR_SEALS = a_rule(
    response=(only("open", a_block(decrypt=["$.v"])), a_block(encrypt=["optional $.v"])),
    names=CONST,
)


def test_each_record_chooses_its_block() -> None:
    head = a_response(headers=TYPES["sse"])
    message = begun(OPENS_OR_SEALS, head)
    token = a_session().seal(b"a", Context(Scope("clinic", "c1"), field="v"))

    opened, sealed, _ = flowed(
        message, [b'data: {"type":"open","v":"%b"}\n\n' % token, b'data: {"type":"x","v":1}\n\n']
    )

    assert opened == b'data: {"type":"open","v":"a"}\n\n'
    assert b'"v":"eyJ0eXAi' in sealed
    assert {value for _, value in message.frame.added_headers} == {
        b"private, no-store, no-transform"
    }


@pytest.mark.parametrize("stream", [b"data: no JSON\n\n", b'Data: {"v":1}\n\n'])
def test_what_a_later_block_would_seal_does_not_pass_unread(stream: bytes) -> None:
    with pytest.raises(SealyardError):
        flowed(begun(OPENS_OR_SEALS, a_response(headers=TYPES["sse"])), [stream])


@pytest.mark.parametrize("body", [b'{"v":"old"}\n', b"[1]\nno JSON\n", b"[eyJ0]\n"])
def test_of_a_type_told_by_a_look_only_what_holds_something_sealed_is_read(body: bytes) -> None:
    plain = a_response(headers=((b"Content-Type", b"text/plain"),))
    head = plain.read_as(b"application/x-ndjson", as_page=False)
    sealing = Block(
        a_block(encrypt=["optional $.v"]).encrypt, types=("application/x-ndjson",), names=CONST
    )
    either = a_rule(response=(sealing, *(STRICT.response or ())), names=CONST)  # type: ignore[misc]

    assert b"".join(flowed(begun(STRICT, head), [body])) == body
    with pytest.raises(MessageError):
        flowed(begun(STRICT, a_response(headers=TYPES["ndjson"])), [body])
    with pytest.raises(MessageError):
        flowed(begun(STRICT, head), [body + b"eyJ0eXAiOiJzeTEi\n"])
    with suppress(MessageError):
        assert b"old" not in b"".join(flowed(begun(either, head), [body]))


def test_a_block_for_whole_bodies_takes_no_record() -> None:
    body = an_item("body", field="b")
    rule = a_rule(
        response=(only("open", a_block(decrypt=["$.v"])), a_block(encrypt=[body])), names=CONST
    )

    with pytest.raises(UnsupportedBody):
        flowed(begun(rule, a_response(headers=TYPES["ndjson"])), [b'{"type":"x"}\n'])


PIECES = (
    b"data: a\n\n",
    b"data: !\n\n",
    b"data: a\n",
    b"data: b",
    b"\n",
    b"\r\n",
    b"\r",
    b": c\n",
    b"\n\n",
    b'{"a":1}\n',
    b'\x1e{"a":1}\n',
    b'"\n',
)


@given(
    st.sampled_from(["sse", "ndjson", "json-seq"]),
    st.lists(st.lists(st.sampled_from(PIECES), min_size=1, max_size=3), max_size=8),
)
def test_what_is_done_at_once_is_what_would_have_been_done(
    kind: Kind, parts: list[list[bytes]]
) -> None:
    def flow() -> RecordFlow:
        def way(records: bytes) -> bytes | None:
            return None if b"!" in records else b"changed " + records

        return RecordFlow(splitter(kind, LIMIT), planned, nothing, None, way)

    quick, usual = flow(), flow()
    for part in map(b"".join, parts):
        done = quick.at_once(part)
        steps = given_out(quick.feed(part)) if done is None else [done]
        assert steps == given_out(usual.feed(part))
    assert given_out(quick.end()) == given_out(usual.end())


def given_out(steps: Iterable[bytes | Records]) -> list[bytes | tuple[bytes]]:
    """Return what comes out, and what is still to be planned as a tuple."""
    return [one if isinstance(one, bytes) else (one.body,) for one in steps]


def planned(records: bytes) -> Plan:
    """Return a plan that does nothing."""
    return Plan(a_response(), records, None, Values(), Needs({}), ruled=True, records=1)


def nothing() -> None:
    """Let a body without a record pass."""


def test_whole_records_alone_are_done_at_once() -> None:
    def flow(kind: Kind, *, joins: bool = False) -> RecordFlow:
        joiner = cast("DeltaJoiner", object()) if joins else None
        return RecordFlow(splitter(kind, LIMIT), planned, nothing, joiner, bytes.upper)

    assert flow("sse").at_once(b"data: a\n\n") == b"DATA: A\n\n"
    assert flow("ndjson").at_once(b"a\n") == b"A\n"
    assert flow("json-seq").at_once(b"\x1e1\n") is None
    assert flow("sse").at_once(b"data: a\n") is None
    assert flow("sse", joins=True).at_once(b"data: a\n\n") is None
    assert RecordFlow(splitter("sse", LIMIT), planned, nothing).at_once(b"a\n\n") is None
    held = flow("sse")
    assert not [*held.feed(b"data: a")]
    assert held.at_once(b"\n\n") is None
    assert [*held.feed(b"\n\n")] == [b"DATA: A\n\n"]


def test_what_there_is_of_a_record_that_is_not_whole_is_told() -> None:
    records = RecordFlow(splitter("sse", LIMIT), planned, nothing)
    assert records.held == 0
    assert not [*records.feed(b"data: a\n")]
    assert records.held == len(b"data: a\n")
    assert [*records.feed(b"\n")]
    assert records.held == 0
