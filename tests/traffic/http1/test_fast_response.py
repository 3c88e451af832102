"""Fast responses: whatever is read here, llhttp and its judge read in the same way."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.core.errors import UpstreamFailed
from proxy.core.http.message import ResponseHead
from proxy.traffic.http1.fast_heads import read_fast_response
from proxy.traffic.http1.framing import Framing
from proxy.traffic.http1.response_parser import ResponseReader

WHOLE = b"HTTP/1.1 200 OK\r\nX-Y: a b: c\r\nContent-Length: 2\r\n\r\n{}"

NOT_FAST = {
    "another version": WHOLE.replace(b"HTTP/1.1", b"HTTP/1.0"),
    "interim": WHOLE.replace(b"200", b"103"),
    "no content": WHOLE.replace(b"200", b"204"),
    "not modified": WHOLE.replace(b"200", b"304"),
    "above 599": WHOLE.replace(b"200", b"600"),
    "no reason": WHOLE.replace(b" OK", b""),
    "bytes in the reason": WHOLE.replace(b"OK", b"O\xe9"),
    "bytes in a value": WHOLE.replace(b"a b", b"a \xe9"),
    "control": WHOLE.replace(b"a b", b"a\x00b"),
    "bare LF": WHOLE.replace(b"OK\r\n", b"OK\n"),
    "folded": WHOLE.replace(b"a b", b"a\r\n b"),
    "no space": WHOLE.replace(b"X-Y: ", b"X-Y:"),
    "space before the colon": WHOLE.replace(b"X-Y:", b"X-Y :"),
    "no length": WHOLE.replace(b"Content-Length: 2\r\n", b""),
    "two lengths": WHOLE.replace(b"X-Y: a b: c", b"content-length: 2"),
    "signed length": WHOLE.replace(b": 2", b": +2"),
    "chunked": WHOLE.replace(b"X-Y: a b: c", b"Transfer-Encoding: chunked"),
    "upgrading": WHOLE.replace(b"X-Y: a b: c", b"Upgrade: websocket"),
    "closing": WHOLE.replace(b"X-Y: a b: c", b"Connection: close"),
    "listing": WHOLE.replace(b"X-Y: a b: c", b"Connection: keep-alive, X"),
}


def test_a_fast_response_is_read() -> None:
    found = read_fast_response(WHOLE)
    assert found is not None
    fast, size = found
    headers = ((b"X-Y", b"a b: c"), (b"Content-Length", b"2"))
    assert fast.head == ResponseHead(200, b"OK", headers)
    assert (fast.framing, size) == (Framing(2), len(WHOLE) - 2)


def test_a_server_may_say_that_it_stays() -> None:
    assert read_fast_response(WHOLE.replace(b"X-Y: a b: c", b"Connection: Keep-Alive"))


@pytest.mark.parametrize("name", NOT_FAST)
def test_whatever_has_two_readings_is_not_fast(name: str) -> None:
    assert NOT_FAST[name] != WHOLE
    assert read_fast_response(NOT_FAST[name]) is None


@pytest.mark.parametrize(
    ("head_limit", "headers_limit", "reason"),
    [(len(WHOLE) - 3, 9, "response-head"), (999, 1, "response-headers")],
)
def test_the_limits_hold_for_fast_responses(
    head_limit: int, headers_limit: int, reason: str
) -> None:
    reader = ResponseReader(head_limit=head_limit, headers_limit=headers_limit)
    reader.expect(head_only=False, upgrade=False)
    long = WHOLE.replace(b"a b: c", b"a b: c" + b"d" * head_limit) if head_limit < 999 else WHOLE
    with pytest.raises(UpstreamFailed, match=reason):
        reader.feed(long)


def _responses() -> st.SearchStrategy[bytes]:
    """Return responses in which any part may be a little wrong."""
    statuses = st.sampled_from([b"200", b"201", b"404", b"500", b"204", b"304", b"99", b"0200"])
    reasons = st.text("OK \t\x00\xe9", max_size=4).map(lambda text: text.encode("latin-1"))
    names = st.sampled_from([b"X-A", b"Set-Cookie", b"Connection", b"Content-Length", b"Trailer"])
    values = st.text('ab:;,="() \t\x00\x7f23', max_size=8).map(str.encode)
    lines = st.lists(st.tuples(names, st.sampled_from([b": ", b":", b" : "]), values), max_size=3)

    def put(parts: tuple[bytes, bytes, list[tuple[bytes, bytes, bytes]], bytes]) -> bytes:
        status, reason, fields, body = parts
        head = [b"HTTP/1.1 %b %b" % (status, reason), *[b"".join(one) for one in fields]]
        return b"\r\n".join([*head, b"Content-Length: 2", b"", body])

    return st.tuples(statuses, reasons, lines, st.sampled_from([b"{}", b"", b"{}x"])).map(put)


@pytest.mark.parametrize("data", [WHOLE[:-1], WHOLE + b"H"])
def test_only_one_whole_response_is_taken_without_llhttp(data: bytes) -> None:
    reader = ResponseReader(head_limit=999, headers_limit=9)
    reader.expect(head_only=False, upgrade=False)
    reader.feed(data)
    assert reader.fast is None
    assert (reader.complete, reader.doubt) == (data > WHOLE, data > WHOLE)


@given(_responses())
@example(WHOLE)
def test_llhttp_reads_the_same(data: bytes) -> None:
    found = read_fast_response(data)
    if found is None or found[1] + (found[0].framing.length or 0) != len(data):
        return
    fast, parsed = (ResponseReader(head_limit=999, headers_limit=9) for _ in range(2))
    bodies = []
    for reader, pieces in ((fast, [data]), (parsed, [data[:1], data[1:]])):
        reader.expect(head_only=False, upgrade=False)
        bodies.append(b"".join([reader.feed(piece) for piece in pieces]))
    assert bodies[0] == bodies[1]
    assert fast.head == parsed.head
    assert fast.framing == parsed.framing == Framing(2)
    assert (fast.complete, fast.doubt, fast.bodiless) == (True, False, False)
    assert (parsed.complete, parsed.doubt, parsed.bodiless) == (True, False, False)


def test_the_parser_takes_over_behind_a_fast_response() -> None:
    reader = ResponseReader(head_limit=999, headers_limit=9)
    for data in (WHOLE, WHOLE.replace(b"X-Y: a b: c", b"X-Y:"), WHOLE):
        reader.expect(head_only=False, upgrade=False)
        assert reader.feed(data) == b"{}"
        assert reader.complete
        assert not reader.doubt


def test_what_comes_behind_a_fast_response_is_doubt() -> None:
    reader = ResponseReader(head_limit=999, headers_limit=9)
    reader.expect(head_only=False, upgrade=False)
    reader.feed(WHOLE)
    assert reader.feed(WHOLE) == b""
    assert reader.doubt
