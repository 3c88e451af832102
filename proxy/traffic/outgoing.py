"""The sending half of a client's connection."""

from __future__ import annotations

import asyncio

from aiohttp import web

from .incoming import Bounds, Incoming
from .resetting import reset
from .ticker import NEVER


class Outgoing(Incoming):
    """Sends bytes no faster than the client reads them.

    `_write_deadline` is when a client that does not read must have taken something.
    """

    __slots__ = ("_write_deadline",)

    def __init__(self, server: web.Server, bounds: Bounds, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(server, bounds, loop)
        self._write_deadline = NEVER

    def pause_writing(self) -> None:
        """Learn that the client does not keep up."""
        super().pause_writing()
        if self._receiver is not None:
            self._receiver.writable(yes=False)

    def resume_writing(self) -> None:
        """Learn that the client has caught up."""
        super().resume_writing()
        if self._receiver is not None:
            self._receiver.writable(yes=True)

    def write(self, data: bytes) -> None:
        """Send bytes; `drain` before sending more."""
        if self.transport is None:
            raise ConnectionResetError("the client is gone")
        self.transport.write(data)

    async def drain(self) -> None:
        """Wait until the client takes more."""
        if self._paused:
            self._write_deadline = self._loop.time() + self._bounds.timeouts.write
            await self._drain_helper()
            self._write_deadline = NEVER
        if self.transport is None:
            raise ConnectionResetError("the client is gone")

    def finish(self) -> None:
        """Close the connection behind what the client has still to read, which it must do soon."""
        if self.transport is not None:
            self._force_close = True
            self._write_deadline = self._loop.time() + self._bounds.timeouts.write
            self.transport.close()

    def abort(self) -> None:
        """Drop the connection, so that the client sees that its answer was cut."""
        self._force_close = True
        if self.transport is not None:
            reset(self.transport)

    def write_eof(self) -> None:
        """Say that no more bytes will be sent."""
        transport = self.transport
        if transport is None or transport.is_closing():
            return
        if transport.can_write_eof():
            transport.write_eof()
        elif self._receiver is not None:
            transport.close()  # TLS cannot close one half
