"""Ending a task that asks the store."""

from __future__ import annotations

import asyncio
from typing import Final

_AGAIN_SECONDS: Final = 0.2


async def end(task: asyncio.Task[None]) -> None:
    """Cancel the task and wait until it has ended.

    Again and again: a cancellation that meets a time-out inside redis-py can get lost.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=_AGAIN_SECONDS)
