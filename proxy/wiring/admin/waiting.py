"""The process as its health listener shows it while no root opens the keyring yet."""

from __future__ import annotations

import platform

from ... import __version__
from ...core import leaves
from ...telemetry.metrics import table
from ...telemetry.metrics.samples import Check, Samples


class WaitingView:
    """Alive and not ready, and why (`HealthService`)."""

    def __init__(self) -> None:
        self.reason = ""
        """Why no root opens the keyring, with the names of the roots."""

    def stalled(self) -> float:
        """Return 0: nothing carries traffic that could be held up."""
        return 0.0

    async def checks(self) -> tuple[Check, ...]:
        """Return the checks of a process that has not started."""
        return Check("started", ok=False), Check("root", ok=False, detail=self.reason)

    async def samples(self) -> Samples:
        """Return the samples of a process that has not started."""
        samples = Samples()
        samples.add(table.BUILD, 1, labels=(__version__, platform.python_version(), leaves.NATIVE))
        samples.add(table.READY, 0)
        return samples
