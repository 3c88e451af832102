"""The supervisor: starts the workers, replaces dead ones, and answers for all of them."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import time
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

from ...config.settings import STALLED_SECONDS
from ...core.errors import InternalError, RootUnavailable, SealyardError, WorkerGone
from ...keys.audit import Trail
from ...keys.fleet.presence import PROCESS_BYTES
from ...keys.keyring.file import open_keyring
from ...keys.keyring.roots import serving
from ...process import descriptors
from ...process.policy import LISTENER_DESCRIPTORS
from ...telemetry.metrics import table
from ...telemetry.metrics.samples import Check, Facts, Samples
from ...telemetry.reporter import Reporter
from ...telemetry.tap import joined
from .. import policy
from ..ipc.channel import secrets_to_json
from ..ipc.worker_process import WorkerCommand, WorkerProcess, spawn
from ..reload.config_files import Source
from ..reload.material import empty_environment
from ..reload.reload import require_none
from ..sidecar import root_lease
from .sockets import WorkerSockets
from .stand_in import Silence, StandIn
from .worker_calls import WorkerOperations, WorkersChange, gather_all


@dataclass(slots=True)
class Slot:
    """The place of one worker, which one process after another fills.

    `began` is when the process did, in monotonic seconds; `serves` says that it has started, so
    that a silence of it means something. `process` is the id by which it is known to the fleet, in
    hexadecimal digits. `waits` is why no root opens the keyring for it, empty
    for a worker that does not wait for one.
    """

    number: int
    worker: WorkerProcess | None = None
    facts: Facts | None = None
    restarts: int = 0
    began: float = 0.0
    process: str = ""
    serves: bool = False
    silence: Silence | None = None
    waits: str = ""
    asking: asyncio.Task[None] | None = None

    @property
    def accepts(self) -> bool:
        """Whether its worker accepts the connections that come to it."""
        silent = self.silence is not None and self.silence.lasts
        return self.worker is not None and self.serves and not silent and not self.worker.gone

    @property
    def check(self) -> Check:
        """Whether the worker of this slot is ready."""
        name = f"worker-{self.number}"
        if self.worker is None or self.facts is None:
            return Check(name, ok=False, detail=self.waits or "starting")
        failed = [check.name for check in self.facts.checks if not check.ok]
        degraded = [check for check in self.facts.checks if check.degraded]
        details = failed or [f"{check.name} {check.detail}" for check in degraded]
        return Check(name, self.facts.ready, ", ".join(details), degraded=bool(degraded))


class Supervisor:
    """Owns the workers of one configuration."""

    def __init__(
        self,
        source: Source,
        reporter: Reporter,
        command: WorkerCommand,
        *,
        environ: Mapping[str, str],
    ) -> None:
        self._source = source
        self._environ = environ
        self._reporter = reporter
        self._command = command
        self._sockets = WorkerSockets(source.loaded.settings.listeners, command.workers)
        self._slots = [Slot(number) for number in range(command.workers)]
        self._stand_in = StandIn(
            self._sockets, source.loaded.settings.listeners, reporter.report, self._accepting
        )
        self._unserved_since: float | None = None
        self._of_dead_workers = Samples()
        self._draining = False
        self._dead: set[str] = set()
        """Processes that have ended, and that the fleet may still wait for."""
        self._shut: set[tuple[str, str]] = set()
        """Rules (with their listeners) that one worker has shut, and so all must."""
        self._tasks: set[asyncio.Task[Any]] = set()
        self.operations = WorkerOperations(self._workers, lambda: self._source.loaded.settings.keys)
        # Held while a worker starts and while a configuration changes: none starts with the old
        # one after the others have taken the new one.
        self._changing = asyncio.Lock()

    @property
    def holds_keys(self) -> bool:
        """False: the keys are in the workers."""
        return False

    @property
    def trail(self) -> Trail | None:
        """None: each worker has its own."""
        return None

    async def open(self) -> None:
        """Bind all addresses."""
        listeners = len(self._source.loaded.settings.listeners)
        descriptors.provide(
            policy.SUPERVISOR_DESCRIPTORS
            + len(self._slots) * (LISTENER_DESCRIPTORS * listeners + 2)
        )
        await asyncio.to_thread(self._sockets.open)

    async def start(self) -> None:
        """Start all workers; raise the first error of a worker that does not start."""
        try:
            async with self._changing:
                await gather_all(self._fill(slot) for slot in self._slots)
        except BaseException:
            await self.close()
            raise
        for slot in self._slots:
            self._hold(self._keep(slot))
        self._hold(self._poll_facts())
        self._hold(self._stand_in_for_silent())

    def announce_drain(self) -> None:
        """Fail readiness from now on; connections are still accepted."""
        self._draining = True

    async def drain(self, grace: float) -> bool:
        """Drain all workers within `grace` seconds; return whether nothing was cut off."""
        self._draining = True
        self._end_tasks()
        self._stand_in.close()
        self._sockets.close()
        workers = self._workers()
        finished = await asyncio.gather(*(_drained(worker, grace) for worker in workers))
        await self.close()
        return all(finished)

    async def close(self) -> None:
        """Kill all workers."""
        self._draining = True
        self._end_tasks()
        self._stand_in.close()
        self._sockets.close()
        for slot in self._slots:
            worker, slot.worker = slot.worker, None
            if worker is not None:
                worker.kill()
                await worker.ended()
                for _, sock in worker.untaken():
                    sock.close()

    async def prepare(self, source: Source) -> WorkersChange:
        """Return the change, which every worker has prepared; raise what one of them raised."""
        settings = source.loaded.settings
        # The sockets are this process's, and there may be no worker that says so.
        require_none(self._source.loaded.settings, settings, str(source.loaded.file))
        await self._unlock(source)
        await self._changing.acquire()
        waiting = all(slot.waits for slot in self._slots)
        change = WorkersChange(
            self._workers(), source, self._settle, secrets_to_json(settings), waiting=waiting
        )
        try:
            await change.prepare()
        except BaseException:
            await change.discard()
            raise
        return change

    async def lessen(self) -> None:
        """Let every worker take what the keyring's file takes away, and nothing else."""
        secrets = secrets_to_json(self._source.loaded.settings)
        asking = (
            one.ask("lessen", policy.CHANGE_SECONDS, secrets=secrets) for one in self._workers()
        )
        await asyncio.gather(*asking, return_exceptions=True)

    async def unlock(self) -> None:
        """Take the passphrases out of the environment; see that a key service opens the keyring.

        Call it before `start`. Raises RootUnavailable where to wait for one.
        """
        await self._unlock(self._source)

    async def _unlock(self, source: Source) -> None:
        """Take the passphrases out of the environment, and keep the keyring's for the workers.

        Operators hand in shares to this process alone, also after its start. Raises KeyringError
        where it does not open. With neither a passphrase in the environment nor a key service, only
        the workers open the keyring.
        """
        settings = source.loaded.settings
        roots = serving(settings.keys, self._environ)
        secrets = (one for root in settings.keys.keyring.roots for one in root.secrets)
        first = source is self._source
        kept = any(secret.env is not None for secret in secrets)
        handed_in = any(one.kind == "shares" for one in settings.keys.keyring.roots)
        if (first and roots.services) or kept or handed_in:
            try:
                opened = await asyncio.to_thread(open_keyring, settings.keys.keyring.file, roots)
            except RootUnavailable:
                if first:
                    raise
                # The workers go on with the keyring that they have, unless it was to change.
            else:
                opened.give_up()
        empty_environment(settings, self._environ)

    def _settle(self, source: Source | None) -> None:
        """End a change: with another source in force, or with None for the old one."""
        if source is not None:
            self._source = source
            self._shut.clear()
        self._changing.release()

    def alive_at(self) -> float:
        """Return when the worker that has been silent for longest was heard last.

        In monotonic seconds. What a worker answers too late is a sign of life as well.
        """
        serving = [one.worker for one in self._slots if one.worker is not None and one.serves]
        heard = [] if self._draining else [worker.heard_at for worker in serving]
        return min(heard, default=time.monotonic())

    async def facts(self, seconds: float) -> Facts:
        """Return checks, samples and status of all workers together.

        Those of a worker that does not answer within `seconds` are the last that it gave.
        """
        if not self._draining:
            await asyncio.wait([self._asking(slot) for slot in self._slots], timeout=seconds)
        samples = Samples()
        samples.merge(self._of_dead_workers)
        for slot in self._slots:
            if slot.facts is not None:
                samples.merge(slot.facts.samples)
        self._stand_in.count(samples)
        checks = tuple(slot.check for slot in self._slots)
        ready = sum(check.ok for check in checks)
        samples.add(table.WORKERS, len(checks), labels=("wanted",))
        samples.add(table.WORKERS, ready, labels=("ready",))
        samples.add(table.RESTARTS, sum(slot.restarts for slot in self._slots))
        accepting = Check("accepting", not self._draining, "draining" if self._draining else "")
        told = [slot.facts.unlisted for slot in self._slots if slot.facts is not None]
        unlisted = tuple(itertools.chain.from_iterable(told))
        return Facts((accepting, *checks), samples, self._status(), unlisted)

    async def look(self) -> dict[str, Any]:
        """Return the shapes of the messages of all workers since the last look, oldest first."""
        workers = self._workers()
        return joined(await asyncio.gather(*(_look(worker) for worker in workers)))

    def _workers(self) -> list[WorkerProcess]:
        return [one.worker for one in self._slots if one.worker is not None and not one.waits]

    def _status(self) -> dict[str, Any]:
        return {
            "pid": os.getpid(),
            "draining": self._draining,
            "workers": [
                {
                    "worker": slot.number,
                    "restarts": slot.restarts,
                    "ready": slot.check.ok,
                    **(slot.facts.status if slot.facts is not None else {}),
                }
                for slot in self._slots
            ],
        }

    async def _fill(self, slot: Slot) -> None:
        """Start a worker in a slot, with the configuration in force."""
        slot.began = time.monotonic()
        numbers = self._sockets.numbers(slot.number)
        worker = await spawn(self._command, [one for each in numbers.values() for one in each])
        self._reporter.report(
            "worker.started", worker=slot.number, worker_pid=worker.pid, restarts=slot.restarts
        )
        slot.worker, slot.waits, slot.serves, slot.silence = worker, "", False, None
        slot.process = os.urandom(PROCESS_BYTES).hex()
        await self._begin(slot, worker)

    async def _begin(self, slot: Slot, worker: WorkerProcess) -> None:
        """Let a worker open the keyring and serve; where no root opens it, the worker `waits`."""
        try:
            await worker.ask(
                "start",
                policy.WORKER_START_SECONDS,
                source=self._source.hand_over(),
                sockets=self._sockets.numbers(slot.number),
                door=worker.door_number,
                process=slot.process,
                processes=len(self._slots),
                # By now there may be shares of a split that was made after it was spawned.
                secrets=secrets_to_json(self._source.loaded.settings),
                # Once for all of them; nothing may prevent the replacement of a dead worker.
                check_store=slot.number == 0 and slot.restarts == 0,
            )
        except RootUnavailable as error:
            if error.reason != slot.waits:
                self._reporter.report(
                    "root.unavailable", reason=error.reason, retry_in_s=policy.ROOT_PAUSE_SECONDS
                )
            slot.waits = error.reason
            return
        slot.waits, slot.serves = "", True
        await self._ask_facts(slot)
        took = round((time.monotonic() - slot.began) * 1000, 1)
        self._reporter.report(
            "worker.ready", worker=slot.number, worker_pid=worker.pid, duration_ms=took
        )

    async def _keep(self, slot: Slot) -> None:
        """Restart the worker of a slot whenever it ends."""
        pause = policy.FIRST_PAUSE_SECONDS
        while True:
            while slot.waits and slot.worker is not None:
                await asyncio.sleep(root_lease.pause(policy.ROOT_PAUSE_SECONDS))
                await self._refill(slot, slot.worker)
            began = time.monotonic()
            worker = slot.worker
            status = await worker.ended() if worker is not None else 0
            if worker is not None:
                self._keep_counts(slot)
                self._dead.add(slot.process)
                self._stand_in.take_back(worker)
            steady = time.monotonic() - began > policy.STEADY_SECONDS
            pause = (
                policy.FIRST_PAUSE_SECONDS
                if steady
                else min(pause * 2, policy.LONGEST_PAUSE_SECONDS)
            )
            self._reporter.report(
                "worker.died",
                worker=slot.number,
                worker_pid=worker.pid if worker is not None else None,
                exit_code=status,
                restart_in_s=pause,
            )
            await asyncio.sleep(pause)
            slot.restarts += 1
            await self._refill(slot)

    async def _refill(self, slot: Slot, waiting: WorkerProcess | None = None) -> None:
        """Start a worker in a slot, or go on with one that waits for a root."""
        async with self._changing:
            try:
                await (self._fill(slot) if waiting is None else self._begin(slot, waiting))
            except (SealyardError, OSError):
                # It is reported as dead, and tried again after a longer pause.
                slot.waits = ""
                if slot.worker is not None:
                    slot.worker.kill()

    def _keep_counts(self, slot: Slot) -> None:
        """Keep the counts of a dead worker: counters never decrease."""
        facts, slot.facts, slot.worker = slot.facts, None, None
        if facts is not None:
            self._of_dead_workers.merge(facts.samples, gauges=False)

    async def _poll_facts(self) -> None:
        """Ask for facts once a second, so that a killed worker's counts are nearly complete.

        Each worker by itself: one that starts, or is stuck, makes no other one look silent.
        """
        while True:
            await asyncio.sleep(policy.POLL_SECONDS)
            for slot in self._slots:
                self._end_stalled(slot)
                self._asking(slot)
            await self._bury()

    def _accepting(self) -> list[WorkerProcess]:
        return [slot.worker for slot in self._slots if slot.accepts and slot.worker is not None]

    async def _stand_in_for_silent(self) -> None:
        """Look again and again whether each worker accepts connections, and do it if not."""
        while True:
            now = time.monotonic()
            for slot in self._slots:
                self._look_at(slot, now)
            if self._accepting():
                self._unserved_since = None
            elif self._unserved_since is None:
                self._unserved_since = now
            since = self._unserved_since
            answers = since is None or now - since > policy.UNSERVED_SECONDS
            for slot in self._slots:
                if slot.accepts:
                    self._stand_in.leave(slot.number)
                elif answers:
                    self._stand_in.cover(slot.number)
            await asyncio.sleep(policy.SIGN_SECONDS)

    def _look_at(self, slot: Slot, now: float) -> None:
        """Ask a worker for a sign of life, and report when it begins to be silent."""
        worker = slot.worker
        if worker is None or not slot.serves or worker.gone:
            return
        if slot.silence is None:
            slot.silence = Silence(worker)
        before = slot.silence.lasts
        if slot.silence.look(now):
            self._hold(_beat(worker))
        elif slot.silence.lasts and not before:
            self._reporter.report("worker.silent", worker=slot.number, worker_pid=worker.pid)

    async def _bury(self) -> None:
        """Let a worker tell the fleet which others have ended: their leases end with them."""
        dead = sorted(self._dead)
        if not dead or not (workers := self._workers()):
            return
        with contextlib.suppress(SealyardError):  # again in a second
            await workers[0].ask("bury", policy.FACTS_SECONDS, processes=dead)
            self._dead.difference_update(dead)

    def _end_stalled(self, slot: Slot) -> None:
        """Kill a worker that has been silent for too long; another one takes its place.

        Its clients wait for it meanwhile, and new ones come to it.
        """
        health = self._source.loaded.settings.health
        limit = STALLED_SECONDS if health is None else health.stalled_after
        worker = slot.worker
        silent = 0.0 if worker is None else time.monotonic() - worker.heard_at
        if worker is not None and slot.serves and silent > policy.STALLED_TIMES * limit:
            self._reporter.report(
                "worker.stalled",
                worker=slot.number,
                worker_pid=worker.pid,
                silent_s=round(silent, 1),
            )
            worker.kill()

    def _asking(self, slot: Slot) -> asyncio.Task[None]:
        """Return the task that asks a worker for its facts, one for all who want them."""
        if slot.asking is None or slot.asking.done():
            slot.asking = self._hold(self._ask_facts(slot))
        return slot.asking

    async def _ask_facts(self, slot: Slot) -> None:
        worker = slot.worker
        if worker is None:
            return
        source = self._source
        try:
            facts = Facts.from_json(await worker.ask("facts", policy.FACTS_SECONDS))
            if source is self._source:  # a reload reopens rules that were shut before it
                await self._share_shut(worker, facts)
        except SealyardError:
            return
        if slot.worker is worker:
            slot.facts = facts

    async def _share_shut(self, worker: WorkerProcess, facts: Facts) -> None:
        """Note the rules that a worker has shut; let it shut those of the others."""
        found = {(listener, rule) for listener, rule in facts.status.get("shut", ())}
        self._shut |= found
        if missing := sorted(self._shut - found):
            await worker.ask("shut", policy.FACTS_SECONDS, rules=missing)

    def _hold(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _end_tasks(self) -> None:
        for task in self._tasks:
            task.cancel()


async def _beat(worker: WorkerProcess) -> None:
    with contextlib.suppress(SealyardError):
        await worker.ask("beat", policy.FACTS_SECONDS)


async def _look(worker: WorkerProcess) -> dict[str, Any]:
    try:
        seen: dict[str, Any] = await worker.ask("look", policy.FACTS_SECONDS)
    except SealyardError:
        return {}
    return seen


async def _drained(worker: WorkerProcess, grace: float) -> bool:
    try:
        finished = bool(await worker.ask("drain", grace + policy.FACTS_SECONDS, grace=grace))
        async with asyncio.timeout(policy.FACTS_SECONDS):
            await worker.ended()
    except (WorkerGone, InternalError, TimeoutError):
        return False
    return finished
