"""Signals as the server waits for them: stop, hurry, reload."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Coroutine


class Signals:
    """The first SIGTERM or SIGINT asks to stop, the second to stop at once."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Take over the signals of this process."""
        self._loop = loop
        self.stop: asyncio.Future[str] = loop.create_future()
        self._hurry = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_stop, number.name)

    def on_hangup(self, act: Callable[[], None]) -> None:
        """Do `act` at each SIGHUP, until it is time to stop."""
        self._loop.add_signal_handler(signal.SIGHUP, self._unless_stopping, act)

    async def sleep(self, seconds: float) -> None:
        """Wait, unless there is hurry."""
        try:
            async with asyncio.timeout(seconds):
                await self._hurry.wait()
        except TimeoutError:
            return

    async def unless_hurried(
        self, ending: Coroutine[object, object, bool], at_once: Callable[[], Awaitable[None]]
    ) -> bool:
        """Return what `ending` returns; if there is hurry, leave it, do `at_once`, return False."""
        async with asyncio.TaskGroup() as group:
            end = group.create_task(ending)
            hurry = group.create_task(self._hurry.wait())
            await asyncio.wait((end, hurry), return_when=asyncio.FIRST_COMPLETED)
            hurry.cancel()
            if end.done():
                return end.result()
            end.cancel()
        await at_once()
        return False

    def _on_stop(self, name: str) -> None:
        if self.stop.done():
            self._hurry.set()
        else:
            self.stop.set_result(name)

    def _unless_stopping(self, act: Callable[[], None]) -> None:
        if not self.stop.done():
            act()
