"""Watch the files of a configuration, and reload when one of them has changed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from .files import Fingerprint, fingerprint

INTERVAL_SECONDS: Final = 1.0
_SETTLE_SECONDS: Final = 0.1
_MOST_SETTLING: Final = 20


class Watch:
    """Looks at files once a second: that works on every file system, and links may be swapped."""

    def __init__(
        self,
        files: Callable[[], tuple[Path, ...]],
        changed: Callable[[], Awaitable[object]],
        *,
        interval: float = INTERVAL_SECONDS,
    ) -> None:
        """Await `changed` after each change of what `files` returns."""
        self._files = files
        self._changed = changed
        self._interval = interval
        self._seen: Fingerprint = fingerprint(files())

    def forgive(self) -> None:
        """Take the files as they are for known: whoever reloads by another cause reads them now."""
        self._seen = fingerprint(self._files())

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            await asyncio.sleep(self._interval)
            found = await self._look()
            if found != self._seen:
                self._seen = await self._settled(found)
                await self._changed()

    async def _settled(self, found: Fingerprint) -> Fingerprint:
        """Return the state once it stands still: a file may be half written."""
        for _ in range(_MOST_SETTLING):
            await asyncio.sleep(_SETTLE_SECONDS)
            again = await self._look()
            if again == found:
                break
            found = again
        return found

    async def _look(self) -> Fingerprint:
        # In a thread, since a mounted volume may hang.
        return await asyncio.to_thread(lambda: fingerprint(self._files()))
