"""How the body of a request is framed (RFC 9112 section 6.3, and stricter)."""

from __future__ import annotations

import re
from typing import Final

from ..core.errors import MalformedRequest, UnsupportedTransferCoding
from .framing import ABSENT, CHUNKED, HTTP_10, Framing

_LENGTH: Final = re.compile(rb"[0-9]{1,19}")
_HIGHEST_LENGTH: Final = 2**63 - 1


def request_framing(version: tuple[int, int], notable: dict[bytes, list[bytes]]) -> Framing:
    """Return how the body is framed, by the headers under their names in lower case.

    Raises:
        TrafficError: The framing has two readings, or the coding is not `chunked`.
    """
    codings = notable.get(b"transfer-encoding")
    lengths = notable.get(b"content-length")
    if codings is not None:
        return _coded(version, codings, lengths)
    if lengths is None:
        return ABSENT
    if len(lengths) != 1 or not _LENGTH.fullmatch(lengths[0]):
        raise MalformedRequest("content-length")
    length = int(lengths[0])
    if length > _HIGHEST_LENGTH:
        raise MalformedRequest("content-length")
    return Framing(length)


def _coded(version: tuple[int, int], codings: list[bytes], lengths: list[bytes] | None) -> Framing:
    if lengths is not None:
        raise MalformedRequest("content-length-and-transfer-encoding")
    if version == HTTP_10 or b"" in codings:
        raise MalformedRequest("transfer-encoding")
    if len(codings) != 1 or codings[0].lower() != b"chunked":
        raise UnsupportedTransferCoding("transfer-encoding")
    return CHUNKED
