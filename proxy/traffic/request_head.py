"""The head of a request as it goes upstream."""

from __future__ import annotations

import re
from typing import Final

from ..core.apply.forwardable import Forwardable
from ..core.http.message import Headers, RequestHead, header_values
from .headers import HOP_BY_HOP, joined, kept, together
from .hop import STRAIGHT, Crossing
from .precedent import Precedent

_REQUEST: Final = HOP_BY_HOP | {b"expect"}
_RULED_REQUEST: Final = _REQUEST | {b"accept-encoding", b"range", b"if-range"}

_PRECONDITIONS: Final = frozenset({b"if-match", b"if-none-match"})
_WEAK_PREFIX: Final = re.compile(rb'W/(?=")')


def request_lines(
    message: Forwardable,
    *,
    host: bytes,
    crossing: Crossing = STRAIGHT,
    websocket: bool = False,
) -> bytes:
    """Return the head that goes upstream, up to its framing.

    Where a rule may read the response, it must come whole and uncoded. `host` stands in for the
    Host that an HTTP/1.0 client need not send; `crossing` is what the hop changes.
    """
    head = message.head
    if not isinstance(head, RequestHead):
        raise TypeError("a response cannot go upstream")
    target = head.path if head.query is None else f"{head.path}?{head.query}"
    lines = [f"{head.method} {target} HTTP/1.1".encode("ascii")]
    lines += _request_lines(message, head.headers, crossing)
    if not _names_host(head.headers):
        lines.append(b"Host: " + host)
    if message.ruled:
        lines.append(b"Accept-Encoding: identity")
    lines += crossing.lines
    if websocket:
        # Sec-WebSocket-* are end-to-end by name and have already been copied.
        lines += (b"Connection: Upgrade", b"Upgrade: websocket")
    return joined(lines, message.marks)


def request_lines_again(
    message: Forwardable, precedent: Precedent, host: bytes, crossing: Crossing
) -> bytes:
    """Do as `request_lines`, for a head whose like may have been passed on before."""
    terms = (
        message.changed,
        message.decoded,
        message.ruled,
        message.media_type,
        message.marks,
        crossing,
        host,
    )
    if precedent.terms != terms:
        precedent.lines = request_lines(message, host=host, crossing=crossing)
        precedent.terms = terms
    return precedent.lines


def _names_host(headers: Headers) -> bool:
    # Most clients send it first.
    first = bool(headers) and headers[0][0].lower() == b"host"
    return first or bool(header_values(headers, b"host"))


def _request_lines(message: Forwardable, headers: Headers, crossing: Crossing) -> list[bytes]:
    dropped = together(_RULED_REQUEST if message.ruled else _REQUEST, crossing.dropped)
    staying = kept(message, headers, dropped, digests=not message.changed)
    if not message.ruled:
        return list(map(b": ".join, staying))
    return [b": ".join((name, _upward(name, value))) for name, value in staying]


def _upward(name: bytes, value: bytes) -> bytes:
    """Return a precondition as the upstream knows it: it never saw the weak form of its tags."""
    if name.lower() in _PRECONDITIONS:
        return _WEAK_PREFIX.sub(b"", value)
    return value
