"""How the end of a body is told to its receiver (RFC 9112 section 6)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

HTTP_10: Final = (1, 0)
"""The version that knows no chunks, and keeps no connection unless asked to."""

HTTP_11: Final = (1, 1)


@dataclass(slots=True)
class Framing:
    """The length of a body, None where it is chunked; `present` is False where there is none.

    Final and not frozen, as is all that may be made for each message: the type checker holds it as
    well, and a frozen dataclass costs three times as much to make.
    """

    length: Final[int | None]
    present: Final[bool] = True

    @property
    def told(self) -> int | None:
        """The length that was told; None where it is not, be it that the connection ends it."""
        return self.length if self.present else None

    @property
    def chunked(self) -> bool:
        """Whether the body goes out in chunks."""
        return self.present and self.length is None


ABSENT: Final = Framing(0, present=False)
"""No body and no word about one: a GET, a 204, a response that ends with its connection."""

CHUNKED: Final = Framing(None)

LAST_CHUNK: Final = b"0\r\n\r\n"


def as_chunk(data: bytes) -> bytes:
    """Return `data`, which must not be empty, as one chunk: an empty one would end the body."""
    return b"%x\r\n%b\r\n" % (len(data), data)
