"""The HTTP/1.1 listener: sockets, connections and their deadlines."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import stat
from pathlib import Path
from typing import Any, NoReturn, Protocol

from aiohttp import StreamReader, http_parser, web

from ..config.limits import Timeouts, TrafficLimits
from ..config.settings import Address, TcpAddress, UnixAddress
from ..core.errors import TrafficError, UnfitEnvironment
from .client_connection import ClientConnection
from .client_request import ClientRequest
from .interfaces import Request
from .problem import Problem, deliberate
from .ticker import Ticker, interval

_BACKLOG = 1024
_SOCKET_MASK = 0o117  # leaves 0660


class Answerer(Protocol):
    """Who answers what arrives."""

    async def handle(self, request: Request) -> None:
        """Answer one request."""

    def reject(self, error: TrafficError) -> Problem:
        """Return the answer to what never came to be a request."""


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


class HttpListener:
    """Accepts connections at one address."""

    def __init__(
        self,
        address: Address,
        answerer: Answerer,
        *,
        tls: ssl.SSLContext | None = None,
        limits: TrafficLimits | None = None,
        timeouts: Timeouts | None = None,
    ) -> None:
        """Check the environment; nothing is opened before `start`."""
        require_c_parser()
        self._address = address
        self._answerer = answerer
        self._tls = tls
        self.limits = limits or TrafficLimits()
        self.timeouts = timeouts or Timeouts()
        self.draining = False
        self._connections: set[ClientConnection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._empty: asyncio.Future[None] | None = None
        self._server: asyncio.Server | None = None
        self._ticker = Ticker(self._check, interval=interval(self.timeouts))

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        return len(self._connections)

    @property
    def port(self) -> int:
        """The TCP port, once started: it was chosen by the system where the settings say 0."""
        if self._server is None or isinstance(self._address, UnixAddress):
            return 0
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def start(self) -> None:
        """Begin to accept connections."""
        loop = asyncio.get_running_loop()
        manager = web.Server(_never)

        def connection() -> ClientConnection:
            return ClientConnection(manager, self, loop)

        patience = self.timeouts.head if self._tls is not None else None
        if isinstance(self._address, TcpAddress):
            self._server = await loop.create_server(
                connection,
                self._address.host,
                self._address.port,
                ssl=self._tls,
                backlog=_BACKLOG,
                ssl_handshake_timeout=patience,
            )
        else:
            sock = await loop.run_in_executor(None, _bind, str(self._address.path))
            self._server = await loop.create_unix_server(
                connection,
                sock=sock,
                ssl=self._tls,
                backlog=_BACKLOG,
                ssl_handshake_timeout=patience,
            )
        self._ticker.start()

    def stop_accepting(self) -> None:
        """Accept no more, close what is idle, and let what is under way be the last."""
        self.draining = True
        if self._server is not None:
            self._server.close()
            self._server = None
            if isinstance(self._address, UnixAddress):
                Path(self._address.path).unlink(missing_ok=True)
        for connection in tuple(self._connections):
            connection.close_idle()

    async def drained(self, seconds: float) -> bool:
        """Wait until all connections have ended; return whether they did in time."""
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
        for connection in tuple(self._connections):
            connection.abort()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._ticker.stop()

    # --- called by the connections ------------------------------------------------------------

    def admits(self, connection: ClientConnection) -> bool:
        """Count a new connection in; return whether there was room for it."""
        if self.draining or len(self._connections) >= self.limits.clients:
            return False
        self._connections.add(connection)
        return True

    def began(self, task: asyncio.Task[None]) -> None:
        """Hold the task of a connection."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def lost(self, connection: ClientConnection) -> None:
        """Count a connection out."""
        self._connections.discard(connection)
        if not self._connections and self._empty is not None and not self._empty.done():
            self._empty.set_result(None)

    async def serve(
        self,
        connection: ClientConnection,
        message: Any,  # noqa: ANN401 - the C parser's class has no name to import
        payload: StreamReader,
    ) -> bool:
        """Answer one request; return whether the connection may carry another."""
        request = ClientRequest(connection, message, payload)
        await self._answerer.handle(request)
        return request.keep and not self.draining

    async def refuse(self, connection: ClientConnection, error: TrafficError) -> None:
        """Answer what never came to be a request."""
        problem = self._answerer.reject(error)
        connection.write(problem.render(connection=b"close", head_only=False))
        await connection.drain()

    def failed(self, error: Exception) -> None:
        """Take note of what should not have happened, by the name of its class alone."""
        self._answerer.reject(deliberate(error))

    def _check(self, now: float) -> None:
        for connection in tuple(self._connections):
            connection.check(now)


async def _never(_: web.BaseRequest) -> NoReturn:
    """Stand where aiohttp wants a handler; our connections have their own."""
    raise NotImplementedError("ClientConnection answers by itself")


def _bind(path: str) -> socket.socket:
    """Return a socket at `path` that only owner and group may use."""
    _remove_stale(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # The mode must be right from the first moment on, and chmod would come after it.
    mask = os.umask(_SOCKET_MASK)
    try:
        sock.bind(path)
    except OSError as error:
        sock.close()
        raise UnfitEnvironment("socket", detail=f"{path}: {error.strerror}") from None
    finally:
        os.umask(mask)
    sock.setblocking(False)  # noqa: FBT003 - the signature of the standard library
    return sock


def _remove_stale(path: str) -> None:
    """Remove what a killed process left behind, and nothing else."""
    try:
        if not stat.S_ISSOCK(Path(path).stat().st_mode):
            raise UnfitEnvironment("socket", detail=f"{path} exists and is not a socket.")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(path)
        except OSError:
            Path(path).unlink(missing_ok=True)
            return
    raise UnfitEnvironment("socket", detail=f"{path} is in use by another process.")
