"""Where WebSocket frames end (RFC 6455 section 5.2); bytes in, positions out, no I/O.

A tunnel passes bytes. To say goodbye in it, one must know where a frame of one's own may stand.
"""

from __future__ import annotations

import secrets
from typing import Final

_CLOSE: Final = 0x8
_MASKED: Final = 0x80
_LENGTH: Final = 0x7F
_EXTENDED: Final[dict[int, int]] = {126: 2, 127: 8}
_MASK_SIZE: Final = 4
_LONGEST_HEAD: Final = 2 + 8 + _MASK_SIZE
_GOING_AWAY: Final = (1001).to_bytes(2, "big")


class FrameBorders:
    """Follows the frames of one direction; `closed` says that a close frame has gone by."""

    __slots__ = ("_head", "_left", "closed")

    def __init__(self) -> None:
        self._head = b""
        self._left = 0
        self.closed = False

    @property
    def at_border(self) -> bool:
        """Whether a frame may begin here."""
        return not self._left and not self._head

    def pass_by(self, data: bytes) -> None:
        """Follow bytes that were passed on."""
        at = 0
        while at < len(data):
            at = self.to_border(data, at)

    def to_border(self, data: bytes, at: int = 0) -> int:
        """Follow bytes from `at` up to the end of the present frame; return where that is."""
        if not self._left:
            at = self._read_head(data, at)
        size = min(self._left, len(data) - at)
        self._left -= size
        return at + size

    def _read_head(self, data: bytes, at: int) -> int:
        before = len(self._head)
        head = self._head + data[at : at + _LONGEST_HEAD]
        size = _head_size(head)
        if size is None or len(head) < size:
            self._head = head
            return len(data)
        self._head = b""
        self._left = _payload_size(head)
        self.closed = self.closed or head[0] & 0xF == _CLOSE
        return at + size - before


def _head_size(head: bytes) -> int | None:
    if len(head) < len(b"12"):
        return None
    masked = _MASK_SIZE if head[1] & _MASKED else 0
    return 2 + _EXTENDED.get(head[1] & _LENGTH, 0) + masked


def _payload_size(head: bytes) -> int:
    size = head[1] & _LENGTH
    return int.from_bytes(head[2 : 2 + _EXTENDED[size]], "big") if size in _EXTENDED else size


def going_away(*, masked: bool) -> bytes:
    """Return a close frame with code 1001; what goes to a server is masked (section 5.3)."""
    if not masked:
        return bytes((0x80 | _CLOSE, len(_GOING_AWAY))) + _GOING_AWAY
    mask = secrets.token_bytes(_MASK_SIZE)
    hidden = bytes(one ^ key for one, key in zip(_GOING_AWAY, mask, strict=False))
    return bytes((0x80 | _CLOSE, _MASKED | len(_GOING_AWAY))) + mask + hidden
