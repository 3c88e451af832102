"""A response of the upstream, and the borrowed connection that it comes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from ..core.errors import BodyTooLarge
from ..core.http.message import ResponseHead
from .interfaces import RawConnection
from .pool import Pool
from .upstream_connection import UpstreamConnection


class PooledResponse:
    """A response, and the connection that it comes on until `close`."""

    __slots__ = (
        "_connection",
        "_pool",
        "_upload",
        "arrived",
        "bodiless",
        "delimited",
        "framing",
        "head",
    )

    def __init__(
        self,
        pool: Pool,
        connection: UpstreamConnection,
        head: ResponseHead,
        upload: asyncio.Task[None] | None,
    ) -> None:
        self._pool = pool
        self._connection: UpstreamConnection | None = connection
        self._upload = upload
        self.head = head
        self.framing = connection.reader.framing
        self.bodiless = connection.reader.bodiless
        self.delimited = connection.reader.delimited
        self.arrived = 0

    def take(self) -> bytes | None:
        """Return the whole body and give the connection back, if all of the body is there."""
        connection = self._connection
        if connection is None:
            return b""
        if not connection.reader.complete:
            return None
        data = connection.take()
        self.arrived += len(data)
        self.close()
        return data

    async def read(self, limit: int) -> bytes:
        """Return the whole body; raise BodyTooLarge above `limit`."""
        if self.framing.length is not None and self.framing.length > limit and not self.bodiless:
            raise BodyTooLarge("response-length")
        parts = []
        size = 0
        async for data in self.chunks():
            size += len(data)
            if size > limit:
                raise BodyTooLarge("response-body")
            parts.append(data)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def chunks(self) -> AsyncIterator[bytes]:
        """Return the body piece by piece, as it comes."""
        while self._connection is not None:
            data = await self._connection.read()
            if not data:
                self.close()
                return
            self.arrived += len(data)
            yield data

    def divert(self) -> RawConnection:
        """Return the connection after a 101; the pool drops it on `close`."""
        if self._connection is None:
            raise ValueError("the response has been closed")
        return self._connection

    def wait_longer(self, seconds: float) -> None:
        """Let each silence of the body last up to so many seconds."""
        if self._connection is not None:
            self._connection.wait_longer(seconds)

    def stop(self) -> None:
        """Let `chunks` end here, although more would come; the connection is dropped."""
        if self._connection is not None:
            self._connection.stop()

    def close(self) -> None:
        """Give the connection back if the message went through in both directions, else drop it."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        try:
            uploaded = self._upload is None or self._upload.done()
            if connection.reader.complete and uploaded:
                connection.take()  # what nobody wanted to read
                self._pool.release(connection)
                return
            if self._upload is not None:
                self._upload.cancel()
        except BaseException:
            self._pool.drop(connection)
            raise
        self._pool.drop(connection)

    def __del__(self) -> None:
        """Drop the connection where an exception kept everybody from closing the response."""
        if self._connection is not None:
            self._connection.abandon()
