"""One soak: load, faults one after the other, recoveries, and at the end the oracle."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random  # noqa: TID251 - a run shall be repeatable, and nothing here is secret
from typing import Final

import aiohttp

from tools.chaos import traces

from . import watch
from .backend import opened
from .faults import Fault, table
from .journal import Journal, Message, Window
from .operator import Operator
from .sidecars import MAX_AGE_SECONDS, Sidecar
from .traffic import Client
from .world import World, a_world

_STEP_SECONDS: Final = 0.2
_LATE_SECONDS: Final = 0.1
"""Processes that waited so long of a step for a processor are not to blame for being slow."""
_SWEEP_LIST: Final = 50
_SWEEPERS: Final = 4
_PATIENCE: Final = 3.0
_LONG_PATIENCE: Final = 30.0
_SILENCE: Final = 300.0
"""For so long a message may not open; the others, while the machine is too busy to tell. It is lost
only if it was answered that it does not open: a store that was not asked in time has lost nothing,
and is asked until the third has passed."""
_DOES_NOT_OPEN: Final = "502 open-failed"
_PROBE_SECONDS: Final = 30.0
_OK: Final = 200
_CACHED: Final = b"sealyard_sessions_cached{"


@dataclass(frozen=True, slots=True)
class Pace:
    """How long faults and the rests between them are, in seconds, and how often clients send.

    `recovery` is the time that Sealyard has after a fault.
    """

    recovery: float = 2.0
    fault: tuple[float, float] = (2.0, 8.0)
    rest: tuple[float, float] = (4.0, 10.0)
    clients: int = 6
    client: float = 0.1
    operator: float = 3.0
    sample: float = 2.0
    kek: float = 300.0


SHORT: Final = Pace(10.0, (0.8, 1.2), (1.0, 1.5), 2, 0.05, 1.0, 0.5, 3600.0)
"""Other tests run at the same time, so recoveries are held to less."""


class Soak:
    """A run of `seconds`, all of whose choices are drawn from `seed`."""

    def __init__(self, folder: Path, seed: int, seconds: float, pace: Pace, only: str = "") -> None:
        self.folder = folder
        self.seed = seed
        canary = f"canary-{Random(f'{seed} canary').getrandbits(96):024x}"  # noqa: S311 - as above
        self.journal = Journal(canary)
        self.seconds = seconds
        self.pace = pace
        every = table().items()
        words = only.split("|")
        self.faults = {
            name: one for name, one in every if one.possible and any(word in name for word in words)
        }
        self.watch = watch.Watch()
        self.operator = Operator(Random(f"{seed} operator"))  # noqa: S311 - as above
        self.checked = 0
        self.cached: dict[str, float] = {}
        self.load_seconds = 0.0
        self._stop = asyncio.Event()
        self._random = Random(f"{seed} faults")  # noqa: S311 - as above
        self._began = time.monotonic()
        self._world: World | None = None

    async def run(self, world: World) -> None:
        """Run it in a world that was started, and keep on whatever single part fails."""
        self._world = world
        self._began = time.monotonic()
        loop = asyncio.get_running_loop()
        for one in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(one, self._stop.set)
        looking = loop.create_task(self._look_at_the_machine())
        pace, stop = self.pace, self._stop
        async with asyncio.TaskGroup() as group:
            for pair in world.pairs:
                for number in range(pace.clients):
                    random = Random(f"{self.seed} {pair[0].mode} {number}")  # noqa: S311 - as above
                    client = Client(pair, self.journal, world.session, random)
                    self._keep(group, partial(client.run, stop, pace.client))
            self._keep(group, partial(self.operator.run, world, stop, pace.operator))
            self._keep(group, partial(self.watch.run, world, stop, pace.sample))
            await self._faults()
            self.load_seconds = self._elapsed()
            stop.set()
        await self._oracle()
        looking.cancel()

    @property
    def world(self) -> World:
        """All that takes part."""
        if self._world is None:
            raise RuntimeError("not running")
        return self._world

    def _keep(self, group: asyncio.TaskGroup, work: Callable[[], Awaitable[None]]) -> None:
        """Do a work until `stop`, also after an error of the harness itself, which is noted."""

        async def kept() -> None:
            while not self._stop.is_set():
                await self._noted(work)

        group.create_task(kept())

    async def _noted(self, work: Callable[[], Awaitable[object]]) -> None:
        try:
            await work()
        except Exception:  # noqa: BLE001 - two hours shall not end for one mistake of the harness
            self.journal.breach("error of the harness", traceback.format_exc()[-1500:])
            await asyncio.sleep(1.0)

    async def _look_at_the_machine(self) -> None:
        """Note when a process that answers, or this one, waited long for a processor."""
        before: dict[int, float] = {}
        while True:
            began = time.monotonic()
            await asyncio.sleep(_STEP_SECONDS)
            waited = {pid: watch.waited(pid) for pid in (*self.world.answering(), os.getpid())}
            late = time.monotonic() - began > _STEP_SECONDS + _LATE_SECONDS
            if late or any(
                after - before[pid] > _LATE_SECONDS
                for pid, after in waited.items()
                if pid in before
            ):
                self.journal.late(began, self.pace.recovery)
            before = waited

    # --- faults -------------------------------------------------------------------------------

    async def _faults(self) -> None:
        """Go through all faults in random order, again and again."""
        bag: list[Fault] = []
        kek = self.pace.kek
        await asyncio.sleep(self._random.uniform(*self.pace.rest))
        while not self._stop.is_set() and self._elapsed() < self.seconds:
            if not bag:
                bag = self._random.sample(list(self.faults.values()), len(self.faults))
            fault = bag.pop()
            await self._noted(partial(self._one, fault))
            if self._elapsed() > kek:
                kek += self.pace.kek
                await self._noted(partial(self.operator.new_kek, self.world))
            await asyncio.sleep(self._random.uniform(*self.pace.rest))

    async def _one(self, fault: Fault) -> None:
        journal = self.journal
        if fault.ends_ephemeral:
            await self._sweep_some()
        after = self.pace.recovery + (MAX_AGE_SECONDS if fault.ends_ephemeral else 0)
        window = Window(fault.name, fault.layer, time.monotonic(), after)
        journal.windows.append(window)
        seconds = self._random.uniform(*self.pace.fault)
        try:
            async with fault.breaks(self.world, self._random, seconds):
                await asyncio.sleep(seconds)
        finally:
            window.ended = time.monotonic()
            if fault.ends_ephemeral:
                journal.end("ephemeral", window.ended + MAX_AGE_SECONDS + 1)
        recovery, failed = await self._recovery(window)
        if not journal.recovered(window, recovery, self.pace.recovery):
            journal.breach("slow recovery", f"{window.name}: {recovery:.2f} s: {failed}")
        self._say(
            f"{fault.name}: {seconds:.1f} s, well again after {recovery:.2f} s;"
            f" {sum(map(len, journal.acknowledged.values())):,} messages,"
            f" {sum(journal.breaches.values())} broken promises"
        )

    async def _recovery(self, window: Window) -> tuple[float, str]:
        """Return how many seconds after its end every sidecar takes, gives and is ready.

        The text is what failed last. What the backend alone takes in that time is the machine's,
        and is not counted.
        """
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._well(one, window)) for one in self.world.sidecars]
        return max(task.result() for task in tasks)

    async def _well(self, one: Sidecar, window: Window) -> tuple[float, str]:
        """Return how long it took, and what was the last that failed."""
        bare, number, failed = 0.0, 0, ""
        while time.monotonic() < window.ended + _PROBE_SECONDS:
            number += 1
            began = time.monotonic()
            await self._quick("POST", f"http://127.0.0.1:{self.world.backend.port}/plain/bare")
            bare = max(bare, time.monotonic() - began)
            room = f"{one.mode}-probe-{window.began:.3f}-{number}"
            status = await self._takes(one, room)
            if status == _OK and await one.ready(self.world.session):
                return max(time.monotonic() - window.ended - 2 * bare, 0.0), failed
            failed = f"{one.name}: {'not ready' if status == _OK else status}"
            await asyncio.sleep(0.05)
        return _PROBE_SECONDS, failed

    async def _takes(self, one: Sidecar, room: str) -> int:
        """Return 200 if a new conversation can be begun and read back, or what came instead."""
        number = self.journal.next_number()
        url = f"{one.url}/messages/{room}/{number}"
        body = f'{{"number": {number}, "content": "{self.journal.canary}"}}'
        status = await self._quick("POST", url, body)
        return status if status != _OK else await self._quick("GET", url)

    async def _quick(self, method: str, url: str, body: str = "") -> int:
        headers = {"Content-Type": "application/json"}
        patience = aiohttp.ClientTimeout(total=1.0)
        try:
            async with self.world.session.request(
                method, url, data=body.encode(), headers=headers, timeout=patience
            ) as response:
                await response.read()
                return response.status
        except (aiohttp.ClientError, TimeoutError, ConnectionError):
            return 0

    def _say(self, line: str) -> None:
        say(f"{self._elapsed():7.0f} s  {line}")

    def _elapsed(self) -> float:
        return time.monotonic() - self._began

    # --- the oracle -----------------------------------------------------------------------------

    async def _oracle(self) -> None:
        """Open everything that was acknowledged, everywhere; look for plaintext everywhere else."""
        await asyncio.sleep(MAX_AGE_SECONDS)
        for one in self.world.sidecars:
            if not await one.ready(self.world.session):
                self.journal.breach("not ready at the end", one.name)
        for pair in self.world.pairs:
            for one in pair:
                await self._sweep(one)
        await self._noted(self._look_for_plaintext)
        await asyncio.to_thread(self._look_at_logs)
        for steady, _ in self.world.pairs:
            verified = await asyncio.to_thread(steady.sealyard, "audit", "verify")
            if verified.returncode:
                told = (verified.stdout + verified.stderr)[-1500:]
                self.journal.breach("audit chain broken", f"{steady.mode}: {told}")
        await asyncio.to_thread(self._look_at_backend)

    async def _sweep(self, one: Sidecar) -> None:
        """Open every message that must open at one sidecar."""
        work: list[list[Message]] = []
        for found in self.journal.alive_by_room(one.mode):
            work += [found[at : at + _SWEEP_LIST] for at in range(0, len(found), _SWEEP_LIST)]
        known = self.journal.acknowledged[one.mode]
        work += [
            [message]
            for message in known
            if message.kind in {"files", "streams"} and self.journal.alive(message)
        ]
        self._say(f"{one.name}: opening {sum(map(len, work)):,} messages")
        waiting = iter(work)

        async def sweeper() -> None:
            for some in waiting:
                await self._noted(partial(self._open, one, some))

        async with asyncio.TaskGroup() as group:
            for _ in range(_SWEEPERS):
                group.create_task(sweeper())

    async def _open(self, one: Sidecar, some: list[Message]) -> None:
        random = Random(0)  # noqa: S311 - it chooses nothing here
        pair = next(pair for pair in self.world.pairs if one in pair)
        client = Client(pair, self.journal, self.world.session, random)
        self.checked += len(some)
        if len(some) > 1 and await client.check_list(one, some):
            return
        for message in some:
            began, told = time.monotonic(), Counter[str]()
            while await client.check(one, message) is None and self.journal.alive(message):
                told[client.told] += 1
                await asyncio.sleep(0.5)
                waited = time.monotonic() - began
                opens_not = told[_DOES_NOT_OPEN]
                excused = _LONG_PATIENCE if opens_not else _SILENCE
                if waited > (_PATIENCE if self.journal.calm(began) else excused):
                    kind = "lost" if opens_not else "not opened in time"
                    self.journal.breach(kind, f"{one.name}: {message}: {dict(told)}")
                    break

    async def _sweep_some(self) -> None:
        """Open the newest ephemeral messages, whose keys are about to go."""
        newest = [
            one for one in self.journal.acknowledged["ephemeral"][-200:] if self.journal.alive(one)
        ]
        for pair in self.world.pairs:
            if pair[0].mode == "ephemeral":
                for one in pair:
                    for message in newest[-20:]:
                        await self._open(one, [message])

    async def _look_for_plaintext(self) -> None:
        places = {"Redis' dump": await asyncio.to_thread(traces.dumped, self.world.redis)}
        for file in sorted(self.world.folder.glob("appendonlydir/*")):
            places[f"Redis' {file.name}"] = file.read_bytes()
        for one in self.world.sidecars:
            places[f"the audit log of {one.mode}"] = (one.folder / "audit.log").read_bytes()
            async with self.world.session.get(f"{one.health}/metrics") as response:
                metrics = await response.read()
            places[f"the metrics of {one.name}"] = metrics
            self.cached[one.name] = sum(
                float(line.split()[-1]) for line in metrics.splitlines() if line.startswith(_CACHED)
            )
        for place in traces.holders([self.journal.canary.encode()], places):
            self.journal.breach("plaintext", place)

    def _look_at_logs(self) -> None:
        for name, reader in self.world.logs.items():
            reader.read()
            if reader.plain:
                self.journal.breach("plaintext", f"the log of {name}: {reader.plain} lines")
            for defect in reader.defects:
                self.journal.breach("defect in the log", f"{name}: {defect}")
        for name, request_id, told in self.journal.expected_causes:
            if request_id not in self.world.logs[name].causes:
                self.journal.breach("refused without a cause in the log", told)

    def _look_at_backend(self) -> None:
        store = opened(str(self.world.backend.file))
        for number, kind in store.execute("SELECT number, kind FROM plain"):
            self.journal.breach("plaintext", f"at the backend: {kind} {number}")
        for (number,) in store.execute("SELECT number FROM again"):
            self.journal.breach("sent twice", str(number))
        # Once more, from what is stored: the backend looked at what came.
        forms = traces.forms(self.journal.canary.encode())
        for number, body in store.execute("SELECT number, body FROM message"):
            if any(form in body for form in forms):
                self.journal.breach("plaintext", f"stored: {number}")
        store.close()


def say(line: str) -> None:
    """Print a line of progress at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def soak(made: Soak) -> None:
    """Start all that takes part, run a soak, and end everything."""
    async with a_world(made.folder, made.journal, made.seed) as world:
        await made.run(world)
