"""Request heads that can be read in one way only, read by one regular expression.

This is a small part of the grammar of RFC 9112, chosen so that no two parsers differ on it: one
space here, one there, CR LF at each end, no name twice, no empty value, no byte above 0x7E, no
transfer coding. Such a head is called fast. Any other head goes to aiohttp's parser, and so does
everything that follows it on the connection.
"""

from __future__ import annotations

import re
from typing import Final

from ...core.http.message import Headers, ResponseHead
from .framing import ABSENT, HTTP_11, Framing
from .gate import RawRequest
from .head_cache import HELD_BYTES, HeadCache, HeadCacheEntry, with_length

HELD_HEAD: Final = 16384
"""Up to so many bytes wait here for the end of their head."""

_TARGET: Final = rb"/[A-Za-z0-9._~!$&'()*+,;=:@%/?-]*+"
_LINE: Final = rb"(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS) (%b) HTTP/1\.1\r\n" % _TARGET
_NAME: Final = rb"[A-Za-z0-9-]++"
_VALUE: Final = rb"[!-~][\t -~]*+(?<![\t ])"
FIELD: Final = rb"%b: %b\r\n" % (_NAME, _VALUE)
_HEAD: Final = re.compile(rb"%b((?:%b)++)\r\n" % (_LINE, FIELD))
FIELDS: Final = re.compile(rb"(%b): ([^\r]++)\r\n" % _NAME)

_PART_OF_FIELD: Final = rb"(?:%b(?::(?: [\t -~]*)?\r?)?|\r)?" % _NAME
_PART_OF_HEAD: Final = re.compile(rb"%b(?:%b)*%b" % (_LINE, FIELD, _PART_OF_FIELD))
_PART_OF_LINE: Final = re.compile(rb"[A-Z]{1,7}(?: (?:%b(?: [HTTP/1.]{0,8}\r?)?)?)?" % _TARGET)
_LENGTH: Final = re.compile(rb"[0-9]{1,10}")

# These ask for what the fast path does not do, or have more than one reading.
_NOT_FAST: Final = frozenset(
    {
        b"expect",
        b"http2-settings",
        b"keep-alive",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
_OPTIONS: Final = frozenset({b"close", b"keep-alive"})


class FastHead:
    """A head that was read.

    Of one that differs from another in its length alone, `raw` is made when it is asked for: most
    requests that repeat a head need no more than the length.

    Attributes:
        length: The Content-Length in bytes, None where there is none.
        close: This request is the last.
        fields: How many header fields there are.
        entry: Shared by all heads that differ in the length alone.
    """

    __slots__ = ("_digits", "_raw", "close", "entry", "fields", "length")

    def __init__(
        self,
        raw: RawRequest,
        length: int | None,
        *,
        close: bool,
        entry: HeadCacheEntry,
        digits: bytes = b"",
    ) -> None:
        """Take a head; with `digits`, they are its Content-Length in place of that in `raw`."""
        self._raw = raw
        self._digits = digits
        self.length: Final = length
        self.close: Final = close
        self.fields: Final = len(raw.headers)
        self.entry: Final = entry

    @property
    def raw(self) -> RawRequest:
        """The head as a parser would have read it."""
        if self._digits:
            raw = self._raw
            headers = with_length(raw.headers, self._digits)
            self._raw = RawRequest(raw.method, raw.target, raw.version, headers)
            self._digits = b""
        return self._raw

    @property
    def framing(self) -> Framing:
        """The framing of the body behind it, as the gate finds it too."""
        return ABSENT if self.length is None else Framing(self.length)

    def resized(self, digits: bytes) -> FastHead:
        """Return a head that differs in its Content-Length alone."""
        return FastHead(self._raw, int(digits), close=self.close, entry=self.entry, digits=digits)


def read_fast_request(data: bytes) -> tuple[FastHead, int] | None:
    """Return the head that `data` begins with, and its bytes, or None where it is not fast."""
    match = _HEAD.match(data)
    if match is None:
        return None
    headers: Headers = tuple(FIELDS.findall(data, match.start(3), match.end(3)))
    values = {name.lower(): value for name, value in headers}
    if len(values) < len(headers) or b"host" not in values or not _NOT_FAST.isdisjoint(values):
        return None
    length = values.get(b"content-length")
    if length is not None and not _LENGTH.fullmatch(length):
        return None
    option = values.get(b"connection", b"keep-alive").lower()
    if option not in _OPTIONS:
        return None
    raw = RawRequest(match[1].decode("ascii"), match[2].decode("ascii"), HTTP_11, headers)
    size = None if length is None else int(length)
    fast = FastHead(raw, size, close=option == b"close", entry=HeadCacheEntry())
    return fast, match.end()


def request_head_cache() -> HeadCache[FastHead]:
    """Return the head cache of a client connection."""
    return HeadCache(read_fast_request, FastHead.resized)


def may_become_fast(data: bytes) -> bool:
    """Return whether `data` is the beginning of a fast head, without its end."""
    if len(data) > HELD_HEAD:
        return False
    part = _PART_OF_HEAD if b"\n" in data else _PART_OF_LINE
    return part.fullmatch(data) is not None


_RESPONSE_HEAD: Final = re.compile(
    rb"HTTP/1\.1 ([2-5][0-9][0-9]) ([!-~ ]*+)\r\n((?:%b)++)\r\n" % FIELD
)
_RESPONSE_LENGTH: Final = re.compile(rb"[0-9]{1,9}")
_RESPONSE_NOT_FAST: Final = frozenset({b"transfer-encoding", b"upgrade"})
_BODILESS: Final = frozenset({b"204", b"304"})
VARYING: Final = frozenset(
    {
        b"date",
        b"etag",
        b"last-modified",
        b"request-id",
        b"server-timing",
        b"x-correlation-id",
        b"x-request-id",
        b"x-response-time",
        b"x-runtime",
    }
)
"""Headers whose values a backend changes each second or with each response. Nothing decides by
them: they are passed on, or not, by their names."""
_NOT_IN_KEY: Final = VARYING | {b"content-length"}


class FastResponseHead:
    """The head of a response that was read.

    Of one that differs from another in its length alone, `head` is made when it is asked for.

    Attributes:
        status: Its status.
        length: The Content-Length in bytes.
        fields: How many header fields there are.
        key: The lines of the head but for its length and the values of VARYING, empty where it is
            too long to be known.
        varying: Those values.
    """

    __slots__ = ("_digits", "_head", "fields", "key", "length", "status", "varying")

    def __init__(
        self, head: ResponseHead, length: int, key: bytes, varying: bytes, digits: bytes = b""
    ) -> None:
        """Take a head; with `digits`, they are its Content-Length in place of that in `head`."""
        self._head = head
        self._digits = digits
        self.status: Final = head.status
        self.length: Final = length
        self.fields: Final = len(head.headers)
        self.key: Final = key
        self.varying: Final = varying

    @property
    def head(self) -> ResponseHead:
        """The head as a parser would have read it."""
        if self._digits:
            head, digits = self._head, self._digits
            self._head, self._digits = head.with_headers(with_length(head.headers, digits)), b""
        return self._head

    @property
    def framing(self) -> Framing:
        """The framing of the body behind it."""
        return Framing(self.length)

    def resized(self, digits: bytes) -> FastResponseHead:
        """Return a head that differs in its Content-Length alone."""
        return FastResponseHead(self._head, int(digits), self.key, self.varying, digits)


def read_fast_response(data: bytes) -> tuple[FastResponseHead, int] | None:
    """Return the head that `data` begins with, and its bytes, or None where it is not fast."""
    match = _RESPONSE_HEAD.match(data)
    if match is None or match[1] in _BODILESS:
        return None
    headers: Headers = tuple(FIELDS.findall(data, match.start(3), match.end(3)))
    lows = [name.lower() for name, _ in headers]
    if lows.count(b"content-length") != 1 or not _RESPONSE_NOT_FAST.isdisjoint(lows):
        return None
    length = headers[lows.index(b"content-length")][1]
    if not _RESPONSE_LENGTH.fullmatch(length):
        return None
    if b"connection" in lows and not _stays(headers, lows):
        return None
    head = ResponseHead(int(match[1]), match[2], headers)
    size, key, varying = match.end(), b"", b""
    if size <= HELD_BYTES:
        key, varying = _key(data[: match.start(3)], headers, lows)
    return FastResponseHead(head, int(length), key, varying), size


def _key(status_line: bytes, headers: Headers, lows: list[bytes]) -> tuple[bytes, bytes]:
    """Return the key of a head, and the values of VARYING, which are not in it."""
    lines, varying = [status_line], []
    for (name, value), low in zip(headers, lows, strict=True):
        if low not in _NOT_IN_KEY:
            lines.append(b"%b: %b\r\n" % (name, value))
            continue
        lines.append(name + b"\r\n")
        if low in VARYING:
            varying.append(value)
    return b"".join(lines), b"\r\n".join(varying)


def response_head_cache() -> HeadCache[FastResponseHead]:
    """Return the head cache of an upstream connection."""
    return HeadCache(read_fast_response, FastResponseHead.resized)


def _stays(headers: Headers, lows: list[bytes]) -> bool:
    value = headers[lows.index(b"connection")][1]
    return value.lower() == b"keep-alive" and lows.count(b"connection") == 1
