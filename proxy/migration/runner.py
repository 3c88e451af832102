"""A whole run: every table of a job with one verb, its state, its progress and what it found."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from time import monotonic, sleep
from typing import TYPE_CHECKING, Final

from ..core.errors import MigrationFailed
from . import estimate
from .engine import RowRange, total
from .job.collections import HttpCollection
from .job.model import SEALING, WRITING
from .policy import RANGES, STATE_SECONDS, WAIT_SECONDS
from .progress import Progress
from .report import MigrationRun, Proof
from .sources.keepers import Keeper
from .sources.source import Source
from .sources.sql_table import SqlTable
from .worker import Order, Worker

if TYPE_CHECKING:  # only with several workers: it takes memory
    from .team import Team


_INSPECTED: Final = frozenset({"plan", "seal", "verify"})
"""The verbs before which a database is asked who else has values."""


async def run(order: Order, progress: Progress, team: Team | None = None) -> MigrationRun:
    """Return what the run did, by a team, or in this process.

    Raises MigrationFailed where a place cannot be read or written, or where another KEK has become
    the primary; what was done stays done, and the state says how far it is.
    """
    began, clock = int(order.clock()), monotonic()
    with closing(Worker(order)) as worker:
        work = _Work(order, worker, progress, team)
        keepers = [] if order.verb not in _INSPECTED else list(work.keepers())
        parts = await work.run()
        advice = estimate.Advice(tuple(work.doubts()), None)
        if order.verb == "plan":
            planned = await estimate.advice(order, worker, parts, monotonic() - clock)
            advice = planned._replace(lines=advice.lines + planned.lines)
        places = tuple(worker.source(at).name for at in range(len(order.job.tables)))
    if order.state is not None:
        order.state.remove()
    ended = int(order.clock())
    tally = total(parts)
    return MigrationRun(
        order.verb, order.job, places, tally, work.proof, began, ended, *advice, tuple(keepers)
    )


class _Work:
    """One run: its parts, and how far they are."""

    def __init__(self, order: Order, worker: Worker, progress: Progress, team: Team | None) -> None:
        self._order = order
        self._worker = worker
        self._progress = progress
        self._team = team
        self._began = self._kept = monotonic()
        self._rows = 0
        self._asked = 0.0
        self._parts: list[RowRange] = []
        self._places: list[str] = []
        self._sources: list[Source] = []
        self._editions: list[str] = []
        self._counts: list[int | None] = []
        self.proof: Proof = "pages"

    async def run(self) -> list[RowRange]:
        order, team = self._order, self._team
        sources = [self._worker.source(at) for at in range(len(order.job.tables))]
        self._sources, self._editions = sources, [one.edition() for one in sources]
        states: list[str | None] = [None] * len(sources)
        if order.verb == "verify":
            states = [one.begin_proof() for one in sources]
            shared = all(states) if team else None not in states
            self.proof = "snapshot" if shared else "pages"
        self._places = [one.name for one in sources]
        if order.verb in WRITING:
            for one in {source.name: source for source in sources}.values():
                one.exclude()
            order.steering.begin()
        held = order.state.read(self._places, self._editions) if order.state is not None else None
        self._parts = held or [
            RowRange(at, after, until)
            for at, source in enumerate(sources)
            for after, until in pairwise(
                [None, *(source.borders(team.size * RANGES) if team else ()), None]
            )
        ]
        self._counts = counts = [one.count() for one in sources]
        rows = None if None in counts else sum(one or 0 for one in counts)
        self._progress.begin(rows, sum(part.tally.rows for part in self._parts))
        try:
            if team is not None:
                team.treat(self._parts, states, self._reached)
            else:
                for part in self._parts:
                    if not part.done:
                        await self._worker.treat(part, self._reached)
        finally:
            self._progress.end()
            self._keep()
        self._require_keys()
        if self.proof == "snapshot":
            self._require_all()
        return self._parts

    def keepers(self) -> Iterator[Keeper]:
        """Yield what else keeps or receives values of the tables.

        Raises MigrationFailed where `seal` would write plaintext to what the job does not accept.
        """
        found: dict[Keeper, None] = {}
        for at in range(len(self._order.job.tables)):
            inspection = self._worker.source(at).inspection()
            found |= dict.fromkeys(() if inspection is None else inspection.keepers())
        accepted = self._order.job.accept
        anew = [one for one in found if one.effect == "receives" and one.name not in accepted]
        if anew and self._order.verb == "seal":
            told = "; ".join(f"{one.name}: {one.told}: {one.cure}" for one in anew)
            names = ", ".join(json.dumps(one.name, ensure_ascii=False) for one in anew)
            detail = f"{told}. Or accept it in the job: `accept: [{names}]`"
            raise MigrationFailed("would-receive-plaintext", detail=detail)
        yield from found

    def _rows_of(self, table: int) -> int:
        """Return how many rows of a table were read."""
        return total(part for part in self._parts if part.table == table).rows

    def _require_keys(self) -> None:
        """Raise MigrationFailed where rows may have got other keys: some were read twice or not."""
        if self.proof == "snapshot":
            return
        for one, edition in zip(self._sources, self._editions, strict=True):
            if one.edition() != edition:
                told = "VACUUM may have given rows other numbers; run it again: it begins anew"
                raise MigrationFailed("rows-renumbered", detail=f"{one.table.name}: {told}")

    def _require_all(self) -> None:
        """Raise MigrationFailed where a table has other rows than those that its key led to."""
        for at, source in enumerate(self._sources):
            if isinstance(source, SqlTable):
                read = self._rows_of(at)
                if (rows := source.counted()) != read:
                    told = f"it has {rows:,} rows, and {read:,} were read: is its key unique?"
                    raise MigrationFailed("rows-missed", detail=f"{source.table.name}: {told}")

    def doubts(self) -> Iterator[str]:
        """Yield what to say of tables of which nothing was read, or less than they say to have."""
        if not self._order.job.ruled and self._order.verb == "plan":
            yield "no rules are compared with this job: name the configuration by `rules`"
        for at, said in enumerate(self._counts):
            table, read = self._order.job.tables[at], self._rows_of(at)
            if isinstance(table, HttpCollection) and said is not None and read < said:
                told = f"the list says that it has {said:,} elements, and {read:,} were read"
                yield f"{table.name}: {told}: see `next`"
            elif not read:
                yield f"{table.name}: nothing was read: is it empty, or does the job leave all out?"

    def _reached(self, part: RowRange, rows: int) -> None:
        now = monotonic()
        if now - self._kept >= STATE_SECONDS:
            self._kept = now
            self._keep()
            self._require_keys()
        self._progress.reached(self._order.job.tables[part.table].name, rows)
        self._rows += rows
        if self._order.rate is not None:
            sleep(max(self._began + self._rows / self._order.rate - now, 0.0))
        if self._order.verb in WRITING:
            while why := self._order.steering.asked() or self._pressed(part.table):
                self._progress.waits(why)
                sleep(WAIT_SECONDS)
        # Asked last: another KEK may have become the primary in the pause.
        if self._order.verb in SEALING and self._order.outdated():
            raise MigrationFailed("primary-changed", detail="run it again to go on")

    def _pressed(self, table: int) -> str:
        """Return why the run is to wait, by what the job bounds; it is asked once a second."""
        throttle, now = self._order.job.throttle, monotonic()
        if now < self._asked + WAIT_SECONDS:
            return ""
        if throttle.load is not None and (load := os.getloadavg()[0]) > throttle.load:
            return f"the load is {load:.1f}"
        source = self._worker.source(table)
        if throttle.lag is not None and (lag := source.lag()) > throttle.lag:
            return f"a replica is {lag:.1f} s behind"
        if throttle.sessions is not None and (active := source.sessions()) > throttle.sessions:
            return f"{active} sessions are active"
        self._asked = monotonic()
        return ""

    def _keep(self) -> None:
        if self._order.state is not None:
            self._order.state.write(self._parts, self._places, self._editions)
