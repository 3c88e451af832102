"""Heads that are known by their bytes: what is found is what reading them would find."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.traffic.http1 import fast_heads
from proxy.traffic.http1.fast_heads import (
    VARYING,
    FastHead,
    FastResponseHead,
    read_fast_request,
    read_fast_response,
)
from proxy.traffic.http1.framing import request_framing
from proxy.traffic.http1.head_cache import HELD, HELD_BYTES, HeadCache
from proxy.traffic.http1.outgoing_heads import KnownLines

HEAD = b"POST /a/b?c=d HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nX-Y: a b: c\r\n\r\n"
GET = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"


def _heads() -> st.SearchStrategy[bytes]:
    """Return heads that are alike: some differ in their length, some in more, some are broken."""
    odd = b"|0|2|3|12|012|999999999|1234567890|12345678901|-1|+2| 2|2 |2, 2|\xb2|0x2|2\r"
    lengths = st.sampled_from([*odd.split(b"|"), b"2\r\nContent-Length: 2"])
    names = st.sampled_from([b"Content-Length", b"content-length", b"X-Content-Length"])
    ends = st.sampled_from([b"\r\n\r\n", b"\r\nX: y\r\n\r\n", b"\r\n", b"\n\n", b"\r\n\r\n{}"])
    starts = st.sampled_from([HEAD[:33], HEAD[:33] + b"X-Y: z\r\n", GET[:26]])
    put = st.tuples(starts, names, lengths, ends).map(
        lambda parts: b"%b%b: %b%b" % parts  # the name, and what stands for its length
    )
    return st.one_of(put, st.sampled_from([GET, GET + b"x", GET[:-1], HEAD, HEAD[:-3]]))


def _told(found: tuple[FastHead | FastResponseHead, int] | None) -> object:
    """Return all that is found of a head."""
    if found is None:
        return None
    fast, size = found
    facts: tuple[object, ...] = fast.length, fast.fields, fast.framing, size
    if isinstance(fast, FastHead):
        return (*facts, fast.raw, fast.close)
    return (*facts, fast.head, fast.status)


@given(st.lists(_heads(), max_size=12))
@example([HEAD, HEAD.replace(b": 2", b": 3"), HEAD.replace(b": 2", b": 34"), HEAD])
@example([HEAD, HEAD.replace(b": 2", b": 2\r\nContent-Length: 3")])
@example([HEAD, HEAD.replace(b": 2", b": 1234567890"), HEAD.replace(b": 2", b": ")])
def test_what_is_found_is_what_would_be_read(heads: list[bytes]) -> None:
    repeats = fast_heads.request_head_cache()
    for data in heads:
        found = repeats.find(data)
        assert _told(found) == _told(read_fast_request(data)), data
        if found is not None:
            raw = found[0].raw
            lengths = [value for name, value in raw.headers if name.lower() == b"content-length"]
            told = {b"content-length": lengths} if lengths else {}
            assert found[0].framing == request_framing(raw.version, told)


@given(st.lists(_heads(), max_size=12))
def test_what_is_found_of_responses_is_what_would_be_read(heads: list[bytes]) -> None:
    repeats = fast_heads.response_head_cache()
    for head in heads:
        data = b"HTTP/1.1 200 OK\r\n" + head.partition(b"\r\n")[2]
        assert _told(repeats.find(data)) == _told(read_fast_response(data)), data


def _known(repeats: HeadCache[FastHead], data: bytes) -> FastHead:
    found = repeats.find(data)
    assert found is not None
    return found[0]


def _asking() -> st.SearchStrategy[bytes]:
    """Return heads of requests that are alike but for what varies, or for a little more."""
    values = st.sampled_from(
        [b"1", b"a b", b"-", b"", b" 1", b"1 ", b"\x7f", b"1\r\nX: y", b"0" * 600]
    )
    names = st.sampled_from([b"traceparent", b"X-Request-Id", b"x-request-id", b"X-Y"])
    lines = st.lists(st.tuples(names, values).map(lambda pair: b"%b: %b\r\n" % pair), max_size=3)
    lengths = st.sampled_from([b"", b"Content-Length: 2\r\n", b"Content-Length: 31\r\n"])
    return st.tuples(lines, lengths, lines).map(
        lambda parts: b"".join((GET[:-2], *parts[0], parts[1], *parts[2], b"\r\n"))
    )


@given(st.lists(_asking(), max_size=12))
@example([GET[:-2] + b"traceparent: %b\r\n\r\n" % one for one in (b"1", b"2", b"2 ", b"", b"3")])
def test_what_is_found_of_heads_that_vary_is_what_would_be_read(heads: list[bytes]) -> None:
    repeats = fast_heads.request_head_cache()
    for data in heads:
        found, read = repeats.find(data), read_fast_request(data)
        assert _told(found) == _told(read), data
        if found is not None and read is not None:
            assert found[0].varying == read[0].varying


def test_heads_that_differ_in_what_varies_share_an_entry() -> None:
    repeats = fast_heads.request_head_cache()
    one, other = (
        _known(repeats, GET[:-2] + b"traceparent: %b\r\nX: %b\r\n\r\n" % ids)
        for ids in ((b"1", b"x"), (b"22", b"x"))
    )
    assert (one.varying, other.varying) == ((b"1",), (b"22",))
    assert one.entry is other.entry
    assert _known(repeats, GET[:-2] + b"traceparent: 1\r\nX: y\r\n\r\n").entry is not one.entry


@given(st.data())
def test_a_head_is_filled_as_it_would_be_made_anew(data: st.DataObject) -> None:
    value = st.sampled_from([b"1", b"22", b"A: 1", b"W/1"])
    came = data.draw(st.lists(st.tuples(st.sampled_from([b"A", b"B", b"C"]), value), max_size=4))
    other = [(name, data.draw(value)) for name, _ in came]

    def made(headers: list[tuple[bytes, bytes]]) -> bytes:
        # What is passed on keeps its order and spelling; the rest is the same for all.
        passed = [b"%b: %b" % pair for pair in headers if pair[0] != b"C"]
        return b"\r\n".join([b"GET / HTTP/1.1", *passed, b"X: A: 1", b""])

    names = frozenset({b"a", b"b", b"c"})
    varying = tuple(text for _, text in came)
    known = KnownLines(made(came), varying, tuple(came), names)
    assert known.filled(tuple(text for _, text in other)) == made(other)
    assert known.filled(varying) == made(came)


def test_a_head_whose_values_are_changed_is_made_anew() -> None:
    head = b'HTTP/1.1 200 OK\r\nETag: W/"a"\r\n'
    known = KnownLines(head, (b'"a"',), ((b"ETag", b'"a"'),), frozenset({b"etag"}))
    assert known.filled((b'"b"',)) is None


def test_responses_that_differ_in_their_length_alone_share_a_key() -> None:
    lengths = (b"2", b"31", b"02", b"999999999")
    keys = set()
    for length in lengths:
        found = read_fast_response(
            b"HTTP/1.1 200 OK\r\nContent-Length: %b\r\nX: y\r\n\r\n" % length
        )
        assert found is not None
        keys.add(found[0].key)
    other = read_fast_response(b"HTTP/1.1 200 OK\r\nX: y\r\nContent-Length: 2\r\n\r\n")
    assert other is not None
    assert len(keys) == 1
    assert other[0].key not in keys | {b""}


def test_heads_that_differ_in_their_length_alone_share_an_entry() -> None:
    repeats = fast_heads.request_head_cache()
    first = _known(repeats, HEAD)
    assert _known(repeats, HEAD + b"{}") is first
    other = _known(repeats, HEAD.replace(b": 2", b": 31"))
    assert other is not first
    assert other.entry is first.entry
    assert _known(repeats, HEAD.replace(b"X-Y", b"X-Z")).entry is not first.entry
    assert _known(repeats, GET) is _known(repeats, GET)


@pytest.mark.parametrize(("others", "known"), [(HELD - 1, True), (HELD, False)])
def test_few_heads_are_known(others: int, *, known: bool) -> None:
    repeats = fast_heads.request_head_cache()
    first = _known(repeats, GET)
    for number in range(others):
        _known(repeats, GET.replace(b"/a", b"/%d" % number))
    assert (_known(repeats, GET) is first) == known


def test_long_heads_are_not_known() -> None:
    repeats = fast_heads.request_head_cache()
    long = GET.replace(b": h", b": h\r\nCookie: " + b"c" * HELD_BYTES)
    assert _known(repeats, long) is not _known(repeats, long)


def _answers() -> st.SearchStrategy[bytes]:
    """Return heads of responses of which many differ in what varies, or in its place."""
    values = st.sampled_from([b"a", b"b", b"a: b", b"Date", b"1", b"2"])
    names = st.sampled_from(
        [b"Date", b"date", b"ETag", b"X-Request-Id", b"Server", b"Content-Type"]
    )
    lines = st.lists(st.tuples(names, values).map(lambda pair: b"%b: %b" % pair), max_size=4)

    def put(parts: tuple[list[bytes], bytes, list[bytes]]) -> bytes:
        before, length, behind = parts
        head = [b"HTTP/1.1 200 OK", *before, b"Content-Length: " + length, *behind]
        return b"\r\n".join([*head, b"", b""])

    return st.tuples(lines, st.sampled_from([b"1", b"2"]), lines).map(put)


@given(_answers(), _answers())
@example(
    b"HTTP/1.1 200 OK\r\nDate: a\r\nContent-Length: 1\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nDate: b\r\nContent-Length: 2\r\n\r\n",
)
def test_heads_with_one_key_differ_in_what_varies_alone(one: bytes, other: bytes) -> None:
    found = [read_fast_response(data) for data in (one, other)]
    first, second = (read[0] for read in found if read is not None)
    alike, varied = [], []
    for fast in (first, second):
        low = [(name.lower(), name, value) for name, value in fast.head.headers]
        varying = VARYING | {b"content-length"}
        alike.append([(name, b"" if at in varying else value) for at, name, value in low])
        varied.append([value for at, _, value in low if at in VARYING])
    assert (first.key == second.key) == (alike[0] == alike[1])
    if first.key == second.key:
        assert (first.varying == second.varying) == (varied[0] == varied[1])


def test_what_goes_out_for_a_client_is_never_what_came() -> None:
    head = b"POST / HTTP/1.1\r\nB3: 1\r\nX-Forwarded-For: ::1\r\nVia: a\r\n"
    came = ((b"B3", b"1"), (b"X-Forwarded-For", b"::1"))
    names = frozenset({b"b3", b"x-forwarded-for"})
    known = KnownLines(head, (b"1", b"::1"), came, names, b"X-Forwarded-For: ::1")
    assert known.filled((b"1", b"::2"), b"X-Forwarded-For: ::1") == head
    other = known.filled((b"2", b"::2"), b"X-Forwarded-For: ::2, ::1")
    assert other == head.replace(b"::1", b"::2, ::1").replace(b"B3: 1", b"B3: 2")
    assert known.filled((b"2", b"::2"), b"") is None
