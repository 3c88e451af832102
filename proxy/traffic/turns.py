"""Turns of the event loop: what is sent together at the end of one, and how long one takes.

A send wakes the process at the other end, which costs more than the send itself. A proxy reads from
many connections in one turn, and for each of them sends to the one backend: sent in a row, the
first send wakes it, and the others find it awake.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable

from ..process.processor_time import ProcessorTime
from .http1.hop_by_hop import ONE_WRITE
from .interfaces import Reported, Reports
from .overload import StandingDelay
from .policy import (
    BUSY_SECONDS,
    FAIR_TIMES,
    FEW_NEWCOMERS,
    LEAST_LOOKED_AT,
    LEAST_SHARE,
    LOOKED_AT,
    NEWCOMERS,
    SATURATED,
    SHARES_SECONDS,
    STANDING_SECONDS,
    STILL_SATURATED,
    TURN_SECONDS,
    TURNED_SHARE,
)


class WriteBuffer:
    """The connections of one listener, or of one upstream, that have bytes to send."""

    __slots__ = ("_batches", "_loop", "_unopened", "waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.waiting: list[Sending] = []
        """Those that send at the end of this iteration; the first has called `begin`."""
        self._batches: deque[tuple[Reports, list[Reported]]] = deque()
        self._unopened = False  # in one of the messages that are pending, something did not open

    def begin(self) -> None:
        """Let those that wait send at the end of this iteration of the loop."""
        self._loop.call_soon(self._send)

    def _send(self) -> None:
        waiting, self.waiting = self.waiting, []
        sent = 0
        try:
            for connection in waiting:
                sent += 1
                connection.flush()
        except BaseException:  # it must not keep back the others, nor what is to be reported
            self.waiting = waiting[sent:] + self.waiting
            self.begin()
            raise
        if self._unopened:
            # uvloop before 0.22 sends after the callbacks of this iteration, and the time of an
            # answer must not tell what is reported of it.
            self._loop.call_soon(self.report)
        elif self._batches:
            self.report()

    def report_behind(self, reports: Reports, record: Reported) -> None:
        """Report a message once its response is sent: no client waits for a log line.

        Messages are reported together, up to one of which something did not open.
        """
        if record.unopened:
            self._unopened = True
        if self._batches:
            same, records = self._batches[-1]
            if same is reports and not records[-1].unopened:
                records.append(record)
                return
        elif not self.waiting:
            self._loop.call_soon(self.report)
        self._batches.append((reports, [record]))

    def report(self) -> None:
        """Report what is pending."""
        try:
            while self._batches:
                reports, records = self._batches.popleft()
                reports.report(records)
        finally:
            if self._batches:  # a report that failed must not keep back the others
                self._loop.call_soon(self.report)
            else:
                self._unopened = False


class Sending(asyncio.Protocol):
    """A connection whose bytes wait for the end of the iteration, or for `flush`."""

    __slots__ = ("_behind", "_transport", "_unsent", "write_buffer", "wrote")

    def __init__(self, write_buffer: WriteBuffer) -> None:
        self.write_buffer = write_buffer
        self._transport: asyncio.Transport | None = None
        self.wrote = False
        """Whether anything has been sent since this was last unset."""
        # Nearly always, one piece waits and none follows it.
        self._unsent = b""
        self._behind: list[bytes] = []

    def flush(self) -> None:
        """Send what waits, unless the connection has ended."""
        unsent = self._unsent
        if not unsent:
            return
        behind, self._unsent = self._behind, b""
        if behind:
            self._behind = []
            if sum(map(len, behind)) <= ONE_WRITE:
                unsent, behind = b"".join((unsent, *behind)), []
        transport = self._transport
        if transport is not None and not transport.is_closing():
            self.wrote = True
            transport.write(unsent)
            for piece in behind:
                transport.write(piece)

    def send(self, data: bytes) -> None:
        """Send bytes now, behind what waits, unless the connection has ended."""
        if self._unsent:
            self._put(data)
            self.flush()
            return
        transport = self._transport
        if data and transport is not None and not transport.is_closing():
            self.wrote = True
            transport.write(data)

    def unsent(self) -> int:
        """Return how many bytes the transport holds, since the peer does not read them."""
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    def _put(self, data: bytes) -> None:
        if self._unsent:
            self._behind.append(data)
        elif data:
            self._unsent = data
            waiting = self.write_buffer.waiting
            if not waiting:
                self.write_buffer.begin()
            waiting.append(self)

    def _forget(self) -> None:
        """Drop what waits."""
        self._unsent = b""
        if self._behind:
            self._behind = []


class LoopLag:
    """Whether the event loop has more to do than it can, and which requests it has no time for.

    In one turn the loop reads what has come on all connections. What comes meanwhile waits in the
    sockets, unread, so that this queue has no length that could be limited: but it is not longer
    than the turn. If turns have taken much processor time for STANDING_SECONDS, each begins only
    as many requests as it can in TURN_SECONDS of it, or in the part of them that a quota leaves,
    and refuses the others, before their bodies are looked at.

    While the process is `saturated`, newcomers get a quarter of the turns; other connections are
    answered before they are read, or wait in the kernel, where they cost nothing. To use all
    processor time is no fault: only long turns show that somebody waits for it.
    """

    __slots__ = (
        "_began",
        "_begun",
        "_call_soon",
        "_clock",
        "_cpu",
        "_few",
        "_long",
        "_long_at",
        "_longest",
        "_looked",
        "_looked_at",
        "_over",
        "_processor",
        "_ran",
        "_refused",
        "_room",
        "_served",
        "_shares",
        "_shares_since",
        "_turn",
        "_turned",
        "saturated",
    )

    def __init__(
        self,
        call_soon: Callable[[Callable[[], None]], object] | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        cpu: Callable[[], float] = time.process_time,
    ) -> None:
        """`call_soon` calls back at the end of a turn; unless given, that of the running loop.

        `clock` and `cpu` return seconds: of any beginning, and of processor time.
        """
        self._call_soon = call_soon or asyncio.get_running_loop().call_soon
        self._clock = clock
        self._cpu = cpu
        self._processor = ProcessorTime(cpu=cpu)
        self._began: float | None = None
        self._ran = 0.0
        self._over = self._looked = clock()
        self._long = StandingDelay(STANDING_SECONDS)
        self._long_at = -math.inf
        self._longest = 0.0
        self._turn = TURN_SECONDS
        self._turned = 0.0
        self._shares: dict[str, int] = {}
        self._begun = 0
        self._shares_since = self._over
        self._served = self._refused = self._room = self._few = 0
        self._looked_at = LEAST_LOOKED_AT
        self.saturated = False
        """Whether nearly all processor time that is to be had is used, and turns have been long."""

    def refuses(self, client: str) -> bool:
        """Return whether a new request of a client is to be refused; it has begun otherwise.

        Late in a turn, only those clients are served that have had less than their even share.
        """
        if self._began is None:
            self._begin()
        self._served += 1
        if self._long.since is None:
            return False
        now = self._clock()
        if not self._long.stands(now):
            return False
        lasted = self._cpu() - self._ran
        if now - self._shares_since > SHARES_SECONDS:
            self._shares, self._begun, self._shares_since = {}, 0, now
        had = self._shares.get(client, 0)
        if lasted >= FAIR_TIMES * self._turn or (
            lasted >= self._turn and had * len(self._shares) >= self._begun
        ):
            self._refused += 1
            return True
        self._shares[client] = had + 1
        self._begun += 1
        return False

    def holds_back(self) -> int:
        """Return how many connections there is time to accept now, and again soon; 0: for all."""
        now = self._clock()
        if now - self._looked >= BUSY_SECONDS:
            self._look(now)
        return self._looked_at if self.saturated else 0

    def lets_in(self, *, crowded: bool) -> bool:
        """Return whether there is time for a new connection while others are held back.

        Clients that have more connections than others, which is `crowded`, get hardly any more.
        """
        if crowded:
            self._few -= 1
            return self._few >= 0
        self._room -= 1
        return self._room >= 0

    def longest(self) -> float:
        """Return the longest turn in seconds since this was last asked."""
        longest, self._longest = self._longest, 0.0
        return longest

    def _begin(self) -> None:
        self._began = now = self._clock()
        if self._long.since is not None:
            if now - self._over >= TURN_SECONDS:
                self._long.forget()  # the loop has waited for something to do
            self._ran = self._cpu()
        self._call_soon(self._end)

    def _end(self) -> None:
        began, self._began = self._began, None
        if began is None:
            return
        self._over = now = self._clock()
        lasted = now - began
        self._turned += lasted
        self._longest = max(self._longest, lasted)
        suspected = self._long.since is not None
        # To read the processor time is dear, so that of the first long turn is not known exactly:
        # it is what was used since it was read before. The next one tells.
        if lasted >= self._turn and self._cpu() - self._ran >= self._turn:
            self._long.long(began)
            if suspected:
                self._long_at = now
        elif suspected:
            self._long.short(now)
        if now - self._looked >= BUSY_SECONDS:
            self._look(now)

    def _look(self, now: float) -> None:
        """Find out how busy the process is, and what that leaves to newcomers."""
        lasted = now - self._looked
        self._looked = now
        processor = self._processor
        processor.look(now)
        if self._began is None:
            self._ran = self._cpu()
        # Other threads may be busy as well, as with a passphrase: then the turns are few.
        busy = processor.busy if self._turned >= TURNED_SHARE * lasted else 0.0
        used_up = busy >= (STILL_SATURATED if self.saturated else SATURATED)
        # That newcomers are held back makes turns short. Now and then it is tried without.
        self.saturated = used_up and now - self._long_at < STANDING_SECONDS
        self._turned = 0.0
        # With a quarter of a processor, a turn of its time lasts four times as long.
        self._turn = min(TURN_SECONDS, 2 * TURN_SECONDS * max(processor.given, LEAST_SHARE))
        self._looked_at = max(LEAST_LOOKED_AT, round(LOOKED_AT * processor.given))
        self._room = max(1, round(self._served * NEWCOMERS))
        self._few = round(self._served * FEW_NEWCOMERS) if not self._refused else 0
        self._served = self._refused = 0
