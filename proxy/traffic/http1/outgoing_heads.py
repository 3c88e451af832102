"""The heads of forwarded requests and responses, as they are written."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Final

from ...core.http.cache_control import speaks_to_caches
from ...core.http.message import Headers, RequestHead, ResponseHead, header_values
from ...core.transform import Forwardable, Frame
from .fast_heads import FORWARDED_FOR
from .forwarding_headers import UNCHANGED, Forwarding
from .hop_by_hop import HOP_BY_HOP, joined, kept, passing, together
from .pointing_headers import NO_REWRITE, LocationRewrite

Varying = tuple[bytes, ...]
"""The values in a head that vary from one to the next (see http1/fast_heads), in their order."""

REQUEST_ID: Final = b"x-request-id"
_RULED_RESPONSE: Final = HOP_BY_HOP | {b"accept-ranges"}
_PARTIAL: Final = HTTPStatus.PARTIAL_CONTENT.value  # a member is looked up at some cost
_STRONG_TAG: Final = re.compile(rb'"[^"]*"')


def response_lines(
    message: Forwardable,
    *,
    connection: bytes | None,
    location_rewrite: LocationRewrite = NO_REWRITE,
    headers: Headers | None = None,
) -> bytes:
    """Return the head that goes to the client, up to its framing.

    Where a rule reads bodies of this route, validators and digests of the original are not passed
    on, be it on a HEAD or a 304 without a body. `connection` is the value of the Connection
    header, or None; `location_rewrite` changes where Location and the like point. `headers` are
    those of the response, where the head of `message` is that of another one like it (see
    VARYING).
    """
    head = message.head
    if not isinstance(head, ResponseHead):
        raise TypeError("a request cannot go to the client")
    lines = [b"HTTP/1.1 %d %b" % (head.status, head.reason)]
    lines += _response_lines(message, headers or head.headers, location_rewrite)
    if connection is not None:
        lines.append(b"Connection: " + connection)
    return joined(lines, message.added_headers)


def id_line(request_id: bytes) -> bytes:
    """Return the line of a request id, without its end."""
    return b"X-Request-Id: " + request_id


def added_line(request_id: bytes | None, headers: Headers) -> bytes:
    """Return what a response with these headers gets behind them: an id if it has none."""
    if request_id is None or header_values(headers, REQUEST_ID):
        return b""
    return id_line(request_id) + b"\r\n"


def switching_head(head: ResponseHead) -> bytes:
    """Return the 101 that opens a WebSocket, the one response whose Upgrade is passed on."""
    staying = [b"%b: %b" % pair for pair in passing(head.headers, HOP_BY_HOP)]
    lines = [b"HTTP/1.1 101 Switching Protocols", b"Connection: Upgrade", b"Upgrade: websocket"]
    return b"\r\n".join([*lines, *staying, b"", b""])


def _response_lines(
    message: Forwardable, headers: Headers, location_rewrite: LocationRewrite
) -> list[bytes]:
    altered = message.ruled or message.changed
    dropped = _RULED_RESPONSE if altered else HOP_BY_HOP
    lines = []
    for name, value in kept(message, headers, dropped, digests=not altered):
        low = name.lower()
        if message.private and speaks_to_caches(low):
            continue
        if low != b"etag" or not altered:
            lines.append(b": ".join((name, location_rewrite.of_header(low, value))))
        elif (weak := _weakened(value)) is not None:
            lines.append(b": ".join((name, weak)))
    if altered:
        lines.append(b"Accept-Ranges: none")
    return lines


def _weakened(tag: bytes) -> bytes | None:
    """Return a weak entity tag: sealing the same representation again gives other bytes."""
    if _STRONG_TAG.fullmatch(tag):
        return b"W/" + tag
    return tag if tag.startswith(b'W/"') else None


_REQUEST: Final = HOP_BY_HOP | {b"expect"}
_RULED_REQUEST: Final = _REQUEST | {b"accept-encoding", b"range", b"if-range"}

_PRECONDITIONS: Final = frozenset({b"if-match", b"if-none-match"})
_WEAK_PREFIX: Final = re.compile(rb'W/(?=")')


def request_lines(
    message: Forwardable,
    *,
    host: bytes,
    forwarding: Forwarding = UNCHANGED,
    websocket: bool = False,
    headers: Headers | None = None,
) -> bytes:
    """Return the head that goes upstream, up to its framing.

    Where a rule may read the response, it must come whole and without a content coding. `host` is
    the Host where the client sent none (HTTP/1.0); `forwarding` changes the forwarding headers.
    `headers` are those of the request, where the head of `message` is that of another one of its
    way.
    """
    head = message.head
    if not isinstance(head, RequestHead):
        raise TypeError("a response cannot go upstream")
    target = head.path if head.query is None else f"{head.path}?{head.query}"
    lines = [f"{head.method} {target} HTTP/1.1".encode("ascii")]
    headers = headers or head.headers
    lines += _request_lines(message, headers, forwarding)
    if not _names_host(headers):
        lines.append(b"Host: " + host)
    if message.ruled:
        lines.append(b"Accept-Encoding: identity")
    lines += forwarding.lines
    if websocket:
        # Sec-WebSocket-* are end-to-end by name and have already been copied.
        lines += (b"Connection: Upgrade", b"Upgrade: websocket")
    return joined(lines, message.added_headers)


def _names_host(headers: Headers) -> bool:
    # Most clients send it first.
    first = bool(headers) and headers[0][0].lower() == b"host"
    return first or bool(header_values(headers, b"host"))


def _request_lines(message: Forwardable, headers: Headers, forwarding: Forwarding) -> list[bytes]:
    dropped = together(_RULED_REQUEST if message.ruled else _REQUEST, forwarding.dropped)
    staying = kept(message, headers, dropped, digests=not message.changed)
    if not message.ruled:
        return list(map(b": ".join, staying))
    return [b": ".join((name, _upward(name, value))) for name, value in staying]


def _upward(name: bytes, value: bytes) -> bytes:
    """Return a precondition with the tags as the upstream sent them, before they were weak."""
    if name.lower() in _PRECONDITIONS:
        return _WEAK_PREFIX.sub(b"", value)
    return value


class KnownLines:
    """The head of a message as it went out, for others like it.

    `varying` are the values that vary in the head as it came. `_pieces` is what went out around
    those that were passed on, `_which` says for each of these which one it is. `_tags` are those of
    them that pass only as long as they are weak entity tags. `chain` is a line of ours behind them,
    which varies with that of X-Forwarded-For.
    """

    __slots__ = ("_pieces", "_tags", "_which", "chain", "head", "varying")

    def __init__(  # noqa: PLR0913 - what is known of a head
        self,
        head: bytes,
        varying: Varying,
        headers: Headers,
        names: frozenset[bytes],
        chain: bytes = b"",
        *,
        altered: bool = False,
    ) -> None:
        """Take a head that came with `headers`, of which those with such `names` vary.

        `altered` says that only weak entity tags pass.
        """
        self.head = head
        self.varying = varying
        self.chain = chain
        self._tags: list[int] = []
        self._which: list[int] = []
        self._pieces: list[bytes] | None = []
        at = 0
        varied = (pair for pair in headers if pair[0].lower() in names) if varying else ()
        for number, (name, value) in enumerate(varied):
            if name.lower() == FORWARDED_FOR:
                continue  # what goes out is the chain
            if altered and name.lower() == b"etag":
                self._tags.append(number)
            line = b"\r\n%b: " % name
            start = head.find(line, at)
            if start < 0 and line not in head:
                continue
            start += len(line)
            if start < len(line) or not head.startswith(value + b"\r\n", start):
                self._pieces = None  # it is changed on its way, as a strong entity tag is
                return
            self._pieces.append(head[at:start])
            self._which.append(number)
            at = start + len(value)
        if chain:  # our lines are behind those of the client, of which none has this name
            start = head.rindex(b"\r\n%b\r\n" % chain, max(at - 2, 0)) + 2
            self._pieces.append(head[at:start])
            at = start + len(chain)
        self._pieces.append(head[at:])
        if not self._passes(varying):
            self._pieces = None

    def _passes(self, varying: Varying) -> bool:
        return all(_weakened(varying[number]) == varying[number] for number in self._tags)

    def filled(self, varying: Varying, chain: bytes = b"") -> bytes | None:
        """Return the head with other values; None where it must be made anew."""
        pieces = self._pieces
        if pieces is None or bool(chain) != bool(self.chain):
            return None
        if self._tags and not self._passes(varying):
            return None
        values = [varying[number] for number in self._which]
        if chain:
            values.append(chain)
        parts = [pieces[0]]
        for value, piece in zip(values, pieces[1:], strict=True):
            parts += (value, piece)
        self.varying, self.chain, self.head = varying, chain, b"".join(parts)
        return self.head


Lines = dict[Frame, KnownLines]
"""Heads as they go out, by the frames of the messages of one way, which are few."""
