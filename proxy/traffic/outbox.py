"""Bytes that are sent together, once a turn of the loop is over.

A send wakes the process at the other end, which costs more than the send itself. A proxy reads from
many connections in one turn, and for each of them sends to the one backend: sent one behind the
other, the first send wakes it, and the others find it awake.
"""

from __future__ import annotations

import asyncio


class Outbox:
    """The connections of one listener, or of one upstream, that have bytes to send."""

    __slots__ = ("_loop", "_waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: list[Sending] = []

    def add(self, connection: Sending) -> None:
        """Let a connection send when this turn of the loop is over."""
        if not self._waiting:
            self._loop.call_soon(self._send)
        self._waiting.append(connection)

    def _send(self) -> None:
        waiting, self._waiting = self._waiting, []
        for connection in waiting:
            connection.flush()


class Sending(asyncio.Protocol):
    """A connection whose bytes wait for the end of the turn, or for `flush`."""

    __slots__ = ("_outbox", "_transport", "_unsent")

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._transport: asyncio.Transport | None = None
        self._unsent: list[bytes] = []

    def flush(self) -> None:
        """Send what waits, unless the connection has ended."""
        unsent, self._unsent = self._unsent, []
        transport = self._transport
        if unsent and transport is not None and not transport.is_closing():
            transport.write(unsent[0] if len(unsent) == 1 else b"".join(unsent))

    def _put(self, data: bytes) -> None:
        if not self._unsent:
            self._outbox.add(self)
        self._unsent.append(data)
