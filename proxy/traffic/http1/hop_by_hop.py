"""Which headers are forwarded, in their order, spelling and bytes (RFC 9110 section 7.6.1).

Rules read the head as it came; headers are dropped here, while writing, and nowhere earlier.
Nothing is added but the framing and the forwarding headers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from ...core.http.header_names import HeaderNames
from ...core.http.message import Headers
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


@dataclass(frozen=True, slots=True, eq=False)
class Without:
    """Which headers stay where some are dropped; `checksums`: those of S3 are dropped as well.

    Each is one object for its arguments (`_without`), and is looked up as that.
    """

    dropped: frozenset[bytes]
    checksums: bool = False

    def __call__(self, names: HeaderNames) -> tuple[int, ...]:
        """Return where those headers stand that stay."""
        dropped = self.dropped
        if self.checksums:
            dropped |= {one for one in names.places if one.startswith(_CHECKSUM)}
        return tuple([at for at, low in enumerate(names.lows) if low not in dropped])


@lru_cache(maxsize=64)
def _without(dropped: frozenset[bytes], *, digests: bool, decoded: bool) -> Without:
    if not digests:
        dropped |= _DIGESTS
    return Without(dropped | _CODING if decoded else dropped, not digests)


def kept(frame: Frame, dropped: frozenset[bytes], *, digests: bool) -> list[tuple[bytes, bytes]]:
    """Return the headers to forward, with the new Content-Type; digests only if they still hold."""
    head = frame.head
    without = _without(dropped, digests=digests, decoded=frame.decoded)
    staying = passing(head.headers, head.names, without)
    if frame.media_type is not None:
        staying = _retyped(staying, frame.media_type.encode("ascii"))
    return staying


@lru_cache(maxsize=64)
def together(one: frozenset[bytes], other: frozenset[bytes]) -> frozenset[bytes]:
    """Return the union of two constant sets of names."""
    return one | other


def passing(headers: Headers, names: HeaderNames, without: Without) -> list[tuple[bytes, bytes]]:
    """Return the headers that are neither dropped nor listed in Connection."""
    listed = (
        _listed(names.values_in(headers, b"connection")) if b"connection" in names.places else None
    )
    if listed:
        places = Without(without.dropped | listed, without.checksums)(names)
    else:
        places = names[without]
    return [headers[at] for at in places]


def _listed(values: list[bytes]) -> set[bytes]:
    """Return the names that Connection removes (RFC 9110 section 7.6.1)."""
    listed = {item.strip(b" \t").lower() for value in values for item in value.split(b",")}
    listed -= {b"", b"close", b"keep-alive"}
    listed -= _PROTECTED
    return {name for name in listed if not name.startswith(b"content-")}


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
