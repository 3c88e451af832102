"""What operators ask of sessions, carried to whoever holds them: this process, or its workers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import reduce
from typing import Final

from ..config.settings import KeySettings, Settings
from ..core.errors import InternalError
from ..keys.operations.session_operations import Answer, Call, Desk, Keeper
from ..keys.sessions.sessions import Sessions
from ..telemetry.reporter import Reporter
from .auditing import log_of
from .material import root_provider
from .worker_process import WorkerProcess

CALL_SECONDS: Final = 10.0
"""A revocation opens the keyring and seals it again: under a passphrase, 0.3 s of CPU or more."""


def session_operations(
    sessions: Sessions,
    settings: Settings,
    environ: Mapping[str, str],
    reporter: Reporter,
    *,
    clock: Callable[[], float],
) -> Desk:
    """Return who answers for the sessions of this process, and keeps revocations in the keyring."""
    path, log = settings.keys.keyring, log_of(settings, reporter, clock)
    return Desk(sessions, Keeper(path, root_provider(settings, environ), log, clock).revoke)


async def forward_session_call(
    workers: Sequence[WorkerProcess], call: Call, *, shared: bool
) -> Answer:
    """Let workers do what is asked, so that all of them go by it, and return it as one answer.

    Raises what one of them met, and InternalError where there is no worker.
    """
    if not workers:
        raise InternalError("no-worker")
    first, *rest = workers
    answer = await _ask(first, call)
    others = _for_the_rest(call, shared=shared)
    if others is None:
        return answer
    answers = await asyncio.gather(*(_ask(worker, others) for worker in rest))
    return answer if others.action == "hear" else reduce(Answer.joined, answers, answer)


def report_session_call(reporter: Reporter, call: Call, answer: Answer, keys: KeySettings) -> None:
    """Tell the log what an operator did; who begins a session tells of it."""
    if call.action == "revoke":
        reporter.report(
            "key.revoked",
            scope=answer.scope,
            not_before=answer.not_before,
            durable=answer.durable,
            store=answer.store,
            unknown=answer.unknown,
            source="admin",
        )
    elif call.action == "erase":
        kind, number = keys.store.partition(":")[0], len(answer.erased or ())
        reporter.report("key.erased", scope=answer.scope, keys=number, store=kind, source="admin")


def _for_the_rest(call: Call, *, shared: bool) -> Call | None:
    """Return what is asked of the other workers once the first has answered."""
    if call.action in {"revoke", "erase"}:
        return replace(call, keep=False)
    if shared and call.action == "rotate":
        return replace(call, action="hear")
    # Without a store in common, each has a session of its own.
    return call if call.action == "show" or not shared else None


async def _ask(worker: WorkerProcess, call: Call) -> Answer:
    return Answer.from_json(await worker.ask("operate", CALL_SECONDS, call=call.to_json()))
