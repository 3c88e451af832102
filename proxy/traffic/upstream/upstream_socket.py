"""The socket of a connection to the upstream, as the transport and a tunnel use it."""

from __future__ import annotations

import asyncio
from typing import cast

from ..interfaces import Receiver
from ..turns import Sending, WriteBuffer
from ..waits import Signal


class UpstreamSocket(Sending):
    """What transport and tunnel use of it; UpstreamConnection adds the messages."""

    __slots__ = (
        "_drain",
        "_loop",
        "_open",
        "_reading",
        "_receiver",
        "_writable",
    )

    def __init__(self, write_buffer: WriteBuffer) -> None:
        super().__init__(write_buffer)
        self._loop = asyncio.get_running_loop()
        self._open = False
        self._writable = True
        self._reading = True
        self._drain = Signal()
        self._receiver: Receiver | None = None

    # --- called by the transport --------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)
        self._open = True

    def pause_writing(self) -> None:
        """Note that the upstream does not keep up."""
        self._writable = False
        if self._receiver is not None:
            self._receiver.writable(yes=False)

    def resume_writing(self) -> None:
        """Note that the upstream has caught up."""
        self._writable = True
        if self._receiver is not None:
            self._receiver.writable(yes=True)
        self._drain.set()

    @property
    def gone(self) -> bool:
        """Whether the connection has ended, or has been dropped."""
        return not self._open

    # --- for messages and tunnels alike -------------------------------------------------------

    def write_eof(self) -> None:
        """Close the sending half."""
        self.flush()
        if self._transport is None or self._transport.is_closing():
            return
        if self._transport.can_write_eof():
            self._transport.write_eof()
        else:
            self._transport.close()

    def pause(self) -> None:
        """Stop reading."""
        if self._reading and self._transport is not None and not self._transport.is_closing():
            self._reading = False
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        if not self._reading and self._transport is not None and not self._transport.is_closing():
            self._reading = True
            self._transport.resume_reading()

    def close(self) -> None:
        """Close the connection gracefully, when it is idle."""
        self.flush()
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Drop the connection."""
        self._open = False
        self._forget()
        if self._transport is not None:
            self._transport.abort()

    def abandon(self) -> None:
        """Drop the connection from whichever thread the last reference to a message ended in."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.abort)
