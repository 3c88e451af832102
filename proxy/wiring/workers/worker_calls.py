"""Calls to the workers of one supervisor: those of operators, and a change of configuration."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from functools import reduce
from typing import TYPE_CHECKING, Any, Final, TypeVar

from ...config.settings import KeySettings
from ...core.crypto.context import Scope
from ...core.errors import OperatorError, SealyardError, WorkerGone
from ...keys.operations.session_calls import SessionCall, SessionResult, scope_to_json
from ...keys.operations.values import ValueCall, ValueResult
from ...keys.participants.calls import ParticipantCall
from ..ipc.worker_process import NOT_STARTED, WorkerProcess
from ..operator_calls import PARTICIPANT_CHANGES
from ..reload.config_files import Source

if TYPE_CHECKING:  # for those who ask: it takes memory
    from ...keys.participants.operations import ParticipantResult

CALL_SECONDS: Final = 10.0
"""A revocation opens the keyring and seals it again: under a passphrase, 0.3 s of CPU or more."""

CHANGE_SECONDS: Final = 30.0
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

    async def operate(self, call: SessionCall) -> SessionResult:
        """Let all workers do what an operator asks of the sessions of a scope; join the results."""
        result = None
        for first in self._workers():
            result = await _operate(first, call)
            if result is not None:
                break
        else:
            raise WorkerGone("no-worker")
        for_others = _for_others(call, result, shared=self._shared)
        if for_others is None:
            return result
        # Those of now: one that began meanwhile may have read the keyring too early.
        others = [worker for worker in self._running() if worker is not first]
        results = await asyncio.gather(*(_operate(worker, for_others) for worker in others))
        if for_others.action == "refresh":
            return result
        return reduce(SessionResult.joined, filter(None, results), result)

    async def participants(self, call: ParticipantCall) -> ParticipantResult:
        """Let one worker do what an operator asks of a participant, and notify the others."""
        # No message waits for this process.
        from ...keys.participants.key_generation import (  # noqa: PLC0415 - see above
            MOST_WAITING,
            SECONDS,
        )
        from ...keys.participants.operations import ParticipantResult  # noqa: PLC0415 - see above

        longest = (MOST_WAITING + 1) * SECONDS  # the last caller waits for all the others
        first, *rest = self._sharing()
        result = await first.ask("participants", longest, call=call.to_json())
        if call.action in PARTICIPANT_CHANGES:
            # Over SQLite they would keep using a revoked key until they read the store again.
            notices = (worker.ask("hear", CALL_SECONDS) for worker in rest)
            await asyncio.gather(
                *notices, return_exceptions=True
            )  # a dead one is restarted and reads it
        return ParticipantResult.from_json(result)

    async def packages(self, scope: Scope, recipient: str) -> list[dict[str, Any]]:
        """Let one worker look up the key packages of a conversation for a participant."""
        call = {**scope_to_json(scope), "recipient": recipient}
        found: list[dict[str, Any]] = await _first_answer(self._sharing(), "packages", call)
        return found

    async def values(self, call: ValueCall) -> list[ValueResult]:
        """Let one worker seal values, or open tokens.

        Raises OperatorError where the workers have ephemeral sessions and no store in common.
        """
        workers = self._sharing() if self._keys().sessions.mode == "ephemeral" else self._workers()
        results = await _first_answer(workers, "values", call.to_json())
        return [ValueResult(*one) for one in results]

    @property
    def _shared(self) -> bool:
        return self._keys().store.address != "memory"

    def _workers(self) -> Sequence[WorkerProcess]:
        workers = self._running()
        if not workers:
            raise WorkerGone("no-worker")
        return workers

    def _sharing(self) -> Sequence[WorkerProcess]:
        """Return the workers; raise OperatorError where they have no store in common."""
        if not self._shared:
            raise OperatorError("store-not-shared")
        return self._workers()


def _for_others(call: SessionCall, result: SessionResult, *, shared: bool) -> SessionCall | None:
    """Return the call for the other workers once the first has done its own with that result."""
    if call.action in {"revoke", "erase"}:
        return replace(call, keep=False, not_before=result.not_before)
    if shared and call.action == "rotate":
        return replace(call, action="refresh")
    # Without a store in common, each has a session of its own.
    return call if call.action == "show" or not shared else None


async def _operate(worker: WorkerProcess, call: SessionCall) -> SessionResult | None:
    """Return the worker's result, or None if it is passed over."""
    try:
        done = await worker.ask("operate", CALL_SECONDS, call=call.to_json())
    except WorkerGone as error:
        if _passed_over(worker, error):
            return None
        raise
    return SessionResult.from_json(done)


async def _first_answer(workers: Sequence[WorkerProcess], what: str, call: dict[str, Any]) -> Any:  # noqa: ANN401 - JSON
    """Return what one of the workers answers to a question that may be asked twice."""
    for worker in workers:
        try:
            return await worker.ask(what, CALL_SECONDS, call=call)
        except WorkerGone as error:
            if not _passed_over(worker, error):
                raise
    raise WorkerGone("no-worker")


def _passed_over(worker: WorkerProcess, error: WorkerGone) -> bool:
    return worker.gone or error.reason == NOT_STARTED


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
        prepared = await gather_all(self._prepare(worker) for worker in self._workers)
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

    async def _prepare(self, worker: WorkerProcess) -> bool:
        text, file = self._source.text, str(self._source.loaded.file)
        try:
            await worker.ask("prepare", CHANGE_SECONDS, text=text, file=file, secrets=self._secrets)
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
