"""Messages explained beside the traffic, in threads that nothing else waits for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from ...config.settings import ListenerSettings

if TYPE_CHECKING:  # for those who ask: it takes memory
    from ...core.explain.explanation import Explained, Wanted

    Explain = Callable[[ListenerSettings, Wanted], Explained]

MOST_AT_ONCE: Final = 2


class Explainer:
    """Explains up to two messages at once.

    Each has a thread and an event loop of its own: to compile ten thousand rules takes a while,
    which the traffic must not wait for. The threads of asyncio would not do, since lines of the
    audit log, reloads and end-to-end values wait for one of them.
    """

    def __init__(self, explain: Explain | None = None) -> None:
        self._explain = explain or _explain
        self._threads: ThreadPoolExecutor | None = None
        self._running: list[Future[Explained]] = []

    async def explain(self, listener: ListenerSettings, wanted: Wanted) -> Explained | None:
        """Return what would happen to a message; None while two others are being explained.

        Raises TimeoutError.
        """
        self._running = [one for one in self._running if not one.done()]
        if len(self._running) >= MOST_AT_ONCE:
            return None
        if self._threads is None:  # for those who ask: threads take memory
            self._threads = ThreadPoolExecutor(MOST_AT_ONCE, "explain")
        explaining = self._threads.submit(self._explain, listener, wanted)
        self._running.append(explaining)
        return await asyncio.wrap_future(explaining)

    def close(self) -> None:
        """Begin nothing more, and let the threads end."""
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)


def _explain(listener: ListenerSettings, wanted: Wanted) -> Explained:
    from .. import explaining  # noqa: PLC0415 - for those who ask, in their thread

    return asyncio.run(explaining.explain(listener, wanted))
