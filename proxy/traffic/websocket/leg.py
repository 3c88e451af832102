"""One leg of a WebSocket: what its peer sends as messages, and what goes to it as frames."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ...core.http.message import SocketHead
from ...core.transform import Forwardable
from ..interfaces import RawConnection
from ..policy import PACKED_AT_ONCE
from .closing import close_payload
from .deflate import compress
from .frames import BINARY, CLOSE, TEXT, frame
from .handshake import NARROWEST_BITS, DeflateAgreement
from .reader import MessageReader


@dataclass(slots=True)
class MessageFrame:
    """The frame of a message that may be sent. Only `Leg.framed` makes one.

    Final and not frozen, since it is made for each message: the type checker holds it as well.
    """

    data: Final[bytes]


class Leg:
    """The connection to one peer. `client`: the peer is the client. `limit` bounds its messages.

    `close_sent` says that a close frame went to it, `gone` that the connection has ended, `_ended`
    that nothing more goes to it. Reading is paused while there is any reason to.
    """

    __slots__ = (
        "_agreement",
        "_client",
        "_ended",
        "_reasons",
        "_unsent",
        "close_sent",
        "connection",
        "gone",
        "reader",
    )

    def __init__(
        self,
        connection: RawConnection,
        agreement: DeflateAgreement | None,
        *,
        client: bool,
        limit: int,
    ) -> None:
        self.connection = connection
        self._agreement = agreement
        self._client = client
        self._ended = False
        self._reasons: set[str] = set()
        self._unsent: list[bytes] = []
        self.reader = MessageReader(
            masked=client, limit=limit, deflate=agreement is not None, at_once=PACKED_AT_ONCE
        )
        self.close_sent = False
        self.gone = False

    @property
    def parted(self) -> bool:
        """Whether both sides have sent a close frame."""
        return self.gone or (self.close_sent and self.reader.closed)

    def send(self, message: MessageFrame) -> int:
        """Send a message that `framed` made with the next `flush`; return its size on the wire."""
        if not isinstance(message, MessageFrame):
            raise TypeError("only the frame of a Forwardable can be sent")
        return self._put(message.data)

    def flush(self) -> None:
        """Send all that is still to be sent, in one write."""
        unsent = self._unsent
        if not unsent:
            return
        data = unsent[0] if len(unsent) == 1 else b"".join(unsent)
        unsent.clear()
        try:
            self.connection.write(data)
        except ConnectionError:
            self.gone = True

    def framed(self, message: Forwardable, *, compressed: bool) -> MessageFrame:
        """Return the frame of a message that the rule engine has released.

        It goes out compressed if it came so and this peer has agreed to it.
        """
        head = message.frame.head if isinstance(message, Forwardable) else None
        if not isinstance(head, SocketHead):
            raise TypeError("only a Forwardable can be sent")
        payload, agreement, packed = message.body or b"", self._agreement, False
        if compressed and agreement is not None and agreement.bits >= NARROWEST_BITS:
            payload, packed = compress(payload, agreement.bits), True
        opcode = BINARY if head.binary else TEXT
        return MessageFrame(frame(opcode, payload, masked=not self._client, compressed=packed))

    def control(self, opcode: int, payload: bytes) -> int:
        """Send a control frame; nothing is sent after a close frame."""
        if self.close_sent:
            return 0
        self.close_sent = opcode == CLOSE
        size = self._put(frame(opcode, payload, masked=not self._client))
        self.flush()
        return size

    def close(self, code: int, reason: str = "") -> int:
        """Send a close frame, unless one has been sent."""
        return self.control(CLOSE, close_payload(code, reason))

    def end(self) -> None:
        """Say that no more bytes will be sent."""
        self.flush()
        self._ended = True
        self.connection.write_eof()

    def rest(self, reason: str) -> None:
        """Stop reading for a reason."""
        if not self._reasons:
            self.connection.pause()
        self._reasons.add(reason)

    def go_on(self, reason: str) -> None:
        """Read on, if that was the only reason not to."""
        if self._reasons == {reason}:
            self.connection.resume()
        self._reasons.discard(reason)

    def _put(self, data: bytes) -> int:
        if self.gone or self._ended:
            return 0
        self._unsent.append(data)
        return len(data)
