"""Fast heads: whatever is read here, aiohttp's parser reads in the same way."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp.http_parser import HttpRequestParser
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.traffic.http1.fast_heads import HELD_HEAD, FastHead, may_become_fast, read_fast_request
from proxy.traffic.http1.framing import ABSENT, Framing

HEAD = b"POST /a/b?c=d HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nX-Y: a b: c\r\n\r\n"

NOT_FAST = {
    "lower-case method": HEAD.replace(b"POST", b"post"),
    "unknown method": HEAD.replace(b"POST", b"BREW"),
    "another version": HEAD.replace(b"HTTP/1.1", b"HTTP/1.0"),
    "another protocol": HEAD.replace(b"HTTP/1.1", b"RTSP/1.1"),
    "two spaces": HEAD.replace(b"POST ", b"POST  "),
    "absolute form": HEAD.replace(b" /a", b" http://h/a"),
    "asterisk": HEAD.replace(b"/a/b?c=d", b"*"),
    "fragment": HEAD.replace(b"?c", b"#c"),
    "backslash": HEAD.replace(b"a/b", b"a\\b"),
    "blank line first": b"\r\n" + HEAD,
    "bare LF": HEAD.replace(b"\r\n", b"\n"),
    "bare LF once": HEAD.replace(b"h\r\n", b"h\n"),
    "bare CR": HEAD.replace(b"a b", b"a\rb"),
    "folded": HEAD.replace(b"a b", b"a\r\n b"),
    "no space": HEAD.replace(b"Host: h", b"Host:h"),
    "two spaces behind the colon": HEAD.replace(b"Host: h", b"Host:  h"),
    "space before the colon": HEAD.replace(b"Host:", b"Host :"),
    "space at the end": HEAD.replace(b"c\r\n\r\n", b"c \r\n\r\n"),
    "empty value": HEAD.replace(b"a b: c", b""),
    "underscore": HEAD.replace(b"X-Y", b"X_Y"),
    "not ASCII": HEAD.replace(b"a b", b"a \xe9"),
    "control": HEAD.replace(b"a b", b"a\x00b"),
    "DEL": HEAD.replace(b"a b", b"a\x7fb"),
    "two lengths": HEAD.replace(b"X-Y: a b: c", b"Content-Length: 2"),
    "signed length": HEAD.replace(b": 2", b": +2"),
    "listed length": HEAD.replace(b": 2", b": 2, 2"),
    "huge length": HEAD.replace(b": 2", b": 99999999999"),
    "chunked": HEAD.replace(b"X-Y: a b: c", b"Transfer-Encoding: chunked"),
    "chunked, in capitals": HEAD.replace(b"X-Y: a b: c", b"TRANSFER-ENCODING: chunked"),
    "expecting": HEAD.replace(b"X-Y: a b: c", b"Expect: 100-continue"),
    "upgrading": HEAD.replace(b"X-Y: a b: c", b"Upgrade: websocket"),
    "another connection option": HEAD.replace(b"X-Y: a b: c", b"Connection: X-Y"),
    "two connection options": HEAD.replace(b"X-Y: a b: c", b"Connection: close, upgrade"),
    "a name twice": HEAD.replace(b"X-Y: a b: c", b"host: h"),
    "trailer": HEAD.replace(b"X-Y: a b: c", b"Trailer: X"),
    "no host": HEAD.replace(b"Host", b"Hose"),
    "no header": b"GET / HTTP/1.1\r\n\r\n",
}


def test_a_fast_head_is_read() -> None:
    found = read_fast_request(HEAD + b"{}")
    assert found is not None
    head, size = found
    assert head.raw.method == "POST"
    assert head.raw.target == "/a/b?c=d"
    assert head.raw.version == (1, 1)
    assert head.raw.headers == ((b"Host", b"h"), (b"Content-Length", b"2"), (b"X-Y", b"a b: c"))
    assert (size, head.framing, head.close) == (len(HEAD), Framing(2), False)


@pytest.mark.parametrize(
    ("line", "close"),
    [(b"Connection: close", True), (b"connection: Keep-Alive", False), (b"X: y", False)],
)
def test_the_connection_option_is_read(line: bytes, *, close: bool) -> None:
    found = read_fast_request(b"GET / HTTP/1.1\r\nHost: h\r\n%b\r\n\r\n" % line)
    assert found is not None
    head = found[0]
    assert (head.framing, head.close) == (ABSENT, close)


@pytest.mark.parametrize("name", NOT_FAST)
def test_whatever_has_two_readings_is_not_fast(name: str) -> None:
    assert NOT_FAST[name] != HEAD
    assert read_fast_request(NOT_FAST[name]) is None


@pytest.mark.parametrize("at", range(len(HEAD)))
def test_every_beginning_of_a_fast_head_may_become_one(at: int) -> None:
    assert read_fast_request(HEAD[:at]) is None
    assert may_become_fast(HEAD[:at]) == (at > 0)


def test_a_beginning_that_is_too_long_is_none() -> None:
    assert not may_become_fast(HEAD[:-2] + b"X: " + b"y" * HELD_HEAD)


@pytest.mark.parametrize("name", NOT_FAST)
def test_what_is_not_fast_does_not_wait_for_its_end(name: str) -> None:
    assert not may_become_fast(NOT_FAST[name])


async def _by_the_parser(data: bytes) -> list[object]:
    loop = asyncio.get_running_loop()
    parser = HttpRequestParser(None, loop, 65536)
    messages, upgraded, tail = parser.feed_data(data)
    assert not upgraded
    assert not tail
    ((message, payload),) = messages
    assert (await payload.read()) is not None
    return [
        message.method,
        message.path,
        tuple(message.version),
        message.raw_headers,
        message.should_close,
        message.upgrade,
        message.chunked,
    ]


def _pieces() -> st.SearchStrategy[bytes]:
    """Return heads in which any part may be a little wrong."""
    methods = st.sampled_from([b"GET", b"POST", b"PUT", b"DELETE", b"HEAD", b"get", b"CONNECT"])
    targets = st.text("ab/.%;=&?~@:!*'()$,+-_2fF\\#\"<>|{}^` ", max_size=12).map(str.encode)
    names = st.sampled_from(
        [b"Host", b"X-A", b"host", b"Content-Type", b"Cookie", b"Te", b"Connection"]
    )
    values = st.text("abc:;,=\"'()/ \t\x00\x7f\\[]{}", max_size=10).map(str.encode)
    lines = st.lists(st.tuples(names, st.sampled_from([b": ", b":", b" : "]), values), max_size=4)
    ends = st.sampled_from([b"\r\n", b"\r\n", b"\r\n", b"\n"])

    def put(parts: tuple[bytes, bytes, list[tuple[bytes, bytes, bytes]], bytes]) -> bytes:
        method, target, fields, end = parts
        head = [b"%b /%b HTTP/1.1" % (method, target), *[b"".join(one) for one in fields]]
        return end.join([*head, b"", b""])

    return st.tuples(methods, targets, lines, ends).map(put)


@given(_pieces())
@example(HEAD.replace(b"Content-Length: 2\r\n", b""))
def test_the_parser_reads_the_same(data: bytes) -> None:
    found = read_fast_request(data)
    if found is None:
        return
    head, size = found
    read = asyncio.run(_by_the_parser(data))
    raw = head.raw
    assert read[:4] == [raw.method, raw.target, raw.version, raw.headers]
    assert read[4:] == [head.close, False, False]
    assert isinstance(head, FastHead)
    assert size == len(data)
