"""The service in the process that the operator started: traffic, admin, reload and drain."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..admin.service import Reloaded
from ..keys.audit import Trail
from ..telemetry.reporter import Reporter
from . import auditing
from .admin.ladder import LadderKeeper
from .admin.listeners import AdminListeners, Bound
from .admin.service_view import Carrier, ServiceView
from .auditing import AuditedCalls
from .policy import WATCH_SECONDS
from .reload.config_files import Source, Watch, all_files
from .reload.reload import Cause, Reloader, Target, may_pass
from .unlocking import Unlocking


class Service:
    """Runs a carrier, its admin listeners and the reload of one configuration file."""

    def __init__(  # noqa: PLR0913 - what the command hands in, each by name
        self,
        source: Source,
        carrier: Carrier,
        reporter: Reporter,
        *,
        environ: Mapping[str, str],
        bound: Bound | None = None,
        clock: Callable[[], float] = time.time,
        watch_interval: float = WATCH_SECONDS,
    ) -> None:
        """Open nothing yet; `bound` is what listens for probes. Needs a running event loop."""
        self.carrier = carrier
        self._reporter = reporter
        self.admin = AdminListeners(source.loaded.settings, reporter, environ, bound)
        self._unlocking = Unlocking(reporter, lambda: self.reload_soon("shares"))
        targets: tuple[Target, ...] = carrier, self.admin, self._unlocking
        self._ladder: LadderKeeper | None = None
        admin = source.loaded.settings.admin
        if admin is not None:
            self._ladder = LadderKeeper(
                carrier.facts,
                lambda: self.reloader.source.loaded.settings,
                reporter,
                clock=clock,
                file=admin.ladder_file,
            )
            # First: it takes what was counted under the old configuration.
            targets = self._ladder, *targets
        self.reloader = Reloader(
            source, targets, reporter, environ=environ, clock=clock, lessen=carrier.lessen
        )
        self._watch = Watch(self._files, self._changed, seen=source.seen, interval=watch_interval)
        self._environ = environ
        self._clock = clock
        self._trail: Trail | None = None
        self._own: Trail | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    async def start(self) -> None:
        """Start everything; on an error, close what is open and raise it."""
        try:
            # All addresses are bound before any of them is served.
            await self.admin.open()
            await self.carrier.open()
            await self._open_trail()
            view = ServiceView(
                self.carrier,
                self.reloader,
                lambda: self.reload("admin"),
                self._reporter,
                trail=self._own,
                ladder=self._ladder,
            )
            await self.admin.start(view)
            await self.carrier.start()
            if self._ladder is not None:
                await self._ladder.start()
            await self._unlocking.start(self.reloader.source.loaded.settings)
        except BaseException:
            await self.close()
            raise
        if self._ladder is not None:
            self._keep(asyncio.get_running_loop().create_task(self._ladder.run()))
        self._keep(asyncio.get_running_loop().create_task(self._watch.run()))

    def reload_soon(self, cause: Cause) -> None:
        """Reload in the background: a signal handler cannot wait."""
        self._keep(asyncio.get_running_loop().create_task(self.reload(cause)))

    async def reload(self, cause: Cause) -> Reloaded:
        """Load the configuration file again; if it is refused, the one in force stays.

        Unless the files caused the refusal, it is tried again by itself.
        """
        await asyncio.to_thread(self._watch.skip)
        return await self._reload(cause)

    def announce_drain(self) -> None:
        """Fail readiness from now on; connections are still accepted."""
        self.carrier.announce_drain()

    async def drain(self, grace: float) -> bool:
        """Shut down gracefully within `grace` seconds; return whether nothing was cut off."""
        self._end_tasks()
        await self._unlocking.close()
        try:
            if self._ladder is not None:
                await self._ladder.take()
            return await self.carrier.drain(grace)
        finally:
            if self._ladder is not None:
                await self._ladder.close()
            # Last, so that probes get "not ready" meanwhile.
            await self._close_admin()

    async def close(self) -> None:
        """Drop everything at once."""
        self._end_tasks()
        await self._unlocking.close()
        await self.carrier.close()
        await self._close_admin()

    async def _open_trail(self) -> None:
        """Use the audit log of the carrier, or open one for this process."""
        self._trail = self.carrier.trail
        if self._trail is None and not self.carrier.holds_keys:
            settings = self.reloader.source.loaded.settings
            self._own = await auditing.open_own(
                settings, self._environ, self._reporter, self._clock
            )
            self._trail = self._own
        self.reloader.trail = self._trail
        if self._trail is not None:
            self.admin.calls = AuditedCalls(self._trail, time.monotonic)

    async def _close_admin(self) -> None:
        await self.admin.close()
        if self.admin.calls is not None:
            self.admin.calls.close()
        if self._trail is not None:
            await self._trail.close()

    def _files(self) -> tuple[Path, ...]:
        source = self.reloader.source
        return all_files(source.loaded.file, source.loaded.settings)

    async def _changed(self) -> object:
        return await self._reload("file")

    async def _reload(self, cause: Cause) -> Reloaded:
        outcome = await self.reloader.reload(cause)
        self._watch.end(again=may_pass(outcome))
        return outcome

    def _keep(self, task: asyncio.Task[Any]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _end_tasks(self) -> None:
        for task in self._tasks:
            task.cancel()
