"""What is done now and then beside the messages: drop_ended ended sessions, tell what was used."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final

from ..stores.guarded import Notice
from ..stores.store import end
from .sessions import Sessions

INTERVAL_SECONDS: Final = 10.0
_LAST_SECONDS: Final = 0.5


class Upkeep:
    """Owns the task that does it. `clock` returns seconds since 1970."""

    def __init__(
        self,
        sessions: Sessions,
        *,
        clock: Callable[[], float],
        notice: Notice,
        interval: float = INTERVAL_SECONDS,
        drop_ended: Callable[[], Iterable[None]] = tuple,
    ) -> None:
        """Begin nothing yet. `drop_ended` lets go of what is over elsewhere, a step at a time."""
        self._sessions = sessions
        self._clock = clock
        self._notice = notice
        self._interval = interval
        self._bury = drop_ended
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def once(self) -> None:
        """Do it now. The store is asked one question at least, which shows how it stands."""
        for steps in (self._sessions.drop_ended(), self._bury()):
            for _ in steps:
                await asyncio.sleep(0)
        await self._sessions.use.tell(
            self._sessions.store,
            self._sessions.keyring.record_key,
            self._clock(),
            notice=self._notice,
        )

    async def close(self) -> None:
        """Tell the store the last of it, if it answers soon, and stop."""
        task, self._task = self._task, None
        if task is None:
            return
        await end(task)
        with suppress(TimeoutError):
            async with asyncio.timeout(_LAST_SECONDS):
                await self.once()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._interval)
            await self.once()
