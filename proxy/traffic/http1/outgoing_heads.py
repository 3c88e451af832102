"""The heads of forwarded requests and responses, as they are written."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from ...core.formats.token_places import without_tags
from ...core.http.cache_control import speaks_to_caches
from ...core.http.header_names import HeaderNames
from ...core.http.message import Headers, RequestHead, ResponseHead, header_values
from ...core.transform import Forwardable, Frame
from .forwarding_headers import UNCHANGED, Forwarding
from .hop_by_hop import HOP_BY_HOP, Without, kept, passing, without
from .pointing_headers import NO_REWRITE, POINTING, LocationRewrite

REQUEST_ID: Final = b"x-request-id"
_SWITCHING: Final = Without(HOP_BY_HOP)
_STRONG_TAG: Final = re.compile(rb'"[^"]*"')


def response_lines(
    message: Forwardable,
    *,
    connection: bytes | None,
    location_rewrite: LocationRewrite = NO_REWRITE,
) -> bytes:
    """Return the head that goes to the client, up to its framing.

    Where a rule reads bodies of this route, validators and digests of the original are not passed
    on, be it on a HEAD or a 304 without a body. `connection` is the value of the Connection
    header, or None; `location_rewrite` changes where Location and the like point.
    """
    frame = message.frame
    head = frame.head
    if not isinstance(head, ResponseHead):
        raise TypeError("a request cannot go to the client")
    caller = frame.for_caller
    altered = frame.ruled or frame.changed or caller
    lines = [b"HTTP/1.1 %d %b" % (head.status, head.reason)]
    staying = kept(frame, _down(altered=altered, for_caller=caller, decoded=frame.decoded))
    if head.names[_special]:
        staying = tuple(_fitting(staying, frame, location_rewrite, altered=altered))
    lines += map(b": ".join, staying)
    if altered:
        lines.append(b"Accept-Ranges: none")
    if connection is not None:
        lines.append(b"Connection: " + connection)
    lines += map(b": ".join, frame.added_headers)
    lines.append(b"")
    whole = b"\r\n".join(lines)
    return without_tags(whole) if frame.ruled else whole


@lru_cache(maxsize=8)
def _down(*, altered: bool, for_caller: bool, decoded: bool) -> Without:
    """Return which headers of a response go on."""
    dropped = HOP_BY_HOP | {b"accept-ranges"} if altered else HOP_BY_HOP
    if for_caller:
        dropped |= {b"etag", b"last-modified"}  # another caller has another representation
    return without(dropped, digests=not altered, decoded=decoded)


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
    staying = map(b": ".join, passing(head.headers, head.names, _SWITCHING))
    lines = [b"HTTP/1.1 101 Switching Protocols", b"Connection: Upgrade", b"Upgrade: websocket"]
    return b"\r\n".join([*lines, *staying, b"", b""])


def _fitting(
    headers: Headers, frame: Frame, location_rewrite: LocationRewrite, *, altered: bool
) -> Iterator[tuple[bytes, bytes]]:
    """Yield headers of a response as they may go on."""
    for name, value in headers:
        low = name.lower()
        if frame.private and speaks_to_caches(low):
            continue
        if low == b"etag" and altered:
            if (weak := _weakened(value)) is not None:
                yield name, weak
        elif low in POINTING:
            yield name, location_rewrite.of_header(low, value)
        else:
            yield name, value


def _special(names: HeaderNames) -> frozenset[bytes]:
    """Return which headers of a response may not go on as they are."""
    return frozenset(
        one for one in names.places if one == b"etag" or one in POINTING or speaks_to_caches(one)
    )


def _weakened(tag: bytes) -> bytes | None:
    """Return a weak entity tag: sealing the same representation again gives other bytes."""
    if _STRONG_TAG.fullmatch(tag):
        return b"W/" + tag
    return tag if tag.startswith(b'W/"') else None


_CONDITIONS: Final = frozenset({b"if-modified-since", b"if-none-match", b"if-range", b"range"})
"""What asks for less than an answer, by what was answered before: maybe to another caller."""

_PRECONDITIONS: Final = frozenset({b"if-match", b"if-none-match"})
_WEAK_PREFIX: Final = re.compile(rb'W/(?=")')


def request_lines(
    message: Forwardable,
    *,
    host: bytes,
    forwarding: Forwarding = UNCHANGED,
    websocket: bool = False,
) -> bytes:
    """Return the head that goes upstream, up to its framing.

    Where a rule may read the response, it must come whole and without a content coding. `host` is
    the Host where the client sent none (HTTP/1.0); `forwarding` changes the forwarding headers.
    """
    frame = message.frame
    head = frame.head
    if not isinstance(head, RequestHead):
        raise TypeError("a response cannot go upstream")
    target = head.path if head.query is None else f"{head.path}?{head.query}"
    ruled, places = frame.ruled, head.names.places
    lines = [f"{head.method} {target} HTTP/1.1".encode("ascii")]
    going = _up(
        forwarding.dropped,
        ruled=ruled,
        for_caller=frame.for_caller,
        digests=not frame.changed,
        decoded=frame.decoded,
    )
    staying = kept(frame, going)
    if ruled and not _PRECONDITIONS.isdisjoint(places):
        staying = tuple((name, _upward(name, value)) for name, value in staying)
    lines += map(b": ".join, staying)
    if b"host" not in places:
        lines.append(b"Host: " + host)
    if ruled:
        lines.append(b"Accept-Encoding: identity")
    lines += forwarding.lines
    if websocket:
        # Sec-WebSocket-* are end-to-end by name and have already been copied.
        lines += (b"Connection: Upgrade", b"Upgrade: websocket")
    lines += map(b": ".join, frame.added_headers)
    lines.append(b"")
    return b"\r\n".join(lines)


@lru_cache(maxsize=64)
def _up(
    told: frozenset[bytes], *, ruled: bool, for_caller: bool, digests: bool, decoded: bool
) -> Without:
    """Return which headers of a request go on, without those that have `told` of the client."""
    dropped = HOP_BY_HOP | {b"expect"} | told
    if ruled:
        dropped |= {b"accept-encoding", b"range", b"if-range"}
    if for_caller:
        dropped |= _CONDITIONS
    return without(dropped, digests=digests, decoded=decoded)


def _upward(name: bytes, value: bytes) -> bytes:
    """Return a precondition with the tags as the upstream sent them, before they were weak."""
    if name.lower() in _PRECONDITIONS:
        return _WEAK_PREFIX.sub(b"", value)
    return value
