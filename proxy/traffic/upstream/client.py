"""The HTTP/1.1 client: sends what the rule engine has released to the configured upstream.

It follows no redirects, keeps no cookies, uses no proxy, and decodes no content.
"""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import replace
from typing import Final

from ...config.limits import Timeouts, TrafficLimits
from ...config.settings import Address, TcpAddress
from ...core.errors import Busy, UpstreamFailed, UpstreamTimeout
from ...core.transform import Forwardable
from ..http1.forwarding_headers import UNCHANGED, Forwarding
from ..http1.outgoing_heads import request_lines
from ..http1.reader import ResponseReader
from ..interfaces import RequestBody
from ..policy import BEGINNING_SECONDS
from ..slices import AT_ONCE
from ..turns import WriteBuffer
from ..waits import in_task
from .connection import UpstreamConnection
from .limit import FixedLimit
from .outgoing_request import OutgoingRequest, Upload
from .permits import Claim, Kind, Permit, Permits
from .pool import Pool, PooledResponse

_HTTP_PORT: Final = 80
_HTTPS_PORT: Final = 443


class HttpUpstream:
    """The upstream of one listener."""

    __slots__ = (
        "_host",
        "_limits",
        "_server_name",
        "_timeouts",
        "_tls",
        "_write_buffer",
        "address",
        "long_requests",
        "names",
        "permits",
        "pool",
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
        self.address = address
        # The Host of requests whose client sent none: a socket has no name.
        self._host = str(address).encode() if isinstance(address, TcpAddress) else b"localhost"
        self.names = _names(address, tls=tls is not None)
        self._tls = tls
        self._server_name = server_name
        self._limits = limits or TrafficLimits()
        self._timeouts = timeouts or Timeouts()
        self._write_buffer = WriteBuffer(asyncio.get_running_loop())
        self.permits: Final = Permits(self._limits, self._timeouts)
        # What waits there and for a permit is to be answered within `timeouts.queue`.
        half = replace(self._timeouts, queue=self._timeouts.queue / 2)
        self.long_requests: Final = Permits(
            self._limits, half, FixedLimit(AT_ONCE), self.permits.health
        )
        """The rights of long requests to be worked at before they are sent."""
        self.pool: Final = Pool(self._connect, self._limits, self._timeouts)

    async def send(  # noqa: C901, PLR0913 - what one request consists of, each by name; one walk
        self,
        message: Forwardable,
        body: RequestBody,
        claim: Claim,
        *,
        forwarding: Forwarding = UNCHANGED,
        websocket: bool = False,
        permit: Permit | None = None,
    ) -> PooledResponse:
        """Send a request and return its response, as soon as its head is there.

        `claim` names who asks for the permit that it takes, unless it is given one.

        Raises:
            Busy: There is no room for the request.
            UpstreamResting: The upstream has failed, and is left alone.
            TrafficError: There is no usable response, or the client's body was cut.
        """
        kind: Kind | None = None
        if websocket:
            kind = "websocket"
            if not self.permits.has_room(kind, claim):
                raise Busy("websockets")
        lines = request_lines(message, host=self._host, forwarding=forwarding, websocket=websocket)
        payload = message.body if message.body is not None else body.take()
        upload = Upload(body, self._limits.window) if payload is None else None
        outgoing = OutgoingRequest(message, lines, payload, body.framing, upload)
        if permit is None and payload is not None and kind is None:
            permit = self.permits.take_at_once(claim)
        fresh = False
        try:
            if upload is not None:
                kind = await self._begun(outgoing, claim, kind)
            while True:
                if permit is None:
                    permit = await self.permits.take(claim)
                permit.begins()
                if kind is not None:
                    permit.becomes(kind)
                connection = None if fresh else self.pool.take_idle(permit)
                if connection is None:
                    connection = await self.pool.acquire(permit, fresh=fresh)
                try:
                    connection.begin(head_only=outgoing.head_only, upgrade=kind == "websocket")
                    uploading = outgoing.start(connection, self._timeouts.response)
                    head = await connection.head()
                    permit.answered(head.status)
                    return PooledResponse(self.pool, connection, head, uploading)
                except BaseException as error:
                    self.pool.drop(connection)
                    if not (
                        isinstance(error, UpstreamFailed)
                        and outgoing.repeatable(connection)
                        and self.permits.health.may_retry()
                    ):
                        raise
                permit, fresh = None, True  # once more, where that is safe
        except BaseException:
            outgoing.stop()
            if permit is not None:
                permit.release("unsent")
            raise

    async def close(self) -> None:
        """Drop all connections."""
        self.long_requests.close()
        self.permits.close()
        self.pool.close()

    async def _begun(
        self, outgoing: OutgoingRequest, claim: Claim, kind: Kind | None
    ) -> Kind | None:
        """Wait for the beginning of an upload; return what it counts as, else `kind`.

        One that begins slowly is sent as it comes, beside the permits; where there is no room for
        it, its beginning is read first.
        """
        if await outgoing.read_ahead(BEGINNING_SECONDS):
            return kind
        if self.permits.has_room("long-transfer", claim):
            return "long-transfer"
        await outgoing.read_ahead(None)
        return kind

    async def _connect(self) -> UpstreamConnection:
        """Open a connection to the configured address, whatever a client sends."""
        return await in_task(self._connected(), UpstreamConnection.abort)

    async def _connected(self) -> UpstreamConnection:
        try:
            async with asyncio.timeout(self._timeouts.connect):
                return await self._open()
        except TimeoutError:
            raise UpstreamTimeout("connect") from None
        except OSError:  # also what ssl raises
            raise UpstreamFailed("connect") from None

    async def _open(self) -> UpstreamConnection:
        loop = asyncio.get_running_loop()
        address = self.address
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
        limits, timeouts = self._limits, self._timeouts
        return UpstreamConnection(
            reader, self._write_buffer, window=limits.window, silence=timeouts.stream
        )


def _names(address: Address, *, tls: bool) -> frozenset[bytes]:
    """Return the authorities of the upstream; a Unix socket has none."""
    if not isinstance(address, TcpAddress):
        return frozenset()
    names = {str(address).lower()}
    if address.port == (_HTTPS_PORT if tls else _HTTP_PORT):
        names.add(str(address).lower().rpartition(":")[0])
    return frozenset(name.encode() for name in names)
