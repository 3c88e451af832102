"""What viewers are shown of the traffic: one look for all of them, however many processes carry."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final

MOST_KEPT: Final = 400
FRESH_SECONDS: Final = 0.4
"""So long one look is enough for all viewers."""

Look = Callable[[], Awaitable[dict[str, Any]]]


class Viewing:
    """Looks at the traffic while somebody views it, and hands each message to every viewer."""

    def __init__(self, look: Look, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._look = look
        self._clock = clock
        self._looked_at = -FRESH_SECONDS
        self._looking = asyncio.Lock()
        self._messages: deque[tuple[int, dict[str, Any]]] = deque(maxlen=MOST_KEPT)
        self.seen = 0
        self.missed = 0
        self.values = False

    def viewer(self) -> Viewer:
        """Return a viewer of what comes from now on."""
        return Viewer(self)

    def since(self, number: int) -> list[dict[str, Any]]:
        """Return the messages after the first `number` of them, as far as they are kept."""
        return [message for at, message in self._messages if at > number]

    async def refresh(self) -> None:
        """Look, unless somebody just did."""
        async with self._looking:
            if self._clock() - self._looked_at < FRESH_SECONDS:
                return
            seen = await self._look()
            self._looked_at = self._clock()
            self.missed += seen["missed"]
            self.values = seen["values"]
            for message in seen["messages"]:
                self.seen += 1
                self._messages.append((self.seen, message))


class Viewer:
    """One of those who view, and how far it has come."""

    def __init__(self, viewing: Viewing) -> None:
        self._viewing = viewing
        self._seen = viewing.seen
        self._missed = viewing.missed

    async def more(self) -> dict[str, Any]:
        """Return the messages since the last time, and how many more are not shown.

        `values` says that they hold values, as those of the demonstration do.
        """
        viewing = self._viewing
        await viewing.refresh()
        messages = viewing.since(self._seen)
        lost = viewing.seen - self._seen - len(messages)
        missed = viewing.missed - self._missed + lost
        self._seen, self._missed = viewing.seen, viewing.missed
        return {"messages": messages, "missed": missed, "values": viewing.values}
