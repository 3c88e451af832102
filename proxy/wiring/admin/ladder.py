"""The ladder of a running service: its counts, kept in a file if the operator names one."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from ...config.settings import Settings
from ...core.errors import SealyardError
from ...keys import private_file
from ...telemetry.metrics.samples import Facts
from ...telemetry.reporter import Reporter
from ..policy import FACTS_SECONDS, LADDER_BYTES, LADDER_SECONDS
from ..reload.config_files import Source
from ..reload.reload import deliberate
from .ladder_counts import Key, Ledger, RuleStage, from_json, rows, to_json


class LadderKeeper:
    """Counts for the ladder. Before a reload, what was counted is added to the modes of before."""

    def __init__(
        self,
        facts: Callable[[float], Awaitable[Facts]],
        settings: Callable[[], Settings],
        reporter: Reporter,
        *,
        clock: Callable[[], float] = time.time,
        file: Path | None = None,
    ) -> None:
        """`facts` are those of all workers; `settings` those in force."""
        self._facts = facts
        self._settings = settings
        self._reporter = reporter
        self._clock = clock
        self._file = file
        self._ledger = Ledger({})
        self._counted_since = clock()
        self._one_at_a_time = asyncio.Lock()
        self._changed = False
        self._failed = False

    async def start(self) -> None:
        """Read the file, if there is one, and begin to count."""
        if self._file is not None:
            stages = await asyncio.to_thread(self._read, self._file)
            self._ledger = Ledger(stages)
            self._counted_since = min(
                (stage.since for stage in stages.values()), default=self._counted_since
            )
        await self.take()

    async def run(self) -> None:
        """Take what was counted every minute, and write it down, until cancelled."""
        while True:
            await asyncio.sleep(LADDER_SECONDS)
            await self.take()
            await self.save()

    async def take(self) -> None:
        """Add what was counted since the last call to the modes in force."""
        async with self._one_at_a_time:
            facts = await self._facts(FACTS_SECONDS)
            changed = self._ledger.take(
                self._settings(), facts.samples, self._clock(), facts.unlisted
            )
            self._changed = self._changed or changed

    async def save(self) -> None:
        """Write the file if anything has changed; what cannot be written is reported once."""
        if self._file is None or not self._changed:
            return
        content = json.dumps(to_json(self._settings(), self._ledger.stages)).encode()
        try:
            await asyncio.to_thread(private_file.write, self._file, content)
        except Exception as error:  # noqa: BLE001 - the loop must go on, whatever a disk or a machine does
            if not self._failed:
                known = deliberate(error)
                self._report(self._file, known.reason or known.code)
            self._failed = True
        else:
            self._changed = self._failed = False

    async def close(self) -> None:
        """Take what was counted last, and write it down."""
        await self.take()
        await self.save()

    async def prepare(self, _: Source) -> LadderKeeper:
        """Take what was counted under the configuration in force, before another one is."""
        await self.take()
        return self

    async def apply(self) -> None:
        """Do nothing: the new modes are met when counts are taken again."""

    async def discard(self) -> None:
        """Do nothing: nothing was changed."""

    async def counted(self) -> dict[str, Any]:
        """Return each rule's mode and what was counted in it, for JSON."""
        await self.take()
        return {
            "at": int(self._clock()),
            "counted_since": int(self._counted_since),
            "kept": self._file is not None,
            "overflown": self._ledger.overflown,
            "rules": rows(self._settings(), self._ledger.stages),
        }

    def _read(self, file: Path) -> Mapping[Key, RuleStage]:
        """Return what a file holds, nothing where it is missing or cannot be used."""
        if not file.exists():
            return {}
        try:
            return from_json(json.loads(private_file.read(file, LADDER_BYTES)))
        except (SealyardError, ValueError, RecursionError) as error:
            reason = error.reason if isinstance(error, SealyardError) else "not-a-ladder-file"
            self._report(file, reason)
            return {}

    def _report(self, file: Path, reason: str) -> None:
        self._reporter.report("ladder.unusable", file=str(file), reason=reason)
