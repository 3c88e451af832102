"""What operators ask of participants, carried to the process that has the store."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import reduce
from typing import Any, Final

from ..config.settings import KeySettings, Settings
from ..core.crypto.context import Scope
from ..core.crypto.derivation import audit_key
from ..core.errors import InternalError
from ..keys.keyring.keyring import Keyring
from ..keys.operations.session_operations import (
    KeyringRevocations,
    SessionCall,
    SessionOperations,
    SessionResult,
    scope_to_json,
)
from ..keys.operations.values import ValueCall, ValueResult
from ..keys.participants.key_generation import MOST_WAITING, SECONDS, KeyMaker
from ..keys.participants.operations import ParticipantCall, ParticipantOperations, ParticipantResult
from ..keys.participants.pins import PinBook
from ..keys.participants.registry import Participants
from ..keys.sessions.sessions import Sessions
from ..telemetry.reporter import Reporter
from .auditing import log_of
from .ipc.worker_process import WorkerProcess
from .reload.material import root_provider

CHANGES: Final = frozenset({"add", "rotate", "revoke", "expire", "accept"})
"""What others must hear of."""

_LOOK_SECONDS: Final = 10.0
_CALL_SECONDS: Final = (MOST_WAITING + 1) * SECONDS
"""The last of those who wait for a key pair waits for all others."""


def participant_operations(  # noqa: PLR0913 - what the sidecar hands in
    participants: Participants,
    pins: PinBook,
    keyring: Keyring,
    settings: Settings,
    *,
    maker: KeyMaker,
    reporter: Reporter,
    clock: Callable[[], float],
) -> ParticipantOperations:
    """Return who answers for the participants in the store of this process."""
    path, log = settings.keys.keyring, log_of(settings, reporter, clock)
    key = audit_key(keyring.record_key)

    async def write(event: str, values: Mapping[str, str]) -> None:
        await asyncio.to_thread(log.write, key, event, keyring=str(path), **values)

    return ParticipantOperations(participants, pins, maker, write, clock=clock)


async def forward_participant_call(
    workers: Sequence[WorkerProcess], call: ParticipantCall
) -> ParticipantResult:
    """Let one of the workers, which share a store, do what is asked, and the others hear of it.

    Raises what it met, and InternalError where there is no worker.
    """
    if not workers:
        raise InternalError("no-worker")
    first, *rest = workers
    answer = await first.ask("participants", _CALL_SECONDS, call=call.to_json())
    if call.action in CHANGES:
        # Over SQLite they would go on with a revoked key until they ask again.
        hearing = (worker.ask("hear", _LOOK_SECONDS) for worker in rest)
        await asyncio.gather(*hearing, return_exceptions=True)  # who is gone begins anew
    return ParticipantResult.from_json(answer)


async def packages(
    workers: Sequence[WorkerProcess], scope: Scope, recipient: str
) -> list[dict[str, Any]]:
    """Return what one of the workers finds; raise as `of_workers` does."""
    if not workers:
        raise InternalError("no-worker")
    told = {**scope_to_json(scope), "recipient": recipient}
    found: list[dict[str, Any]] = await workers[0].ask("packages", _LOOK_SECONDS, call=told)
    return found


def report_participant_call(
    reporter: Reporter, call: ParticipantCall, answer: ParticipantResult
) -> None:
    """Tell the log of a change; whoever trusts a participant's keys may want to look."""
    if call.action in CHANGES:
        reporter.report(
            "participant.changed", participant=answer.name, kid=answer.kid, action=call.action
        )


CALL_SECONDS: Final = 10.0
"""A revocation opens the keyring and seals it again: under a passphrase, 0.3 s of CPU or more."""


def session_operations(
    sessions: Sessions,
    settings: Settings,
    environ: Mapping[str, str],
    reporter: Reporter,
    *,
    clock: Callable[[], float],
) -> SessionOperations:
    """Return who answers for the sessions of this process, and keeps revocations in the keyring."""
    path, log = settings.keys.keyring, log_of(settings, reporter, clock)
    return SessionOperations(
        sessions, KeyringRevocations(path, root_provider(settings, environ), log, clock).revoke
    )


async def forward_session_call(
    workers: Sequence[WorkerProcess], call: SessionCall, *, shared: bool
) -> SessionResult:
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
    return answer if others.action == "hear" else reduce(SessionResult.joined, answers, answer)


def report_session_call(
    reporter: Reporter, call: SessionCall, answer: SessionResult, keys: KeySettings
) -> None:
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


def _for_the_rest(call: SessionCall, *, shared: bool) -> SessionCall | None:
    """Return what is asked of the other workers once the first has answered."""
    if call.action in {"revoke", "erase"}:
        return replace(call, keep=False)
    if shared and call.action == "rotate":
        return replace(call, action="hear")
    # Without a store in common, each has a session of its own.
    return call if call.action == "show" or not shared else None


async def _ask(worker: WorkerProcess, call: SessionCall) -> SessionResult:
    return SessionResult.from_json(await worker.ask("operate", CALL_SECONDS, call=call.to_json()))


_SECONDS: Final = 10.0


async def forward_value_call(
    workers: Sequence[WorkerProcess], call: ValueCall
) -> list[ValueResult]:
    """Let one of the workers do what is asked.

    Raises what it met, and InternalError where there is no worker.
    """
    if not workers:
        raise InternalError("no-worker")
    answer = await workers[0].ask("values", _SECONDS, call=call.to_json())
    return [ValueResult(*one) for one in answer]
