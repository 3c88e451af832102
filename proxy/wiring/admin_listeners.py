"""The admin and health listeners of one configuration, with the token that is read again."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..admin.token import BearerToken, read_token
from ..config.settings import Address, Settings
from ..telemetry.tally import Reporter
from ..traffic import sockets
from ..traffic.sockets import Sockets
from .source import Source
from .subject import Whole

if TYPE_CHECKING:
    from ..admin.server import AdminServer


class AdminListeners:
    """Owns the listeners that do not carry traffic."""

    def __init__(self, settings: Settings, reporter: Reporter, environ: Mapping[str, str]) -> None:
        self._settings = settings
        self._reporter = reporter
        self._environ = environ
        self._token: BearerToken | None = None
        self._places: dict[str, tuple[Address, Sockets]] = {}
        self._servers: dict[str, AdminServer] = {}

    @property
    def wanted(self) -> bool:
        """Whether there is anything to serve."""
        return self._settings.admin is not None or self._settings.health is not None

    def port(self, name: str) -> int:
        """Return the TCP port of `admin` or `health`."""
        return sockets.port_of(self._places[name][1])

    async def open(self) -> None:
        """Read the token and take the places to listen, or raise UnfitEnvironment."""
        if self._settings.admin is not None:
            token = self._settings.admin.token
            self._token = await asyncio.to_thread(read_token, token, self._environ)
            await self._open("admin", self._settings.admin.listen)
        if self._settings.health is not None:
            await self._open("health", self._settings.health.listen)

    async def start(self, subject: Whole) -> None:
        """Begin to answer."""
        # Prometheus' client is worth 12 ms and a megabyte: only where somebody can ask for it.
        from ..admin.app_probes import app_probe_routes, app_probes  # noqa: PLC0415
        from ..admin.guard import Guard  # noqa: PLC0415
        from ..admin.routes import Routes  # noqa: PLC0415
        from ..admin.server import AdminServer  # noqa: PLC0415

        routes = Routes(subject)
        probing = app_probe_routes(app_probes(self._environ))
        for name, (address, opened) in self._places.items():
            token = self._token if name == "admin" else None
            guard = Guard(name, address, self._reporter, token=token)
            served = routes.admin() if name == "admin" else [*routes.health(), *probing]
            server = AdminServer(guard, served)
            self._servers[name] = server
            await server.start(opened)
            self._reporter.report("admin.started", listener=name, address=str(address))

    async def close(self) -> None:
        """Stop to answer."""
        for server in self._servers.values():
            await server.close()
        for address, opened in self._places.values():
            sockets.close(opened, address)
        self._servers.clear()
        self._places.clear()

    async def prepare(self, source: Source) -> TokenChange:
        """Return the change to the token as it stands now; raise UnfitEnvironment without one."""
        admin = source.loaded.settings.admin
        if admin is None or "admin" not in self._servers:
            return TokenChange(None, None)
        token = await asyncio.to_thread(read_token, admin.token, self._environ)
        return TokenChange(self._servers["admin"], token)

    async def _open(self, name: str, address: Address) -> None:
        self._places[name] = address, await asyncio.to_thread(sockets.open_sockets, address)


class TokenChange:
    """Another token for callers of the admin API."""

    def __init__(self, server: AdminServer | None, token: BearerToken | None) -> None:
        self._server = server
        self._token = token

    async def apply(self) -> None:
        """Put it in force."""
        if self._server is not None:
            self._server.guard.token = self._token

    async def discard(self) -> None:
        """Forget it."""
