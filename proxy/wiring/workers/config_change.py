"""A change of configuration that all workers take, or none."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from ...core.errors import SealyardError
from ..ipc.worker_process import WorkerProcess
from ..reload.config_files import Source

CHANGE_SECONDS: Final = 30.0


class FleetChange:
    """Another configuration for all workers of a fleet."""

    def __init__(
        self,
        workers: list[WorkerProcess],
        source: Source,
        settle: Callable[[Source | None], None],
    ) -> None:
        """`settle` is called in the end: with the source that holds now, or None for the old."""
        self._workers = workers
        self._source = source
        self._settle = settle

    async def prepare(self) -> None:
        """Let every worker get ready; raise what the first of them met."""
        text, file = self._source.text, str(self._source.loaded.file)
        await everyone(
            worker.ask("prepare", CHANGE_SECONDS, text=text, file=file) for worker in self._workers
        )

    async def apply(self) -> None:
        """Let every worker go over; one that cannot is replaced by one that begins with it."""
        try:
            await asyncio.gather(*(self._apply(worker) for worker in self._workers))
        finally:
            self._settle(self._source)

    async def discard(self) -> None:
        """Let every worker forget it."""
        asking = (worker.ask("discard", CHANGE_SECONDS) for worker in self._workers)
        try:
            await asyncio.gather(*asking, return_exceptions=True)
        finally:
            self._settle(None)

    async def _apply(self, worker: WorkerProcess) -> None:
        try:
            await worker.ask("apply", CHANGE_SECONDS)
        except SealyardError:
            worker.kill()


async def everyone(awaitables: Any) -> None:  # noqa: ANN401 - any iterable of coroutines
    """Await all of them to their end; raise the first error there was."""
    for result in await asyncio.gather(*awaitables, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result
