"""The whole service in the process that the operator started: traffic, admin, reload, drain."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..admin.subject import Reloaded
from ..telemetry.tally import Reporter
from .admin_listeners import AdminListeners
from .files import all_files
from .reload import Cause, Reloader
from .source import Source
from .subject import Carrier, Whole
from .watch import INTERVAL_SECONDS, Watch


class Service:
    """Runs a carrier by a configuration file, and whatever else the file asks for."""

    def __init__(  # noqa: PLR0913 - what the command hands in, each by name
        self,
        source: Source,
        carrier: Carrier,
        reporter: Reporter,
        *,
        environ: Mapping[str, str],
        clock: Callable[[], float] = time.time,
        watch_interval: float = INTERVAL_SECONDS,
    ) -> None:
        """Open nothing yet. Needs a running event loop."""
        self.carrier = carrier
        self._reporter = reporter
        self.admin = AdminListeners(source.loaded.settings, reporter, environ)
        self.reloader = Reloader(
            source, (carrier, self.admin), reporter, environ=environ, clock=clock
        )
        self._watch = Watch(self._files, self._changed, interval=watch_interval)
        self._tasks: set[asyncio.Task[Any]] = set()

    async def start(self) -> None:
        """Begin; raise what keeps it from beginning, and leave nothing open then."""
        try:
            # Every place is taken before anybody is answered at one of them.
            await self.admin.open()
            await self.carrier.open()
            subject = Whole(
                self.carrier, self.reloader, lambda: self.reload("admin"), self._reporter
            )
            await self.admin.start(subject)
            await self.carrier.start()
        except BaseException:
            await self.close()
            raise
        self._hold(asyncio.get_running_loop().create_task(self._watch.run()))

    def reload_soon(self, cause: Cause) -> None:
        """Reload beside what is going on; a signal handler cannot wait."""
        self._hold(asyncio.get_running_loop().create_task(self.reload(cause)))

    async def reload(self, cause: Cause) -> Reloaded:
        """Take what the configuration file says now, or keep what is in force and tell why."""
        await asyncio.to_thread(self._watch.forgive)
        return await self.reloader.reload(cause)

    def announce_drain(self) -> None:
        """Say no to probes; connections are still accepted."""
        self.carrier.announce_drain()

    async def drain(self, grace: float) -> bool:
        """Stop in good order within `grace` seconds; return whether nothing had to be cut."""
        self._end_tasks()
        try:
            return await self.carrier.drain(grace)
        finally:
            # Last, so that probes see that it is not ready, rather than nothing.
            await self.admin.close()

    async def close(self) -> None:
        """Drop everything at once."""
        self._end_tasks()
        await self.carrier.close()
        await self.admin.close()

    def _files(self) -> tuple[Path, ...]:
        source = self.reloader.source
        return all_files(source.loaded.file, source.loaded.settings)

    async def _changed(self) -> object:
        return await self.reloader.reload("file")

    def _hold(self, task: asyncio.Task[Any]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _end_tasks(self) -> None:
        for task in self._tasks:
            task.cancel()
