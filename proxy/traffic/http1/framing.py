"""How a message body is framed (RFC 9112 section 6)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from ...core.errors import MalformedRequest, UnsupportedTransferCoding

HTTP_10: Final = (1, 0)
"""It has no chunked coding, and no persistent connections unless asked for."""

HTTP_11: Final = (1, 1)


@dataclass(slots=True)
class Framing:
    """The length of a body, None where it is chunked; `present` is False where there is none.

    `content_length` is None where the body is chunked or ends with the connection; `chunked` says
    that it goes out in chunks. Messages of one length share it, so nobody changes it.
    """

    length: Final[int | None]
    present: Final[bool] = True
    content_length: int | None = field(init=False, repr=False, compare=False)
    chunked: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Work out what is asked of each message."""
        self.content_length = self.length if self.present else None
        self.chunked = self.present and self.length is None


ABSENT: Final = Framing(0, present=False)
"""No framing header: a GET, a 204, a response that ends with its connection."""

CHUNKED: Final = Framing(None)

LAST_CHUNK: Final = b"0\r\n\r\n"


def as_chunk(data: bytes) -> bytes:
    """Return `data` as one chunk, and nothing for no data.

    An empty chunk would end the body (RFC 9112, section 7.1): what follows it on the connection
    would be another message.
    """
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


_LENGTH: Final = re.compile(rb"[0-9]{1,19}")
_HIGHEST_LENGTH: Final = 2**63 - 1


@lru_cache(maxsize=1024)
def measured(text: bytes) -> Framing:
    """Return the framing that a Content-Length tells.

    Raises:
        ValueError: It is no length, or above 2**63 - 1.
    """
    if not _LENGTH.fullmatch(text) or int(text) > _HIGHEST_LENGTH:
        raise ValueError("no length")
    return Framing(int(text))


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
    if len(lengths) != 1:
        raise MalformedRequest("content-length")
    try:
        return measured(lengths[0])
    except ValueError:
        raise MalformedRequest("content-length") from None


def _coded(version: tuple[int, int], codings: list[bytes], lengths: list[bytes] | None) -> Framing:
    if lengths is not None:
        raise MalformedRequest("content-length-and-transfer-encoding")
    if version == HTTP_10 or b"" in codings:
        raise MalformedRequest("transfer-encoding")
    if len(codings) != 1 or codings[0].lower() != b"chunked":
        raise UnsupportedTransferCoding("transfer-encoding")
    return CHUNKED
