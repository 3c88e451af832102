"""The audit log of one running process: many events at a time, written off the event loop.

An operation that must be on the disk before it happens waits for its line; all that wait at a time
share one write. Refusals do not wait: their lines are on the disk a moment later.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from ...core.crypto.secret import AuditKey
from ...core.errors import KeyUnavailable, UnfitEnvironment
from ...process.rate_limit import RateLimit
from .. import policy
from .head_record import Head
from .line import Value, Values
from .log import AuditLog, Entry

_Waiting = tuple[Entry, asyncio.Future[None] | None]
"""An event that is to be written, and what is done then, if an operation waits for it."""


class Trail:
    """Writes to a log under a key. Needs a running event loop once something is written.

    With `block`, operations are refused while the log cannot be written. `failed` is called with a
    reason for each failed attempt, `anchored` periodically with the last line, `changed` whenever
    `blocked` changes, and `gone` with what became of a log whose last line is not there any more.
    """

    def __init__(
        self,
        log: AuditLog,
        key: AuditKey,
        *,
        block: bool,
        failed: Callable[[str], None] = lambda _: None,
        anchored: Callable[[Head], None] = lambda _: None,
    ) -> None:
        """Touch nothing yet."""
        self._anchored = anchored
        self._anchor_at = 0.0
        self._head: Head | None = None
        self._log = log
        self.key = key
        """What the lines are chained under."""
        self.blocks = block
        """Whether operations are refused while the log cannot be written."""
        self._failed = failed
        self._watching: asyncio.Task[None] | None = None
        self._pending: deque[_Waiting] = deque()
        self._flushing: asyncio.Task[None] | None = None
        self._urgent = asyncio.Event()
        self._lost = 0
        self._closing = False
        self.changed: Callable[[bool], None] = lambda _: None
        self.gone: Callable[[str], None] = lambda _: None
        self.failing = False
        self.failures = 0
        """How many events could not be written when they should have been."""
        self.written = 0
        self.losses = 0
        """How often what was written had been deleted or cut since."""

    @property
    def blocked(self) -> bool:
        """Whether operations are refused, since the log cannot be written now."""
        return self.blocks and self.failing

    @property
    def sequence(self) -> int:
        """The number of the last line that this process has written; 0 for none."""
        return 0 if self._head is None else self._head.seq

    async def write(self, event: str, **values: Value) -> None:
        """Write an event, and return once it is on the disk.

        Raises UnfitEnvironment where it is not, unless the log does not block.
        """
        await self.writing(event, values)

    def writing(self, event: str, values: Values, more: bytes = b"") -> asyncio.Future[None]:
        """Write an event; return what is done once it is on the disk, as `write` does.

        `more` is what of its values has been `spelled` already.
        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._take(Entry(event, self._log.clock(), values, more), done)
        self._urgent.set()
        return done

    def note(self, event: str, **values: Value | tuple[str, ...]) -> None:
        """Write an event soon, without waiting for it."""
        self.note_spelled(event, values)

    def note_spelled(self, event: str, values: Values, more: bytes = b"") -> None:
        """Do as `note`; `more` is as in `writing`."""
        self._take(Entry(event, self._log.clock(), values, more), None)

    async def close(self) -> None:
        """Write what still waits, in one last try that takes a few seconds at most."""
        self._closing = True
        if self._watching is not None:
            self._watching.cancel()
        self._urgent.set()
        if self._flushing is not None:
            await asyncio.wait([self._flushing], timeout=policy.CLOSE_SECONDS)
        if self._head is not None:
            self._anchored(self._head)

    def _take(self, entry: Entry, done: asyncio.Future[None] | None) -> None:
        if done is None and len(self._pending) >= policy.MOST_KEPT:
            self._lost += 1
            self.failures += 1
            return
        self._pending.append((entry, done))
        if self._flushing is None or self._flushing.done():
            self._flushing = asyncio.get_running_loop().create_task(self._flush())

    async def _flush(self) -> None:
        while self._pending:
            if self.failing or len(self._pending) < policy.MOST_AT_ONCE:
                wait = policy.RETRY_SECONDS if self.failing else policy.GATHER_SECONDS
                with suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        await self._urgent.wait()
            self._urgent.clear()
            if not await self._write_some() and self._closing:
                return

    async def _write_some(self) -> bool:
        """Write what waits, up to a bound; return whether it is on the disk."""
        batch = [
            self._pending.popleft() for _ in range(min(len(self._pending), policy.MOST_AT_ONCE))
        ]
        if any(done is not None for _, done in self._pending):
            self._urgent.set()  # they wait no longer than for this write
        entries = [entry for entry, _ in batch]
        lost = self._lost
        if lost:
            entries.append(Entry("audit.lost", self._log.clock(), {"number": lost}))
        try:
            gone, head = await asyncio.to_thread(self._log.append, self.key, entries)
        except UnfitEnvironment as error:
            self._did_not_write(batch, error)
            return False
        except Exception as error:  # noqa: BLE001 - whatever it is, somebody waits for these lines
            reason = f"the audit log cannot be written: {type(error).__name__}"
            self._did_not_write(batch, UnfitEnvironment(reason))
            return False
        self._lost -= lost  # others may have been lost during the write
        self.written += len(entries)
        self._head = head
        if gone:
            self.losses += 1
            self.gone(gone)
        if (now := asyncio.get_running_loop().time()) >= self._anchor_at:
            self._anchor_at = now + policy.ANCHOR_SECONDS
            self._anchored(head)
        self._settle(failing=False)
        if self._watching is None and not self._closing:
            self._watching = asyncio.get_running_loop().create_task(self._watch())
        for _, done in batch:
            if done is not None and not done.done():
                done.set_result(None)
        return True

    async def _watch(self) -> None:
        """Look again and again whether what was written is still there."""
        while True:
            await asyncio.sleep(policy.LOG_WATCH_SECONDS)
            reason = ""
            # The lease of the root has ended; or the next write fails as well, and tells.
            with suppress(KeyUnavailable, UnfitEnvironment):
                reason = await asyncio.to_thread(self._log.gone, self.key)
            if reason and not self.failing:
                self.note("audit.gone")  # it is told with this line, once

    def _did_not_write(self, batch: list[_Waiting], error: UnfitEnvironment) -> None:
        self.failures += 1 if self.failing else len(batch)
        kept: list[_Waiting] = []
        for entry, done in batch:
            if done is None:
                kept.append((entry, None))
            elif self.blocks:
                if not done.done():
                    done.set_exception(error)
            else:
                # The operation happens all the same, and is written once that is possible.
                kept.append((entry, None))
                if not done.done():
                    done.set_result(None)
        if not kept and not self._pending:
            # Something to retry with, until the log can be written.
            kept.append((Entry("audit.failed", self._log.clock(), {}), None))
        self._pending.extendleft(reversed(kept))
        self._failed(error.reason)
        self._settle(failing=True)

    def _settle(self, *, failing: bool) -> None:
        before = self.blocked
        self.failing = failing
        if self.blocked != before:
            self.changed(self.blocked)


class LineLimit:
    """Writes events one by one within a `rate`: a second in the long run, and at once.

    `clock` returns seconds that never go back. Needs a running event loop.
    """

    def __init__(
        self, trail: Trail, rate: tuple[float, int], *, clock: Callable[[], float]
    ) -> None:
        """Begin with the whole burst."""
        self._trail = trail
        self._limit = RateLimit(*rate, clock)
        self._clock = clock
        self._more: dict[tuple[tuple[str, Value], ...], int] = {}
        self._since = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def admits(self) -> bool:
        """Count one event, and return whether it gets a line of its own."""
        return self._limit.take()

    def note(self, event: str, kind: dict[str, Value], **values: Value) -> None:
        """Write an event, or count it with those of its `kind`."""
        if self.admits():
            self._trail.note(event, **kind, **values)
        else:
            self.count(event, kind)

    def count(self, event: str, kind: dict[str, Value]) -> None:
        """Count an event that gets no line of its own."""
        key = ("event", event), *kind.items()
        if key not in self._more and len(self._more) >= policy.MOST_KINDS:
            key = (("event", event),)
        self._more[key] = self._more.get(key, 0) + 1
        if self._timer is None:
            self._since = self._clock()
            self._timer = asyncio.get_running_loop().call_later(policy.FLUSH_SECONDS, self.flush)

    def flush(self) -> None:
        """Write one line for each kind of counted events."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        more, self._more = self._more, {}
        seconds = max(round(self._clock() - self._since), 1)
        for key, number in more.items():
            kind = dict(key)
            event = str(kind.pop("event"))
            self._trail.note(f"{event}_more", **kind, number=number, seconds=seconds)
