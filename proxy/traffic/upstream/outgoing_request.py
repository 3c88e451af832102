"""One outgoing request, and how it is written to a connection."""

from __future__ import annotations

import asyncio
from typing import Final

from ...core.errors import UpstreamFailed
from ...core.http.message import RequestHead
from ...core.transform import Forwardable
from ..bodies.transformed import refuse_beside
from ..http1.framing import ABSENT, LAST_CHUNK, Framing, as_chunk
from ..http1.hop_by_hop import ONE_WRITE, WHOLE, framed
from ..interfaces import RequestBody
from .connection import UpstreamConnection

_REPEATABLE: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class OutgoingRequest:
    """One outgoing request, kept so that it can be sent again."""

    __slots__ = ("_framing", "_head", "_payload", "_upload", "head_only", "method")

    def __init__(
        self,
        message: Forwardable,
        lines: bytes,
        payload: bytes | None,
        framing: Framing,
        upload: Upload | None = None,
    ) -> None:
        """Take the `lines` of a head up to its framing, and a complete body, or None.

        With None, `upload` is the client's body, framed as `framing` and still coming.
        """
        if not isinstance(message, Forwardable):
            raise TypeError("only a Forwardable can be sent")
        if message.flow is not None:
            refuse_beside(message, None if upload is None else upload.body)
        if payload is None:
            self._head = framed(lines, framing)
        elif payload or framing.present:
            self._head = WHOLE % (lines, len(payload), b"")
        else:
            self._head = framed(lines, ABSENT)  # a request without a body is forwarded without one
        self._payload = payload
        self._framing = framing
        head = message.frame.head
        self.method = head.method if isinstance(head, RequestHead) else ""
        self.head_only = self.method == "HEAD"
        self._upload = upload

    def repeatable(self, connection: UpstreamConnection) -> bool:
        """Return whether to send it again after `connection` failed."""
        return repeatable(connection, self.method, self._payload)

    async def read_ahead(self, seconds: float | None) -> bool:
        """Wait for the first window of the body, or its end; return whether it came in time.

        Raises:
            TrafficError: Reading the body failed.
        """
        return self._upload is None or await self._upload.read_ahead(seconds)

    def start(self, connection: UpstreamConnection, patience: float) -> asyncio.Task[None] | None:
        """Write what has come; return the task that uploads the rest, if any."""
        payload = self._payload
        if payload is None:
            if self._upload is None:
                raise TypeError("a request without a body says so")
            self._upload.start(connection, self._head, patience)
            return self._upload.task
        if len(payload) <= ONE_WRITE:
            connection.write(self._head + payload)
        else:
            connection.write(self._head)
            connection.write(payload)
        connection.await_response(patience)
        return None

    def stop(self) -> None:
        """Send no more of the body."""
        if self._upload is not None:
            self._upload.task.cancel()


def repeatable(connection: UpstreamConnection, method: str, payload: bytes | None) -> bool:
    """Return whether to send a request again after `connection` failed (RFC 9110 section 9.2.2).

    Where nothing of it was written, the upstream cannot have acted. Otherwise only a connection
    that was idle in the pool can have died before the upstream saw the request. Even then it
    may have acted, so only safe methods without a body are repeated. `payload` is the body, None
    where it is not there whole.
    """
    if not connection.wrote:
        return payload is not None
    return (
        connection.used
        and not connection.reader.started
        and method in _REPEATABLE
        and payload == b""
    )


class Upload:
    """A body that is read up to a window until there is a connection, then sent as it comes."""

    __slots__ = (
        "_ahead",
        "_connection",
        "_enough",
        "_error",
        "_framing",
        "_window",
        "body",
        "task",
    )

    def __init__(self, body: RequestBody, window: int) -> None:
        """Begin to read up to `window` bytes; cancelling `task` ends that."""
        loop = asyncio.get_running_loop()
        self.body: Final = body
        self._framing = body.framing
        self._window = window
        self._ahead: list[bytes] = []
        self._enough: asyncio.Future[None] = loop.create_future()
        self._connection: asyncio.Future[UpstreamConnection] = loop.create_future()
        self._error: Exception | None = None
        self.task: Final = loop.create_task(self._send_rest())

    async def read_ahead(self, seconds: float | None) -> bool:
        """Do as OutgoingRequest."""
        # asyncio.wait, since a timeout around the future would cancel it.
        await asyncio.wait({self._enough}, timeout=seconds)
        if self._error is not None:
            raise self._error
        return self._enough.done()

    def start(self, connection: UpstreamConnection, head: bytes, patience: float) -> None:
        """Send what has been read; raise the error of reading it, if there is one."""
        if self._error is not None:
            raise self._error
        connection.begin_upload(patience)
        connection.write(head)
        for piece in self._ahead:
            connection.write(piece)
        self._ahead.clear()
        self._connection.set_result(connection)

    async def _send_rest(self) -> None:
        """Send the client's body as it comes; if it fails, the message fails."""
        try:
            await self._send_body()
        except asyncio.CancelledError:
            if self._connection.done() and not self._connection.cancelled():
                self._connection.result().abort()
            else:  # a message that waits for the beginning must not wait for ever
                self._error = ConnectionResetError("the upload was given up")
                self._read_enough()
            raise
        except Exception as error:  # noqa: BLE001 - raised where the message waits
            self._error = error
            if self._connection.done():
                # CVE-2026-33555 elsewhere: where fewer bytes came than announced, the next message
                # on this connection would be taken for the rest. `fail` drops it.
                self._connection.result().fail(error)
            self._read_enough()

    async def _send_body(self) -> None:
        sent = 0
        length = self._framing.length
        async for data in self.body.chunks():
            sent += len(data)
            if length is not None and sent > length:
                raise UpstreamFailed("body-longer-than-promised")
            piece = data if length is not None else as_chunk(data)
            if self._connection.done():
                connection = self._connection.result()
                connection.write(piece)
                await connection.drain()
                connection.moved()
            else:
                self._ahead.append(piece)
                if sent >= self._window:
                    self._read_enough()
                    await (await self._connection).drain()
        if length is not None and sent != length:
            raise UpstreamFailed("body-shorter-than-promised")
        self._read_enough()
        connection = await self._connection
        if length is None:
            connection.write(LAST_CHUNK)
        connection.end_upload()

    def _read_enough(self) -> None:
        if not self._enough.done():
            self._enough.set_result(None)
