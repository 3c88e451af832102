"""Turns the bytes of a peer into messages (RFC 6455); no I/O, and no repair of broken frames."""

from __future__ import annotations

import codecs
import math
from collections.abc import Callable
from typing import Final, NamedTuple

from ...core.leaves import masking
from .closing import INVALID_TEXT, PROTOCOL_ERROR, TOO_BIG, Breach, check_close
from .deflate import inflate
from .frames import (
    BINARY,
    CLOSE,
    COMPRESSED,
    CONTINUATION,
    CONTROL_BYTES,
    FINAL,
    LENGTH_16,
    LENGTH_64,
    MASK_SIZE,
    MASKED,
    PING,
    PONG,
    TEXT,
)

_RESERVED: Final = 0x70
_OPCODE: Final = 0x0F
_LENGTH: Final = 0x7F
_CONTROL: Final = 0x8
_WHOLE: Final = frozenset({FINAL | TEXT, FINAL | BINARY})
"""How a message begins that is not compressed and all in one frame, as most are."""
_KNOWN: Final = frozenset({CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG})
Inflate = Callable[[bytes, int], bytes]
_Utf8 = codecs.getincrementaldecoder("utf-8")


class Arrived(NamedTuple):
    """A complete message or a control frame; `compressed` says whether it came compressed.

    What is `packed` still is: `MessageReader.unpacked` returns the message itself.
    """

    opcode: int
    payload: bytes
    compressed: bool = False
    packed: bool = False


FRAGMENT: Final = Arrived(CONTINUATION, b"")
"""What a frame gives that does not end its message."""


class MessageReader:
    """Reads the frames of one peer and puts messages together.

    `masked` says that the peer is a client, whose frames are masked; `limit` bounds a message in
    bytes, also once it is decompressed; `deflate` says that messages may come compressed, and
    `inflater` how they are read. Compressed messages of more than `at_once` bytes are left packed.
    Nothing is read after a close frame.
    """

    __slots__ = (
        "_at",
        "_at_once",
        "_buffer",
        "_compressed",
        "_deflate",
        "_final",
        "_inflate",
        "_left",
        "_limit",
        "_mask",
        "_masked",
        "_message",
        "_opcode",
        "_present",
        "_utf8",
        "closed",
    )

    def __init__(
        self,
        *,
        masked: bool,
        limit: int,
        deflate: bool,
        inflater: Inflate = inflate,
        at_once: float = math.inf,
    ) -> None:
        """Begin at the start of a frame."""
        self._inflate = inflater
        self._at_once = at_once
        self._masked = masked
        self._limit = limit
        self._deflate = deflate
        self._buffer = b""
        self._at = 0
        self._present: int | None = None  # the opcode of the frame whose payload is coming
        self._final = False
        self._left = 0
        self._mask = b""
        self._opcode: int | None = None  # of the message that is coming
        self._compressed = False
        self._message = bytearray()
        self._utf8: codecs.IncrementalDecoder | None = None
        self.closed = False

    @property
    def held(self) -> int:
        """How many bytes are held of messages that have not come whole."""
        return len(self._buffer) - self._at + len(self._message)

    def put(self, data: bytes) -> None:
        """Take bytes."""
        if not self.closed:
            left = self._at < len(self._buffer)
            self._buffer = self._buffer[self._at :] + data if left else data
            self._at = 0

    def next(self) -> Arrived | None:
        """Return the next message, control frame or FRAGMENT, or None until more bytes have come.

        Raises:
            Breach: The peer breaks the protocol; what follows has no meaning.
        """
        if self._present is None and self._at == len(self._buffer):
            self._buffer, self._at = b"", 0
            return None
        while not self.closed:
            if self._opcode is None and self._present is None:
                whole = self._in_one_frame()
                if whole is not None:
                    return whole
            if self._present is None and not self._read_head():
                break
            if self._present is not None and self._present & _CONTROL:
                if len(self._buffer) - self._at < self._left:
                    break
                return self._control(self._present)
            if not self._read_payload():
                break
            self._present = None
            return self._whole() if self._final else FRAGMENT
        return None

    def _in_one_frame(self) -> Arrived | None:
        """Return a message whose only frame has come as a whole.

        None for all else, and what breaks the protocol: it is read step by step, which tells why.
        """
        buffer, at = self._buffer, self._at
        begin = at + 2
        if len(buffer) < begin + 2 or buffer[at] not in _WHOLE:
            return None
        size = buffer[at + 1] - (MASKED if self._masked else 0)
        if size == LENGTH_16:
            size = buffer[begin] << 8 | buffer[begin + 1]
            begin += 2
            if size < LENGTH_16:
                return None
        elif not 0 <= size < LENGTH_16:
            return None
        if self._masked:
            begin += MASK_SIZE
        end = begin + size
        if end > len(buffer) or size > self._limit:
            return None
        payload = buffer[begin:end]
        if self._masked:
            payload = masking(payload, buffer[begin - MASK_SIZE : begin])
        opcode = buffer[at] & _OPCODE
        if opcode == TEXT and not payload.isascii():
            try:
                payload.decode()
            except UnicodeDecodeError:
                return None
        self._at = end
        return Arrived(opcode, payload)

    def _read_head(self) -> bool:
        """Read the head of a frame; return whether it was all there."""
        buffer, at = self._buffer, self._at
        if len(buffer) - at < 2:  # noqa: PLR2004 - a head has two bytes at least
            return False
        first, second = buffer[at], buffer[at + 1]
        self._check_first(first)
        masked, size = bool(second & MASKED), second & _LENGTH
        if masked != self._masked:
            raise Breach(PROTOCOL_ERROR, "mask")
        if first & _CONTROL and (size > CONTROL_BYTES or not first & FINAL):
            raise Breach(PROTOCOL_ERROR, "control-frame")
        more = {LENGTH_16: 2, LENGTH_64: 8}.get(size, 0)
        end = at + 2 + more + (MASK_SIZE if masked else 0)
        if len(buffer) < end:
            return False
        if more:
            size = _long(buffer[at + 2 : at + 2 + more])
        if not first & _CONTROL:
            self._begin(first, size)
        self._mask = buffer[end - MASK_SIZE : end] if masked else b""
        self._present, self._left, self._at = first & _OPCODE, size, end
        return True

    def _check_first(self, first: int) -> None:
        opcode = first & _OPCODE
        if opcode not in _KNOWN:
            raise Breach(PROTOCOL_ERROR, "opcode")
        begins = opcode in {TEXT, BINARY}
        if first & _RESERVED & ~(COMPRESSED if self._deflate and begins else 0):
            raise Breach(PROTOCOL_ERROR, "reserved-bits")
        if begins and self._opcode is not None:
            raise Breach(PROTOCOL_ERROR, "message-within-message")
        if opcode == CONTINUATION and self._opcode is None:
            raise Breach(PROTOCOL_ERROR, "continuation-of-nothing")

    def _begin(self, first: int, size: int) -> None:
        """Begin a frame of data."""
        self._final = bool(first & FINAL)
        if first & _OPCODE != CONTINUATION:
            self._opcode = first & _OPCODE
            self._compressed = bool(first & COMPRESSED)
            self._utf8 = _Utf8() if self._opcode == TEXT and not self._compressed else None
        if len(self._message) + size > self._limit:
            raise Breach(TOO_BIG, "message-size")

    def _read_payload(self) -> bool:
        """Take what has come of a frame of data; return whether all of it has."""
        data = self._buffer[self._at : self._at + self._left]
        self._at += len(data)
        self._left -= len(data)
        if self._mask and data:
            turned = len(data) % MASK_SIZE
            data = masking(data, self._mask)
            self._mask = self._mask[turned:] + self._mask[:turned]
        self._message += data
        if self._utf8 is not None:
            self._check_text(data)
        return not self._left

    def _check_text(self, data: bytes) -> None:
        assert self._utf8 is not None  # noqa: S101 - the caller has looked
        try:
            self._utf8.decode(data, final=self._final and not self._left)
        except UnicodeDecodeError:
            raise Breach(INVALID_TEXT, "not-utf-8") from None

    def _whole(self) -> Arrived:
        """Return the message whose last frame has come."""
        opcode, payload, compressed = self._opcode, bytes(self._message), self._compressed
        assert opcode is not None  # noqa: S101 - a frame of data begins or goes on with one
        self._opcode, self._message, self._utf8 = None, bytearray(), None
        arrived = Arrived(opcode, payload, compressed, packed=compressed)
        return self.unpacked(arrived) if compressed and len(payload) <= self._at_once else arrived

    def unpacked(self, arrived: Arrived) -> Arrived:
        """Return a message that was left packed, before the next one is; may pause.

        Raises:
            Breach: It is damaged or too long, or no UTF-8 where it must be.
        """
        payload = self._inflate(arrived.payload, self._limit)
        if arrived.opcode == TEXT:
            try:
                payload.decode()
            except UnicodeDecodeError:
                raise Breach(INVALID_TEXT, "not-utf-8") from None
        return Arrived(arrived.opcode, payload, compressed=True)

    def _control(self, opcode: int) -> Arrived:
        payload = self._buffer[self._at : self._at + self._left]
        if self._mask:
            payload = masking(payload, self._mask)
        self._at += self._left
        self._present = None
        if opcode == CLOSE:
            check_close(payload)
            self.closed = True
            self._buffer, self._at = b"", 0
        return Arrived(opcode, payload)


def _long(raw: bytes) -> int:
    """Return an extended length; raise Breach where it is not the shortest, or has its top bit."""
    size = int.from_bytes(raw, "big")
    least = LENGTH_16 if len(raw) == 2 else 0x10000  # noqa: PLR2004 - bytes of the shorter one
    if size < least or size >> 63:
        raise Breach(PROTOCOL_ERROR, "length")
    return size
