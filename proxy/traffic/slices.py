"""Long messages, worked at in slices of half a millisecond between which the event loop runs.

The work has a thread of its own, and runs only while the loop waits for it: never both, so that no
state needs a lock. It pauses where the core says that it may (`core.slices`); what runs between two
slices sees it as it sees a coroutine at an `await`.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any, Final, Protocol, TypeVar

from ..core.leaves import FORM
from ..core.slices import pausing
from ..process.memory import Garbage
from .policy import LONG_BYTES, SLICE_SECONDS, STRETCH_BYTES

T = TypeVar("T")

AT_ONCE: Final = 4
"""So many messages are worked at in turns, for their plans are a multiple of them; others wait."""
_ANSWERS_IN_A_ROW: Final = 2
"""So many answers have their turn before a request that waits as well."""
_TRIED_BYTES: Final = LONG_BYTES if FORM == "native" else 128 * 1024
SHORT_BYTES: Final = 2048
_MANY: Final = 256
_MANY_OF_RECORDS: Final = 4096
"""So many marks between values the Python finder passes in a millisecond."""
_CODED_BYTES: Final = 256
_MARKS: Final = (b",", b"\n", b"&")
"""What stands between the values, lines and pairs of a body."""


def is_long(body: bytes, *, coded: bool = False) -> bool:
    """Return whether to plan and apply a message may take longer than a slice.

    By its bytes, or by what may be values in it. `coded`: it must be decompressed, maybe to a
    thousand times its bytes.
    """
    size = len(body)
    if size <= SHORT_BYTES:
        return coded and size > _CODED_BYTES
    return size > LONG_BYTES or coded or _has_many_marks(body)


def may_go_at_once(body: bytes) -> bool:
    """Return whether a body may be tried at once: what is prepared gives up at many values.

    The native leaves find that out in a millisecond. The Python ones make an object of each value
    first, also of what is not selected.
    """
    return len(body) <= _TRIED_BYTES or not is_long(body)


def may_go_in_records(piece: bytes) -> bool:
    """Return whether the records of a piece may be tried at once, as `may_go_at_once`."""
    return len(piece) <= LONG_BYTES and (FORM == "native" or piece.count(b",") <= _MANY_OF_RECORDS)


def _has_many_marks(body: bytes) -> bool:
    """Return whether there may be many values. It stops soon where there are.

    To count looks at each byte, so behind the first stretch the next mark is searched for.
    """
    left = _MANY - sum([body.count(mark, 0, STRETCH_BYTES) for mark in _MARKS])
    for mark in _MARKS:
        at = STRETCH_BYTES - 1
        while left >= 0 and (at := body.find(mark, at + 1)) >= 0:
            left -= 1
    return left < 0


class Run(Protocol):
    """Runs work of the core, in slices or at once."""

    async def __call__(self, work: Callable[..., T], *args: object, **named: object) -> T:
        """Return what the work returns; raise what it raises."""


class _Places:
    """The places of long messages, in the order in which they ask; answers go before requests.

    Much has been done already for an answer, and its client has waited longest. Beside others that
    wait, one of three turns is a request's, so that none waits for ever behind long answers.
    """

    __slots__ = ("_answers", "_free", "_in_a_row", "_requests")

    def __init__(self) -> None:
        self._free = AT_ONCE
        self._answers: deque[asyncio.Future[None]] = deque()
        self._requests: deque[asyncio.Future[None]] = deque()
        self._in_a_row = 0

    async def take(self, *, answer: bool) -> None:
        if self._free:
            self._free -= 1
            return
        turn = asyncio.get_running_loop().create_future()
        waiting = self._answers if answer else self._requests
        waiting.append(turn)
        try:
            await turn
        except BaseException:
            if turn.done() and not turn.cancelled():
                self.give_back()
            else:
                with suppress(ValueError):  # it was passed over
                    waiting.remove(turn)
            raise

    def give_back(self) -> None:
        answers, requests = self._answers, self._requests
        while answers or requests:
            answer = bool(answers) and (not requests or self._in_a_row < _ANSWERS_IN_A_ROW)
            turn = (answers if answer else requests).popleft()
            if not turn.done():
                self._in_a_row = self._in_a_row + 1 if answer else 0
                turn.set_result(None)
                return
        self._free += 1


class Slices:
    """The long messages of one event loop."""

    __slots__ = ("_garbage", "_places", "_under_way")

    def __init__(self, garbage: Garbage | None = None) -> None:
        """Begin with none; while there are some, `garbage` is held."""
        self._places = _Places()
        self._garbage = garbage or Garbage()
        self._under_way = 0

    @asynccontextmanager
    async def turn(self, *, long: bool, answer: bool = False) -> AsyncIterator[Run]:
        """Give what runs the work of one message, all of it behind each other.

        A long message waits for its turn, an answer less than others. When the block is left,
        whatever of it is still under way ends, without a result.
        """
        if not long:
            yield _at_once
            return
        await self._places.take(answer=answer)
        try:
            self._under_way += 1
            self._garbage.hold(time.monotonic())
            sliced = _Sliced()
            try:
                yield partial(self._run, sliced)
            finally:
                sliced.end()
                self._under_way -= 1
                if not self._under_way:
                    self._garbage.release()
        finally:
            self._places.give_back()

    async def _run(
        self, sliced: _Sliced, work: Callable[..., T], *args: object, **named: object
    ) -> T:
        sliced.begin(partial(work, *args, **named))
        try:
            while not sliced.goes_on(SLICE_SECONDS / self._under_way):  # noqa: ASYNC110 - no event: it is our turn again
                await asyncio.sleep(0)
        finally:
            sliced.abandon()
        return sliced.result()  # type: ignore[no-any-return]  # that of `work`


async def _at_once(work: Callable[..., T], *args: object, **named: object) -> T:
    return work(*args, **named)


class _Abandoned(BaseException):
    """Nobody waits for the work any more."""


class _Sliced:
    """Calls in a thread that runs only within `goes_on`, one behind the other."""

    __slots__ = (
        "_abandoned",
        "_call",
        "_deadline",
        "_error",
        "_over",
        "_result",
        "_thread",
        "_turn",
        "_turned",
    )

    def __init__(self) -> None:
        self._call: Callable[[], object] | None = None
        self._turn, self._turned = threading.Lock(), threading.Lock()
        self._turn.acquire()
        self._turned.acquire()
        self._deadline = 0.0
        self._abandoned = False
        self._over = True
        self._result: Any = None
        self._error: BaseException | None = None
        self._thread: threading.Thread | None = None

    def begin(self, call: Callable[[], object]) -> None:
        """Take a call, once the one before it is over."""
        self._call, self._over = call, False
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, daemon=True)
            self._thread.start()

    def end(self) -> None:
        """End the thread, unless its call never came to an end."""
        if self._thread is not None and self._over:
            self._turn.release()
            self._thread.join()

    def goes_on(self, seconds: float) -> bool:
        """Let it run for so long, and up to its next pause; return whether it is over."""
        self._deadline = time.perf_counter() + seconds
        with pausing(self._pause):
            self._turn.release()
            self._turned.acquire()
        return self._over

    def abandon(self) -> None:
        """End it at the pause where it is, if it is not over."""
        if not self._over:
            self._abandoned = True
            self.goes_on(0)

    def result(self) -> Any:  # noqa: ANN401 - what the call returns
        """Return what came out, once it is over."""
        # The traceback of an error leads to this frame and this object: neither may lead back, or
        # the message would stay until cycles are collected.
        error, self._error = self._error, None
        if error is not None:
            try:
                raise error
            finally:
                del error
        result, self._result = self._result, None
        return result

    def _work(self) -> None:
        while True:
            self._turn.acquire()
            call, self._call = self._call, None
            if call is None:
                return
            try:
                self._result = call()
            except BaseException as error:  # noqa: BLE001 - raised where the result is asked for
                self._error = error
            del call
            self._over = True
            self._turned.release()

    def _pause(self) -> None:
        """Give the turn back where the slice is over; called by the core, in any thread of it."""
        if time.perf_counter() < self._deadline or threading.current_thread() is not self._thread:
            return
        self._turned.release()
        self._turn.acquire()
        if self._abandoned:
            raise _Abandoned
