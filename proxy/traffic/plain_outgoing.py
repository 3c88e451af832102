"""The sending half of a connection whose requests are plain."""

from __future__ import annotations

import asyncio

from .incoming import Bounds
from .outbox import Outbox, Sending
from .resetting import reset
from .ticker import NEVER


class PlainOutgoing(Sending):
    """Sends bytes no faster than the client reads them.

    `_write_deadline` is when a client that does not read must have taken something.
    """

    __slots__ = ("_bounds", "_drained", "_loop", "_paused", "_write_deadline")

    def __init__(self, bounds: Bounds, outbox: Outbox, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(outbox)
        self._bounds = bounds
        self._loop = loop
        self._paused = False
        self._drained: asyncio.Future[None] | None = None
        self._write_deadline = NEVER

    def connection_lost(self, exc: Exception | None) -> None:
        """Learn that the client is gone."""
        self._transport = None
        if self._drained is not None and not self._drained.done():
            self._drained.set_exception(exc or ConnectionResetError("the client is gone"))

    def pause_writing(self) -> None:
        """Learn that the client does not keep up."""
        self._paused = True
        self._write_deadline = self._loop.time() + self._bounds.timeouts.write

    def resume_writing(self) -> None:
        """Learn that the client has caught up."""
        self._paused = False
        self._write_deadline = NEVER
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)

    def write(self, data: bytes) -> None:
        """Send bytes; `drain` before sending more."""
        if self._transport is None:
            raise ConnectionResetError("the client is gone")
        self._put(data)

    async def drain(self) -> None:
        """Wait until the client takes more."""
        self.flush()
        if self._paused and self._transport is not None:
            self._drained = self._loop.create_future()
            try:
                await self._drained
            finally:
                self._drained = None
        if self._transport is None:
            raise ConnectionResetError("the client is gone")

    def finish(self) -> None:
        """Close the connection behind what the client has still to read, which it must do soon."""
        if self._transport is not None:
            self.flush()
            self._write_deadline = self._loop.time() + self._bounds.timeouts.write
            self._transport.close()

    def abort(self) -> None:
        """Drop the connection, so that the client sees that its answer was cut."""
        self._forget()
        if self._transport is not None:
            reset(self._transport)
