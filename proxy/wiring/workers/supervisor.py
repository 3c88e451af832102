"""The fleet: workers that carry traffic, kept alive and spoken for as one."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ...core.crypto.context import Scope
from ...core.errors import InternalError, OperatorError, SealyardError
from ...keys.audit import Trail
from ...keys.keyring.file import open_keyring
from ...keys.operations.session_operations import SessionCall, SessionResult
from ...keys.operations.values import ValueCall, ValueResult
from ...keys.participants.operations import ParticipantCall, ParticipantResult
from ...telemetry.metrics import table
from ...telemetry.metrics.samples import Check, Facts, Samples
from ...telemetry.reporter import Reporter
from ...telemetry.tap import joined
from .. import operator_calls
from ..ipc.worker_process import WorkerCommand, WorkerGone, WorkerProcess, spawn
from ..reload.config_files import Source
from ..reload.material import empty_environment, root_provider
from .config_change import FleetChange, everyone
from .sockets import Slots

_START_SECONDS: Final = 60.0
_FACTS_SECONDS: Final = 2.0
_BEAT_SECONDS: Final = 1.0
_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 5.0
_STEADY_SECONDS: Final = 10.0
"""A worker that lived as long is replaced without a growing pause."""


@dataclass(slots=True)
class _Slot:
    """One worker's place: who is in it, what it counted, how often it was refilled."""

    number: int
    worker: WorkerProcess | None = None
    facts: Facts | None = None
    restarts: int = 0

    @property
    def check(self) -> Check:
        """Whether the worker here is ready."""
        name = f"worker-{self.number}"
        if self.worker is None or self.facts is None:
            return Check(name, ok=False, detail="starting")
        failed = [check.name for check in self.facts.checks if not check.ok]
        degraded = [check for check in self.facts.checks if check.degraded]
        told = failed or [f"{check.name} {check.detail}" for check in degraded]
        return Check(name, self.facts.ready, ", ".join(told), degraded=bool(degraded))


class Fleet:
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
        self._sockets = Slots(source.loaded.settings.listeners, command.workers)
        self._slots = [_Slot(number) for number in range(command.workers)]
        self._gone = Samples()
        self._draining = False
        self._shut: set[tuple[str, str]] = set()
        """Listeners and rules that one worker has shut, and so all are to."""
        self._tasks: set[asyncio.Task[Any]] = set()
        # Held while a worker starts and while a configuration changes: none begins with the old
        # one after the others have gone over.
        self._changing = asyncio.Lock()

    @property
    def holds_keys(self) -> bool:
        """Say that the workers have them."""
        return False

    @property
    def trail(self) -> Trail | None:
        """Say that each worker has its own."""
        return None

    async def open(self) -> None:
        """Take all places to listen."""
        await asyncio.to_thread(self._sockets.open)

    async def start(self) -> None:
        """Start all workers; raise what keeps the first of them from starting."""
        await self._unlock(self._source)
        try:
            async with self._changing:
                await everyone(self._fill(slot) for slot in self._slots)
        except BaseException:
            await self.close()
            raise
        for slot in self._slots:
            self._hold(self._keep(slot))
        self._hold(self._beat())

    def announce_drain(self) -> None:
        """Say no to probes; connections are still accepted."""
        self._draining = True

    async def drain(self, grace: float) -> bool:
        """Let all workers finish within `grace` seconds; return whether nothing had to be cut."""
        self._draining = True
        self._end_tasks()
        self._sockets.close()
        workers = [slot.worker for slot in self._slots if slot.worker is not None]
        finished = await asyncio.gather(*(_drained(worker, grace) for worker in workers))
        await self.close()
        return all(finished)

    async def close(self) -> None:
        """End all workers at once."""
        self._draining = True
        self._end_tasks()
        self._sockets.close()
        for slot in self._slots:
            worker, slot.worker = slot.worker, None
            if worker is not None:
                worker.kill()
                await worker.ended()

    async def prepare(self, source: Source) -> FleetChange:
        """Return the change of all workers, for which each of them is ready."""
        await self._unlock(source)
        await self._changing.acquire()
        workers = [slot.worker for slot in self._slots if slot.worker is not None]
        change = FleetChange(workers, source, self._settle)
        try:
            await change.prepare()
        except BaseException:
            await change.discard()
            raise
        return change

    async def _unlock(self, source: Source) -> None:
        """Take the passphrases out of the environment, and keep what opens the keyring for workers.

        Raises KeyringError where it does not open. Where nothing stands in the environment, the
        workers alone have to do with keys.
        """
        settings = source.loaded.settings
        if any(secret.env is not None for secret in settings.keys.root.secrets):
            root = root_provider(settings, self._environ)
            await asyncio.to_thread(open_keyring, settings.keys.keyring, root)
        empty_environment(settings, self._environ)

    def _settle(self, source: Source | None) -> None:
        """Go on after a change: with another source, or with the one there was."""
        if source is not None:
            self._source = source
            self._shut.clear()
        self._changing.release()

    async def facts(self) -> Facts:
        """Return how all workers stand together."""
        if not self._draining:
            await asyncio.gather(*(self._ask_facts(slot) for slot in self._slots))
        samples = Samples()
        samples.merge(self._gone)
        for slot in self._slots:
            if slot.facts is not None:
                samples.merge(slot.facts.samples)
        checks = tuple(slot.check for slot in self._slots)
        ready = sum(check.ok for check in checks)
        samples.add(table.WORKERS, len(checks), labels=("wanted",))
        samples.add(table.WORKERS, ready, labels=("ready",))
        samples.add(table.RESTARTS, sum(slot.restarts for slot in self._slots))
        accepting = Check("accepting", not self._draining, "draining" if self._draining else "")
        return Facts((accepting, *checks), samples, self._status())

    async def operate(self, call: SessionCall) -> SessionResult:
        """Let the workers do what an operator asks of the sessions of a scope."""
        workers = [slot.worker for slot in self._slots if slot.worker is not None]
        shared = self._source.loaded.settings.keys.store != "memory"
        return await operator_calls.forward_session_call(workers, call, shared=shared)

    async def look(self) -> dict[str, Any]:
        """Return what all workers saw of messages since the last look, in the order of time."""
        workers = [slot.worker for slot in self._slots if slot.worker is not None]
        return joined(await asyncio.gather(*(_look(worker) for worker in workers)))

    async def participants(self, call: ParticipantCall) -> ParticipantResult:
        """Let one worker do what an operator asks of a participant.

        Raises OperatorError where the workers have no store in common.
        """
        return await operator_calls.forward_participant_call(self._sharing(), call)

    async def packages(self, scope: Scope, recipient: str) -> list[dict[str, Any]]:
        """Let one worker look up the key packages of a conversation for a participant."""
        return await operator_calls.packages(self._sharing(), scope, recipient)

    async def values(self, call: ValueCall) -> list[ValueResult]:
        """Let one worker seal values, or open tokens.

        Raises OperatorError where the workers have ephemeral sessions and no store in common.
        """
        if self._source.loaded.settings.keys.mode == "ephemeral":
            return await operator_calls.forward_value_call(self._sharing(), call)
        workers = [slot.worker for slot in self._slots if slot.worker is not None]
        return await operator_calls.forward_value_call(workers, call)

    def _sharing(self) -> list[WorkerProcess]:
        """Return the workers; raise OperatorError where they have no store in common."""
        if self._source.loaded.settings.keys.store == "memory":
            raise OperatorError("store-not-shared")
        return [slot.worker for slot in self._slots if slot.worker is not None]

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

    async def _fill(self, slot: _Slot) -> None:
        """Start a worker in a slot, by the source in force."""
        began = time.monotonic()
        numbers = self._sockets.numbers(slot.number)
        worker = await spawn(self._command, [one for each in numbers.values() for one in each])
        self._reporter.report(
            "worker.started", worker=slot.number, worker_pid=worker.pid, restarts=slot.restarts
        )
        slot.worker = worker
        await worker.ask(
            "start",
            _START_SECONDS,
            text=self._source.text,
            file=str(self._source.loaded.file),
            sockets=numbers,
            # Once for all of them; who replaces a dead worker must not be kept from it.
            check_store=slot.number == 0 and slot.restarts == 0,
        )
        await self._ask_facts(slot)
        took = round((time.monotonic() - began) * 1000, 1)
        self._reporter.report(
            "worker.ready", worker=slot.number, worker_pid=worker.pid, duration_ms=took
        )

    async def _keep(self, slot: _Slot) -> None:
        """Replace the worker of a slot whenever it ends."""
        pause = _FIRST_PAUSE
        while True:
            began = time.monotonic()
            worker = slot.worker
            status = await worker.ended() if worker is not None else 0
            if worker is not None:
                self._mourn(slot)
            steady = time.monotonic() - began > _STEADY_SECONDS
            pause = _FIRST_PAUSE if steady else min(pause * 2, _LONGEST_PAUSE)
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

    async def _refill(self, slot: _Slot) -> None:
        async with self._changing:
            try:
                await self._fill(slot)
            except (SealyardError, OSError):
                # It is told as dead, and tried again after a longer pause.
                if slot.worker is not None:
                    slot.worker.kill()

    def _mourn(self, slot: _Slot) -> None:
        """Keep what a dead worker had counted: counters never go back."""
        facts, slot.facts, slot.worker = slot.facts, None, None
        if facts is not None:
            self._gone.merge(facts.samples, gauges=False)

    async def _beat(self) -> None:
        """Ask for facts once a second, so that little is lost of what a killed worker counted."""
        while True:
            await asyncio.sleep(_BEAT_SECONDS)
            await asyncio.gather(*(self._ask_facts(slot) for slot in self._slots))

    async def _ask_facts(self, slot: _Slot) -> None:
        worker = slot.worker
        if worker is None:
            return
        source = self._source
        try:
            facts = Facts.from_json(await worker.ask("facts", _FACTS_SECONDS))
            if source is self._source:  # a reload opens what was shut before it
                await self._shut_alike(worker, facts)
        except SealyardError:
            return
        if slot.worker is worker:
            slot.facts = facts

    async def _shut_alike(self, worker: WorkerProcess, facts: Facts) -> None:
        """Let a worker shut the rules that another one has shut, and learn which it has."""
        found = {(listener, rule) for listener, rule in facts.status.get("shut", ())}
        self._shut |= found
        if missing := sorted(self._shut - found):
            await worker.ask("shut", _FACTS_SECONDS, rules=missing)

    def _hold(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _end_tasks(self) -> None:
        for task in self._tasks:
            task.cancel()


async def _look(worker: WorkerProcess) -> dict[str, Any]:
    try:
        seen: dict[str, Any] = await worker.ask("look", _FACTS_SECONDS)
    except SealyardError:
        return {}
    return seen


async def _drained(worker: WorkerProcess, grace: float) -> bool:
    try:
        finished = bool(await worker.ask("drain", grace + _FACTS_SECONDS, grace=grace))
        async with asyncio.timeout(_FACTS_SECONDS):
            await worker.ended()
    except (WorkerGone, InternalError, TimeoutError):
        return False
    return finished
