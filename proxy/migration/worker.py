"""One process of a run: its connections, its session keys, and the parts that it treats."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from time import monotonic
from typing import BinaryIO

from ..keys.fleet.command_lease import CommandLease, NoLease, SealingLease
from ..keys.keyring.keyring import Keyring
from ..keys.sessions.sessions import Sessions, SessionSettings
from ..keys.stores import MemoryStore
from . import engine
from .engine import Reached, RowRange
from .job.model import SEALING, Job, Verb
from .policy import LEAST_SCOPES
from .sources.source import Look, Source, nothing
from .sources.table import open_source, scopes, treatment
from .state import StateFile
from .steering import Steering
from .values.cells import Stored
from .values.sealing import RunSessions
from .values.treatment import StoredRow, Treatment


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be done, and how: at most `rate` rows a second, and where the state is kept.

    `streams` are what a pipe reads and writes; `clock` gives seconds since 1970. A run ends once
    `outdated` says that another KEK is to seal, or `steering` that it is to stop. `lease` makes
    that of one process, None where no store is shared. Values of `only` one conversation change.
    `look` raises where nothing may be written any more.
    """

    job: Job
    verb: Verb
    keyring: Keyring
    streams: tuple[BinaryIO, BinaryIO | None]
    clock: Callable[[], float]
    rate: float | None = None
    state: StateFile | None = None
    outdated: Callable[[], bool] = lambda: False
    steering: Steering = field(default_factory=Steering)
    lease: Callable[[], CommandLease] | None = None
    only: str | None = None
    look: Look = nothing


class Worker:
    """Treats parts of the tables of a job, each over a connection that is opened when it is needed.

    It agrees with no other process on session keys: it draws its own session id.
    """

    def __init__(self, order: Order) -> None:
        """Open nothing yet."""
        self._order = order
        self._sources: dict[int, Source] = {}
        self._held = ExitStack()
        self._sessions = _sessions(order)
        self._lease: SealingLease | None = None
        self._sealing: RunSessions

    def source(self, table: int) -> Source:
        """Return the rows of a table of the job. Raises MigrationFailed where there are none."""
        if table not in self._sources:
            self._sources[table] = self.another(table)
        return self._sources[table]

    def another(self, table: int) -> Source:
        """Return the rows of a table over a connection of their own, for as long as this one."""
        order = self._order
        source = open_source(order.job, order.job.tables[table], order.streams, os.environ)
        self._held.callback(source.close)
        return source

    def join(self, table: int, state: str | None) -> None:
        """Read the state of a table that another process proves."""
        if table not in self._sources:
            self.source(table).begin_proof(state)

    async def treat(self, part: RowRange, reached: Reached) -> None:
        """Treat what is left of a part. Raises MigrationFailed; what was reached stays done."""
        await self.treat_as(self._order.verb, self.source(part.table), part, reached)

    async def treat_as(self, verb: Verb, source: Source, part: RowRange, reached: Reached) -> None:
        """Treat what is left of a part of some source with some verb."""
        lease, order = self._leased(verb), self._order
        treats = treatment(source, verb, self._sessions, self._sealing, order.only)
        await engine.run(part, verb, source, treats, reached, lease=lease, look=order.look)

    def _leased(self, verb: Verb) -> SealingLease:
        """Return the lease that this process seals under; it ends with `close`."""
        if self._lease is None:
            make = self._order.lease if verb in SEALING else None
            self._lease = NoLease() if make is None else self._held.enter_context(make())
            self._sealing = RunSessions(
                self._order.keyring, clock=self._order.clock, random=os.urandom, lease=self._lease
            )
        return self._lease

    async def opened(
        self, source: Source, rows: Sequence[StoredRow]
    ) -> list[tuple[Stored, Stored]]:
        """Return each token in rows of a table that opens, with the value that it holds."""
        self._leased("open")
        treats = treatment(source, "open", self._sessions, self._sealing)
        assert isinstance(treats, Treatment)  # noqa: S101 - a list has no files
        return await treats.opened(rows)

    def close(self) -> None:
        """Close all connections."""
        self._held.close()


def _sessions(order: Order) -> Sessions:
    """Return the sessions that open durable tokens: as many as a batch needs, and no more.

    Revocations in the keyring are honoured. Those that are only in a store are not known here.
    """
    most = max(LEAST_SCOPES, *map(scopes, order.job.tables))
    settings = SessionSettings(max_scopes=most)
    store = MemoryStore(monotonic)
    return Sessions(order.keyring, store, settings, clock=order.clock, random=os.urandom)
