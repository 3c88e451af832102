"""The status page of the demo: it keeps the whole story, shows values, and has buttons."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, Protocol

from ..admin.auth.guard import Guard
from ..admin.operation import Endpoint
from ..admin.routes.follow import FollowRoutes
from ..admin.routes.page import page
from ..admin.routes.table import Routes
from ..admin.server import AdminServer
from ..config.settings import TcpAddress
from ..telemetry.logs.access_line import MessageLine
from ..telemetry.policy import MOST_KEPT
from ..telemetry.reporter import Reporter
from ..telemetry.tap import Tap, TapMessage
from ..traffic.downstream import sockets
from ..wiring.admin.service_view import ServiceView, TapViewer
from ..wiring.reload.config_files import Source
from ..wiring.reload.reload import Reloader
from ..wiring.sidecar.sidecar import Sidecar

_LOOK_SECONDS: Final = 0.5
_READ_ONLY: Final = frozenset({"/v1/status", "/v1/status/steps", "/v1/status/leaks"})


class Buttons(Protocol):
    """What a reader of the status page may do."""

    def endpoints(self) -> Sequence[Endpoint]:
        """Return where it is done."""

    def described(self) -> Sequence[Mapping[str, str]]:
        """Return name, label and meaning of each."""


class StoryTap(Tap):
    """A tap that shows values, since the chat is fictitious, and the chapter of each message.

    It shows all messages: a fast machine plays the story several times in a second.
    """

    __slots__ = ("chapter", "lines")

    def __init__(self) -> None:
        super().__init__(time.time, values=True, most=MOST_KEPT)
        self.chapter = ""
        self.lines = 0

    def line(self, line: MessageLine) -> None:
        """Record the line of a message, and count it."""
        super().line(line)
        self.lines += 1

    def _keep(self, message: TapMessage) -> None:
        super()._keep(message | {"chapter": self.chapter})


class StoryView(ServiceView):
    """A service whose viewers see all messages so far, and the buttons that it has."""

    buttons: Sequence[Mapping[str, str]] = ()

    def viewer(self) -> TapViewer:
        """Return a viewer that begins with the first message that is kept."""
        return self._viewers.viewer(from_start=True)

    async def status(self) -> Mapping[str, Any]:
        """Return what every service tells, and the buttons."""
        return {**await super().status(), "demo": list(self.buttons)}

    async def watch(self) -> None:
        """Look at the tap until cancelled, so that messages are kept while no page is open."""
        viewer = super().viewer()
        while True:
            await viewer.more()
            await asyncio.sleep(_LOOK_SECONDS)


@asynccontextmanager
async def status_page(
    sidecar: Sidecar, read: Source, reporter: Reporter, buttons: Buttons | None
) -> AsyncIterator[int]:
    """Serve the page for a sidecar and yield its port; it ends with the block.

    Nothing of the sidecar can be changed here: only what reads is served, and the buttons.
    """
    reloader = Reloader(read, (), reporter, environ=os.environ, clock=time.time)
    subject = StoryView(sidecar, reloader, lambda: reloader.reload("admin"), reporter)
    more = () if buttons is None else buttons.endpoints()
    subject.buttons = () if buttons is None else buttons.described()
    following = FollowRoutes(subject)
    routes = [one for one in Routes(subject).admin() if one.operation.path in _READ_ONLY]
    listen = TcpAddress("127.0.0.1", 0)
    served = [one.route() for one in (*routes, *following.all(), *page(), *more)]
    server = AdminServer(Guard("admin", listen, reporter, gate=None), served)
    opened = sockets.open_sockets(listen)
    watching = asyncio.get_running_loop().create_task(subject.watch())
    try:
        await server.start(opened)
        yield sockets.port_of(opened)
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        following.close()
        await server.close()
        sockets.close(opened)
