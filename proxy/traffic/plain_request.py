"""One request that was read whole: a plain head, and all of its body."""

from __future__ import annotations

from collections.abc import AsyncIterator

from ..core.errors import BodyTooLarge
from .answer import Answer, Connection
from .framing import Framing
from .interfaces import RawConnection
from .plain_head import PlainHead


class WholeBody:
    """The body of a request, all of it there. It can be taken once."""

    __slots__ = ("_data", "arrived", "framing")

    def __init__(self, data: bytes, framing: Framing) -> None:
        self._data: bytes = data
        self.framing = framing
        self.arrived = 0

    def take(self) -> bytes:
        """Return the whole body."""
        data, self._data = self._data, b""
        self.arrived += len(data)
        return data

    async def read(self, limit: int) -> bytes:
        """Return the whole body; raise BodyTooLarge above `limit`."""
        if len(self._data) > limit:
            raise BodyTooLarge("request-length")
        return self.take()

    async def chunks(self) -> AsyncIterator[bytes]:
        """Return the body in one piece, unless it is empty."""
        if data := self.take():
            yield data


class PlainRequest(Answer):
    """A request that has arrived, and the way to answer it, with or without waits.

    `data` is its whole body.
    """

    __slots__ = ("data", "head")

    def __init__(self, link: Connection, head: PlainHead, data: bytes) -> None:
        super().__init__(link, head.raw)
        self.head = head
        self.data = data

    def body(self, framing: Framing, *, expects_continue: bool = False) -> WholeBody:
        """Return the body, once the gate has told how it is framed.

        A plain request expects nothing: its head would not be plain.
        """
        if expects_continue:
            raise TypeError("a plain request expects nothing")
        return WholeBody(self.data, framing)

    async def switch(self, _: bytes) -> RawConnection:
        """Refuse: a plain request asks for no other protocol, so nobody can have agreed to one."""
        raise TypeError("a plain request cannot leave HTTP")

    def _ends(self) -> bool:
        return self.head.close

    def _connection_header(self) -> bytes | None:
        """Do as any answer does: a plain request is of HTTP/1.1, which keeps its connection."""
        if self.head.close or self._link.last:
            self.keep = False
        return None if self.keep else b"close"
