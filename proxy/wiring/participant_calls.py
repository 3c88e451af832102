"""What operators ask of participants, carried to the process that has the store."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from ..config.settings import Settings
from ..core.crypto.context import Scope
from ..core.crypto.derivation import audit_key
from ..core.errors import InternalError
from ..keys.keyring.keyring import Keyring
from ..keys.operations.session_operations import scope_to_json
from ..keys.participants.key_generation import MOST_WAITING, SECONDS, KeyMaker
from ..keys.participants.operations import ParticipantAnswer, ParticipantCall, ParticipantDesk
from ..keys.participants.pins import PinBook
from ..keys.participants.registry import Participants
from ..telemetry.reporter import Reporter
from .auditing import log_of
from .worker_process import WorkerProcess

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
) -> ParticipantDesk:
    """Return who answers for the participants in the store of this process."""
    path, log = settings.keys.keyring, log_of(settings, reporter, clock)
    key = audit_key(keyring.record_key)

    async def write(event: str, values: Mapping[str, str]) -> None:
        await asyncio.to_thread(log.write, key, event, keyring=str(path), **values)

    return ParticipantDesk(participants, pins, maker, write, clock=clock)


async def forward_participant_call(
    workers: Sequence[WorkerProcess], call: ParticipantCall
) -> ParticipantAnswer:
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
    return ParticipantAnswer.from_json(answer)


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
    reporter: Reporter, call: ParticipantCall, answer: ParticipantAnswer
) -> None:
    """Tell the log of a change; whoever trusts a participant's keys may want to look."""
    if call.action in CHANGES:
        reporter.report(
            "participant.changed", participant=answer.name, kid=answer.kid, action=call.action
        )
