"""Content codings (RFC 9110 section 8.4.1): what a rule must read is decompressed, within limits.

Limits come first, since a kilobyte can decompress to a gigabyte: nothing grows beyond the limit of
bodies, nor beyond a hundred times its compressed size once that is more than a mebibyte.
"""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Callable
from typing import Any, Final

from ..errors import BodyTooLarge, InvalidBody, UnsupportedBody
from ..policy import INFLATED_BYTES, INFLATED_FREE_BYTES
from ..slices import pause
from .message import HeadFacts

_RATIO: Final = 100
_MEMBERS: Final = 10
_GZIP: Final = 16 + zlib.MAX_WBITS
_RAW: Final = -zlib.MAX_WBITS
_ZLIB_METHOD: Final = 8
_WINDOW: Final = 8_388_608
"""The largest window of zstd that RFC 9659 allows on the web."""
_ZSTD_SLICE: Final = 128
"""Bytes of zstd decompressed at a time: three of them may become 128 KiB."""

_NO_CODING: Final = frozenset({b"", b"identity", b"none"})
"""What names no coding: `identity` (RFC 9110 section 12.5.3), and `none`, which curl takes for it.

Servers send `none` to keep others from compressing their event streams."""

Decoder = Callable[[bytes, int], bytes]


def coding_of(facts: HeadFacts) -> str | None:
    """Return the only coding of a body in lower case, None if it has none.

    `facts` are the headers of its message.

    `identity` and `none` are no codings: in any case, in quotes, or with parameters such as `;q=1`,
    which only Accept-Encoding has. Raises UnsupportedBody for several codings, and for an unknown
    one.
    """
    values = facts.get(b"content-encoding")
    if values is None:
        return None
    codings = [
        word
        for value in values
        for one in value.lower().split(b",")
        if _bare(word := one.strip(b" \t")) not in _NO_CODING
    ]
    if not codings:
        return None
    coding = codings[0].decode("latin-1")
    if len(codings) > 1 or coding not in _DECODERS:
        raise UnsupportedBody("content-encoding")
    return coding


def _bare(word: bytes) -> bytes:
    """Return what a word names if it is no coding: without its parameters and quotes."""
    return word.partition(b";")[0].strip(b" \t").removeprefix(b'"').removesuffix(b'"').strip(b" \t")


def most_decoded(size: int, limit: int) -> int:
    """Return to how many bytes a compressed body of a `size` may grow under a `limit`."""
    return min(limit, max(INFLATED_FREE_BYTES, _RATIO * size))


def decode(body: bytes, coding: str, limit: int) -> bytes:
    """Return a body decompressed; `coding` is from `coding_of`, `limit` in bytes.

    Raises BodyTooLarge if it would exceed its limits, InvalidBody if it is truncated, damaged or
    followed by other bytes, UnsupportedBody if the package for the coding is missing.
    """
    return _DECODERS[coding](body, most_decoded(len(body), limit))


def _gzip(body: bytes, bound: int) -> bytes:
    return _members(body, bound, lambda at, left: _inflate(body, at, left, _GZIP))


def _members(body: bytes, bound: int, member: Callable[[int, int], tuple[bytes, int]]) -> bytes:
    """Return the contents of the consecutive members that make up the body.

    `member` takes where one begins and its limit; it returns the contents and where it ends.
    """
    parts: list[bytes] = []
    at = 0
    for _ in range(_MEMBERS):
        part, at = member(at, bound)
        parts.append(part)
        bound -= len(part)
        if at == len(body):
            return b"".join(parts)
    raise InvalidBody("coding-members")


def _deflate(body: bytes, bound: int) -> bytes:
    # RFC 9110 section 8.4.1.2: some send the raw stream without the zlib wrapper.
    framed = (
        len(body) > 1
        and body[0] & 0xF == _ZLIB_METHOD
        and int.from_bytes(body[:2], "big") % 31 == 0
    )
    decoded, end = _inflate(body, 0, bound, zlib.MAX_WBITS if framed else _RAW)
    if end != len(body):
        raise InvalidBody("coding-trailing-bytes")
    return decoded


def _inflate(body: bytes, at: int, bound: int, wbits: int) -> tuple[bytes, int]:
    """Return the contents of the stream that begins at `at`, and where it ends."""
    stream = zlib.decompressobj(wbits)

    def decompress(piece: bytes, left: int) -> bytes:
        # One byte more than allowed distinguishes too much from enough; 0 would mean no limit.
        return stream.decompress(piece, left + 1)

    return _decompressed(
        stream, decompress, body, at, bound, size=INFLATED_BYTES, damaged=zlib.error
    )


def _decompressed(  # noqa: PLR0913 - what differs between the codings, the last two by name
    stream: Any,  # noqa: ANN401 - zlib's or zstandard's, which have `eof` and `unused_data` alike
    decompress: Callable[[bytes, int], bytes],
    body: bytes,
    at: int,
    bound: int,
    *,
    size: int,
    damaged: type[Exception],
) -> tuple[bytes, int]:
    """Return the contents of a stream that begins at `at`, read in slices, and where it ends."""
    parts: list[bytes] = []
    while not stream.eof:
        pause()
        piece = body[at : at + size]
        if not piece:
            raise InvalidBody("coding-cut")
        try:
            part = decompress(piece, bound)
        except damaged:
            raise InvalidBody("coding-damaged") from None
        bound -= len(part)
        if bound < 0:
            raise BodyTooLarge("decoded-body")
        parts.append(part)
        at += len(piece)
    return b"".join(parts), at - len(stream.unused_data)


def _brotli(body: bytes, bound: int) -> bytes:
    module = _package("brotli")
    stream = module.Decompressor()
    try:
        decoded: bytes = stream.process(body, output_buffer_limit=bound + 1)
    except module.error:
        raise InvalidBody("coding-damaged") from None
    if len(decoded) > bound or not stream.can_accept_more_data():
        raise BodyTooLarge("decoded-body")
    if not stream.is_finished():
        raise InvalidBody("coding-cut")
    return decoded


def _zstd(body: bytes, bound: int) -> bytes:
    module = _package("zstandard")

    def frame(at: int, left: int) -> tuple[bytes, int]:
        stream = module.ZstdDecompressor(max_window_size=_WINDOW).decompressobj()
        return _decompressed(
            stream,
            lambda piece, _: stream.decompress(piece),
            body,
            at,
            left,
            size=_ZSTD_SLICE,
            damaged=module.ZstdError,
        )

    return _members(body, bound, frame)


def _package(name: str) -> Any:  # noqa: ANN401 - a package that may be missing has no type
    try:
        return importlib.import_module(name)
    except ImportError:
        raise UnsupportedBody(
            "content-encoding", detail=f"The Python package {name} is not installed."
        ) from None


_DECODERS: Final[dict[str, Decoder]] = {
    "br": _brotli,
    "deflate": _deflate,
    "gzip": _gzip,
    "x-gzip": _gzip,
    "zstd": _zstd,
}
