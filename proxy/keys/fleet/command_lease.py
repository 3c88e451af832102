"""The lease of a command that seals: as a process of the fleet, it seals only under one.

It is renewed in a thread with an event loop of its own: a command may stand still for as long as
its own work takes. What it learns waits until a batch is written, and the fleet waits for that.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Protocol, Self

from ...core.errors import KeyUnavailable
from ..keyring.keyring import Keyring
from ..policy import LEASE_SECONDS, LOOK_SECONDS
from ..stores import Store, StoreFailed
from ..stores.guarded import GuardedStore
from . import keyring_marker, presence
from .fence_log import FenceEvent
from .lease import ENDED, Lease
from .lineage import Lineage


class Opens(Protocol):
    """Makes the store of a command; called once in each process, in the thread that uses it."""

    def __call__(self) -> Store:
        """Return the store, to be opened and closed by the caller."""


class CommandLease:
    """A lease, from `__enter__` to `__exit__`. Its methods are for the thread of the command.

    `epoch` changes whenever rights were taken away; what seals by then must begin at `not_before`
    (seconds since 1970) or later. With `without_store`, a command that begins while the store is
    away seals until the store is back.
    """

    def __init__(self, keyring: Keyring, opens: Opens, *, without_store: bool) -> None:
        """Begin with no lease."""
        self._lineage = Lineage(keyring)
        self._opens = opens
        self._without_store = without_store
        self._turn = threading.Lock()
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = asyncio.Event()
        self._lease: Lease | None = None
        self._had = False
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)
        self.epoch = 0
        self.not_before = 0

    def __enter__(self) -> Self:
        """Begin to renew; return once it was tried."""
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *_: object) -> None:
        """End the lease, in the store too."""
        if self._loop is not None:
            with suppress(RuntimeError):  # it has ended by itself
                self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def require(self) -> int:
        """Return the epoch to seal in; raise KeyUnavailable where there is no lease by then."""
        until = time.monotonic() + LEASE_SECONDS
        while not self._holds():
            if time.monotonic() >= until or not self._thread.is_alive():
                raise KeyUnavailable(ENDED)
            time.sleep(LOOK_SECONDS)
        return self.epoch

    @contextmanager
    def writing(self, epoch: int) -> Iterator[bool]:
        """Yield whether what was sealed in an epoch may be written; nothing is learned meanwhile.

        Raises KeyUnavailable where the lease has ended before it was written.
        """
        self.require()
        with self._turn:
            yield epoch == self.epoch
        self.look()

    def look(self) -> None:
        """Raise KeyUnavailable where the lease has ended: nobody waits for what is written."""
        if not self._holds():
            raise KeyUnavailable(ENDED)

    def _holds(self) -> bool:
        lease = self._lease
        if lease is None:
            return False
        self._had = self._had or lease.held
        away = self._without_store and lease.away and not self._had
        return lease.held or (away and not self._lineage.barred)

    def _run(self) -> None:
        with suppress(Exception):  # the command finds that it has no lease
            asyncio.run(self._renew())
        self._ready.set()

    async def _renew(self) -> None:
        self._loop = asyncio.get_running_loop()
        store = self._opens()
        try:
            guarded = presence.patient(store, time.time)
            self._lease = lease = Lease(
                guarded,
                keyring=lambda: self._lineage.keyring,
                may_seal=lambda: not self._lineage.barred,
                learn=lambda events: self._learn(guarded, events),
                extend=lambda _: None,
                clock=time.time,
                random=os.urandom,
                without_store=False,
            )
            with suppress(StoreFailed):
                await self._look(guarded)
            await lease.renew()
            self._ready.set()
            lease.start()
            await self._stop.wait()
            await lease.close()
        finally:
            await store.close()

    async def _look(self, store: GuardedStore) -> None:
        self._lineage.learn((await keyring_marker.put(store, self._lineage.held))[0])

    async def _learn(self, store: GuardedStore, events: Sequence[FenceEvent | None]) -> None:
        if any(one is None or one.kind == "keyring" for one in events):
            await self._look(store)
        await asyncio.to_thread(self._turn.acquire)
        try:
            times = [one.value for one in events if one is not None and one.kind != "keyring"]
            self.not_before = max(self.not_before, *times, 0)
            self.epoch += 1
        finally:
            self._turn.release()


class NoLease:
    """Where no store is shared, nobody takes rights away meanwhile."""

    epoch = 0
    not_before = 0

    def __enter__(self) -> Self:
        """Return it; there is nothing to begin."""
        return self

    def __exit__(self, *_: object) -> None:
        """End nothing."""

    def require(self) -> int:
        """Return the one epoch."""
        return self.epoch

    @contextmanager
    def writing(self, epoch: int) -> Iterator[bool]:
        """Yield that it may be written."""
        yield epoch == self.epoch

    def look(self) -> None:
        """Find nothing that has ended."""


SealingLease = CommandLease | NoLease
