"""One request as aiohttp's parser hands it out."""

from __future__ import annotations

from typing import Any

from aiohttp.streams import StreamReader

from .answer import Answer
from .client_connection import ClientConnection
from .framing import Framing
from .gate import RawRequest
from .interfaces import RawConnection
from .request_body import CONTINUE, ClientBody


class ClientRequest(Answer):
    """A request that has arrived, and the way to answer it."""

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
        self._connection = connection
        self._message = message
        self._payload = payload

    def body(self, framing: Framing, *, expects_continue: bool) -> ClientBody:
        """Return the body, once the gate has told how it is framed."""
        return ClientBody(
            self._payload,
            framing,
            invite=self._invite if expects_continue else None,
            waiting=self._connection.awaiting_body,
        )

    async def switch(self, head: bytes) -> RawConnection:
        """Answer with a 101 and return the connection."""
        self.answered = True
        self.keep = False
        self._connection.write(head)
        return self._connection

    def _invite(self) -> None:
        self._connection.write(CONTINUE)

    def _ends(self) -> bool:
        """Whether the request itself makes its connection end with the answer.

        With bytes of the body still to come, the connection ends: they are not a request. So it
        does behind an Upgrade that was not granted, where the parser has lost its place (B14).
        """
        message = self._message
        return bool(message.should_close or message.upgrade or not self._payload.is_eof())
