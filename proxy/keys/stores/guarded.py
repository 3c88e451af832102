"""A store behind a deadline and a circuit breaker; whatever goes wrong is one StoreFailed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, Concatenate, ParamSpec, TypeVar

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
from . import Changed, Fenced, Room, Store, StoreFailed, StoreRefused, Told
from .store import Patience

_P = ParamSpec("_P")
_T = TypeVar("_T")


Notice = Callable[[str], None]
"""Called with a reason code, for the log, when the store failed or its record was refused."""


def _guarded(
    operation: Callable[Concatenate[Store, _P], Awaitable[_T]], *, patience: float | None = None
) -> Callable[Concatenate[GuardedStore, _P], Coroutine[Any, Any, _T]]:
    """Return the operation of a GuardedStore that does as the store inside, in so many seconds."""
    name = operation.__name__

    async def guarded(self: GuardedStore, /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        question: Callable[[], Awaitable[_T]] = partial(getattr(self._store, name), *args, **kwargs)
        if patience is None:
            return await self._ask(name, question)
        return await self._patiently(patience, question)

    return guarded


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

    get_or_create = _guarded(Store.get_or_create)
    replace = _guarded(Store.replace)
    find = _guarded(Store.find)
    revoke = _guarded(Store.revoke)
    note = _guarded(Store.note)
    keep = _guarded(Store.keep)
    kept = _guarded(Store.kept)
    listed = _guarded(Store.listed)
    runs = _guarded(Store.runs)
    elsewhere = _guarded(Store.elsewhere)
    # SQLite waits until none reads the log; disks are written once a second.
    erase = _guarded(Store.erase, patience=ERASE_SECONDS)
    settled = _guarded(Store.settled, patience=SETTLE_SECONDS)

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
