"""Calls to the workers of one supervisor: those of operators, and a change of configuration."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from functools import reduce
from typing import TypeVar

from ...config.settings import KeySettings
from ...core.errors import SealyardError, WorkerGone
from ...keys.operations.verb import Call, Done, Verb
from ...keys.operations.verbs import VERBS
from ...keys.policy import CALL_SECONDS
from ..ipc.worker_process import NOT_STARTED, WorkerProcess
from ..policy import CHANGE_SECONDS
from ..reload.config_files import Source

T = TypeVar("T")


class WorkerOperations:
    """Forwards operators' calls to workers, as `KeyOperations`.

    Each call raises what a worker raised, and WorkerGone where one does not answer, or none is
    there. One that has ended, or did not start, is passed over: its replacement reads the keyring
    and the store.
    """

    def __init__(
        self,
        workers: Callable[[], Sequence[WorkerProcess]],
        keys: Callable[[], KeySettings],
    ) -> None:
        """`workers` and `keys` return the running workers and the settings in force."""
        self._running = workers
        self._keys = keys

    async def run(self, call: Call) -> Done:
        """Let one worker do what a call asks, or all of them, and join what they answer."""
        verb, keys = VERBS[call.verb], self._keys()
        verb.require_store(keys)
        first, done = await self._first(verb, call)
        # Those of now: one that began meanwhile may have read the keyring too early.
        others = [worker for worker in self._running() if worker is not first]
        if verb.reach == "told":
            # Over SQLite they would keep using a revoked key until they read the store again.
            notices = (worker.ask("hear", CALL_SECONDS) for worker in others)
            # A dead one is restarted and reads it.
            await asyncio.gather(*notices, return_exceptions=True)
        if verb.join is None:
            return done
        after = replace(call, after=done.answer)
        results = await asyncio.gather(*(self._passing(one, verb, after) for one in others))
        return reduce(verb.join, filter(None, results), done)

    async def _first(self, verb: Verb, call: Call) -> tuple[WorkerProcess, Done]:
        """Return the first worker that does it, and what it has done."""
        for worker in self._running():
            done = await self._passing(worker, verb, call)
            if done is not None:
                return worker, done
        raise WorkerGone("no-worker")

    async def _passing(self, worker: WorkerProcess, verb: Verb, call: Call) -> Done | None:
        """Return what a worker has done, or None if it is passed over.

        What cannot be done twice is not asked of another one once a worker may have done it.
        """
        gone = worker.gone
        try:
            return Done(**await worker.ask("run", verb.seconds, call=call.to_json()))
        except WorkerGone as error:
            once = verb.reach == "told" and not gone
            if error.reason == NOT_STARTED or (worker.gone and not once):
                return None
            raise


class WorkersChange:
    """A change of configuration that all workers take, or none."""

    def __init__(
        self,
        workers: Sequence[WorkerProcess],
        source: Source,
        settle: Callable[[Source | None], None],
        secrets: str = "",
        *,
        waiting: bool = False,
    ) -> None:
        """`settle` is called at the end: with the new source, or with None if the old one stays.

        `secrets` are those that operators handed in, if they do (`secrets_to_json`); `waiting` says
        that all workers wait for a root, so that none can check it.
        """
        self._workers = workers
        self._source = source
        self._settle = settle
        self._secrets = secrets
        self._waiting = waiting

    async def prepare(self) -> None:
        """Let every worker prepare it; raise the first error that one of them raised.

        One that has ended is passed over: its replacement starts when the change is over. Where
        none is left, nobody has checked the change, and WorkerGone is raised.
        """
        source = self._source.hand_over()
        prepared = await gather_all(self._prepare(worker, source) for worker in self._workers)
        if not any(prepared) and not self._waiting:
            raise WorkerGone("no-worker")

    async def apply(self) -> None:
        """Let every worker apply it; kill one that cannot: its replacement starts with it."""
        try:
            await asyncio.gather(*(self._apply(worker) for worker in self._workers))
        finally:
            self._settle(self._source)

    async def discard(self) -> None:
        """Let every worker discard it."""
        asking = (worker.ask("discard", CHANGE_SECONDS) for worker in self._workers)
        try:
            await asyncio.gather(*asking, return_exceptions=True)
        finally:
            self._settle(None)

    async def _prepare(self, worker: WorkerProcess, source: str) -> bool:
        try:
            await worker.ask("prepare", CHANGE_SECONDS, source=source, secrets=self._secrets)
        except WorkerGone:
            if worker.gone:
                return False
            raise
        return True

    async def _apply(self, worker: WorkerProcess) -> None:
        try:
            await worker.ask("apply", CHANGE_SECONDS)
        except SealyardError:
            worker.kill()


async def gather_all(awaitables: Iterable[Awaitable[T]]) -> list[T]:
    """Await all of them to their end; return the results, or raise the first error there was."""
    results = await asyncio.gather(*awaitables, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results  # type: ignore[return-value] # none is an exception
