"""A whole run: every table of a job with one verb, its state, its progress and what it found."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from time import monotonic, sleep
from typing import BinaryIO, Final

from ..keys.keyring.keyring import Keyring
from ..keys.sessions.sessions import Sessions, SessionSettings
from ..keys.stores import MemoryStore
from . import engine
from .engine import RowRange, total
from .job.model import Job, Verb
from .progress import Progress
from .report import MigrationRun, Proof
from .sources.source import Source
from .sources.table import open_source, scopes, treatment
from .state import StateFile
from .values.sealing import RunSessions

_STATE_SECONDS: Final = 1.0
_LEAST_SCOPES: Final = 256


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be done, and how: at most `rate` rows a second, and where the state is kept.

    `streams` are what a pipe reads and writes; `clock` gives seconds since 1970.
    """

    job: Job
    verb: Verb
    keyring: Keyring
    streams: tuple[BinaryIO, BinaryIO | None]
    clock: Callable[[], float]
    rate: float | None = None
    state: StateFile | None = None


def _sessions(order: Order) -> Sessions:
    """Return the sessions that open durable tokens: as many as a batch needs, and no more.

    Revocations in the keyring are honoured. Those that are only in a store are not known here.
    """
    most = max(_LEAST_SCOPES, *map(scopes, order.job.tables))
    settings = SessionSettings(max_scopes=most)
    store = MemoryStore(monotonic)
    return Sessions(order.keyring, store, settings, clock=order.clock, random=os.urandom)


async def run(order: Order, progress: Progress) -> MigrationRun:
    """Return what the run did.

    Raises MigrationFailed where a place cannot be read or written; what was done stays done, and
    the state says how far it is.
    """
    began = int(order.clock())
    with ExitStack() as stack:
        sources: list[Source] = []
        for table in order.job.tables:
            source = open_source(order.job, table, order.streams, os.environ)
            stack.callback(source.close)
            sources.append(source)
        work = _Work(order, sources, progress)
        parts = await work.run()
        advice = _advice(sources, parts) if order.verb == "plan" else ()
    if order.state is not None:
        order.state.remove()
    places = tuple(one.name for one in sources)
    ended = int(order.clock())
    return MigrationRun(
        order.verb, order.job, places, total(parts), work.proof, began, ended, advice
    )


def _advice(sources: Sequence[Source], parts: Sequence[RowRange]) -> tuple[str, ...]:
    """Return what a plan says of columns that are too narrow."""
    longest = total(parts).longest
    unsure = (line for one in sources for line in getattr(one.table, "warnings", ()))
    return (
        *unsure,
        *(
            source.widen(at, needed)
            for source in sources
            for at, (label, width) in enumerate(
                zip(source.table.labels, source.widths(), strict=True)
            )
            if width is not None and (needed := longest.get(label, 0)) > width
        ),
    )


class _Work:
    """One run over open sources."""

    def __init__(self, order: Order, sources: Sequence[Source], progress: Progress) -> None:
        self._order = order
        self._sources = sources
        self._progress = progress
        self._began = self._kept = monotonic()
        self._rows = 0
        self._parts: list[RowRange] = []
        self.proof: Proof = "pages"

    async def run(self) -> list[RowRange]:
        order = self._order
        if order.verb == "verify":
            proven = [one.begin_proof() for one in self._sources]
            self.proof = "snapshot" if all(proven) else "pages"
        held = order.state.read() if order.state is not None else None
        self._parts = held or [RowRange(at) for at in range(len(self._sources))]
        counts = [one.count() for one in self._sources]
        total = None if None in counts else sum(one or 0 for one in counts)
        self._progress.begin(total, sum(part.tally.rows for part in self._parts))
        sessions = _sessions(order)
        sealing = RunSessions(order.keyring, clock=order.clock, random=os.urandom)
        try:
            for part in self._parts:
                source = self._sources[part.table]
                treats = treatment(source, order.verb, sessions, sealing)
                await engine.run(part, order.verb, source, treats, self._reached)
        finally:
            self._progress.end()
            self._keep()
        return self._parts

    def _reached(self, part: RowRange, rows: int) -> None:
        now = monotonic()
        if now - self._kept >= _STATE_SECONDS:
            self._kept = now
            self._keep()
        self._progress.reached(self._order.job.tables[part.table].name, rows)
        self._rows += rows
        if self._order.rate is not None:
            sleep(max(self._began + self._rows / self._order.rate - now, 0.0))

    def _keep(self) -> None:
        if self._order.state is not None:
            self._order.state.write(self._parts)
