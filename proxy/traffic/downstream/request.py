"""One request as aiohttp's parser returns it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any, Protocol

from aiohttp.streams import StreamReader

from ...core.errors import BodyTooLarge
from ..bodies.response_writer import ResponseWriter
from ..http1.framing import Framing
from ..http1.gate import RawRequest
from ..interfaces import RawConnection
from .client_lifecycle import CONTINUE
from .connection import ClientConnection


class Waiting(Protocol):
    """Called when a wait for the client begins and ends, so that it can be bounded."""

    def __call__(self, *, waiting: bool) -> None:
        """Take note."""


class ClientBody:
    """Reads the body; a client that waits for a 100 gets it when the first byte is read.

    That is after the rules have been found and the length has been checked (RFC 9110
    section 10.1.1), so a refused client never sends its body.
    """

    __slots__ = ("_invite", "_payload", "_waiting", "arrived", "framing")

    def __init__(
        self,
        payload: StreamReader,
        framing: Framing,
        *,
        invite: Callable[[], None] | None,
        waiting: Waiting,
    ) -> None:
        self._payload = payload
        self._invite = invite
        self._waiting = waiting
        self.framing = framing
        self.arrived = 0

    def take(self) -> bytes | None:
        """Return the whole body if all of it is there, else None and take nothing."""
        if not self._payload.is_eof():
            return None
        data = self._payload.read_nowait(-1) if self.framing.present else b""
        self.arrived += len(data)
        return data

    async def read(self, limit: int) -> bytes:
        """Return the whole body.

        Raises:
            BodyTooLarge: It, or its Content-Length, is above `limit` bytes.
        """
        length = self.framing.length
        if length is not None and length > limit:
            raise BodyTooLarge("request-length")
        data = self.take()
        if data is not None:
            _check(len(data), limit)
            return data
        parts = []
        size = 0
        async for part in self.chunks():
            size += len(part)
            _check(size, limit)
            parts.append(part)
        return b"".join(parts)

    async def chunks(self) -> AsyncIterator[bytes]:
        """Return the body piece by piece, as it comes."""
        payload = self._payload
        if self._invite is not None and not payload.total_bytes and not payload.is_eof():
            self._invite()
        self._invite = None
        while not payload.at_eof():
            self._waiting(waiting=True)
            try:
                data = await payload.readany()
            finally:
                self._waiting(waiting=False)
            if data:
                self.arrived += len(data)
                yield data


def _check(size: int, limit: int) -> None:
    if size > limit:
        raise BodyTooLarge("request-body")


class ClientRequest(ResponseWriter):
    """A request that has arrived, and the means to respond to it."""

    __slots__ = ("_connection", "_message", "_payload")

    def __init__(
        self,
        connection: ClientConnection,
        message: Any,  # noqa: ANN401 - the C parser's class has no name to import
        payload: StreamReader,
    ) -> None:
        version = (message.version.major, message.version.minor)
        raw = RawRequest(message.method, message.path, version, message.raw_headers)
        super().__init__(connection, raw)
        connection.present = self
        self._connection = connection
        self._message = message
        self._payload = payload

    def body(self, framing: Framing, *, expects_continue: bool) -> ClientBody:
        """Return the body, once the gate has found its framing."""
        return ClientBody(
            self._payload,
            framing,
            invite=self._invite if expects_continue else None,
            waiting=self._connection.awaiting_body,
        )

    async def switch(self, head: bytes) -> RawConnection:
        """Respond with a 101 and return the connection."""
        self.answered = True
        self.keep = False
        self._connection.write(head)
        return self._connection

    def _invite(self) -> None:
        self._connection.write(CONTINUE)

    def _ends(self) -> bool:
        """Whether the request itself makes its connection end with the response.

        It does with bytes of the body still to come: they are not a request. And it does after an
        Upgrade that was not granted, where the parser has lost its place (B14).
        """
        message = self._message
        return bool(message.should_close or message.upgrade or not self._payload.is_eof())
