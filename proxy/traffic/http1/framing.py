"""How a message body is framed (RFC 9112 section 6)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from ...core.errors import MalformedRequest, UnsupportedTransferCoding

HTTP_10: Final = (1, 0)
"""It has no chunked coding, and no persistent connections unless asked for."""

HTTP_11: Final = (1, 1)


@dataclass(slots=True)
class Framing:
    """The length of a body, None where it is chunked; `present` is False where there is none.

    Final and not frozen, as is every class of which each message makes instances: mypy enforces
    Final too, and making an instance of a frozen dataclass takes three times as long.
    """

    length: Final[int | None]
    present: Final[bool] = True

    @property
    def content_length(self) -> int | None:
        """The Content-Length; None where the body is chunked or ends with the connection."""
        return self.length if self.present else None

    @property
    def chunked(self) -> bool:
        """Whether the body goes out in chunks."""
        return self.present and self.length is None


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
