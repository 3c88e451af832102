"""One admin or health listener: a small HTTP server on its own sockets."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Sequence
from typing import cast

from aiohttp.web_app import Application
from aiohttp.web_protocol import RequestHandler
from aiohttp.web_request import BaseRequest
from aiohttp.web_response import StreamResponse
from aiohttp.web_routedef import RouteDef
from aiohttp.web_runner import AppRunner
from aiohttp.web_server import Server

from . import policy
from .auth.guard import Guard


class _Reset(asyncio.Protocol):
    """A connection above MOST_CONNECTIONS."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Reset it at once."""
        cast("asyncio.Transport", transport).abort()


class _Connection(RequestHandler):
    """A connection whose requests are answered by the guard, also those that are no HTTP."""

    __slots__ = ("_guard",)

    def __init__(self, server: Server, guard: Guard) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            access_log=None,  # type: ignore[arg-type] # aiohttp's own way to have none
            keepalive_timeout=policy.KEEPALIVE_SECONDS,
            max_line_size=policy.HEAD_LINE_BYTES,
            max_field_size=policy.HEAD_LINE_BYTES,
            max_headers=policy.MOST_HEADERS,
        )
        self._guard = guard

    def handle_error(
        self,
        request: BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> StreamResponse:
        """Answer what no route was asked for; it ends the connection."""
        if request.writer.output_size > 0:
            raise ConnectionError("a part of the response has been sent")
        response = self._guard.unread(request, exc)
        response.force_close()
        return response


def application(guard: Guard, routes: Sequence[RouteDef]) -> Application:
    """Return the application of a listener: its routes behind its guard."""
    app = Application(middlewares=[guard.middleware()], client_max_size=policy.BODY_BYTES)
    app.add_routes(routes)
    return app


class AdminServer:
    """Serves routes behind a guard."""

    def __init__(self, guard: Guard, routes: Sequence[RouteDef]) -> None:
        self.guard = guard
        self._sockets: tuple[socket.socket, ...] = ()
        self._servers: list[asyncio.Server] = []
        self._runner = AppRunner(
            application(guard, routes),
            handle_signals=False,
            shutdown_timeout=policy.SHUTDOWN_SECONDS,
        )

    async def start(
        self, sockets: Sequence[socket.socket], tls: ssl.SSLContext | None = None
    ) -> None:
        """Serve on listening sockets, which the caller still owns."""
        await self._runner.setup()
        self._sockets = tuple(sockets)
        await self.renew_tls(tls)

    async def renew_tls(self, tls: ssl.SSLContext | None) -> None:
        """Use another certificate for new connections; whatever it raises leaves the one before."""
        made: list[asyncio.Server] = []
        try:
            for sock in self._sockets:
                made.append(await self._serve(sock, tls))  # noqa: PERF401 - what was made must be closed
        except BaseException:
            _close(made)
            raise
        before, self._servers = self._servers, made
        _close(before)

    async def _serve(self, sock: socket.socket, tls: ssl.SSLContext | None) -> asyncio.Server:
        return await asyncio.get_running_loop().create_server(
            self._connection,
            sock=sock.dup(),
            ssl=tls,
            backlog=policy.BACKLOG,
            ssl_handshake_timeout=None if tls is None else policy.KEEPALIVE_SECONDS,
        )

    async def close(self) -> None:
        """Finish the requests in progress and stop."""
        _close(self._servers)
        await self._runner.cleanup()

    def _connection(self) -> asyncio.Protocol:
        served = self._runner.server
        if served is None or len(served.connections) >= policy.MOST_CONNECTIONS:
            return _Reset()
        return _Connection(served, self.guard)


def _close(servers: Sequence[asyncio.Server]) -> None:
    for server in servers:
        server.close()
