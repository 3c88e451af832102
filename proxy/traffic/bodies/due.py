"""The wait for a body of which something may be held back, but not for longer than it is due."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import suppress
from typing import Protocol


class Held(Protocol):
    """What is held back; `delay` is for how many seconds at most, None: for any time."""

    @property
    def delay(self) -> float | None:
        """How many seconds it may wait from now on."""


class Holding(Protocol):
    """What may hold something back."""

    @property
    def run(self) -> Held | None:
        """What it holds back; another object each time that it begins anew."""


async def until_due(
    incoming: AsyncIterator[bytes], holding: Holding
) -> AsyncGenerator[bytes | None]:
    """Yield what comes, and None whenever what is held back is due.

    Whoever gets None must let it go before asking for more. Raises what `incoming` raises.
    """
    loop = asyncio.get_running_loop()
    coming: asyncio.Task[bytes | None] | None = None
    held: Held | None = None
    due: float | None = None
    try:
        while True:
            if holding.run is not held:
                held = holding.run
                delay = None if held is None else held.delay
                due = None if delay is None else loop.time() + delay
            if coming is None:
                coming = loop.create_task(_next(incoming))
            await asyncio.wait((coming,), timeout=None if due is None else due - loop.time())
            if not coming.done() or (due is not None and loop.time() >= due):
                yield None  # even if more has come: a busy stream must not hold it back for ever
                continue
            data, coming = coming.result(), None
            if data is None:
                return
            yield data
    finally:
        if coming is not None:
            coming.cancel()
            await asyncio.wait((coming,))
            with suppress(asyncio.CancelledError):
                coming.exception()  # nobody is there to hear of it


async def _next(incoming: AsyncIterator[bytes]) -> bytes | None:
    return await anext(incoming, None)
