"""The lease of a process: it seals only while it knows what was fenced a few seconds ago.

Each second it reads its own row and the log of fences in one step. A verb that writes a fence
afterwards sees that row, and waits for it. So a process whose row is missing or altered does not
seal until it has written it anew and read the log again.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from typing import Final

from ...core.errors import KeyUnavailable
from ...process import place
from ...process.boot_clock import since_boot
from ..keyring.kek import RandomBytes
from ..keyring.keyring import Keyring
from ..policy import (
    AWAY_KEEP_SECONDS,
    BURY_SECONDS,
    FENCES,
    LEASE_KEEP_SECONDS,
    LEASE_SECONDS,
    MOST_LEARNED,
    PROCESS_NAME_BYTES,
    RENEW_PAUSE_SECONDS,
    RENEW_SECONDS,
    RENEW_TRIES,
)
from ..stores import StoreFailed
from ..stores.guarded import GuardedStore
from ..stores.store import end
from . import fence_log, keyring_marker, presence
from .fence_log import FenceEvent, FenceLog
from .presence import Report

ENDED: Final = "lease-ended"
"""The reason of refusals while there is no lease."""


class Lease:
    """Owns the task that renews. `until` is the end of the lease, in seconds since boot.

    `keyring` returns the keyring in use, `may_seal` whether its primary may seal. `learn` is
    awaited with the events that were not known; with None, others may have happened too. `extend`
    is called with the time until which the process may seal. `clock` returns seconds since 1970.
    """

    def __init__(  # noqa: PLR0913 - what the wiring hands in, each by name
        self,
        store: GuardedStore,
        *,
        keyring: Callable[[], Keyring],
        may_seal: Callable[[], bool],
        learn: Callable[[Sequence[FenceEvent | None]], Awaitable[None]],
        extend: Callable[[float], None],
        clock: Callable[[], float],
        random: RandomBytes,
        without_store: bool,
    ) -> None:
        """Have none yet. `without_store` is whether to seal on while the store is away."""
        self._store = store
        self._keyring = keyring
        self._may_seal = may_seal
        self._learn = learn
        self._extend = extend
        self._clock = clock
        self._process = random(presence.PROCESS_BYTES)
        self._place = presence.place_of(self._process)
        self._without_store = without_store
        # By it a process knows the row of the one that was in its place before.
        number = f":{os.getpid()}~{place.mark()}"
        self._name = socket.gethostname()[: PROCESS_NAME_BYTES - len(number)] + number
        self._burying_until = 0.0
        self._row: bytes | None = None
        self._row_until = 0.0
        self._of = ""
        self._log = FenceLog()
        self._learned: dict[bytes, None] = {}
        self._lock = asyncio.Lock()
        self._asked = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.until = 0.0
        self.away = False
        """Whether the store was away at the last renewal."""

    @property
    def held(self) -> bool:
        """Whether the process may seal now."""
        return since_boot() < self.until

    def be(self, process: bytes) -> None:
        """Take the id of the process from who has started it, before the first renewal."""
        self._process, self._place = process, presence.place_of(process)

    def start(self) -> None:
        """Renew from now on."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """Stop, and end the lease in the store: the process seals no more."""
        task, self._task = self._task, None
        if task is None:
            return
        await end(task)
        self.give_up()
        keyring = self._keyring()
        with suppress(StoreFailed):
            name = keyring_marker.name_of(keyring)
            held = (await self._store.find(name, (self._place,))).keys[0]
            if held is not None:
                await self._store.keep(name, self._place, b"", 1, seen=held.record)

    def ask(self) -> None:
        """Renew at once: a fence may have been written."""
        self._asked.set()

    async def obtain(self) -> None:
        """See that there is a lease; raise KeyUnavailable where there can be none."""
        async with self._lock:  # a crowd of first messages asks once
            if not self.held:
                await self._renew()
        if not self.held:
            raise KeyUnavailable(ENDED)

    async def renew(self) -> None:
        """Read the fences, learn them and report that."""
        async with self._lock:
            await self._renew()

    async def fence(self, events: Sequence[FenceEvent]) -> None:
        """Write events into the log, and learn them here.

        Raises StoreFailed where the store does not take them.
        """
        await fence_log.append(
            self._store, self._keyring(), events, now=self._clock, known=self._log
        )
        await self.renew()

    async def _renew(self) -> None:
        began = since_boot()
        try:
            accepted = await self._renewed()
        except StoreFailed:
            self.away, accepted = True, self._without_store
        else:
            self.away = False
        if not self._may_seal():
            self.give_up()
        elif accepted:
            self.until = began + LEASE_SECONDS
            self._extend(self.until)

    async def _renewed(self) -> bool:
        """Return whether row and log were found as they must be, and the row says so now."""
        for _ in range(RENEW_TRIES):
            keyring = self._keyring()
            name, key = keyring_marker.name_of(keyring), keyring.record_key
            if name != self._of:  # another keyring: another fleet
                self._of, self._row, self._log = name, None, FenceLog()
            found = (await self._store.find(name, (self._place, fence_log.PLACE))).keys
            row, record = (None if held is None else held.record for held in found)
            log = fence_log.read(record, name, key)
            if log is None or log.number < self._log.number:
                # It was lost, or somebody put an earlier one back.
                self.give_up()
                self._log = await fence_log.append(
                    self._store, keyring, (), now=self._clock, known=self._log
                )
                await self._learn((None,))
                continue
            if log != self._log:
                events = [one for one in log.events if one.id not in self._learned]
                some = len(events) >= FENCES or not self._log.number
                await self._learn((*events, None) if some else events)
                self._log = log
                self._learned |= dict.fromkeys(one.id for one in events)
                for one in list(self._learned)[:-FENCES]:
                    del self._learned[one]
            if self._row is None:
                self._burying_until = since_boot() + BURY_SECONDS
            if since_boot() < self._burying_until:
                await self._bury(keyring)
            # One as old as a lease may end before it is written anew: a verb would wait for nobody.
            stood = row is not None and row == self._row and since_boot() < self._row_until
            # Verbs look for the rows that a list names, and that list anybody may have edited.
            stood = stood and await self._store.listed(name, self._place)
            if not stood:
                self.give_up()
            await self._report(name, row)
            if stood:
                return name == keyring_marker.name_of(self._keyring())
        return False

    async def _bury(self, keyring: Keyring) -> None:
        """Take away the rows of processes that were here before: they had this place.

        Each had our number, or one that nobody has any more. It may have been killed a moment ago:
        then it is looked for again once its lease has ended.
        """
        name, now, left = keyring_marker.name_of(keyring), self._clock(), False
        for report, record in (await presence.rows(self._store, keyring)).items():
            before = report.name == self._name or self._ended(report.name)
            if not before or report.process == self._process:
                continue
            if now - report.seen / 1000 > LEASE_SECONDS:
                await self._take_away(name, report, record)
            else:
                left = True
        if not left:
            self._burying_until = 0.0

    def _ended(self, name: str) -> bool:
        """Return whether a name is that of a process in this place that has ended."""
        (host, number, mark), (ours, _, here) = map(_parts, (name, self._name))
        return (host, mark) == (ours, here) and number.isdecimal() and place.ended(int(number))

    async def bury(self, processes: AbstractSet[bytes]) -> None:
        """Take away the rows of processes that have ended, as who started them knows.

        Raises StoreFailed where the store does not take it.
        """
        keyring = self._keyring()
        for report, record in (await presence.rows(self._store, keyring)).items():
            if report.process in processes:
                await self._take_away(keyring_marker.name_of(keyring), report, record)

    async def _take_away(self, name: str, report: Report, record: bytes) -> None:
        await self._store.keep(name, presence.place_of(report.process), b"", 1, seen=record)

    async def _report(self, name: str, seen: bytes | None) -> None:
        """Write the row, in place of whatever stands there."""
        keyring, began = self._keyring(), since_boot()
        report = Report(
            self._process,
            int(self._clock() * 1000),
            keyring.generation,
            keyring.digest,
            presence.marks_of(keyring, seals=self._may_seal()),
            frozenset(list(self._learned)[-MOST_LEARNED:]),
            self._without_store,
            self._name,
            presence.names_of(keyring),
        )
        record = presence.encode(report, f"{name}:{self._place}", keyring.record_key)
        seconds = AWAY_KEEP_SECONDS if self._without_store else LEASE_KEEP_SECONDS
        held = await self._store.keep(name, self._place, record, int(seconds * 1000), seen=seen)
        if held.record == record:
            self._row, self._row_until = record, began + LEASE_SECONDS

    def give_up(self) -> None:
        """Seal no more until it is renewed."""
        self.until = 0.0
        self._extend(0.0)

    async def _run(self) -> None:
        while True:
            self._asked.clear()
            await self.renew()
            await asyncio.sleep(RENEW_PAUSE_SECONDS)
            try:
                async with asyncio.timeout(RENEW_SECONDS):
                    await self._asked.wait()
            except TimeoutError:
                continue


def _parts(name: str) -> tuple[str, str, str]:
    """Return the host, the process number and the place of a process."""
    host, _, rest = name.rpartition(":")
    number, _, mark = rest.partition("~")
    return host, number, mark
