"""One admin or health listener: a small HTTP server on sockets of its own."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Sequence
from typing import Final

from aiohttp import web

from .guard import Guard

_BODY_BYTES: Final = 16 * 1024
_LINE_BYTES: Final = 4096
_KEEPALIVE_SECONDS: Final = 15.0
_SHUTDOWN_SECONDS: Final = 2.0


class AdminServer:
    """Serves routes behind a guard."""

    def __init__(self, guard: Guard, routes: Sequence[web.RouteDef]) -> None:
        self.guard = guard
        self._sockets: tuple[socket.socket, ...] = ()
        self._sites: list[web.SockSite] = []
        app = web.Application(middlewares=[guard.middleware()], client_max_size=_BODY_BYTES)
        app.add_routes(routes)
        self._runner = web.AppRunner(
            app,
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
        """Answer at sockets that listen; they stay their giver's."""
        await self._runner.setup()
        self._sockets = tuple(sockets)
        await self.renew_tls(tls)

    async def renew_tls(self, tls: ssl.SSLContext | None) -> None:
        """Show another certificate to connections that begin from now on."""
        before, self._sites = self._sites, []
        for sock in self._sockets:
            site = web.SockSite(self._runner, sock.dup(), ssl_context=tls)
            await site.start()
            self._sites.append(site)
        for site in before:
            await site.stop()

    async def close(self) -> None:
        """Answer what is under way and stop."""
        await self._runner.cleanup()
