"""Which headers are forwarded, in their order, spelling and bytes (RFC 9110 section 7.6.1).

Rules read the head as it came; headers are dropped here, while writing, and nowhere earlier.
Nothing is added but the framing and the forwarding headers.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from ...core.http.message import Headers, header_values
from ...core.transform import Frame
from .framing import Framing

HOP_BY_HOP: Final = frozenset(
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
"""They vouch for bytes that have been changed (RFC 9530, RFC 9421)."""
_CHECKSUM: Final = b"x-amz-checksum-"
_CODING: Final = frozenset({b"content-encoding"})

_PROTECTED: Final = frozenset({b"host", b"authorization", b"cookie", b"set-cookie", b"via"})
"""Connection must not remove these: a client could drop what the upstream relies on."""


def kept(frame: Frame, dropped: frozenset[bytes], *, digests: bool) -> list[tuple[bytes, bytes]]:
    """Return the headers to forward, with the new Content-Type; digests only if they still hold."""
    head = frame.head
    if not digests:
        dropped = together(dropped, _DIGESTS)
    if frame.decoded:
        dropped = together(dropped, _CODING)
    lows = head.lows
    staying = passing(head.headers, lows, dropped)
    if not digests and _CHECKSUM in b"\n".join(lows):  # one look at all of them, not at each
        staying = [pair for pair in staying if not _is_checksum(pair[0].lower())]
    if frame.media_type is not None:
        staying = _retyped(staying, frame.media_type.encode("ascii"))
    return staying


def _is_checksum(low: bytes) -> bool:
    return low.startswith(_CHECKSUM)


@lru_cache(maxsize=64)
def together(one: frozenset[bytes], other: frozenset[bytes]) -> frozenset[bytes]:
    """Return the union of two constant sets of names."""
    return one | other


def passing(
    headers: Headers, lows: tuple[bytes, ...], dropped: frozenset[bytes]
) -> list[tuple[bytes, bytes]]:
    """Return the headers that are neither `dropped` nor listed in Connection."""
    if b"connection" in lows:
        dropped = _with_listed(headers, dropped)
    return [pair for pair, low in zip(headers, lows, strict=True) if low not in dropped]


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


def _retyped(headers: list[tuple[bytes, bytes]], media_type: bytes) -> list[tuple[bytes, bytes]]:
    """Return the headers with one Content-Type, in place of the first one or at the end.

    An empty type removes it: what was sealed without a Content-Type is opened without one.
    """
    if not media_type:
        return [pair for pair in headers if pair[0].lower() != b"content-type"]
    result = []
    placed = False
    for name, value in headers:
        if name.lower() != b"content-type":
            result.append((name, value))
        elif not placed:
            result.append((name, media_type))
            placed = True
    if not placed:
        result.append((b"Content-Type", media_type))
    return result


def joined(lines: list[bytes], added: Headers) -> bytes:
    """Return a head up to its framing: the given lines and the added headers."""
    if added:
        lines = [*lines, *map(b": ".join, added)]
    return b"\r\n".join(lines) + b"\r\n"


WHOLE: Final = b"%bContent-Length: %d\r\n\r\n%b"
"""A message: the lines of its head up to the framing, the length of its body, and the body."""
ONE_WRITE: Final = 65536
"""A longer body is sent by itself, behind its head: to join them would cost more."""


def framed(lines: bytes, framing: Framing) -> bytes:
    """Return a complete head: its lines up to the framing, and the framing."""
    if not framing.present:
        return lines + b"\r\n"
    if framing.length is None:
        return lines + b"Transfer-Encoding: chunked\r\n\r\n"
    return framed_whole(lines, framing.length)


def framed_whole(lines: bytes, length: int) -> bytes:
    """Return a complete head for a body of `length` bytes, which may be 0."""
    return WHOLE % (lines, length, b"")
