"""Streams are cut where a record ends: nothing is lost, nothing changed, nothing held too long."""

from __future__ import annotations

import json
import tracemalloc
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.errors import ForbiddenValue
from proxy.core.formats.body_format import Kind
from proxy.core.formats.records import sse
from proxy.core.formats.table import RECORDS, splitter
from tests.core.json_texts import documents, literals

LIMIT = 10_000

event_bytes = st.lists(
    st.sampled_from(
        [b"data: x", b"data", b":", b": ping", b"id: 1", b"\n", b"\r", b"\r\n", b"\xef\xbb\xbf"]
    ),
    max_size=20,
).map(b"".join)
lines = st.lists(st.sampled_from([b"{}", b"[1]", b"x", b"\n", b"\r\n", b" "]), max_size=20).map(
    b"".join
)
sequences = st.lists(
    st.sampled_from([b"\x1e", b"{", b"}", b'"', b"\\", b"[", b"]", b"\n", b"1", b" ", b"x"]),
    max_size=25,
).map(b"".join)
streams = st.one_of(
    st.tuples(st.just("sse"), event_bytes),
    st.tuples(st.just("ndjson"), lines),
    st.tuples(st.just("json-seq"), sequences),
)


def pieces(kind: Kind, stream: bytes, cuts: list[int]) -> list[bytes]:
    """Return what a cutter lets go of a stream that comes in parts, and what it ends with."""
    made = splitter(kind, LIMIT)
    borders = [0, *sorted({cut % (len(stream) + 1) for cut in cuts} - {0}), len(stream)]
    parts = [stream[one:other] for one, other in pairwise(borders) if one < other]
    return [*(made.feed(part) for part in parts), made.end()]


@given(streams, st.lists(st.integers(0, 200), max_size=8))
def test_what_comes_out_is_what_went_in(stream: tuple[Kind, bytes], cuts: list[int]) -> None:
    kind, body = stream

    assert b"".join(pieces(kind, body, cuts)) == body


def test_a_record_in_many_pieces_takes_little_more_than_its_bytes() -> None:
    made, size = splitter("ndjson", 1 << 20), 100_000
    tracemalloc.start()
    try:
        for number in range(size // 2):
            made.feed(b"%02d" % (number % 100))
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert made.held == size
    assert taken < 2 * size


@given(event_bytes, st.lists(st.integers(0, 200), max_size=8))
def test_the_events_of_the_pieces_are_those_of_the_stream(body: bytes, cuts: list[int]) -> None:
    def texts(part: bytes) -> list[bytes]:
        return [event.text for event in sse.find(part, strict=True)]

    parts = pieces("sse", body, cuts)
    try:
        found = texts(body)
    except ForbiddenValue:
        with pytest.raises(ForbiddenValue):
            [text for part in parts for text in texts(part)]
    else:
        assert found == [text for part in parts for text in texts(part)]


@pytest.mark.no_cover
@given(
    st.lists(documents(literals), max_size=4),
    st.lists(st.integers(0, 5000), max_size=8),
    st.sampled_from(["ndjson", "json-seq"]),
)
def test_the_records_of_the_pieces_are_those_of_the_stream(
    texts: list[str], cuts: list[int], kind: Kind
) -> None:
    if kind == "ndjson":
        texts = [text.replace("\n", " ").replace("\r", " ") for text in texts]
    before = "\x1e" if kind == "json-seq" else ""
    body = "".join(f"{before}{text}\n" for text in texts).encode()

    found = [
        json.loads(record.text)
        for part in pieces(kind, body, cuts)
        for record in RECORDS[kind].records(part, strict=True, awaited=0)
    ]

    assert found == [json.loads(text) for text in texts]


@pytest.mark.parametrize(
    ("kind", "parts", "let_go"),
    [
        ("ndjson", [b"{}", b"\n", b"{}\n{}\n{"], [b"", b"{}\n", b"{}\n{}\n"]),
        ("sse", [b"data: x\n", b"\n"], [b"", b"data: x\n\n"]),
        ("sse", [b"data: x\r\r"], [b"data: x\r\r"]),
        ("sse", [b"data: x\r\n\r", b"\ndata: y\r\n\r\n"], [b"data: x\r\n\r", b"\ndata: y\r\n\r\n"]),
        ("sse", [b"data: x\r\n\r\nda"], [b"data: x\r\n\r\n"]),
        ("sse", [b"data: x\n\r\nda"], [b"data: x\n\r\n"]),
        ("sse", [b"data: x\r", b"\n", b"\n"], [b"", b"", b"data: x\r\n\n"]),
        ("sse", [b": ping\n", b":\r", b"\n", b":\n"], [b": ping\n", b":\r", b"\n", b":\n"]),
        ("sse", [b"data: x\r\n\r", b"\n", b"\nda"], [b"data: x\r\n\r", b"\n", b"\n"]),
        ("sse", [b"id: 1\n", b":\n"], [b"", b""]),
        ("sse", [b"data: x\n\n:\n:"], [b"data: x\n\n:\n"]),
        ("sse", [b": pi", b"ng", b"\nda"], [b"", b"", b": ping\n"]),
        ("json-seq", [b"\x1e", b"{}", b"\n"], [b"", b"", b"\x1e{}\n"]),
        (
            "json-seq",
            [b'\x1e{"a":"}\\"\n"', b",\n", b"1}\n"],
            [b"", b"", b'\x1e{"a":"}\\"\n",\n1}\n'],
        ),
        ("json-seq", [b'\x1e"\\', b'"\\\\"\n'], [b"", b'\x1e"\\"\\\\"\n']),
        ("json-seq", [b"\x1e12", b"3\n", b"\n", b"\x1e"], [b"", b"\x1e123\n", b"", b"\n"]),
        ("json-seq", [b"\x1e[\n", b"\x1e1\n"], [b"", b"\x1e[\n\x1e1\n"]),
        ("json-seq", [b"\x1e[\n", b"\x1e1"], [b"", b"\x1e[\n"]),
        ("json-seq", [b'\x1e"a\x1e', b"]\n"], [b'\x1e"a', b"\x1e]\n"]),
    ],
)
def test_a_record_goes_on_as_soon_as_it_is_whole(
    kind: Kind, parts: list[bytes], let_go: list[bytes]
) -> None:
    made = splitter(kind, LIMIT)

    assert [made.feed(part) for part in parts[: len(let_go)]] == let_go


@given(streams, st.lists(st.integers(0, 200), max_size=8), st.integers(1, 30))
def test_in_any_pieces_the_same_goes_on_up_to_a_record_above_the_limit(
    stream: tuple[Kind, bytes], cuts: list[int], limit: int
) -> None:
    kind, body = stream

    def let_go(*parts: bytes) -> tuple[bytes, bool]:
        made = splitter(kind, limit)
        return b"".join(map(made.feed, parts)), made.over

    borders = [0, *sorted({cut % (len(body) + 1) for cut in cuts} - {0}), len(body)]
    told = let_go(*(body[at : at + 1] for at in range(len(body))))

    assert let_go(body) == told
    assert let_go(*(body[one:other] for one, other in pairwise(borders))) == told


@pytest.mark.parametrize(
    ("kind", "short", "long"),
    [
        ("ndjson", b"123456789\n", b"1234567890\n"),
        ("sse", b"data: 12\n\n", b"data: 123\n\n"),
        ("sse", b"data: 12\r\r\n", b"data: 123\r\r\n"),
        ("sse", b":23456789\n", b":234567890\n"),
        ("json-seq", b"\x1e12345678\n", b"\x1e123456789\n"),
    ],
)
def test_no_record_is_longer_than_the_limit(kind: Kind, short: bytes, long: bytes) -> None:
    made = splitter(kind, 10)

    assert made.feed(short * 3 + long + short) == short * 3
    assert made.over
    assert not made.passes(short)
    assert made.feed(short) == made.end() == b""
    assert splitter(kind, 10).feed(short * 3) == short * 3
    assert not splitter(kind, len(short)).passes(short * 2)
