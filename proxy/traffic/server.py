"""All listeners with their upstreams: started together, drained together."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from .interfaces import Listener


class Closable(Protocol):
    """An upstream, or several, as the server sees them."""

    async def close(self) -> None:
        """Drop all connections."""


@dataclass(frozen=True, slots=True)
class Lane:
    """A listener and the upstream behind it."""

    listener: Listener
    upstream: Closable


class TrafficServer:
    """Owns the lanes of one process."""

    __slots__ = ("_lanes", "draining")

    def __init__(self, lanes: Sequence[Lane]) -> None:
        self._lanes = tuple(lanes)
        self.draining = False

    async def start(self) -> None:
        """Open all listeners; if one cannot be opened, none stays open."""
        try:
            for lane in self._lanes:
                await lane.listener.start()
        except BaseException:
            await self.close()
            raise

    def replace(self, lanes: Sequence[Lane]) -> None:
        """Take over lanes that run already, some of them with another upstream."""
        self._lanes = tuple(lanes)

    async def drain(self, grace: float) -> bool:
        """Stop in good order within `grace` seconds; return whether nothing had to be cut.

        The grace is one budget for everything, not one for each step: then a supervisor kills.
        """
        self.draining = True
        for lane in self._lanes:
            lane.listener.stop_accepting()
        waits = [lane.listener.drained(grace) for lane in self._lanes]
        finished = await asyncio.gather(*waits)
        await self.close()
        return all(finished)

    async def close(self) -> None:
        """Drop everything."""
        for lane in self._lanes:
            await lane.listener.close()
            await lane.upstream.close()
