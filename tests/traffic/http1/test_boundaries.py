from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from proxy.traffic.http1.boundaries import MessageBoundaries
from proxy.traffic.http1.framing import CHUNKED, Framing

GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n"
BODY = b"\r\n\r\nfive!"
PUT = b"PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNKS = b"4\r\n\r\n\r\n\r\n1\r\na\r\n0\r\nX: y\r\n\r\n"

HEADS = {GET: (None, b""), POST: (Framing(9), BODY), PUT: (CHUNKED, CHUNKS)}


class Reader:
    """Stands for the parser: knows when a head or a body is whole."""

    def __init__(self) -> None:
        self.boundaries = MessageBoundaries()
        self.got = b""
        self.body: bytes | None = None
        self.messages: list[bytes] = []
        self.lines: list[bytes | None] = []

    def feed(self, data: bytes) -> None:
        while data:
            size = self.boundaries.take(data)
            assert size > 0
            if self.boundaries.line is not None and self.boundaries.line not in self.lines[-1:]:
                self.lines.append(self.boundaries.line)
            self.got += data[:size]
            data = data[size:]
            self._judge()

    def _judge(self) -> None:
        if self.body is None:
            head = self.got.lstrip(b"\r\n")
            assert not any(head.startswith(one) and head != one for one in HEADS)
            if head not in HEADS:
                return
            framing, self.body = HEADS[head]
            self.got = b""
            if framing is not None:
                self.boundaries.begin_body(framing)
        assert len(self.got) <= len(self.body)
        if self.got == self.body:
            self.messages.append(self.body)
            self.got, self.body = b"", None
            self.boundaries.begin_head()
            self.lines.append(None)


@given(
    st.lists(st.sampled_from(list(HEADS)), min_size=1, max_size=6),
    st.sampled_from([b"", b"\r\n", b"\r\n\r\n"]),
    st.lists(st.integers(0, 400)),
)
def test_no_piece_holds_bytes_of_two_messages(
    heads: list[bytes], blank: bytes, cuts: list[int]
) -> None:
    stream = b"".join(blank + head + HEADS[head][1] for head in heads)
    reader = Reader()
    edges = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})

    for start, end in itertools.pairwise(edges):
        reader.feed(stream[start:end])

    assert reader.messages == [HEADS[head][1] for head in heads]
    assert [one for one in reader.lines if one] == [head.partition(b"\r\n")[0] for head in heads]


def test_the_first_line_is_known_as_soon_as_it_is_whole() -> None:
    boundaries = MessageBoundaries()

    seen = []
    for byte in b"GET /\r\nX":
        boundaries.take(bytes([byte]))
        seen.append(boundaries.line)

    assert seen == [None] * 6 + [b"GET /"] * 2
