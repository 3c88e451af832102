"""permessage-deflate (RFC 7692) without context takeover: no state is kept between messages."""

from __future__ import annotations

import zlib
from typing import Final

from ...core.slices import pause, pieces
from ..policy import MESSAGE_FREE_BYTES, MESSAGE_SLICE_BYTES
from .closing import INVALID_TEXT, TOO_BIG, Breach

WIDEST_BITS: Final = 15
_TAIL: Final = b"\x00\x00\xff\xff"
_RATIO: Final = 100
_STREAMS: Final = 10
_LEVEL: Final = 6
_MEMORY: Final = 8


def compress(data: bytes, bits: int) -> bytes:
    """Return a message compressed with a window of 2^`bits` bytes (9 to 15)."""
    stream = zlib.compressobj(_LEVEL, zlib.DEFLATED, -bits, _MEMORY)
    made = [stream.compress(piece) for piece in pieces(data)]
    made.append(stream.flush(zlib.Z_SYNC_FLUSH))
    return b"".join(made).removesuffix(_TAIL)


def inflate(data: bytes, limit: int) -> bytes:
    """Return a message that came compressed by itself.

    It grows to `limit` bytes at most, and to a hundred times its size once that is more than a
    mebibyte.

    Raises:
        Breach: It would grow beyond that, or is damaged.
    """
    return Inflater()(data, limit)


class Inflater:
    """Inflates messages, each of which may refer to those before (RFC 7692 section 7.2.3.2)."""

    __slots__ = ("_stream",)

    def __init__(self) -> None:
        """Begin with an empty window."""
        self._stream = zlib.decompressobj(-WIDEST_BITS)

    def __call__(self, data: bytes, limit: int) -> bytes:
        """Return the next message; bounds and raises as `inflate` does."""
        bound = min(limit, max(MESSAGE_FREE_BYTES, _RATIO * len(data)))
        parts: list[bytes] = []
        rest = data + _TAIL
        for _ in range(_STREAMS):
            stream = self._stream
            at = 0
            while at < len(rest) and not stream.eof:
                pause()
                piece = rest[at : at + MESSAGE_SLICE_BYTES]
                at += len(piece)
                try:
                    part = stream.decompress(piece, bound + 1)
                except zlib.error:
                    raise Breach(INVALID_TEXT, "compressed-data") from None
                bound -= len(part)
                if bound < 0:
                    raise Breach(TOO_BIG, "decompressed-size")
                parts.append(part)
            if not stream.eof:
                return b"".join(parts)
            # A final DEFLATE block may be followed by another stream (section 7.2.3.5).
            self._stream = zlib.decompressobj(-WIDEST_BITS)
            rest = stream.unused_data + rest[at:]
            if not rest:
                return b"".join(parts)
        raise Breach(INVALID_TEXT, "compressed-data")
