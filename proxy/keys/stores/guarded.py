"""A store behind a deadline and a circuit breaker; whatever goes wrong is one StoreFailed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from ...process import forks
from ...process.circuit_breaker import CircuitBreaker
from ...telemetry.metrics.metric import Durations
from ...telemetry.metrics.table import STORE_DURATION
from ..policy import (
    BUSY_SECONDS,
    ERASE_SECONDS,
    FAST_FAILURES,
    QUESTIONS,
    REST_SECONDS,
    SETTLE_SECONDS,
)
from . import (
    Changed,
    Fenced,
    FoundRecords,
    HeldRecords,
    Offer,
    Room,
    Settled,
    Store,
    StoreFailed,
    StoreRefused,
    Told,
    Under,
)
from .store import Patience

_T = TypeVar("_T")


Notice = Callable[[str], None]
"""Called with a reason code, for the log, when the store failed or its record was refused."""


class GuardedStore:
    """Asks `store`, waiting `timeout` seconds at most. `clock` returns seconds."""

    def __init__(
        self, store: Store, timeout: float, *, clock: Callable[[], float], notice: Notice
    ) -> None:
        """Take the store; the caller still owns it."""
        self._store = store
        self.time = store.time
        """Returns the time of the store's own clock, in seconds since 1970; None if not known."""
        self._timeout = timeout
        self._notice = notice
        self._clock = clock
        self._generation = forks.generation()
        self._places = asyncio.Semaphore(QUESTIONS)
        self.breaker = CircuitBreaker(clock, failures=FAST_FAILURES, rest=REST_SECONDS)
        self.answered = self.failed = self.rejected = 0
        """Operations that were answered, that failed, and that the circuit breaker rejected."""
        self.durations: dict[str, Durations] = {}
        """How long operations took, by their names."""

    def beside(self) -> GuardedStore:
        """Return another guard of the same store, for what must not queue behind messages."""
        return GuardedStore(self._store, self._timeout, clock=self._clock, notice=self._notice)

    @property
    def shared(self) -> bool:
        """Whether other processes use the same store."""
        return self._store.shared

    @property
    def subscribed(self) -> bool:
        """Whether changes by other processes arrive at once."""
        return self._store.subscribed

    @property
    def keeps_time(self) -> bool:
        """Whether the store has a clock of its own."""
        return self._store.keeps_time

    @property
    def room(self) -> Room | None:
        """How much of the room for keys is taken; None where it is not limited here."""
        return self._store.room

    async def open(self, changed: Changed) -> None:
        """Open the store inside."""
        await self._store.open(changed)

    async def get_or_create(self, offer: Offer) -> HeldRecords:
        """Do as the store inside."""
        return await self._ask("get_or_create", lambda: self._store.get_or_create(offer))

    async def replace(self, offer: Offer, *, seen: bytes | None = None) -> HeldRecords:
        """Do as the store inside."""
        return await self._ask("replace", lambda: self._store.replace(offer, seen=seen))

    async def find(
        self, name: str, key_ids: Sequence[str], *, current: bool = False, fence: bool = False
    ) -> FoundRecords:
        """Do as the store inside."""
        return await self._ask(
            "find", lambda: self._store.find(name, key_ids, current=current, fence=fence)
        )

    async def revoke(
        self, name: str, record: bytes, not_before: int, *, seen: bytes | None = None
    ) -> bytes:
        """Do as the store inside."""
        return await self._ask(
            "revoke", lambda: self._store.revoke(name, record, not_before, seen=seen)
        )

    async def note(
        self,
        name: str,
        record: bytes | None = None,
        *,
        seen: bytes | None = None,
        publish: bool = False,
    ) -> bytes | None:
        """Do as the store inside."""
        return await self._ask(
            "note", lambda: self._store.note(name, record, seen=seen, publish=publish)
        )

    async def keep(  # noqa: PLR0913 - as the protocol has it
        self,
        name: str,
        key_id: str,
        record: bytes,
        keep_ms: int,
        *,
        seen: bytes | None = None,
        under: Under | None = None,
    ) -> HeldRecords:
        """Do as the store inside."""
        return await self._ask(
            "keep", lambda: self._store.keep(name, key_id, record, keep_ms, seen=seen, under=under)
        )

    async def kept(self, name: str) -> dict[str, bytes]:
        """Do as the store inside."""
        return await self._ask("kept", lambda: self._store.kept(name))

    async def listed(self, name: str, key_id: str) -> bool:
        """Do as the store inside."""
        return await self._ask("listed", lambda: self._store.listed(name, key_id))

    async def erase(
        self,
        name: str,
        fence: bytes,
        *,
        seen: bytes | None = None,
        only: Sequence[str] | None = None,
    ) -> dict[str, bytes]:
        """Do as the store inside, with more patience: SQLite waits until none reads the log."""
        return await self._patiently(
            ERASE_SECONDS, lambda: self._store.erase(name, fence, seen=seen, only=only)
        )

    async def runs(self) -> int:
        """Do as the store inside."""
        return await self._ask("runs", self._store.runs)

    async def elsewhere(self) -> str:
        """Do as the store inside."""
        return await self._ask("elsewhere", self._store.elsewhere)

    async def settled(self, name: str) -> Settled | None:
        """Do as the store inside, with more patience: disks are written once a second."""
        return await self._patiently(SETTLE_SECONDS, lambda: self._store.settled(name))

    async def _patiently(self, seconds: float, question: Callable[[], Awaitable[_T]]) -> _T:
        try:
            return await _answered(seconds, question)
        except Fenced:
            raise
        except Exception as error:  # noqa: BLE001 - as for the others
            reason = _reason(error)
            self._notice(Told.of(reason, error))
            raise StoreFailed(reason) from None

    async def _ask(self, operation: str, question: Callable[[], Awaitable[_T]]) -> _T:
        if self.shared and forks.generation() != self._generation:
            raise StoreFailed("store-forked")  # the parent's connections are not ours to use
        if not self.shared:
            return await self._ask_now(operation, question)
        # A crowd of first messages queues here: its deadline begins when its question does. When
        # the store is down, those in front find out, and the rest is refused at once.
        async with self._places:
            return await self._ask_now(operation, question)

    async def _ask_now(self, operation: str, question: Callable[[], Awaitable[_T]]) -> _T:
        if not self.breaker.admits():
            self.rejected += 1
            raise StoreFailed("store-resting")
        trial = self.breaker.trial
        began = self._clock()
        try:
            answer = await _answered(self._timeout, question)
        except Fenced:
            self._succeeded()
            raise
        except StoreRefused as refused:
            self._succeeded()
            self._notice(str(refused))
            raise
        except Exception as error:  # noqa: BLE001 - no message is to fail by what a store does
            reason, told = _reason(error), Told.of(_reason(error), error)
        except BaseException:
            self.breaker.released(trial)
            raise
        else:
            self._succeeded()
            return answer
        finally:
            self._count(operation, began)
        self.failed += 1
        self.breaker.failed(trial, slow=reason == "store-timeout")
        self._notice(told)
        raise StoreFailed(reason)

    def _count(self, operation: str, began: float) -> None:
        held = self.durations.get(operation)
        if held is None:
            held = self.durations[operation] = Durations(STORE_DURATION)
        held.add(self._clock() - began)

    def _succeeded(self) -> None:
        self.answered += 1
        self.breaker.succeeded()


async def _answered(seconds: float, question: Callable[[], Awaitable[_T]]) -> _T:
    """Return the answer to a question; ask again while a file is busy and another try has time."""
    async with Patience(seconds) as patience:
        while True:
            try:
                return await question()
            except StoreFailed as failed:
                if failed.errno != "SQLITE_BUSY" or patience.left <= BUSY_SECONDS:
                    raise


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "store-timeout"
    if isinstance(error, StoreFailed):
        return str(error)
    return "store-failed" if isinstance(error, OSError) else "store-unexpected"
