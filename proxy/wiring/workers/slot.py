"""The slot of one worker, which one process after another fills."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from ...telemetry.metrics.samples import Check, Facts
from ..ipc.worker_process import WorkerProcess


@dataclass(slots=True)
class Slot:
    """Its process, its latest facts, how often it was restarted.

    `began` is when the process did, in monotonic seconds; `serves` says that it has started, so
    that a silence of it means something. `waits` is why no root opens the keyring for it, empty
    for a worker that does not wait for one.
    """

    number: int
    worker: WorkerProcess | None = None
    facts: Facts | None = None
    restarts: int = 0
    began: float = 0.0
    serves: bool = False
    waits: str = ""
    asking: asyncio.Task[None] | None = None

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
