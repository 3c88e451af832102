"""The head of a response as it goes to the client."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Final

from ..core.apply.forwardable import Forwardable
from ..core.errors import UpstreamFailed
from ..core.http.cache_control import speaks_to_caches
from ..core.http.message import Headers, ResponseHead
from .headers import HOP_BY_HOP, joined, kept, passing
from .hop import NOWHERE, Places
from .precedent import Precedent

_RULED_RESPONSE: Final = HOP_BY_HOP | {b"accept-ranges"}
_POINTING: Final = frozenset({b"content-location", b"location"})
_PARTIAL: Final = HTTPStatus.PARTIAL_CONTENT.value  # a member is looked up at some cost
_STRONG_TAG: Final = re.compile(rb'"[^"]*"')


def response_lines(
    message: Forwardable, *, connection: bytes | None, places: Places = NOWHERE
) -> bytes:
    """Return the head that goes to the client, up to its framing.

    Where a rule reads bodies of this route, validators and digests of the original are not passed
    on, be it on a HEAD or a 304 without a body. `connection` is the value of the Connection
    header, or None; `places` tell where a Location points.
    """
    head = message.head
    if not isinstance(head, ResponseHead):
        raise TypeError("a request cannot go to the client")
    lines = [b"HTTP/1.1 %d %b" % (head.status, head.reason)]
    lines += _response_lines(message, head.headers, places)
    if connection is not None:
        lines.append(b"Connection: " + connection)
    return joined(lines, message.marks)


def response_lines_again(
    message: Forwardable, precedent: Precedent, connection: bytes | None, places: Places
) -> bytes:
    """Do as `response_lines`, for a head whose like may have been passed on before."""
    terms = (
        message.changed,
        message.decoded,
        message.ruled,
        message.private,
        message.media_type,
        message.marks,
        connection,
        places,
    )
    if precedent.terms != terms:
        precedent.lines = response_lines(message, connection=connection, places=places)
        precedent.terms = terms
    return precedent.lines


def switching_head(head: ResponseHead) -> bytes:
    """Return the 101 that opens a WebSocket, the one response whose Upgrade is passed on."""
    staying = [b"%b: %b" % pair for pair in passing(head.headers, HOP_BY_HOP)]
    lines = [b"HTTP/1.1 101 Switching Protocols", b"Connection: Upgrade", b"Upgrade: websocket"]
    return b"\r\n".join([*lines, *staying, b"", b""])


def _response_lines(message: Forwardable, headers: Headers, places: Places) -> list[bytes]:
    altered = message.ruled or message.changed
    dropped = _RULED_RESPONSE if altered else HOP_BY_HOP
    lines = []
    for name, value in kept(message, headers, dropped, digests=not altered):
        low = name.lower()
        if message.private and speaks_to_caches(low):
            continue
        if low in _POINTING:
            lines.append(b": ".join((name, places.as_seen(value))))
        elif low != b"etag" or not altered:
            lines.append(b": ".join((name, value)))
        elif (weak := _weakened(value)) is not None:
            lines.append(b": ".join((name, weak)))
    if altered:
        lines.append(b"Accept-Ranges: none")
    return lines


def _weakened(tag: bytes) -> bytes | None:
    """Return the tag as a weak one: sealed again, the same original gives other bytes."""
    if _STRONG_TAG.fullmatch(tag):
        return b"W/" + tag
    return tag if tag.startswith(b'W/"') else None


def refuse_parts(head: ResponseHead) -> None:
    """Refuse a response that a rule may have to read and that did not come whole.

    Raises:
        UpstreamFailed: The upstream sent a part although none was asked for.
    """
    if head.status == _PARTIAL:
        raise UpstreamFailed("unexpected-partial-content")
    for value in head.told.get(b"content-type", ()):
        if value.lower().startswith(b"multipart/byteranges"):
            raise UpstreamFailed("unexpected-partial-content")
