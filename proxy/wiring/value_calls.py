"""What services ask of values, carried to a process that has the sessions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ..core.errors import InternalError
from ..keys.operations.values import Value, ValueCall
from .worker_process import WorkerProcess

_SECONDS: Final = 10.0


async def forward_value_call(workers: Sequence[WorkerProcess], call: ValueCall) -> list[Value]:
    """Let one of the workers do what is asked.

    Raises what it met, and InternalError where there is no worker.
    """
    if not workers:
        raise InternalError("no-worker")
    answer = await workers[0].ask("values", _SECONDS, call=call.to_json())
    return [Value(*one) for one in answer]
