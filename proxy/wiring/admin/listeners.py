"""The admin and health listeners of one configuration, and the reload of their credentials."""

from __future__ import annotations

import asyncio
import platform
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ... import __version__
from ...config.settings import Address, AdminSettings, Settings
from ...config.values import files_in
from ...core import leaves
from ...telemetry.metrics import table
from ...telemetry.metrics.samples import Check, Samples
from ...telemetry.reporter import Reporter
from ...traffic.downstream import sockets
from ...traffic.downstream.sockets import Sockets
from ...traffic.timers import RepeatingTimer
from ..auditing import AuditedCalls
from ..policy import BEAT_SECONDS
from ..reload.config_files import Fingerprint, Source, fingerprint
from .service_view import ServiceView

if TYPE_CHECKING:
    from ...admin.auth.access import Access
    from ...admin.operation import Endpoint
    from ...admin.routes.follow import FollowRoutes
    from ...admin.server import AdminServer
    from .health import HealthThread, HealthView


Bound = Mapping[str, tuple[Address, Sockets]]
"""Listening sockets of `admin` and `health`, and what they are bound to."""


@dataclass(frozen=True, slots=True)
class _Material:
    """The credentials and certificate of `admin`, as its files are now."""

    access: Access
    tls: ssl.SSLContext | None
    files: Fingerprint

    def same_tls(self, other: _Material) -> bool:
        """Whether both use the same certificate, and want one of callers alike."""
        return self.files == other.files and self._verify_mode == other._verify_mode

    @property
    def _verify_mode(self) -> ssl.VerifyMode | None:
        return None if self.tls is None else self.tls.verify_mode


class WaitingView:
    """A process that waits for a root, as `HealthService`: alive and not ready, and why."""

    def __init__(self) -> None:
        self.reason = ""
        """Why no root opens the keyring, with the names of the roots."""

    def stalled(self) -> float:
        """Return 0: nothing carries traffic that could be held up."""
        return 0.0

    async def checks(self) -> tuple[Check, ...]:
        """Return the checks of a process that has not started."""
        return Check("started", ok=False), Check("root", ok=False, detail=self.reason)

    async def samples(self) -> Samples:
        """Return the samples of a process that has not started."""
        samples = Samples()
        samples.add(table.BUILD, 1, labels=(__version__, platform.python_version(), leaves.NATIVE))
        samples.add(table.READY, 0)
        return samples


class AdminListeners:
    """Owns the admin and the health listener."""

    def __init__(
        self,
        settings: Settings,
        reporter: Reporter,
        environ: Mapping[str, str],
        bound: Bound | None = None,
    ) -> None:
        """Open nothing yet; `bound` is what another one has handed over, and is this one's now."""
        self._settings = settings
        self._reporter = reporter
        self._environ = environ
        self._material: _Material | None = None
        self._bound = dict(bound or {})
        self._servers: dict[str, AdminServer] = {}
        self._health: HealthThread | None = None
        self._heartbeat: RepeatingTimer | None = None
        self._following: FollowRoutes | None = None
        self.calls: AuditedCalls | None = None
        """The audit log for calls, if there is one."""

    def port(self, name: str) -> int:
        """Return the TCP port of `admin` or `health`."""
        return sockets.port_of(self._bound[name][1])

    async def open(self) -> None:
        """Read the credentials and bind the addresses; raise UnfitEnvironment where one fails."""
        if self._settings.admin is not None:
            self._material = await asyncio.to_thread(_gather, self._settings.admin, self._environ)
            await self._open("admin", self._settings.admin.listen)
        health = self._settings.health
        await self._open("health", None if health is None else health.listen)

    async def start(self, service: ServiceView) -> None:
        """Serve `service`."""
        self._heartbeat = RepeatingTimer(lambda _: service.beat(), interval=BEAT_SECONDS)
        self._heartbeat.start()
        if self._material is not None:
            await self._start_admin(service, self._material)
        if "health" in self._bound:
            await self._start_health(service)

    async def _start_admin(self, service: ServiceView, material: _Material) -> None:
        # The admin API costs 20 ms and two megabytes: imported only where it is served.
        from ...admin.auth.guard import Gate, Guard  # noqa: PLC0415
        from ...admin.operation import scopes  # noqa: PLC0415
        from ...admin.routes.table import Routes  # noqa: PLC0415
        from ...admin.server import AdminServer  # noqa: PLC0415

        address, opened = self._bound["admin"]
        endpoints = [*Routes(service).admin(), *self._optional(service)]
        gate = Gate(material.access, scopes(endpoints), self._record)
        guard = Guard("admin", address, self._reporter, gate=gate)
        server = self._servers["admin"] = AdminServer(guard, [one.route() for one in endpoints])
        await server.start(opened, material.tls)
        self._reporter.report("admin.started", listener="admin", address=str(address))

    async def start_waiting(self, view: WaitingView) -> None:
        """Bind the health listener alone, and serve that nothing is ready yet."""
        if self._settings.health is not None:
            await self._open("health", self._settings.health.listen)
            await self._serve_health(view)

    async def _start_health(self, service: ServiceView) -> None:
        from .health import HealthView  # noqa: PLC0415 - see above

        loop = asyncio.get_running_loop()
        await self._serve_health(
            HealthView(service, loop, await service.checks(0), await service.samples(0))
        )
        address = str(self._bound["health"][0])
        self._reporter.report("admin.started", listener="health", address=address)

    async def _serve_health(self, view: HealthView | WaitingView) -> None:
        from ...admin.auth.guard import Guard  # noqa: PLC0415 - see above
        from ...admin.routes.app_probes import app_probe_routes, app_probes  # noqa: PLC0415
        from ...admin.routes.table import HealthRoutes  # noqa: PLC0415
        from ...admin.server import AdminServer  # noqa: PLC0415
        from .health import HealthThread  # noqa: PLC0415

        address, opened = self._bound["health"]
        probes = app_probes(self._environ)
        routes = [one.route() for one in HealthRoutes(view).all()]
        routes += app_probe_routes(probes) if probes else []
        guard = Guard("health", address, self._reporter, gate=None)
        self._health = HealthThread(lambda: AdminServer(guard, routes), opened)
        await self._health.start()

    def _optional(self, service: ServiceView) -> list[Endpoint]:
        """Return the endpoints of the tap and the status page, if the configuration has them."""
        admin = self._settings.admin
        served: list[Endpoint] = []
        if admin is not None and admin.tap:
            from ...admin.routes.follow import FollowRoutes  # noqa: PLC0415 - see above

            self._following = FollowRoutes(service)
            served += self._following.all()
        if admin is not None and admin.status_page:
            from ...admin.routes.page import page  # noqa: PLC0415 - see above

            served += page()
        return served

    async def hand_over(self) -> Bound:
        """Stop serving, and return what is bound: clients wait there for who serves it next."""
        bound = dict(self._bound)
        self._bound.clear()
        await self.close()
        return bound

    async def close(self) -> None:
        """Stop serving."""
        if self._following is not None:
            self._following.close()
        for server in self._servers.values():
            await server.close()
        if self._health is not None:
            await self._health.close()
            self._health = None
        if self._heartbeat is not None:
            self._heartbeat.stop()
        for address, opened in self._bound.values():
            sockets.close(opened, address)
        self._servers.clear()
        self._bound.clear()

    async def prepare(self, source: Source) -> AdminChange:
        """Return the change to the files as they are now; raise UnfitEnvironment for a bad one."""
        admin = source.loaded.settings.admin
        if admin is None or "admin" not in self._servers:
            return AdminChange(self, None)
        return AdminChange(self, await asyncio.to_thread(_gather, admin, self._environ))

    async def take(self, material: _Material) -> None:
        """Use other credentials and another certificate."""
        server = self._servers["admin"]
        if self._material is None or not self._material.same_tls(material):
            await server.renew_tls(material.tls)
        server.guard.access = material.access
        self._material = material

    async def _record(self, entry: Mapping[str, str | int]) -> None:
        if self.calls is not None:
            await self.calls.record(entry)

    async def _open(self, name: str, address: Address | None) -> None:
        """Bind an address, unless it is bound already; None: there is none any more."""
        before = self._bound.get(name)
        if before is not None and before[0] != address:
            sockets.close(before[1], before[0])
            del self._bound[name]
        if address is not None and name not in self._bound:
            self._bound[name] = address, await asyncio.to_thread(sockets.open_sockets, address)


class AdminChange:
    """A prepared change of the credentials and the certificate of the admin API."""

    def __init__(self, listeners: AdminListeners, material: _Material | None) -> None:
        self._listeners = listeners
        self._material = material

    async def apply(self) -> None:
        """Put them in force."""
        if self._material is not None:
            await self._listeners.take(self._material)

    async def discard(self) -> None:
        """Do nothing: nothing was opened."""


def _gather(settings: AdminSettings, environ: Mapping[str, str]) -> _Material:
    from ...admin.auth.access import read_access  # noqa: PLC0415 - see above

    # What its calls bring is read here, also where other processes have the keys.
    from ...keys.participants import public_key  # noqa: F401, PLC0415 - as above

    files = fingerprint(files_in(settings.tls))  # first: they may change while they are read
    context = None
    if settings.tls is not None:
        from ...traffic import tls  # noqa: PLC0415 - only for those who have it

        context = tls.listener_context(settings.tls)
        if settings.clients and settings.tls.client_ca is not None:
            # A caller without a certificate may have a token; a wrong one ends the handshake.
            context.verify_mode = ssl.CERT_OPTIONAL
    return _Material(read_access(settings, environ), context, files)
