"""How often the event loop came to others while something long was under way."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass


@dataclass
class Turns:
    """The turns of one who waits for nothing; `held` is the longest pause, in seconds of CPU."""

    number: int = 0
    held: float = 0.0


@asynccontextmanager
async def turns() -> AsyncIterator[Turns]:
    """Count the turns of the loop within the block, in which no cycles are collected."""
    counted = Turns()

    async def take() -> None:
        while True:
            began = time.thread_time()
            await asyncio.sleep(0)
            counted.number += 1
            counted.held = max(counted.held, time.thread_time() - began)

    gc.disable()
    task = asyncio.get_running_loop().create_task(take())
    try:
        await asyncio.sleep(0)
        yield counted
        await asyncio.sleep(0)
    finally:
        gc.enable()
        task.cancel()
        await asyncio.wait((task,))
