"""Work on many things in pieces of some milliseconds, between which the event loop runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from itertools import islice
from typing import TypeVar

from .policy import PIECE

T = TypeVar("T")


async def pieces(items: Collection[T]) -> AsyncIterator[Sequence[T]]:
    """Yield all items, so many at a time; others run in between. A few are yielded at once."""
    if len(items) <= PIECE:
        yield tuple(items)
        return
    left = iter(items)
    while piece := tuple(islice(left, PIECE)):
        yield piece
        await asyncio.sleep(0)


async def all_done(calls: Sequence[Callable[[], Awaitable[object]]]) -> None:
    """Wait for all calls, so many at a time. A single one is no task: nothing runs before it."""
    if len(calls) <= 1:
        for call in calls:
            await call()
        return
    async for piece in pieces(calls):
        # No coroutine is made before it is awaited: what fails in between would leave it behind.
        await asyncio.gather(*(call() for call in piece))
