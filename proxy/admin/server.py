"""One admin or health listener: a small HTTP server on its own sockets."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Sequence
from typing import Final, cast

from aiohttp.web_app import Application
from aiohttp.web_routedef import RouteDef
from aiohttp.web_runner import AppRunner

from .auth.guard import Guard

_BODY_BYTES: Final = 16 * 1024
_LINE_BYTES: Final = 4096
_KEEPALIVE_SECONDS: Final = 15.0
_SHUTDOWN_SECONDS: Final = 2.0
_BACKLOG: Final = 128
MOST_CONNECTIONS: Final = 256
"""Connections at once; more are reset, since the traffic needs file descriptors too.

A connection that sends nothing, or half a head, is closed after the keep-alive timeout.
"""


class _Reset(asyncio.Protocol):
    """A connection above MOST_CONNECTIONS."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Reset it at once."""
        cast("asyncio.Transport", transport).abort()


def application(guard: Guard, routes: Sequence[RouteDef]) -> Application:
    """Return the application of a listener: its routes behind its guard."""
    app = Application(middlewares=[guard.middleware()], client_max_size=_BODY_BYTES)
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
            access_log=None,
            handle_signals=False,
            keepalive_timeout=_KEEPALIVE_SECONDS,
            shutdown_timeout=_SHUTDOWN_SECONDS,
            max_line_size=_LINE_BYTES,
            max_field_size=_LINE_BYTES,
            max_headers=64,
        )

    async def start(
        self, sockets: Sequence[socket.socket], tls: ssl.SSLContext | None = None
    ) -> None:
        """Serve on listening sockets, which the caller still owns."""
        await self._runner.setup()
        self._sockets = tuple(sockets)
        await self.renew_tls(tls)

    async def renew_tls(self, tls: ssl.SSLContext | None) -> None:
        """Use another certificate for new connections."""
        before, self._servers = self._servers, []
        create = asyncio.get_running_loop().create_server
        handshake_seconds = None if tls is None else _KEEPALIVE_SECONDS
        for sock in self._sockets:
            server = await create(
                self._connection,
                sock=sock.dup(),
                ssl=tls,
                backlog=_BACKLOG,
                ssl_handshake_timeout=handshake_seconds,
            )
            self._servers.append(server)
        for server in before:
            server.close()

    async def close(self) -> None:
        """Finish the requests in progress and stop."""
        for server in self._servers:
            server.close()
        await self._runner.cleanup()

    def _connection(self) -> asyncio.Protocol:
        served = self._runner.server
        if served is None or len(served.connections) >= MOST_CONNECTIONS:
            return _Reset()
        return served()
