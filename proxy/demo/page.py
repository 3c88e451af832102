"""The status page of the demo. It needs no token, since all that it shows is fictitious."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from ..admin.auth.guard import Guard
from ..admin.routes.page import page
from ..admin.routes.table import Routes
from ..admin.routes.tap import TapRoutes
from ..admin.server import AdminServer
from ..config.settings import TcpAddress
from ..telemetry.reporter import Reporter
from ..traffic.downstream import sockets
from ..wiring import Sidecar
from ..wiring.admin.service_view import Whole
from ..wiring.reload.config_files import Source
from ..wiring.reload.reload import Reloader

_READ_ONLY: Final = frozenset({"/v1/status", "/v1/explain"})


@asynccontextmanager
async def status_page(sidecar: Sidecar, read: Source, reporter: Reporter) -> AsyncIterator[int]:
    """Serve the page for a sidecar and yield its port; it ends with the block.

    Nothing can be changed here: only what reads is served.
    """
    reloader = Reloader(read, (), reporter, environ=os.environ, clock=time.time)
    subject = Whole(sidecar, reloader, lambda: reloader.reload("admin"), reporter)
    tap = TapRoutes(subject)
    routes = [one for one in Routes(subject).admin() if one.operation.path in _READ_ONLY]
    listen = TcpAddress("127.0.0.1", 0)
    served = [one.route() for one in (*routes, *tap.all(), *page())]
    server = AdminServer(Guard("admin", listen, reporter, gate=None), served)
    opened = sockets.open_sockets(listen)
    try:
        await server.start(opened)
        yield sockets.port_of(opened)
    finally:
        tap.close()
        await server.close()
        sockets.close(opened)
