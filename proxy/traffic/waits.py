"""Coroutines that are resumed directly by what they wait for, without a task.

A task costs more than most waits of an exchange are worth, and resumes one turn of the loop later.
So a `Way` runs a coroutine in the turn of whoever has what it waits for: the protocol of one of its
two connections sets a `Signal`. What waits for a library awaits its futures as in a task; what
needs a task of its own, such as a timeout, gets one from `in_task`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from dataclasses import dataclass
from types import coroutine
from typing import Any, Final, TypeVar

from ..core.errors import SealyardError
from .policy import MOST_OUTLIVING

T = TypeVar("T")


_outliving: Final[set[asyncio.Task[Any]]] = set()
_running: Way | None = None
"""The way whose coroutine runs now; None in a task."""


_PARKED: Final = object()
"""What a coroutine yields to its way to wait until that is resumed."""


class Way:
    """One coroutine, and what resumes it. One resume is under way at any time.

    `over` is called once with the exception that ended it, None where it has returned.
    """

    __slots__ = ("_cancelled", "_coroutine", "_end", "_future", "_over", "_parked")

    def __init__(
        self, coroutine: Coroutine[Any, Any, None], over: Callable[[BaseException | None], None]
    ) -> None:
        """Take a coroutine, which begins with `go`."""
        self._coroutine: Coroutine[Any, Any, None] | None = coroutine
        self._over = over
        self._future: asyncio.Future[Any] | None = None
        self._parked = True
        self._cancelled = False
        self._end: asyncio.Future[None] | None = None

    @property
    def ended(self) -> bool:
        """Whether the coroutine has ended."""
        return self._coroutine is None

    def go(self) -> None:
        """Run on to the next wait, or to the end, unless the coroutine awaits a future."""
        if self._parked:
            self._step(None)

    def cancel(self) -> None:
        """Raise CancelledError where the coroutine waits: at once, or once its future has ended."""
        if self._coroutine is None:
            return
        if self._future is not None:
            if not self._future.cancel():
                self._cancelled = True
        elif self._parked:
            self._step(asyncio.CancelledError())
        else:
            self._cancelled = True

    def end(self) -> asyncio.Future[None]:
        """Return a future that is done once the coroutine has ended, and that cancels it."""
        if self._end is None:
            self._end = asyncio.get_running_loop().create_future()
            self._end.add_done_callback(self._cancelled_with)
        return self._end

    def _cancelled_with(self, future: asyncio.Future[None]) -> None:
        if future.cancelled():
            self.cancel()

    def _wake(self, over: asyncio.Future[Any] | None = None) -> None:
        self._future = None
        cancelled, self._cancelled = self._cancelled, False
        if cancelled and over is not None and not over.cancelled():
            over.exception()  # nobody takes it any more, and asyncio would report it as unhandled
        self._step(asyncio.CancelledError() if cancelled else None)

    def _step(self, error: BaseException | None) -> None:
        global _running  # noqa: PLW0603 - as asyncio keeps its current task
        coroutine = self._coroutine
        if coroutine is None:
            return
        self._parked = False
        before, _running = _running, self
        try:
            while True:
                waits = coroutine.send(None) if error is None else coroutine.throw(error)
                if waits is not _PARKED:
                    self._await(waits)
                    return
                if not self._cancelled:
                    self._parked = True
                    return
                self._cancelled, error = False, asyncio.CancelledError()
        except StopIteration:
            ended = None
        except BaseException as raised:  # noqa: BLE001 - whoever made the way decides
            ended = raised
        finally:
            _running = before
        self._coroutine = None
        if self._end is not None and not self._end.done():
            self._end.set_result(None)
        self._over(ended)

    def _await(self, waits: asyncio.Future[Any] | None) -> None:
        """Go on once a future is done; None, as `asyncio.sleep(0)` yields it, is the next turn."""
        if waits is None:
            asyncio.get_running_loop().call_soon(self._wake)
            return
        self._future = waits
        waits.add_done_callback(self._wake)
        if self._cancelled and waits.cancel():
            self._cancelled = False


class Signal:
    """What one coroutine waits for at a time: `set` resumes it at once.

    Nothing is kept: whoever waits looks at its condition before, and again after each `wait`.
    """

    __slots__ = ("_future", "_way")

    def __init__(self) -> None:
        self._way: Way | None = None
        self._future: asyncio.Future[None] | None = None

    @property
    def has_waiter(self) -> bool:
        """Whether a coroutine waits."""
        return self._way is not None or (self._future is not None and not self._future.done())

    @coroutine
    def wait(self) -> Generator[Any, None, None]:
        """Wait until the signal is set."""
        way = _running
        if way is None:
            self._future = asyncio.get_running_loop().create_future()
            try:
                yield from self._future
            finally:
                self._future = None
            return
        self._way = way
        try:
            yield _PARKED
        finally:
            self._way = None

    def set(self) -> None:
        """Resume the coroutine that waits, if one does."""
        if self._way is not None:
            self._way.go()
        elif self._future is not None and not self._future.done():
            self._future.set_result(None)


async def in_task(work: Coroutine[Any, Any, T], undo: Callable[[T], object] | None = None) -> T:
    """Return what comes of work that needs a task, as a timeout of asyncio does.

    `undo` is called with what has come of it where nobody takes that any more: whoever waits may be
    cancelled when the task is done already.
    """
    if _running is None:
        return await work
    task = asyncio.get_running_loop().create_task(work)
    try:
        return await task
    except asyncio.CancelledError:
        if undo is not None and task.done() and not task.cancelled() and task.exception() is None:
            undo(task.result())
        raise


async def outliving(work: Coroutine[Any, Any, T]) -> T:
    """Return what comes of work that goes on where nobody waits for it any more.

    It writes to a store or to the audit log: a client that leaves must not cut it between what it
    sends and what comes back, since nobody would know whether it was done.
    """
    if len(_outliving) >= MOST_OUTLIVING:
        return await in_task(work)
    outcome = await asyncio.shield(_begun(work))
    if not isinstance(outcome, _Failure):
        return outcome
    try:
        raise outcome.error
    finally:
        del outcome  # the traceback of the error leads here


def _begun(work: Coroutine[Any, Any, T]) -> asyncio.Task[T | _Failure]:
    task = asyncio.get_running_loop().create_task(_outcome(work))
    _outliving.add(task)
    task.add_done_callback(_outliving.discard)
    return task


@dataclass(frozen=True, slots=True)
class _Failure:
    error: SealyardError


async def _outcome(work: Coroutine[Any, Any, T]) -> T | _Failure:
    """Return what comes of work, a known error as well.

    Raised in a task for which nobody waits any more, asyncio would report it as unhandled.
    """
    try:
        return await work
    except SealyardError as error:
        return _Failure(error)
