"""Bytes that are sent together, once a turn of the loop is over.

A send wakes the process at the other end, which costs more than the send itself. A proxy reads from
many connections in one turn, and for each of them sends to the one backend: sent one behind the
other, the first send wakes it, and the others find it awake.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from .message_record import MessageRecord


class WriteBuffer:
    """The connections of one listener, or of one upstream, that have bytes to send."""

    __slots__ = ("_loop", "_reports", "_waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: list[Sending] = []
        self._reports: deque[tuple[Callable[[MessageRecord], None], MessageRecord]] = deque()

    def add(self, connection: Sending) -> None:
        """Let a connection send when this turn of the loop is over."""
        if not self._waiting:
            self._loop.call_soon(self._send)
        self._waiting.append(connection)

    def _send(self) -> None:
        waiting, self._waiting = self._waiting, []
        for connection in waiting:
            connection.flush()
        if self._reports:
            self._loop.call_soon(self.report)  # uvloop sends behind what it calls in this turn

    def report_behind(self, report: Callable[[MessageRecord], None], record: MessageRecord) -> None:
        """Report a message once its answer is sent: no client waits for a line to be written."""
        if not self._waiting and not self._reports:
            self._loop.call_soon(self.report)
        self._reports.append((report, record))

    def report(self) -> None:
        """Report what is still to be reported."""
        try:
            while self._reports:
                report, record = self._reports.popleft()
                report(record)
        finally:
            if self._reports:  # one that failed must not keep the others from being told
                self._loop.call_soon(self.report)


class Sending(asyncio.Protocol):
    """A connection whose bytes wait for the end of the turn, or for `flush`."""

    __slots__ = ("_behind", "_transport", "_unsent", "_write_buffer")

    def __init__(self, write_buffer: WriteBuffer) -> None:
        self._write_buffer = write_buffer
        self._transport: asyncio.Transport | None = None
        # Nearly always one piece waits, and none behind it.
        self._unsent = b""
        self._behind: list[bytes] = []

    def flush(self) -> None:
        """Send what waits, unless the connection has ended."""
        unsent = self._unsent
        if not unsent:
            return
        if self._behind:
            unsent = b"".join((unsent, *self._behind))
        self._forget()
        transport = self._transport
        if transport is not None and not transport.is_closing():
            transport.write(unsent)

    def _put(self, data: bytes) -> None:
        if self._unsent:
            self._behind.append(data)
        elif data:
            self._unsent = data
            self._write_buffer.add(self)

    def _forget(self) -> None:
        """Let nothing wait any more."""
        self._unsent = b""
        if self._behind:
            self._behind = []
