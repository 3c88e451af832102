"""The HTTP/1.1 listener: sockets, connections and their deadlines."""

from __future__ import annotations

import asyncio
import socket
import ssl
import sys
from collections.abc import Coroutine
from functools import partial
from typing import Any, Final, NoReturn, Protocol

from aiohttp import StreamReader, http_parser, web

from ..config.limits import Timeouts, TrafficLimits
from ..config.settings import Address, UnixAddress
from ..core.errors import TrafficError, UnfitEnvironment
from .addresses import Addresses
from .client_connection import ClientConnection
from .client_request import ClientRequest
from .hop import Peer
from .interfaces import Request
from .plain_connection import PlainConnection
from .plain_request import PlainRequest
from .problem import Problem, deliberate
from .sockets import BACKLOG, Sockets, close, open_sockets, port_of, waiting_at
from .ticker import Ticker, interval
from .trip import Station, Trip


class Answerer(Protocol):
    """Who answers what arrives."""

    def handle(self, request: Request) -> Coroutine[Any, Any, None]:
        """Answer one request."""

    def depart(self, request: PlainRequest, station: Station) -> Trip | None:
        """Send a plain request on its way without a wait, or return None and do nothing."""

    def reject(self, error: TrafficError) -> Problem:
        """Return the answer to what never came to be a request."""


class Guest(Protocol):
    """A connection of a client, as the listener sees it."""

    @property
    def peer(self) -> Peer:
        """Who is at the other end."""

    def check(self, now: float) -> None:
        """End what has lasted too long."""

    def leave(self) -> None:
        """Close the connection if it is idle; let end what would never end by itself."""

    def abort(self) -> None:
        """Drop the connection."""


def require_c_parser() -> None:
    """Refuse to work on aiohttp's Python parser, which accepts what must not pass.

    Raises:
        UnfitEnvironment: aiohttp came without its C extensions.
    """
    if http_parser.HttpRequestParser is http_parser.HttpRequestParserPy:
        raise UnfitEnvironment(
            "aiohttp-without-c-parser",
            detail="aiohttp was installed without its C extensions; install a wheel of it.",
        )


PARTING: Final = 3.0
"""How many seconds a drain leaves to a client that is just about to use its idle connection."""


class HttpListener:
    """Accepts connections at one address.

    `parting` is for how many seconds a drain keeps a connection that rests.
    """

    def __init__(  # noqa: PLR0913 - what the wiring hands in, each by name
        self,
        address: Address,
        answerer: Answerer,
        *,
        tls: ssl.SSLContext | None = None,
        limits: TrafficLimits | None = None,
        timeouts: Timeouts | None = None,
        sockets: Sockets | None = None,
        redirected: bool = False,
    ) -> None:
        """Check the environment; nothing is opened before `start`.

        With `sockets`, which listen already and stay their giver's, nothing is bound here. Where
        clients are `redirected`, each connection is asked which port it was for.
        """
        require_c_parser()
        self._sockets: Sockets = sockets or ()
        self._owned = sockets is None
        self._address = address
        self._answerer = answerer
        self._tls = tls
        self.limits = limits or TrafficLimits()
        self.timeouts = timeouts or Timeouts()
        self.draining = False
        self.redirected = redirected
        self.parting = PARTING
        self._closed = False
        self._adopting: set[asyncio.Task[None]] = set()
        self._connections: set[Guest] = set()
        self._addresses = Addresses()
        self._tasks: set[asyncio.Task[None]] = set()
        self._empty: asyncio.Future[None] | None = None
        self._servers: list[asyncio.Server] = []
        self._ticker = Ticker(self._check, interval=interval(self.timeouts))

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        return len(self._connections)

    @property
    def port(self) -> int:
        """The TCP port, once started: it was chosen by the system where the settings say 0."""
        return port_of(self._sockets)

    async def start(self) -> None:
        """Begin to accept connections."""
        if self._owned:
            self._sockets = await asyncio.to_thread(open_sockets, self._address)
        self._servers = await self._accept()
        self._ticker.start()

    def answer_with(self, answerer: Answerer, *, limits: TrafficLimits, timeouts: Timeouts) -> None:
        """Let `answerer` answer from now on; a request keeps the one it began with."""
        self._answerer, self.limits, self.timeouts = answerer, limits, timeouts

    async def renew_tls(self, tls: ssl.SSLContext | None) -> None:
        """Show new connections another certificate; those that stand keep theirs."""
        if self.draining:
            return
        old, self._tls = self._servers, tls
        # Both accept from the same sockets, so no connection meets a closed port in between.
        self._servers = await self._accept()
        for server in old:
            server.close()

    async def _accept(self) -> list[asyncio.Server]:
        loop = asyncio.get_running_loop()
        opener: Any = loop.create_server
        if isinstance(self._address, UnixAddress):
            opener = loop.create_unix_server
            if sys.version_info >= (3, 13):
                # The path is not the server's to remove: others may still accept there.
                opener = partial(opener, cleanup_socket=False)
        return [
            await opener(
                self._connection,
                sock=sock.dup(),
                ssl=self._tls,
                backlog=BACKLOG,
                ssl_handshake_timeout=self._handshake,
            )
            for sock in self._sockets
        ]

    def _connection(self) -> PlainConnection:
        return PlainConnection(self, asyncio.get_running_loop())

    @property
    def _handshake(self) -> float | None:
        return self.timeouts.head if self._tls is not None else None

    def stop_accepting(self) -> None:
        """Accept no more than those who have already been told that they are connected."""
        self.draining = True
        for server in self._servers:
            for sock in waiting_at(server):
                self._adopting.add(asyncio.get_running_loop().create_task(self._adopt(sock)))
            server.close()
        self._servers = []
        if self._owned and self._sockets:
            close(self._sockets, self._address)
            self._sockets = ()

    async def _adopt(self, sock: socket.socket) -> None:
        """Serve a connection that nobody has accepted yet."""
        loop = asyncio.get_running_loop()
        try:
            await loop.connect_accepted_socket(
                self._connection, sock, ssl=self._tls, ssl_handshake_timeout=self._handshake
            )
        except OSError:  # also what ssl raises: the client is gone, or speaks no TLS
            sock.close()

    async def drained(self, seconds: float) -> bool:
        """Let all connections end, and wait for it; return whether they did in time."""
        self.parting = min(PARTING, seconds / 2)
        if self._adopting:
            await asyncio.wait(self._adopting, timeout=self.parting)
        for connection in tuple(self._connections):
            connection.leave()
        if not self._connections:
            return True
        self._empty = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(seconds):
                await self._empty
        except TimeoutError:
            return False
        finally:
            self._empty = None
        return True

    async def close(self) -> None:
        """Drop what is left."""
        self.stop_accepting()
        self._closed = True
        for connection in tuple(self._connections):
            connection.abort()
        tasks = self._tasks | self._adopting
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._ticker.stop()

    # --- called by the connections ------------------------------------------------------------

    def admits(self, connection: Guest) -> bool:
        """Count a new connection in; return whether there was room for it."""
        if self._closed or len(self._connections) >= self.limits.clients:
            return False
        if not self._addresses.admits(connection.peer.address, self.limits.clients_per_address):
            return False
        self._connections.add(connection)
        if self.draining:
            asyncio.get_running_loop().call_soon(connection.leave)
        return True

    def began(self, task: asyncio.Task[None]) -> None:
        """Hold the task of a connection."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def lost(self, connection: Guest) -> None:
        """Count a connection out."""
        if connection in self._connections:
            self._connections.remove(connection)
            self._addresses.lost(connection.peer.address)
        if not self._connections and self._empty is not None and not self._empty.done():
            self._empty.set_result(None)

    def depart(self, request: PlainRequest, station: Station) -> Trip | None:
        """Send a plain request on its way without a wait, or return None and do nothing."""
        return self._answerer.depart(request, station)

    def handle(self, request: PlainRequest) -> Coroutine[Any, Any, None]:
        """Answer a plain request, with waits."""
        return self._answerer.handle(request)

    def hand_over(
        self, connection: PlainConnection, transport: asyncio.Transport, data: bytes, *, ended: bool
    ) -> bool:
        """Let a parser read `data` and what comes behind it; `ended` says that nothing does.

        Return whether the connection stays open for writing.
        """
        heir = ClientConnection(web.Server(_never), self, asyncio.get_running_loop())
        self._connections.discard(connection)
        self._connections.add(heir)
        heir.take_over(transport, connection.peer)
        heir.data_received(data)
        return heir.eof_received() if ended else True

    async def serve(
        self,
        connection: ClientConnection,
        message: Any,  # noqa: ANN401 - the C parser's class has no name to import
        payload: StreamReader,
    ) -> bool:
        """Answer one request; return whether the connection may carry another."""
        request = ClientRequest(connection, message, payload)
        await self._answerer.handle(request)
        return request.keep

    async def refuse(self, connection: ClientConnection, error: TrafficError) -> None:
        """Answer what never came to be a request."""
        problem = self._answerer.reject(error)
        connection.write(problem.render(connection=b"close", head_only=False))
        await connection.drain()

    def failed(self, error: BaseException) -> None:
        """Take note of what should not have happened, by the name of its class alone."""
        self._answerer.reject(deliberate(error))

    def _check(self, now: float) -> None:
        for connection in tuple(self._connections):
            connection.check(now)


async def _never(_: web.BaseRequest) -> NoReturn:
    """Stand where aiohttp wants a handler; our connections have their own."""
    raise NotImplementedError("ClientConnection answers by itself")
