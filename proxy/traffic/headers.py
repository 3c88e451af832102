"""Heads as they go out, upstream and to the client.

What the rules read is the head as it came; names are stripped here, while writing, and nowhere
earlier. Kept headers keep their order, spelling and bytes. Nothing is invented but the framing.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Final

from ..core.errors import UnsupportedBody, UpstreamFailed
from ..core.forwardable import Forwardable
from ..core.message import Headers, RequestHead, ResponseHead, header_values
from .framing import Framing

_HOP_BY_HOP: Final = frozenset(
    {
        b"connection",
        b"content-length",  # not hop-by-hop, but the framing is always ours
        b"http2-settings",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
"""RFC 9110 section 7.6.1, with the names that older implementations use."""

_DIGESTS: Final = frozenset(
    {
        b"content-digest",
        b"content-md5",
        b"digest",
        b"repr-digest",
        b"signature",
        b"signature-input",
    }
)
"""What vouches for bytes that are no longer these (RFC 9530, RFC 9421)."""

_REQUEST: Final = _HOP_BY_HOP | {b"expect"}
_RULED_REQUEST: Final = _REQUEST | {b"accept-encoding", b"range", b"if-range"}
_RULED_RESPONSE: Final = _HOP_BY_HOP | {b"accept-ranges"}

_PROTECTED: Final = frozenset({b"host", b"authorization", b"cookie", b"set-cookie"})
"""What Connection must not take away: a client could switch off what the upstream relies on."""

_WEAK_PREFIX: Final = re.compile(rb'W/(?=")')
_STRONG_TAG: Final = re.compile(rb'"[^"]*"')


# --- requests ------------------------------------------------------------------------------------


def request_head(
    message: Forwardable,
    framing: Framing,
    *,
    host: bytes,
    websocket: bool = False,
) -> bytes:
    """Return the head that goes upstream.

    Where a rule may read the response, it must come whole and uncoded. `host` stands in for the
    Host that an HTTP/1.0 client need not send.
    """
    head = message.head
    if not isinstance(head, RequestHead):
        raise TypeError("a response cannot go upstream")
    target = head.path if head.query is None else f"{head.path}?{head.query}"
    lines = [f"{head.method} {target} HTTP/1.1".encode("ascii")]
    lines += _request_lines(message, head.headers)
    if not header_values(head.headers, b"host"):
        lines.append(b"Host: " + host)
    if message.ruled:
        lines.append(b"Accept-Encoding: identity")
    if websocket:
        # Sec-WebSocket-* are end-to-end by name and have already been copied.
        lines += (b"Connection: Upgrade", b"Upgrade: websocket")
    return _joined(lines, message.marks, framing)


def _request_lines(message: Forwardable, headers: Headers) -> list[bytes]:
    dropped = _RULED_REQUEST if message.ruled else _REQUEST
    kept = _kept(message, headers, dropped)
    if not message.ruled:
        return [b"%b: %b" % pair for pair in kept]
    return [b"%b: %b" % (name, _upward(name, value)) for name, value in kept]


def _upward(name: bytes, value: bytes) -> bytes:
    """Return a precondition as the upstream knows it: it never saw the weak form of its tags."""
    if name.lower() in {b"if-match", b"if-none-match"}:
        return _WEAK_PREFIX.sub(b"", value)
    return value


# --- responses -----------------------------------------------------------------------------------


def response_head(message: Forwardable, framing: Framing, *, connection: bytes | None) -> bytes:
    """Return the head that goes to the client.

    Where a rule reads bodies of this route, validators and digests of the original are not passed
    on, be it on a HEAD or a 304 without a body. `connection` is the value of the Connection
    header, or None.
    """
    head = message.head
    if not isinstance(head, ResponseHead):
        raise TypeError("a request cannot go to the client")
    lines = [b"HTTP/1.1 %d %b" % (head.status, head.reason)]
    lines += _response_lines(message, head.headers)
    if connection is not None:
        lines.append(b"Connection: " + connection)
    return _joined(lines, message.marks, framing)


def switching_head(head: ResponseHead) -> bytes:
    """Return the 101 that opens a WebSocket, the one response whose Upgrade is passed on."""
    kept = [b"%b: %b" % pair for pair in _passing(head.headers, _HOP_BY_HOP)]
    lines = [b"HTTP/1.1 101 Switching Protocols", b"Connection: Upgrade", b"Upgrade: websocket"]
    return b"\r\n".join([*lines, *kept, b"", b""])


def _response_lines(message: Forwardable, headers: Headers) -> list[bytes]:
    altered = message.ruled or message.changed
    kept = _kept(message, headers, _RULED_RESPONSE if altered else _HOP_BY_HOP)
    if not altered:
        return [b"%b: %b" % pair for pair in kept]
    lines = []
    for name, value in kept:
        low = name.lower()
        if low == b"etag":
            if (weak := _weakened(value)) is not None:
                lines.append(b"%b: %b" % (name, weak))
        elif not _vouches(low):
            lines.append(b"%b: %b" % (name, value))
    lines.append(b"Accept-Ranges: none")
    return lines


def _weakened(tag: bytes) -> bytes | None:
    """Return the tag as a weak one: sealed again, the same original gives other bytes."""
    if _STRONG_TAG.fullmatch(tag):
        return b"W/" + tag
    return tag if tag.startswith(b'W/"') else None


def refuse_unreadable(head: ResponseHead) -> None:
    """Refuse a response that a rule must read and that did not come whole and uncoded.

    Raises:
        UpstreamFailed: The upstream sent a part although none was asked for.
        UnsupportedBody: The upstream coded the body although identity was asked for.
    """
    if head.status == HTTPStatus.PARTIAL_CONTENT:
        raise UpstreamFailed("unexpected-partial-content")
    for value in header_values(head.headers, b"content-encoding"):
        if value.lower() not in {b"", b"identity"}:
            raise UnsupportedBody("content-encoding")


# --- both ----------------------------------------------------------------------------------------


def _kept(
    message: Forwardable, headers: Headers, dropped: frozenset[bytes]
) -> list[tuple[bytes, bytes]]:
    """Return the headers that stay, with the Content-Type and without the digests of a new body."""
    kept = _passing(headers, dropped)
    if message.changed:
        kept = [(name, value) for name, value in kept if not _vouches(name.lower())]
    if message.media_type is not None:
        kept = _retyped(kept, message.media_type.encode("ascii"))
    return kept


def _passing(headers: Headers, dropped: frozenset[bytes]) -> list[tuple[bytes, bytes]]:
    dropped = _with_listed(headers, dropped)
    return [pair for pair in headers if pair[0].lower() not in dropped]


def _with_listed(headers: Headers, dropped: frozenset[bytes]) -> frozenset[bytes]:
    """Return `dropped` and the names that Connection lists (RFC 9110 section 7.6.1)."""
    listed: set[bytes] = set()
    for value in header_values(headers, b"connection"):
        listed.update(item.strip(b" \t").lower() for item in value.split(b","))
    listed -= {b"", b"close", b"keep-alive"}
    if not listed:
        return dropped
    return dropped | {
        name for name in listed if name not in _PROTECTED and not name.startswith(b"content-")
    }


def _vouches(low: bytes) -> bool:
    return low in _DIGESTS or low.startswith(b"x-amz-checksum-")


def _retyped(headers: list[tuple[bytes, bytes]], media_type: bytes) -> list[tuple[bytes, bytes]]:
    """Return the headers with one Content-Type, where the first one stood or at the end."""
    retyped = []
    placed = False
    for name, value in headers:
        if name.lower() != b"content-type":
            retyped.append((name, value))
        elif not placed:
            retyped.append((name, media_type))
            placed = True
    if not placed:
        retyped.append((b"Content-Type", media_type))
    return retyped


def _joined(lines: list[bytes], marks: Headers, framing: Framing) -> bytes:
    lines += [b"%b: %b" % pair for pair in marks]
    if framing.present:
        if framing.length is None:
            lines.append(b"Transfer-Encoding: chunked")
        else:
            lines.append(b"Content-Length: %d" % framing.length)
    lines += (b"", b"")
    return b"\r\n".join(lines)
