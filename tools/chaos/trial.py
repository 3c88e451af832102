"""One outage at one kind of sessions: what was sent, what came back, and what that breaks."""

from __future__ import annotations

import asyncio
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp

from tests.redis.server import Server

from . import outages, traces
from .backend import Backend, backend
from .load import KNOWN, NEW, Figures, Load
from .outages import Outage
from .sealyard import Mode, Sealyard, sealyard

MOST_MS: Final = 250 + 50
"""The deadline of a question to the store, and what the rest of a request may take."""

_RECOVERY_SECONDS: Final = 2.0
_LEAST_SERVED: Final = 0.99
_BEFORE_SECONDS: Final = 1.0
_WATCHED_AFTER: Final = 3.0
_STEP_SECONDS: Final = 0.25


@dataclass
class Outcome:
    """The figures of a trial. `recovery` is in seconds after the end of the outage."""

    outage: str
    mode: Mode
    seconds: float
    cached: Figures
    new: Figures
    bare: Figures
    arrived: float
    leaked: int
    found_in: list[str]
    recovery: float | None


async def run(outage: Outage, mode: Mode, seconds: float, folder: Path) -> Outcome:
    """Try one outage for that long."""
    canary = f"canary-{secrets.token_hex(12)}"
    server = outages.a_redis(folder, outage)
    server.start()
    if outage.at_start:
        outage.begin(server, seconds)
    try:
        async with (
            backend(canary.encode()) as behind,
            sealyard(folder, behind.port, server.settings, mode) as proxy,
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session,
        ):
            load = Load(proxy.url, behind.url, canary, session)
            trial = _Trial(outage, mode, server, load, behind, proxy)
            return await trial.outcome(seconds)
    finally:
        server.kill()


def broken(outage: Outage, outcome: Outcome, most_ms: float = MOST_MS) -> list[str]:
    """Return the promises that did not hold, each in a few words.

    What a request without Sealyard took at the same time may be added to `most_ms`.
    """
    most_ms += outcome.bare.at(0.99)
    cached, new = outcome.cached, outcome.new
    lost_by_choice = outcome.mode == "ephemeral" and not outage.keeps
    laws = {
        "plaintext was forwarded": outcome.leaked == 0,
        f"plaintext in {', '.join(outcome.found_in)}": not outcome.found_in,
        "an answer was wrong": cached.wrong + new.wrong == 0,
        "cached sessions were not served": lost_by_choice
        or not cached.sent
        or min(outcome.arrived, cached.served / cached.sent) >= _LEAST_SERVED,
        "cached sessions were slow": cached.at(0.99) <= most_ms,
        "new sessions were slow": new.at(0.99) <= most_ms,
        "a request failed otherwise than by 503": lost_by_choice or cached.failed + new.failed == 0,
        "durable sessions were refused": outcome.mode == "ephemeral"
        or cached.refused + new.refused == 0,
        "it came back late": outcome.recovery is None or outcome.recovery <= _RECOVERY_SECONDS,
    }
    return [what for what, held in laws.items() if not held]


@dataclass
class _Trial:
    """One outage, and all that takes part in it."""

    outage: Outage
    mode: Mode
    server: Server
    load: Load
    behind: Backend
    proxy: Sealyard

    async def outcome(self, seconds: float) -> Outcome:
        """Send before, during and after; then look for what should not be anywhere."""
        if self.outage.at_start and self.mode == "ephemeral":
            self.load.cached_a_second, self.load.known = self.load.new_a_second, False
        else:
            await self.load.warm()
            await self.load.run(_BEFORE_SECONDS)
        arrived = await self._during(seconds)
        figures = self.load.cached, self.load.new, self.load.bare
        recovery = await self._after()
        return Outcome(
            self.outage.name,
            self.mode,
            seconds,
            *figures,
            arrived,
            self.behind.leaked,
            await self._traces(),
            recovery,
        )

    async def _during(self, seconds: float) -> float:
        """Return which share of the requests of known conversations the backend saw."""
        self.load.forget()
        before = self._arrived()
        if not self.outage.at_start:
            await asyncio.to_thread(self.outage.begin, self.server, seconds)
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            if self.outage.again is not outages.nothing:
                group.create_task(outages.repeat(self.outage.again, self.server, stop))
            await self.load.run(seconds if self.outage.over is None else _STEP_SECONDS)
            while self.outage.over and not await asyncio.to_thread(self.outage.over, self.server):
                await self.load.run(_STEP_SECONDS)
            stop.set()
        return (self._arrived() - before) / max(self.load.cached.sent, 1)

    async def _after(self) -> float | None:
        """Return after how many seconds Redis was of use again: it held a new conversation."""
        self.load.forget()
        await asyncio.to_thread(self.outage.end, self.server)
        ended = time.monotonic()
        if not self.outage.down:
            return None
        records = await self._records()
        running = asyncio.get_running_loop().create_task(self.load.run(_WATCHED_AFTER))
        found = float("inf")
        while not running.done():
            if found == float("inf") and await self._records() > records:
                found = time.monotonic() - ended
            await asyncio.sleep(0.02)
        await running
        # From then on nobody may be refused any more.
        return max(found, self.load.refused_last - ended)

    def _arrived(self) -> int:
        return sum(count for name, count in self.behind.arrived.items() if name.startswith(KNOWN))

    async def _records(self) -> int:
        return int((await asyncio.to_thread(self.server.command, "DBSIZE"))[1:])

    async def _traces(self) -> list[str]:
        """Return where the canary, or the name of a conversation, was found."""
        places = {
            "Redis' dump": await asyncio.to_thread(traces.dumped, self.server),
            "the log": await asyncio.to_thread(self.proxy.log.read_bytes),
            "the metrics": (await self.proxy.metrics(self.load.session)).encode(),
        }
        return traces.holders([self.load.canary.encode(), KNOWN.encode(), NEW.encode()], places)
