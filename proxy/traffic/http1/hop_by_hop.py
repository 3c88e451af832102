"""Which headers are forwarded, in their order, spelling and bytes (RFC 9110 section 7.6.1).

Rules read the head as it came; headers are dropped here, while writing, and nowhere earlier.
Nothing is added but the framing and the forwarding headers.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from ...core.http.header_names import HeaderNames, Pick, picking
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

_PROTECTED: Final = frozenset({b"host", b"authorization", b"cookie", b"set-cookie", b"via"})
"""Connection must not remove these: a client could drop what the upstream relies on."""


class Without(NamedTuple):
    """Which headers stay where some are dropped; `checksums`: those of S3 are dropped as well."""

    dropped: frozenset[bytes]
    checksums: bool = False

    def __call__(self, names: HeaderNames) -> Pick:
        """Return what picks those headers that stay."""
        dropped = self.dropped
        if self.checksums:
            dropped |= {one for one in names.places if one.startswith(_CHECKSUM)}
        return picking([at for at, low in enumerate(names.lows) if low not in dropped])


def without(dropped: frozenset[bytes], *, digests: bool, decoded: bool) -> Without:
    """Return which headers stay of a message; digests and codings only if they still hold."""
    if not digests:
        dropped |= _DIGESTS
    return Without(dropped | {b"content-encoding"} if decoded else dropped, not digests)


def kept(frame: Frame, without: Without) -> Headers:
    """Return the headers to forward, with the new Content-Type."""
    head = frame.head
    staying = passing(head.headers, head.names, without)
    if frame.media_type is not None:
        staying = _retyped(staying, frame.media_type.encode("ascii"))
    return staying


def passing(headers: Headers, names: HeaderNames, without: Without) -> Headers:
    """Return the headers that are neither dropped nor listed in Connection."""
    if b"connection" in names.places:
        listed = _listed(names.values_in(headers, b"connection"))
        if listed:
            return without._replace(dropped=without.dropped | listed)(names)(headers)
    return names[without](headers)


def _listed(values: list[bytes]) -> frozenset[bytes]:
    """Return the names that Connection removes (RFC 9110 section 7.6.1)."""
    listed = {item.strip(b" \t").lower() for value in values for item in value.split(b",")}
    listed -= {b"", b"close", b"keep-alive"}
    listed -= _PROTECTED
    return frozenset(name for name in listed if not name.startswith(b"content-"))


def _retyped(headers: Headers, media_type: bytes) -> Headers:
    """Return the headers with one Content-Type, in place of the first one or at the end.

    An empty type removes it: what was sealed without a Content-Type is opened without one.
    """
    if not media_type:
        return tuple(pair for pair in headers if pair[0].lower() != b"content-type")
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
    return tuple(result)


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
