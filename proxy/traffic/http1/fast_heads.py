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
from .head_cache import HELD_BYTES, HeadCache, HeadCacheEntry, Layout

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
VARYING_IN_REQUESTS: Final = frozenset(
    {
        b"b3",
        b"baggage",
        b"correlation-id",
        b"elastic-apm-traceparent",
        b"idempotency-key",
        b"request-id",
        b"sentry-trace",
        b"traceparent",
        b"tracestate",
        b"uber-trace-id",
        b"x-amzn-trace-id",
        b"x-b3-parentspanid",
        b"x-b3-sampled",
        b"x-b3-spanid",
        b"x-b3-traceid",
        b"x-client-request-id",
        b"x-cloud-trace-context",
        b"x-correlation-id",
        b"x-datadog-parent-id",
        b"x-datadog-sampling-priority",
        b"x-datadog-tags",
        b"x-datadog-trace-id",
        b"x-request-id",
        b"x-request-start",
        b"x-trace-id",
    }
)
"""Headers whose values clients and proxies change with each request. Nothing decides by them but a
rule that reads one as a name, and then all heads are different ones."""
FORWARDED_FOR: Final = b"x-forwarded-for"
VARYING_BY_CLIENT: Final = VARYING_IN_REQUESTS | {
    b"authorization",
    b"cookie",
    b"referer",
    b"user-agent",
    b"x-real-ip",
    FORWARDED_FOR,
}
"""These, and what differs where a proxy sends requests for many clients. The client that shares and
limits go by is found anew for each value, and so is what goes out in place of X-Forwarded-For. A
rule reads Authorization where it takes names from tokens; cookies are compared with its names."""


class FastHead:
    """A head that was read.

    Of one that differs from another in values that vary alone, `raw` is made when it is asked for:
    most requests that repeat a head need no more than the length.

    Attributes:
        length: The Content-Length in bytes, None where there is none.
        close: This request is the last.
        fields: How many header fields there are.
        entry: Shared by all heads that differ in the length and in what varies alone.
        varying: The values of VARYING_BY_CLIENT.
        client: Which of them is that of X-Forwarded-For, None where there is none.
    """

    __slots__ = (
        "_digits",
        "_layout",
        "_raw",
        "client",
        "close",
        "entry",
        "fields",
        "length",
        "varying",
    )

    def __init__(  # noqa: PLR0913 - what is known of a head
        self,
        raw: RawRequest,
        digits: bytes,
        *,
        close: bool,
        entry: HeadCacheEntry,
        varying: tuple[bytes, ...],
        client: int | None = None,
        layout: Layout | None = None,
    ) -> None:
        """Take a head; with a `layout`, `digits` and `varying` are in place of those in `raw`."""
        self._raw = raw
        self.client: Final = client
        self._digits = digits
        self._layout = layout
        self.length: Final = int(digits) if digits else None
        self.close: Final = close
        self.fields: Final = len(raw.headers)
        self.entry: Final = entry
        self.varying: Final = varying

    @property
    def raw(self) -> RawRequest:
        """The head as a parser would have read it."""
        raw, layout = self._raw, self._layout
        if layout is not None:
            headers = layout.put(raw.headers, self.varying, self._digits)
            raw = self._raw = RawRequest(raw.method, raw.target, raw.version, headers)
            self._layout = None
        return raw

    @property
    def framing(self) -> Framing:
        """The framing of the body behind it, as the gate finds it too."""
        return ABSENT if self.length is None else Framing(self.length)

    def again(self, layout: Layout, varying: tuple[bytes, ...], digits: bytes) -> FastHead:
        """Return a head with other values of what varies, and another length."""
        return FastHead(
            self._raw,
            digits,
            close=self.close,
            entry=self.entry,
            varying=varying,
            client=self.client,
            layout=layout,
        )


def read_fast_request(data: bytes) -> tuple[FastHead, int] | None:
    """Return the head that `data` begins with, and its bytes, or None where it is not fast."""
    match = _HEAD.match(data)
    if match is None:
        return None
    headers: Headers = tuple(FIELDS.findall(data, match.start(3), match.end(3)))
    values = {name.lower(): value for name, value in headers}
    if len(values) < len(headers) or b"host" not in values or not _NOT_FAST.isdisjoint(values):
        return None
    digits = values.get(b"content-length", b"")
    if digits and not _LENGTH.fullmatch(digits):
        return None
    option = values.get(b"connection", b"keep-alive").lower()
    if option not in _OPTIONS:
        return None
    raw = RawRequest(match[1].decode("ascii"), match[2].decode("ascii"), HTTP_11, headers)
    names = [name for name in values if name in VARYING_BY_CLIENT]
    fast = FastHead(
        raw,
        digits,
        close=option == b"close",
        entry=HeadCacheEntry(),
        varying=tuple(values[name] for name in names),
        client=names.index(FORWARDED_FOR) if FORWARDED_FOR in names else None,
    )
    return fast, match.end()


def request_head_cache() -> HeadCache[FastHead]:
    """Return the head cache of a client connection."""
    return HeadCache(read_fast_request, FastHead.again, VARYING_BY_CLIENT)


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

    Of one that differs from another in values that vary alone, `head` is made when it is asked for.

    Attributes:
        status: Its status.
        length: The Content-Length in bytes.
        fields: How many header fields there are.
        key: The lines of the head but for its length and the values of VARYING, empty where it is
            too long to be known.
        varying: Those values.
    """

    __slots__ = ("_digits", "_head", "_layout", "fields", "key", "length", "status", "varying")

    def __init__(
        self,
        head: ResponseHead,
        digits: bytes,
        *,
        key: bytes,
        varying: tuple[bytes, ...],
        layout: Layout | None = None,
    ) -> None:
        """Take a head; with a `layout`, `digits` and `varying` are in place of those in `head`."""
        self._head = head
        self._digits = digits
        self._layout = layout
        self.status: Final = head.status
        self.length: Final = int(digits)
        self.fields: Final = len(head.headers)
        self.key: Final = key
        self.varying: Final = varying

    @property
    def head(self) -> ResponseHead:
        """The head as a parser would have read it."""
        head, layout = self._head, self._layout
        if layout is not None:
            head = head.with_headers(layout.put(head.headers, self.varying, self._digits))
            self._head, self._layout = head, None
        return head

    @property
    def framing(self) -> Framing:
        """The framing of the body behind it."""
        return Framing(self.length)

    def again(self, layout: Layout, varying: tuple[bytes, ...], digits: bytes) -> FastResponseHead:
        """Return a head with other values of what varies, and another length."""
        return FastResponseHead(self._head, digits, key=self.key, varying=varying, layout=layout)


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
    size = match.end()
    key = _key(data[: match.start(3)], headers, lows) if size <= HELD_BYTES else b""
    pairs = zip(headers, lows, strict=True)
    varying = tuple(value for (_, value), low in pairs if low in VARYING)
    return FastResponseHead(head, length, key=key, varying=varying), size


def _key(status_line: bytes, headers: Headers, lows: list[bytes]) -> bytes:
    """Return the key of a head."""
    lines = [status_line]
    for (name, value), low in zip(headers, lows, strict=True):
        lines.append(name if low in _NOT_IN_KEY else b"%b: %b" % (name, value))
    return b"\r\n".join(lines)


def response_head_cache() -> HeadCache[FastResponseHead]:
    """Return the head cache of an upstream connection."""
    return HeadCache(read_fast_response, FastResponseHead.again, VARYING)


def _stays(headers: Headers, lows: list[bytes]) -> bool:
    value = headers[lows.index(b"connection")][1]
    return value.lower() == b"keep-alive" and lows.count(b"connection") == 1
