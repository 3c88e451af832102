"""All that takes part in a soak, started and ended together."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import aiohttp

from tests.redis.fault_proxy import FaultProxy
from tests.redis.server import Server
from tests.scenarios.rig import ROOT, environment
from tests.servers import await_port, free_port

from .journal import Journal
from .sidecars import LogReader, Sidecar, pair
from .traffic import PATIENCE

# What was acknowledged survives a kill: the file is written before an answer is.
_REDIS: Final = ("--appendonly", "yes", "--enable-debug-command", "local")


@dataclass
class BackendProcess:
    """The backend: it can be killed and started again over what it has stored."""

    folder: Path
    canary: str
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def file(self) -> Path:
        """What it has stored."""
        return self.folder / "backend.sqlite"

    def start(self) -> None:
        """Start it and wait until it accepts."""
        log = self.folder / "backend.log"
        words = ["-m", "tools.soak.backend", str(self.port), str(self.file), self.canary]
        with log.open("ab") as sink:
            self.process = subprocess.Popen(  # noqa: S603 - our own code
                [sys.executable, *words], cwd=ROOT, stdout=sink, stderr=sink, env=environment()
            )
        await_port(self.process, self.port, log)

    def signal(self, one: signal.Signals) -> None:
        """Send it a signal."""
        if self.process is not None:
            self.process.send_signal(one)

    def kill(self) -> None:
        """End it as a crash would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@dataclass
class World:
    """The processes, and the journal. `away` are sidecars that were ended on purpose."""

    folder: Path
    journal: Journal
    redis: Server
    wire: FaultProxy
    backend: BackendProcess
    pairs: tuple[tuple[Sidecar, Sidecar], ...]
    session: aiohttp.ClientSession
    logs: dict[str, LogReader]
    away: set[str] = field(default_factory=set)

    @property
    def sidecars(self) -> list[Sidecar]:
        """All of them."""
        return [one for pair in self.pairs for one in pair]

    def answering(self) -> list[int]:
        """Return the processes on which an answer depends."""
        others = [one.process for one in (self.redis, self.backend) if one.process is not None]
        carriers = [pid for one in self.sidecars for pid in one.carriers()]
        return [*carriers, *(one.pid for one in others)]


@asynccontextmanager
async def a_world(folder: Path, journal: Journal, seed: int) -> AsyncIterator[World]:
    """Start everything, and end it whatever happens: by the processes that were started."""
    with ExitStack() as ends:
        server = Server(folder, _REDIS)
        await asyncio.to_thread(server.start)
        ends.callback(server.kill)
        wire = ends.enter_context(FaultProxy(server.port, seed).running())
        backend = BackendProcess(folder, journal.canary)
        ends.callback(backend.kill)
        await asyncio.to_thread(backend.start)
        pairs = (
            pair("durable", folder / "durable", wire.port, backend.port),
            pair("ephemeral", folder / "ephemeral", wire.port, backend.port),
        )
        sidecars = [one for both in pairs for one in both]
        for one in sidecars:
            ends.callback(one.end, signal.SIGKILL)
        await asyncio.gather(*(asyncio.to_thread(one.start) for one in sidecars))
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector, timeout=PATIENCE) as session:
            logs = {one.name: LogReader(one.log, journal.canary.encode()) for one in sidecars}
            yield World(folder, journal, server, wire, backend, pairs, session, logs)
