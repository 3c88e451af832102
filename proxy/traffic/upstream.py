"""The HTTP/1.1 client: sends what the rule engine has released, to the one place of the settings.

It follows no redirect, keeps no cookie, knows no proxy, and decodes nothing.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from typing import Final

from ..config.limits import Timeouts, TrafficLimits
from ..config.settings import Address, TcpAddress
from ..core.errors import BodyTooLarge, UpstreamFailed, UpstreamTimeout
from ..core.forwardable import Forwardable
from ..core.message import RequestHead, ResponseHead
from .framing import ABSENT, LAST_CHUNK, Framing, as_chunk
from .hop import STRAIGHT, Crossing
from .interfaces import RawConnection, RequestBody
from .pool import Pool
from .request_head import request_head
from .response_reader import ResponseReader
from .upstream_connection import UpstreamConnection

_REPEATABLE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_ONE_WRITE: Final = 65536
_HTTP_PORT: Final = 80
_HTTPS_PORT: Final = 443


class HttpUpstream:
    """The upstream of one listener."""

    __slots__ = (
        "_address",
        "_host",
        "_limits",
        "_pool",
        "_server_name",
        "_timeouts",
        "_tls",
        "names",
    )

    def __init__(
        self,
        address: Address,
        *,
        tls: ssl.SSLContext | None = None,
        server_name: str | None = None,
        limits: TrafficLimits | None = None,
        timeouts: Timeouts | None = None,
    ) -> None:
        """Connect to nothing yet. `server_name` is the TLS name, unless it is the host's."""
        self._address = address
        # The Host of requests whose client sent none: a socket has no name.
        self._host = str(address).encode() if isinstance(address, TcpAddress) else b"localhost"
        self.names = _names(address, tls=tls is not None)
        self._tls = tls
        self._server_name = server_name
        self._limits = limits or TrafficLimits()
        self._timeouts = timeouts or Timeouts()
        self._pool = Pool(self._connect, self._limits, self._timeouts)

    @property
    def pool(self) -> Pool:
        """The connections, for those who count them."""
        return self._pool

    async def send(
        self,
        message: Forwardable,
        body: RequestBody,
        *,
        crossing: Crossing = STRAIGHT,
        websocket: bool = False,
    ) -> PooledResponse:
        """Send a request and return its response, as soon as its head is there.

        Raises:
            TrafficError: There is no usable response, or the client's body broke off.
        """
        if not isinstance(message, Forwardable):
            raise TypeError("only a Forwardable can be sent")
        payload = message.body if message.body is not None else body.take()
        framing = body.framing if payload is None else _whole(payload, body.framing)
        head = request_head(
            message, framing, host=self._host, crossing=crossing, websocket=websocket
        )
        exchange = _Exchange(message, head, payload, body, framing, websocket=websocket)
        connection = await self._pool.acquire()
        try:
            return await self._attempt(connection, exchange)
        except UpstreamFailed:
            if not exchange.repeatable(connection):
                raise
        connection = await self._pool.acquire(fresh=True)
        return await self._attempt(connection, exchange)

    async def close(self) -> None:
        """Drop all connections."""
        self._pool.close()

    async def _attempt(self, connection: UpstreamConnection, exchange: _Exchange) -> PooledResponse:
        upload: asyncio.Task[None] | None = None
        try:
            connection.begin(head_only=exchange.head_only, upgrade=exchange.websocket)
            upload = exchange.start(connection, self._timeouts.response)
            head = await connection.head()
        except BaseException:
            if upload is not None:
                upload.cancel()
            self._pool.drop(connection)
            raise
        return PooledResponse(self._pool, connection, head, upload)

    async def _connect(self) -> UpstreamConnection:
        """Open a connection to the configured address; nothing that a client sends is read here."""
        try:
            async with asyncio.timeout(self._timeouts.connect):
                return await self._open()
        except TimeoutError:
            raise UpstreamTimeout("connect") from None
        except OSError:  # also what ssl raises
            raise UpstreamFailed("connect") from None

    async def _open(self) -> UpstreamConnection:
        loop = asyncio.get_running_loop()
        address = self._address
        if isinstance(address, TcpAddress):
            _, connection = await loop.create_connection(
                self._protocol,
                address.host,
                address.port,
                ssl=self._tls,
                server_hostname=self._server_name,
            )
        else:
            path = str(address.path)
            _, connection = await loop.create_unix_connection(self._protocol, path)
        return connection

    def _protocol(self) -> UpstreamConnection:
        reader = ResponseReader(head_limit=self._limits.head, headers_limit=self._limits.headers)
        return UpstreamConnection(reader, window=self._limits.window, silence=self._timeouts.stream)


def _names(address: Address, *, tls: bool) -> frozenset[bytes]:
    """Return the authorities that the upstream goes by; a socket has none."""
    if not isinstance(address, TcpAddress):
        return frozenset()
    names = {str(address).lower()}
    if address.port == (_HTTPS_PORT if tls else _HTTP_PORT):
        names.add(str(address).lower().rpartition(":")[0])
    return frozenset(name.encode() for name in names)


def _whole(payload: bytes, framing: Framing) -> Framing:
    """Return the framing of a body that is there; a request that came without one stays so."""
    if not payload and not framing.present:
        return ABSENT
    return Framing(len(payload))


class _Exchange:
    """What goes out for one request, so that it can go out again."""

    __slots__ = ("_body", "_framing", "_head", "_payload", "head_only", "method", "websocket")

    def __init__(  # noqa: PLR0913 - a value for one call, two lines above
        self,
        message: Forwardable,
        head: bytes,
        payload: bytes | None,
        body: RequestBody,
        framing: Framing,
        *,
        websocket: bool,
    ) -> None:
        self.method = message.head.method if isinstance(message.head, RequestHead) else ""
        self.head_only = self.method == "HEAD"
        self.websocket = websocket
        self._head = head
        self._payload = payload
        self._body = body
        self._framing = framing

    def repeatable(self, connection: UpstreamConnection) -> bool:
        """Whether the request may be sent again after `connection` failed (RFC 9110 section 9.2.2).

        Only a connection that had rested in the pool can have died before it saw the request, and
        even then the upstream may have acted: so only what is safe and has no body.
        """
        return (
            connection.used
            and not connection.reader.started
            and self.method in _REPEATABLE
            and not self._payload
            and not (self._framing.present and self._framing.length != 0)
        )

    def start(self, connection: UpstreamConnection, patience: float) -> asyncio.Task[None] | None:
        """Write what is there in one go; return the task that uploads the rest."""
        payload = self._payload
        if payload is None:
            connection.write(self._head)
            loop = asyncio.get_running_loop()
            return loop.create_task(self._upload(connection, patience))
        if len(payload) <= _ONE_WRITE:
            connection.write(self._head + payload)
        else:
            connection.write(self._head)
            connection.write(payload)
        connection.await_response(patience)
        return None

    async def _upload(self, connection: UpstreamConnection, patience: float) -> None:
        """Send the client's body as it comes; let the message fail with it."""
        try:
            await self._send_body(connection)
        except asyncio.CancelledError:
            connection.abort()
            raise
        except Exception as error:  # noqa: BLE001 - handed to whoever waits for the response
            # CVE-2026-33555 elsewhere: after a promise of bytes that never came, the next message
            # on this connection would be taken for them. `fail` drops it.
            connection.fail(error)
            return
        connection.await_response(patience)

    async def _send_body(self, connection: UpstreamConnection) -> None:
        sent = 0
        length = self._framing.length
        async for data in self._body.chunks():
            sent += len(data)
            if length is not None and sent > length:
                raise UpstreamFailed("body-longer-than-promised")
            connection.write(data if length is not None else as_chunk(data))
            await connection.drain()
        if length is None:
            connection.write(LAST_CHUNK)
        elif sent != length:
            raise UpstreamFailed("body-shorter-than-promised")


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

    def stop(self) -> None:
        """Let `chunks` end here, although more would come; the connection is dropped."""
        if self._connection is not None:
            self._connection.stop()

    def close(self) -> None:
        """Give the connection back if the message went through in both directions, else drop it."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        uploaded = self._upload is None or self._upload.done()
        if connection.reader.complete and uploaded:
            connection.take()  # what nobody wanted to read
            self._pool.release(connection)
            return
        if self._upload is not None:
            self._upload.cancel()
        self._pool.drop(connection)
