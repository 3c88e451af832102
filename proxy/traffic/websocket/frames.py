"""Frames of the WebSocket protocol (RFC 6455 section 5.2), as they are written."""

from __future__ import annotations

import os
import struct
from typing import Final

from ...core.leaves import masking

CONTINUATION: Final = 0x0
TEXT: Final = 0x1
BINARY: Final = 0x2
CLOSE: Final = 0x8
PING: Final = 0x9
PONG: Final = 0xA
FINAL: Final = 0x80
COMPRESSED: Final = 0x40
"""RSV1 (RFC 7692 section 6)."""
MASKED: Final = 0x80
MASK_SIZE: Final = 4
CONTROL_BYTES: Final = 125
LENGTH_16: Final = 126
LENGTH_64: Final = 127
_HIGHEST_16: Final = 0xFFFF
_HEAD_16: Final = struct.Struct(">BBH").pack
_HEAD_64: Final = struct.Struct(">BBQ").pack


def frame(opcode: int, payload: bytes, *, masked: bool, compressed: bool = False) -> bytes:
    """Return one final frame; frames to a server are masked (section 5.3)."""
    first = FINAL | opcode | (COMPRESSED if compressed else 0)
    flag = MASKED if masked else 0
    size = len(payload)
    if size <= CONTROL_BYTES:
        head = bytes((first, flag | size))
    elif size <= _HIGHEST_16:
        head = _HEAD_16(first, flag | LENGTH_16, size)
    else:
        head = _HEAD_64(first, flag | LENGTH_64, size)
    if not masked:
        return head + payload
    mask = os.urandom(MASK_SIZE)
    return b"".join((head, mask, masking(payload, mask)))


_LENGTH: Final = 0x7F
_EXTENDED: Final[dict[int, int]] = {LENGTH_16: 2, LENGTH_64: 8}
_LONGEST_HEAD: Final = 2 + 8 + MASK_SIZE
_GOING_AWAY: Final = (1001).to_bytes(2, "big")


class FrameBoundaries:
    """Follows the frames of one direction; `closed` says that a close frame has passed."""

    __slots__ = ("_head", "_left", "closed")

    def __init__(self) -> None:
        self._head = b""
        self._left = 0
        self.closed = False

    @property
    def at_boundary(self) -> bool:
        """Whether a frame may begin here."""
        return not self._left and not self._head

    def pass_by(self, data: bytes) -> None:
        """Follow bytes that were passed on."""
        at = 0
        while at < len(data):
            at = self.to_boundary(data, at)

    def to_boundary(self, data: bytes, at: int = 0) -> int:
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
        self.closed = self.closed or head[0] & 0xF == CLOSE
        return at + size - before


def _head_size(head: bytes) -> int | None:
    if len(head) < len(b"12"):
        return None
    masked = MASK_SIZE if head[1] & MASKED else 0
    return 2 + _EXTENDED.get(head[1] & _LENGTH, 0) + masked


def _payload_size(head: bytes) -> int:
    size = head[1] & _LENGTH
    return int.from_bytes(head[2 : 2 + _EXTENDED[size]], "big") if size in _EXTENDED else size


def going_away(*, masked: bool) -> bytes:
    """Return a close frame with code 1001 (going away)."""
    return frame(CLOSE, _GOING_AWAY, masked=masked)
