"""What is done periodically beside the messages: drop ended sessions, store the use of KEKs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress

from ..policy import HOUSEKEEPING_SECONDS, LAST_HOUSEKEEPING_SECONDS
from ..stores.guarded import Notice
from ..stores.store import end
from .sessions import Sessions


class Upkeep:
    """Owns the task that does it. `clock` returns seconds since 1970."""

    def __init__(  # noqa: PLR0913 - what the wiring hands in, each by name
        self,
        sessions: Sessions,
        *,
        clock: Callable[[], float],
        notice: Notice,
        interval: float = HOUSEKEEPING_SECONDS,
        drop_ended: Callable[[], Iterable[None]] = tuple,
        asked: Callable[[], None] = lambda: None,
    ) -> None:
        """Start nothing yet.

        `drop_ended` drops what has ended elsewhere, a step at a time; `asked` is called whenever
        the store was asked.
        """
        self._sessions = sessions
        self._clock = clock
        self._notice = notice
        self._interval = interval
        self._bury = drop_ended
        self._asked = asked
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start the task."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def once(self) -> None:
        """Do it now. At least one request goes to the store, which shows whether it answers."""
        for steps in (self._sessions.drop_ended(), self._bury()):
            for _ in steps:
                await asyncio.sleep(0)
        await self._sessions.use.flush(
            self._sessions.store,
            self._sessions.keyring.record_key,
            self._clock(),
            notice=self._notice,
        )
        self._asked()

    async def close(self) -> None:
        """Store the last counts, if the store answers soon, and stop."""
        task, self._task = self._task, None
        if task is None:
            return
        await end(task)
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_HOUSEKEEPING_SECONDS):
                await self.once()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._interval)
            await self.once()
