"""The one reader: whatever is cut wherever is read alike, and as llhttp reads it."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterable

import httptools
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.core.errors import HeadTooLarge, MalformedRequest, TrafficError, UpstreamFailed
from proxy.core.http.message import ResponseHead
from proxy.traffic.http1.framing import ABSENT, CHUNKED, Framing
from proxy.traffic.http1.gate import RawRequest, admit
from proxy.traffic.http1.reader import (
    BadChunk,
    BodyReader,
    RequestReader,
    ResponseReader,
    behind_empty_lines,
)
from proxy.traffic.policy import CHUNKS_AT_ONCE, TRAILER_BYTES
from tools.raw_requests import raw_request

GET = b"GET /a?b HTTP/1.1\r\nHost: h\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n"
BODY = b"\r\n\r\nfive!"
PUT = b"PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNKS = b'4\r\n\r\n\r\n\r\n1;a="b\\""\r\na\r\n0\r\nX: y\r\n\r\n'
MESSAGES = {GET: b"", POST + BODY: BODY, PUT + CHUNKS: b"\r\n\r\na"}


class Requests:
    """Reads requests as a connection does: one head, then its body."""

    def __init__(self, *, line: int = 999, head: int = 9999, fields: int = 9) -> None:
        self.limits = {"line": line, "head": head, "fields": fields}
        self.reader = RequestReader()
        self.data = b""
        self.body: BodyReader | None = None
        self.heads: list[RawRequest] = []
        self.bodies: list[bytes] = []

    def feed_each(self, pieces: Iterable[bytes]) -> None:
        for piece in pieces:
            self.feed(piece)

    def feed(self, data: bytes) -> None:
        self.data += data
        while self.data:
            if self.body is not None:
                piece, self.data = self.body.take(self.data)
                self.bodies[-1] += piece
                if not self.body.complete:
                    return
                self.body = None
            at = behind_empty_lines(self.data, 0)
            found = self.reader.read(self.data, at, **self.limits)
            if found is None:
                self.data = self.data[at:]
                return
            raw, end = found
            self.heads.append(raw)
            self.bodies.append(b"")
            self.body = BodyReader(admit(raw).framing)
            self.data = self.data[end:]


def cut(stream: bytes, cuts: Iterable[int]) -> list[bytes]:
    edges = sorted({0, len(stream), *(one for one in cuts if one < len(stream))})
    return [stream[start:end] for start, end in itertools.pairwise(edges)]


@given(
    st.lists(st.sampled_from(list(MESSAGES)), min_size=1, max_size=6),
    st.sampled_from([b"", b"\r\n", b"\r\n\r\n"]),
    st.lists(st.integers(0, 400)),
)
def test_requests_are_read_alike_wherever_they_are_cut(
    messages: list[bytes], blank: bytes, cuts: list[int]
) -> None:
    requests = Requests()
    for piece in cut(b"".join(blank + one for one in messages), cuts):
        requests.feed(piece)

    assert requests.bodies == [MESSAGES[one] for one in messages]
    assert [one.method.encode() for one in requests.heads] == [one.split()[0] for one in messages]


def test_a_head_is_read_as_it_is_written() -> None:
    requests = Requests()
    requests.feed(b"GET /a?b HTTP/1.0\r\nHost:h\r\nX-A: \t b: c \t\r\nX-B:\r\nX-C: \xe9\r\n\r\n")
    headers = ((b"Host", b"h"), (b"X-A", b"b: c"), (b"X-B", b""), (b"X-C", b"\xe9"))
    assert requests.heads == [raw_request("GET", "/a?b", (1, 0), headers)]


WRONG = {
    "nothing but a name": b"hello\r\n",
    "no version": b"GET /\r\n",
    "two blanks": b"GET  / HTTP/1.1\r\n",
    "a blank at the end": b"GET / HTTP/1.1 \r\n",
    "lower case": b"GET / http/1.1\r\n",
    "bare LF": b"GET / HTTP/1.1\nHost: h\n\n",
    "bare CR": b"GET / HTTP/1.1\r\nHost: h\rX: y\r\n",
    "folded": b"GET / HTTP/1.1\r\nHost: h\r\n X: y\r\n",
    "a blank before the colon": b"GET / HTTP/1.1\r\nHost : h\r\n",
    "no colon": b"GET / HTTP/1.1\r\nHost\r\n",
    "no name": b"GET / HTTP/1.1\r\n: h\r\n",
    "NUL": b"GET / HTTP/1.1\r\nHost: \x00h\r\n",
    "a blank in a name": b"GET / HTTP/1.1\r\na b: h\r\n",
    "DEL": b"GET / HTTP/1.1\r\nHost: \x7fh\r\n",
    "a byte in a name": b"GET / HTTP/1.1\r\nH\xe9: h\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
}


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.parametrize("end", [b"", b"Host: h\r\n\r\n"])
def test_what_breaks_the_grammar_is_refused_before_its_end(name: str, end: bytes) -> None:
    for pieces in ([WRONG[name] + end], [bytes([one]) for one in WRONG[name]]):
        requests = Requests()
        with pytest.raises(MalformedRequest, match="parser"):
            requests.feed_each(pieces)
        assert not requests.heads


@pytest.mark.parametrize("line", [b"GET / RTSP/1.0", b"SOURCE /x ICE/1.0", b"GET / HTTP/10.0"])
def test_another_protocol_is_told(line: bytes) -> None:
    with pytest.raises(MalformedRequest, match="version"):
        Requests().feed(line + b"\r\n")


LARGE = {
    "line": b"GET /%b HTTP/1.1\r\n" % (b"a" * 999),
    "headers": b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 10,
    "head": b"GET / HTTP/1.1\r\n" + b"X: %b\r\n" % (b"y" * 900) * 8,
}


@pytest.mark.parametrize("reason", LARGE)
@pytest.mark.parametrize("end", [b"", b"\r\n"])
def test_the_limits_hold_for_whole_heads_and_for_parts(reason: str, end: bytes) -> None:
    with pytest.raises(HeadTooLarge, match=reason):
        Requests(head=7000).feed(LARGE[reason] + end)


BAD_CHUNKS = [
    b"x\r\n",
    b"-1\r\n",
    b"0x1\r\n",
    b"1 \r\na\r\n",
    b"1\na\r\n",
    b"1\r\nab\r\n",
    b"1\r\na\n0\r\n",
    b"1;\r\na",
    b'1;"\r\na',
    b"1;a=\x00\r\n",
    b"0\r\nContent-Length: 5\r\n",
    b"0\r\nTransfer-Encoding: chunked\r\n",
    b"0\r\nbad line\r\n",
    b"f" * 16 + b"\r\n",
    b"0" * 1100,
    b"0\r\n" + b"X: y\r\n" * 11_000,
    b"0\r\n" + b"X: y\r\n" * 11_000 + b"\r\n",
    b"0\r\nX: y\r\ncOntent-length: 5\r\n\r\n",
]


@pytest.mark.parametrize("data", BAD_CHUNKS)
def test_what_is_no_chunk_is_refused_wherever_it_is_cut(data: bytes) -> None:
    for pieces in ([data], [bytes([one]) for one in data]):
        body = BodyReader(CHUNKED)
        with pytest.raises(BadChunk):
            list(map(body.take, pieces))
        assert not body.complete


@pytest.mark.parametrize("step", [TRAILER_BYTES + 9, 4099, 1], ids=["at once", "some", "bytes"])
def test_the_bound_of_trailers_is_the_same_however_they_come(step: int) -> None:
    def taken(size: int) -> bytes:
        line, body = b"X: %b\r\n" % (b"y" * 27), BodyReader(CHUNKED)
        trailers = line * (size // len(line) - 1)
        trailers += b"Z:" + b"z" * (size - len(trailers) - 6) + b"\r\n\r\n"
        assert len(trailers) == size
        data, rest = b"0\r\n" + trailers, b""
        for at in range(0, len(data), step):
            _, rest = body.take(data[at : at + step] + (b"GET" if at + step >= len(data) else b""))
        assert body.complete
        return rest

    assert taken(TRAILER_BYTES) == b"GET"
    with pytest.raises(BadChunk):
        taken(TRAILER_BYTES + 1)


def test_trailers_of_a_response_have_that_bound() -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n"
    with pytest.raises(UpstreamFailed, match="response-malformed"):
        reading().feed(head + b"X: y\r\n" * 11_000 + b"\r\n")


@pytest.mark.parametrize("size", [b"1", b"1;a", b"00001"])
def test_tiny_chunks_are_read_in_steps(size: bytes) -> None:
    body, count = BodyReader(CHUNKED), 5 * CHUNKS_AT_ONCE
    steps: list[bytes] = []
    data = (size + b"\r\na\r\n") * count + b"0\r\n\r\nGET"
    rest = b""
    while not steps or body.unread:
        piece, rest = body.take(data)
        steps.append(piece)
        data = b""
    assert (b"".join(steps), rest, body.complete) == (b"a" * count, b"GET", True)
    assert max(map(len, steps)) <= CHUNKS_AT_ONCE


@pytest.mark.parametrize("whole", [True, False])
def test_a_response_that_has_ended_is_read_to_its_end(*, whole: bool) -> None:
    reader, got = reading(), b""
    data = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    data += b"1\r\na\r\n" * 3000 + (b"0\r\n\r\n" if whole else b"")
    got = reader.feed(data)
    reader.end()
    with contextlib.nullcontext() if whole else pytest.raises(UpstreamFailed, match="response-cut"):
        while reader.unread:
            got += reader.feed(b"")
    assert (reader.complete, reader.doubt) == (whole, True)
    if whole:
        assert got == b"a" * 3000


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=5), st.lists(st.integers(0, 200)))
def test_chunks_are_joined_wherever_they_are_cut(chunks: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(b"%X\r\n%b\r\n" % (len(one), one) for one in chunks) + b"0\r\n\r\n"
    body, got, rest = BodyReader(CHUNKED), b"", b""
    for piece in cut(stream, cuts):
        data, rest = body.take(piece)
        got += data
    assert (got, rest, body.complete) == (b"".join(chunks), b"", True)


def test_a_body_of_a_known_length_leaves_what_is_behind() -> None:
    body = BodyReader(Framing(3))
    assert body.take(b"ab") == (b"ab", b"")
    assert not body.complete
    assert body.take(b"cdef") == (b"c", b"def")
    assert body.complete
    assert BodyReader(ABSENT).complete
    assert BodyReader(Framing(0)).complete


class _Llhttp:
    """A request as llhttp reads it."""

    def __init__(self, data: bytes) -> None:
        self.target = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.body = b""
        self.ended = 0
        self.parser = httptools.HttpRequestParser(self)
        self.parser.feed_data(data)

    def on_url(self, part: bytes) -> None:
        self.target += part

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.ended:
            self.headers.append((name, value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        self.ended = 1

    def on_body(self, part: bytes) -> None:
        self.body += part


def _requests() -> st.SearchStrategy[bytes]:
    """Return requests in which any part may be a little wrong."""
    methods = st.sampled_from([b"GET", b"POST", b"get", b"FOO"])
    targets = st.sampled_from([b"/", b"/a?b=c", b"*", b"http://h/", b"/\xe9", b"/ a"])
    names = st.sampled_from([b"X-A", b"Cookie", b"Content-Type", b"Trailer", b"X_B", b"X B", b""])
    values = st.text('ab:;,="() \t\x00\x7f\xe923', max_size=8).map(
        lambda one: one.encode("latin-1")
    )
    lines = st.lists(st.tuples(names, st.sampled_from([b": ", b":", b" : "]), values), max_size=3)
    ends = st.sampled_from([b"\r\n", b"\n", b"\r"])

    def put(
        parts: tuple[bytes, bytes, list[tuple[bytes, bytes, bytes]], bytes, bytes],
    ) -> bytes:
        method, target, fields, end, body = parts
        head = [b"%b %b HTTP/1.1" % (method, target), *[b"".join(one) for one in fields]]
        return end.join([*head, b"Host: h\r\nContent-Length: 2", b""]) + b"\r\n" + body

    return st.tuples(methods, targets, lines, ends, st.sampled_from([b"{}"])).map(put)


@given(_requests())
@example(POST + BODY)
@example(PUT + CHUNKS)
def test_what_is_read_here_llhttp_reads_in_the_same_way(data: bytes) -> None:
    requests = Requests()
    try:
        requests.feed(data)
    except (TrafficError, BadChunk):
        return  # it may be stricter
    other = _Llhttp(data)
    (raw,) = requests.heads
    assert (raw.target.encode("latin-1"), raw.method.encode()) == (
        other.target,
        other.parser.get_method(),
    )
    assert raw.headers == tuple(other.headers)
    assert requests.bodies == [other.body]


# --- responses ------------------------------------------------------------------------------------

WHOLE = b"HTTP/1.1 200 OK\r\nX-Y: a b: c\r\nContent-Length: 2\r\n\r\n{}"


def reading(*, head_limit: int = 999, headers_limit: int = 9, **expected: bool) -> ResponseReader:
    reader = ResponseReader(head_limit=head_limit, headers_limit=headers_limit)
    reader.expect(**{"head_only": False, "upgrade": False, **expected})
    return reader


@given(st.lists(st.integers(0, 120)), st.booleans())
def test_responses_are_read_alike_wherever_they_are_cut(cuts: list[int], chunked: bool) -> None:  # noqa: FBT001 - drawn
    data = WHOLE
    if chunked:
        data = WHOLE.replace(b"Content-Length: 2", b"Transfer-Encoding: chunked")[:-2]
        data += b"1\r\n{\r\n1\r\n}\r\n0\r\n\r\n"
    data = b"HTTP/1.1 103 Early\r\nLink: <a>\r\n\r\n" + data
    reader = reading()
    assert b"".join(reader.feed(piece) for piece in cut(data, cuts)) == b"{}"
    assert (reader.complete, reader.doubt, reader.delimited) == (True, False, True)
    assert reader.head is not None
    assert reader.head.headers[0] == (b"X-Y", b"a b: c")


def test_a_response_is_read_as_it_is_written() -> None:
    reader = reading()
    assert reader.feed(WHOLE) == b"{}"
    headers = ((b"X-Y", b"a b: c"), (b"Content-Length", b"2"))
    assert reader.head == ResponseHead(200, b"OK", headers)
    assert reader.framing == Framing(2)


@pytest.mark.parametrize(
    ("head_limit", "headers_limit", "reason"),
    [(len(WHOLE) - 3, 9, "response-head"), (999, 1, "response-headers")],
)
@pytest.mark.parametrize("size", [2, 4])
def test_the_limits_hold_for_responses(
    head_limit: int, headers_limit: int, reason: str, size: int
) -> None:
    long = WHOLE.replace(b"a b: c", b"a b: c" + b"d" * head_limit) if head_limit < 999 else WHOLE
    with pytest.raises(UpstreamFailed, match=reason):
        reading(head_limit=head_limit, headers_limit=headers_limit).feed(long[:-size])


DOUBTFUL = {
    "bytes behind it": WHOLE + b"x",
    "closing": WHOLE.replace(b"X-Y: a b: c", b"Connection: Close"),
    "closing in a list": WHOLE.replace(b"X-Y: a b: c", b"Connection: x, close"),
    "old": WHOLE.replace(b"HTTP/1.1", b"HTTP/1.0"),
}


@pytest.mark.parametrize("name", DOUBTFUL)
def test_a_connection_in_doubt_carries_no_other_message(name: str) -> None:
    reader = reading()
    assert reader.feed(DOUBTFUL[name]) == b"{}"
    assert (reader.complete, reader.doubt) == (True, True)


@pytest.mark.parametrize(
    "data",
    [
        WHOLE.replace(b"X-Y: a b: c", b"Connection: Keep-Alive"),
        WHOLE.replace(b"HTTP/1.1", b"HTTP/1.0").replace(b"X-Y: a b: c", b"Connection: keep-alive"),
        WHOLE.replace(b" OK", b""),
        WHOLE.replace(b"OK", b"O\xe9"),
    ],
)
def test_a_connection_beyond_doubt_carries_another(data: bytes) -> None:
    reader = reading()
    for _ in range(2):
        reader.expect(head_only=False, upgrade=False)
        assert reader.feed(data) == b"{}"
        assert (reader.complete, reader.doubt) == (True, False)


@pytest.mark.parametrize("status", [b"204", b"304"])
def test_some_responses_have_no_body(status: bytes) -> None:
    reader = reading()
    assert reader.feed(WHOLE[:-2].replace(b"200", status)) == b""
    assert (reader.complete, reader.bodiless, reader.doubt) == (True, True, False)
    reader = reading(head_only=True)
    reader.feed(WHOLE[:-2])
    assert (reader.complete, reader.bodiless, reader.framing) == (True, True, Framing(2))


def test_a_body_without_framing_ends_with_its_connection() -> None:
    reader = reading()
    assert reader.feed(WHOLE.replace(b"Content-Length: 2\r\n", b"")) == b"{}"
    assert (reader.complete, reader.delimited, reader.doubt) == (False, False, True)
    reader.end()
    assert reader.complete


def test_what_comes_behind_a_response_is_doubt() -> None:
    reader = reading()
    reader.feed(WHOLE)
    assert reader.feed(WHOLE) == b""
    assert reader.doubt
