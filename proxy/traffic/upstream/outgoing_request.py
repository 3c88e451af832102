"""One outgoing request, and how it is written to a connection."""

from __future__ import annotations

import asyncio
from typing import Final

from ...core.apply.forwardable import Forwardable
from ...core.errors import UpstreamFailed
from ...core.http.message import RequestHead
from ..bodies.transformed import refuse_beside
from ..http1.framing import ABSENT, LAST_CHUNK, Framing, as_chunk
from ..http1.hop_by_hop import framed, framed_whole
from ..interfaces import RequestBody
from .connection import UpstreamConnection

_REPEATABLE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_ONE_WRITE: Final = 65536


class OutgoingRequest:
    """One outgoing request, kept so that it can be sent again."""

    __slots__ = ("_framing", "_head", "_payload", "_rest", "_upload", "head_only", "method")

    def __init__(
        self,
        message: Forwardable,
        lines: bytes,
        payload: bytes | None,
        framing: Framing,
        rest: RequestBody | None = None,
    ) -> None:
        """Take the `lines` of a head up to its framing, and a complete body, or None.

        With None, `rest` is the client's body, framed as `framing` and still coming.
        """
        if not isinstance(message, Forwardable):
            raise TypeError("only a Forwardable can be sent")
        if message.flow is not None:
            refuse_beside(message, rest)
        if payload is None:
            self._head = framed(lines, framing)
        elif payload or framing.present:
            self._head = framed_whole(lines, len(payload))
        else:
            self._head = framed(lines, ABSENT)  # a request without a body is forwarded without one
        self._payload = payload
        self._rest = rest
        self._framing = framing
        self.method = message.head.method if isinstance(message.head, RequestHead) else ""
        self.head_only = self.method == "HEAD"
        self._upload: asyncio.Task[None] | None = None

    def repeatable(self, connection: UpstreamConnection) -> bool:
        """Return whether to send it again after `connection` failed (RFC 9110 section 9.2.2).

        Only a connection that was idle in the pool can have died before the upstream saw the
        request. Even then it may have acted, so only safe methods without a body are repeated.
        """
        return (
            connection.used
            and not connection.reader.started
            and self.method in _REPEATABLE
            and (self._payload == b"" or (self._payload is None and self._framing.length == 0))
        )

    def start(self, connection: UpstreamConnection, patience: float) -> asyncio.Task[None] | None:
        """Write what has come; return the task that uploads the rest, if any."""
        payload, rest = self._payload, self._rest
        if payload is None:
            if rest is None:
                raise TypeError("a request without a body says so")
            connection.write(self._head)
            loop = asyncio.get_running_loop()
            self._upload = loop.create_task(self._send_rest(rest, connection, patience))
            return self._upload
        if len(payload) <= _ONE_WRITE:
            connection.write(self._head + payload)
        else:
            connection.write(self._head)
            connection.write(payload)
        connection.await_response(patience)
        return None

    def stop(self) -> None:
        """Send no more of the body."""
        if self._upload is not None:
            self._upload.cancel()

    async def _send_rest(
        self, rest: RequestBody, connection: UpstreamConnection, patience: float
    ) -> None:
        """Send the client's body as it comes; if it fails, the message fails."""
        try:
            await self._send_body(rest, connection)
            connection.await_response(patience)
        except asyncio.CancelledError:
            connection.abort()
            raise
        except Exception as error:  # noqa: BLE001 - raised where the response is awaited
            # CVE-2026-33555 elsewhere: where fewer bytes came than announced, the next message on
            # this connection would be taken for the rest. `fail` drops it.
            connection.fail(error)

    async def _send_body(self, rest: RequestBody, connection: UpstreamConnection) -> None:
        sent = 0
        length = self._framing.length
        async for data in rest.chunks():
            sent += len(data)
            if length is not None and sent > length:
                raise UpstreamFailed("body-longer-than-promised")
            connection.write(data if length is not None else as_chunk(data))
            await connection.drain()
        if length is None:
            connection.write(LAST_CHUNK)
        elif sent != length:
            raise UpstreamFailed("body-shorter-than-promised")
