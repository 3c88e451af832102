"""Bytes that are sent together at the end of an iteration of the event loop.

A send wakes the process at the other end, which costs more than the send itself. A proxy reads from
many connections in one iteration, and for each of them sends to the one backend: sent in a row, the
first send wakes it, and the others find it awake.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Protocol

from .http1.hop_by_hop import ONE_WRITE
from .message_record import MessageRecord


class Reports(Protocol):
    """Reports messages that are over."""

    def report(self, records: Sequence[MessageRecord]) -> None:
        """Write their lines, and report what did not open in the last one."""


class WriteBuffer:
    """The connections of one listener, or of one upstream, that have bytes to send."""

    __slots__ = ("_batches", "_loop", "waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.waiting: list[Sending] = []
        """Those that send at the end of this iteration; the first has called `begin`."""
        self._batches: deque[tuple[Reports, list[MessageRecord]]] = deque()

    def begin(self) -> None:
        """Let those that wait send at the end of this iteration of the loop."""
        self._loop.call_soon(self._send)

    def _send(self) -> None:
        waiting, self.waiting = self.waiting, []
        for connection in waiting:
            connection.flush()
        if any(records[-1].unopened for _, records in self._batches):
            # uvloop before 0.22 sends after the callbacks of this iteration, and the time of an
            # answer must not tell what is reported of it.
            self._loop.call_soon(self.report)
        elif self._batches:
            self.report()

    def report_behind(self, reports: Reports, record: MessageRecord) -> None:
        """Report a message once its response is sent: no client waits for a log line.

        Messages are reported together, up to one of which something did not open.
        """
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
