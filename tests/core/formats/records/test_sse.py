"""Server-Sent Events: the data of each event is a record, every other byte stays."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.crypto.context import Context, Scope
from proxy.core.errors import (
    BodyTooLarge,
    ForbiddenValue,
    InvalidBody,
    InvalidExpression,
    MissingValue,
    OpenFailed,
    SealyardError,
    UnsupportedBody,
)
from proxy.core.expressions.sources import parse_source
from proxy.core.formats.body_format import Kind
from proxy.core.formats.records import sse
from proxy.core.planning.block_choice import choose_response
from proxy.core.rules.model import Block, Item, Names, Rule
from proxy.core.transform.planner import plan_records
from proxy.core.values.outcomes import Outcome
from tests.core.explained import explain_response
from tests.core.json_texts import documents, literals
from tests.factories import (
    Trip,
    a_block,
    a_message,
    a_response,
    a_rule,
    a_session,
    an_item,
    sent,
)

EVENTS = ((b"Content-Type", b"text/event-stream"),)
TYPE = ("text/event-stream",)
CONST = Names(tenant=parse_source("const:clinic"), conversation=parse_source("const:c1"))
IN_DATA = Names(tenant=parse_source("const:clinic"), conversation=parse_source("$.conversationId"))
SCOPED = Context(Scope("clinic", "c1"))
TOKENS = an_item("tokens", bind=["tenant", "conversation"])
TEXT = an_item("text", field="t", bind=["tenant", "conversation"])
JWE = b"eyJ0eXAiOiJzeTEi"


def answering(block: Block, names: Names = CONST) -> Rule:
    return a_rule(response=replace(block, types=TYPE), names=names)


SEAL = answering(a_block(encrypt=["$.v"]))
OPEN = answering(a_block(decrypt=["$.v"]))
SEAL_TEXT = answering(a_block(encrypt=[TEXT]))
OPEN_TEXT = answering(a_block(decrypt=[TEXT]))
OPEN_TOKENS = answering(a_block(decrypt=[TOKENS]))
KEEP_TEXT = answering(replace(a_block(decrypt=[TEXT]), keep_unopened=True))


def through(rule: Rule, body: bytes | str) -> bytes:
    applied = Trip((rule,), a_message()).response(body, a_response(headers=EVENTS))
    assert applied is not None
    assert applied.forwardable.body is not None
    return applied.forwardable.body


def counted(rule: Rule, body: bytes | str) -> tuple[bytes, dict[Outcome, int]]:
    applied = Trip((rule,), a_message()).response(body, a_response(headers=EVENTS))
    assert applied is not None
    return applied.forwardable.body or b"", dict(applied.counts)


def a_token(text: str, context: Context = SCOPED, *, cty: str | None = None) -> str:
    return a_session().seal(text.encode(), context, cty=cty).decode()


def data_of(stream: bytes) -> list[str]:
    """Return what a reader dispatches: section 9.2.6, written down anew and slowly."""
    text = stream.decode().removeprefix("\ufeff")
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    found: list[str] = []
    data = ""
    for line in lines[:-1]:
        if not line:
            if data:
                found.append(data.removesuffix("\n"))
            data = ""
            continue
        name, _, value = line.partition(":")
        if name == "data":
            data += value.removeprefix(" ") + "\n"
    return found


VECTORS = json.loads((Path(__file__).parents[3] / "vectors" / "events.json").read_text())["streams"]


@pytest.mark.parametrize("row", VECTORS, ids=[one["name"] for one in VECTORS])
def test_a_stream_holds_the_data_that_readers_dispatch(row: dict[str, Any]) -> None:
    stream = row["stream"].encode("latin-1")

    assert [one.text.decode() for one in sse.find(stream, strict=False)] == row["data"]


ends = st.sampled_from(["\n", "\r\n", "\r"])
others = st.sampled_from(
    [
        ": comment",
        ":",
        "id: 7",
        "id",
        "retry: 10",
        "event: \u00e9",
        "unknown: data: x",
        "dat: x",
        "",
    ]
)
values = documents(literals).filter(lambda one: one != "null")


@st.composite
def events(draw: st.DrawFn) -> tuple[str, str]:
    """Return the spelling of an event whose data is `{"v":..., "rest":...}`, and that data."""
    text = f'{{"v": {draw(values)} ,"rest":{draw(values)}}}'
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    end = draw(ends)
    before = [one for one in draw(st.lists(others, max_size=2)) if one]
    behind = [one for one in draw(st.lists(others, max_size=2)) if one]
    space = draw(st.sampled_from([" ", ""]))
    spelled = [f"data:{space}{line}" for line in text.split("\n")]
    if not space:
        spelled = ["data:" + (" " if one[5:6] == " " else "") + one[5:] for one in spelled]
    return "".join(line + end for line in (*before, *spelled, *behind, "")), text


@pytest.mark.no_cover
@given(st.lists(events(), min_size=1, max_size=4), st.sampled_from(["", "\ufeff"]))
def test_values_come_back_and_no_other_line_changes(
    drawn: list[tuple[str, str]], mark: str
) -> None:
    stream = mark + "".join(spelled for spelled, _ in drawn)
    seal = answering(replace(a_block(encrypt=["$.v"]), case_variants_allowed=True))

    sealed = through(seal, stream)
    opened = through(OPEN, sealed)

    assert sealed.count(JWE) == len(drawn)
    assert [json.loads(text) for _, text in drawn] == [json.loads(one) for one in data_of(opened)]
    for before, after in zip(drawn, data_of(sealed), strict=True):
        told = json.loads(after)
        assert str(told.pop("v")).startswith(JWE.decode())
        assert json.loads(before[1])["rest"] == told["rest"]
    assert _others(stream) == _others(sealed.decode()) == _others(opened.decode())


def _others(stream: str) -> list[str]:
    lines = stream.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return [line for line in lines if not line.removeprefix("\ufeff").startswith("data")]


@given(st.text(), st.sampled_from(["data:", "data: "]), st.text(alphabet="ab \n", max_size=6))
def test_opened_text_reads_as_it_was_sealed_or_does_not_open(
    text: str, field: str, around: str
) -> None:
    stream = f"id: 1\n{field}{a_token(text)}\n\n".encode()
    told = answering(a_block(decrypt=[TOKENS]))

    opened, counts = counted(told, stream)

    if "\r" in text:
        assert (opened, counts) == (stream, {"kept": 1})
    else:
        assert data_of(opened) == [text]
    behind = f"{field}{a_token(text)}{around}".replace("\n", f"\n{field}") + "\n\n"
    opened, _ = counted(told, behind)
    if "\r" not in text:
        spaced = around if field == "data: " else around.replace("\n ", "\n")
        assert data_of(opened) == [text + spaced]


@given(st.text(min_size=1).filter(lambda one: "\r" not in one and one.strip("\n ")))
def test_data_that_is_a_text_comes_back(text: str) -> None:
    stream = "event: e\n" + "".join(f"data: {line}\n" for line in text.split("\n")) + "id\n\n"

    sealed = through(SEAL_TEXT, stream)

    assert sealed.startswith(b"event: e\ndata: " + JWE)
    assert sealed.count(b"data:") == 1
    assert data_of(through(OPEN_TEXT, sealed)) == [text]
    assert through(OPEN_TEXT, sealed) == stream.encode()


def test_events_without_data_stay_as_they_are() -> None:
    stream = b"\xef\xbb\xbf: hello\r\n\r\nretry: 10\n\nevent: ping\rdata:\r\rid: 5\n\ndata"

    for rule in (SEAL, OPEN, SEAL_TEXT, OPEN_TEXT, OPEN_TOKENS):
        trip = Trip((rule,), a_message())
        compiled = choose_response(trip.exchange, a_response(headers=EVENTS))
        assert compiled is not None
        plan = plan_records(trip.exchange, compiled, a_response(headers=EVENTS), stream)
        assert not len(plan.values)


def test_what_is_no_json_passes_where_only_values_are_opened() -> None:
    stream = f'data: [DONE]\n\ndata: x\n\ndata: \xff\n\ndata: {{"v":"{_sealed()}"}}\n\n'

    assert through(OPEN, stream) == stream.replace(_sealed(), "a").encode()


def _sealed() -> str:
    return SEALED


SEALED = a_token("a", Context(Scope("clinic", "c1"), "v"))


@pytest.mark.parametrize(
    ("stream", "error"),
    [
        ("data: x\n\n", InvalidBody),
        ('data: {"v":1}\n\ndata: DONE\n\n', InvalidBody),
        ('data: {"v":1}\ndata: {"v":2}\n\n', InvalidBody),
        ('data: {"v":1', InvalidBody),
        ("data: {}\n\n", MissingValue),
        ('data: {"v":null}\n\n', MissingValue),
        (": nothing\n\n", MissingValue),
        ('data: {"v":1,"v":2}\n\n', InvalidBody),
        ('data: {"v":1,"V":2}\n\n', ForbiddenValue),
        ('Data: {"v":2}\n\n', ForbiddenValue),
        ('data : {"v":2}\n\n', ForbiddenValue),
        (' data: {"v":2}\n\n', ForbiddenValue),
        ('\ufeff\ufeffdata: {"v":2}\n\n', ForbiddenValue),
        (': b\n\ufeffdata: {"x":\ndata: {"v":2}\n\ufeffdata: }\n\n', ForbiddenValue),
        (': b\u2028data: {"v":2}\u2028\n\n', ForbiddenValue),
        ('event: \x85data: {"v":2}\n\n', ForbiddenValue),
        ('id: 1\x0bdata: {"v":2}\n\n', ForbiddenValue),
        ('data: {"v":[1,\nid: 7\ndata: 2]}\n\n', InvalidBody),
        ("\n" * 120_001, BodyTooLarge),
    ],
)
def test_what_cannot_be_sealed_is_refused(stream: str, error: type[SealyardError]) -> None:
    with pytest.raises(error):
        through(SEAL, stream)


def test_a_value_on_several_lines_is_sealed_and_takes_one() -> None:
    stream = b'id: 1\r\ndata: {"v":[1,\r\ndata:\r\ndata:2],\r\nretry: 5\r\ndata: "w":3}\r\n\r\n'

    sealed = through(SEAL, stream)

    assert sealed.startswith(b'id: 1\r\ndata: {"v":"' + JWE)
    assert sealed.endswith(b'",\r\nretry: 5\r\ndata: "w":3}\r\n\r\n')
    opened = through(OPEN, sealed)
    assert (
        opened == b'id: 1\r\ndata: {"v":[1,\ndata: \ndata: 2],\r\nretry: 5\r\ndata: "w":3}\r\n\r\n'
    )


@pytest.mark.parametrize("stream", ["data\ndata: x\n\n", "data\ndata\n\n"])
def test_a_text_that_begins_where_no_colon_stands_is_refused(stream: str) -> None:
    with pytest.raises(InvalidBody):
        through(SEAL_TEXT, stream)


@pytest.mark.parametrize(
    ("stream", "error"),
    [
        (b"data: \xff\n\n", InvalidBody),
        (b"data: " + b"x" * (64 * 1024 + 1) + b"\n\n", BodyTooLarge),
    ],
)
def test_a_text_that_cannot_be_sealed_is_refused(stream: bytes, error: type[SealyardError]) -> None:
    with pytest.raises(error):
        through(SEAL_TEXT, stream)


def test_a_text_with_carriage_returns_has_no_spelling() -> None:
    token = a_token("a\rb", Context(Scope("clinic", "c1")))

    with pytest.raises(OpenFailed):
        through(OPEN_TEXT, f"data: {token}\n\n")
    assert counted(KEEP_TEXT, f"data: {token}\n\n") == (f"data: {token}\n\n".encode(), {"kept": 1})


def test_opened_json_is_spelled_on_as_many_lines_as_it_has() -> None:
    token = a_token("[1,\r\n2,\r3]", cty="json")
    stream = f'data: {{"a":"{token}","b":"\\"{token}\\""}}\n\n'

    opened = through(OPEN_TOKENS, stream).decode()

    assert opened.startswith('data: {"a":[1,\ndata: 2,\ndata: 3],"b":"')
    assert json.loads(data_of(opened.encode())[0]) == {"a": [1, 2, 3], "b": "[1,\r\n2,\r3]"}


def test_tokens_open_in_json_in_text_in_strings_of_strings_and_where_they_were_cut() -> None:
    jwe, short = a_token('"Ü"'), a_session().seal(b"x", SCOPED, form="short").decode()
    inner = json.dumps({"m": jwe})
    stream = (
        f"data: Re: {jwe}, {short}\n\n"
        f"data: {json.dumps({'m': f'Re: {jwe}', 's': short, 'in': inner})}\n\n"
        f'data: {{"cut":"{jwe[:60]}"}}\n\n'
    )

    opened, counts = counted(OPEN_TOKENS, stream)

    first, second, third = data_of(opened)
    assert first == 'Re: "Ü", x'
    told = json.loads(second)
    assert (told["m"], told["s"], json.loads(told["in"])) == ('Re: "Ü"', "x", {"m": '"Ü"'})
    assert json.loads(third) == {"cut": "[sealed]"}
    assert counts == {"opened": 5, "cut": 1}


def test_names_are_read_from_the_data_of_each_event() -> None:
    other = Context(Scope("clinic", "c2"))
    tokens = a_session().seal(b"a", SCOPED), a_session(Scope("clinic", "c2")).seal(b"b", other)
    rule = answering(a_block(decrypt=[TOKENS], names=IN_DATA))
    stream = (
        "".join(
            f'data: {{"conversationId":"{name}","m":"{token.decode()}"}}\n\n'
            for name, token in zip(("c1", "c2", "c2", None), (*tokens, *tokens), strict=True)
        )
        + f"data: {tokens[0].decode()}\n\n"
    )
    stream = stream.replace('"None"', "null")

    opened, counts = counted(rule, stream)

    told = [json.loads(one)["m"] for one in data_of(opened)[:-1]]
    assert told == ["a", "b", tokens[0].decode(), tokens[1].decode()]
    assert counts == {"opened": 2, "kept": 3}


def test_events_of_a_request_are_sealed_and_opened() -> None:
    seal = a_rule(request=a_block(encrypt=["$.v"], types=TYPE))
    opens = a_rule(request=a_block(decrypt=["$.v"], types=TYPE))
    stream = 'data: {"conversationId":"c1","v":"a"}\n\n'

    sealed = sent(seal, a_message(stream, headers=EVENTS))

    assert JWE in sealed
    assert sent(opens, a_message(sealed, headers=EVENTS)) == stream.encode()
    with pytest.raises(InvalidBody):
        sent(opens, a_message("data: x\n\n", headers=EVENTS))


def test_more_events_than_a_body_may_have_are_refused() -> None:
    assert through(OPEN, "data: 1\n\n" * 30_000)
    with pytest.raises(BodyTooLarge):
        through(OPEN, "data: 1\n\n" * 30_001)


def test_another_charset_is_refused() -> None:
    typed = ((b"Content-Type", b"text/event-stream; charset=utf-16"),)

    with pytest.raises(UnsupportedBody):
        Trip((SEAL,), a_message()).response('data: {"v":1}\n\n', a_response(headers=typed))


def test_an_event_is_explained_with_its_values_masked() -> None:
    trip = Trip((SEAL,), a_message())

    told = explain_response(
        trip.exchange, a_response(headers=EVENTS), b'data: {"v":\ndata: "CANARY"}\n\n'
    )

    assert told.outgoing is not None
    assert told.outgoing.startswith(b'data: {"v":\ndata: "<v sealed')


@pytest.mark.parametrize("kind", ["json", "form"])
def test_a_block_names_a_format_that_its_selectors_read(kind: Kind) -> None:
    item = "form:v" if kind == "json" else "$.v"

    with pytest.raises(InvalidExpression):
        _formatted(kind, an_item(item, field="v"))


def _formatted(kind: Kind, item: Item) -> Rule:
    block = replace(a_block(encrypt=[item]), format=kind)
    rule = a_rule(request=block, names=CONST)
    sent(rule, a_message(b"{}"))
    return rule


@pytest.mark.parametrize(
    ("kind", "item", "body", "before"),
    [
        ("json", "$.v", b'{"v":1}', b'{"v":"'),
        ("ndjson", "$.v", b'{"v":1}\n{"v":1}\n', b'{"v":"'),
        ("sse", "$.v", b'data: {"v":1}\n\n', b'data: {"v":"'),
        ("form", "form:v", b"v=1", b"v="),
        ("text", TEXT, b"data: x\n\n", b""),
        ("sse", TEXT, b"data: x\n\n", b"data: "),
    ],
)
@pytest.mark.parametrize("typed", [(), ((b"Content-Type", b"application/x-www-form-urlencoded"),)])
def test_a_body_is_read_as_what_the_block_says(
    kind: Kind, item: str | Item, body: bytes, before: bytes, typed: tuple[tuple[bytes, bytes], ...]
) -> None:
    selected = item if isinstance(item, Item) else an_item(item, field="v")
    rule = a_rule(request=replace(a_block(encrypt=[selected]), format=kind), names=CONST)

    assert sent(rule, a_message(body, headers=typed)).startswith(before + JWE)


def test_tokens_are_found_in_a_text_where_the_block_says_that_it_is_one() -> None:
    block = replace(a_block(decrypt=[TOKENS]), format="text")
    plain = ((b"Content-Type", b"text/plain"),)

    body = sent(
        a_rule(request=block, names=CONST),
        a_message(f"Re: {SEALED}, {a_token('x')}\n", headers=plain),
    )

    assert body.decode() == f"Re: {SEALED}, x\n"


def test_a_body_sealed_as_a_whole_has_no_records() -> None:
    named = Names(conversation=parse_source("$.conversationId"))
    block = a_block(encrypt=[an_item("body", field="b")], names=named)
    lines = ((b"Content-Type", b"application/x-ndjson"),)

    with pytest.raises(InvalidBody):
        sent(a_rule(request=block), a_message(b'{"conversationId":"c1"}\n' * 2, headers=lines))


def test_the_line_of_a_place_is_found() -> None:
    (event,) = sse.find(b"data:ab\ndata: c\n\n", strict=True)

    assert [event[place] for place in range(5)] == [5, 6, 7, 14, 15]
    assert [event.bare(place) for place in range(4)] == [True, False, False, False]
