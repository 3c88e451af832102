"""WebSockets on routes without rules: bytes both ways between two connections that left HTTP."""

from __future__ import annotations

import asyncio

from .interfaces import RawConnection


class Tunnel:
    """Joins a client and the upstream until both have ended."""

    __slots__ = ("_active", "_changed", "_client", "_open", "_upstream", "received", "sent")

    def __init__(self, client: RawConnection, upstream: RawConnection) -> None:
        self._client = client
        self._upstream = upstream
        self._open = 2
        self._active = False
        self._changed: asyncio.Future[None] | None = None
        self.received = 0
        self.sent = 0

    async def run(self, *, idle: float, linger: float) -> None:
        """Pass bytes until both sides have ended, or neither has sent any for `idle` seconds.

        Once one side is gone, the other has `linger` seconds to end, so that its last bytes arrive.
        """
        loop = asyncio.get_running_loop()
        self._join()
        while self._open:
            self._active = False
            self._changed = loop.create_future()
            # asyncio.wait, since a timeout around the future would cancel it.
            patience = idle if self._open > 1 else max(linger, 0.0)
            await asyncio.wait({self._changed}, timeout=patience)
            if not self._changed.done() and not self._active:
                return

    def _join(self) -> None:
        to_upstream = _Way(self, self._upstream, upward=True)
        to_client = _Way(self, self._client, upward=False)
        early = self._client.divert(to_upstream)
        late = self._upstream.divert(to_client)
        self._client.resume()
        self._upstream.resume()
        if early:
            to_upstream.received(early)
        if late:
            to_client.received(late)

    def count(self, size: int, *, upward: bool) -> None:
        """Take note of bytes."""
        self._active = True
        if upward:
            self.received += size
        else:
            self.sent += size

    def one_ended(self) -> None:
        """Take note that one of the two has ended."""
        self._open -= 1
        if self._changed is not None and not self._changed.done():
            self._changed.set_result(None)


class _Way:
    """What arrives at one end goes out at the other."""

    __slots__ = ("_ended", "_sink", "_tunnel", "_upward")

    def __init__(self, tunnel: Tunnel, sink: RawConnection, *, upward: bool) -> None:
        self._tunnel = tunnel
        self._sink = sink
        self._upward = upward
        self._ended = False

    def received(self, data: bytes) -> None:
        """Pass bytes on."""
        self._tunnel.count(len(data), upward=self._upward)
        try:
            self._sink.write(data)
        except ConnectionError:
            self.ended()

    def ended(self) -> None:
        """Pass the end on."""
        if self._ended:
            return
        self._ended = True
        self._sink.write_eof()
        self._tunnel.one_ended()

    def lost(self) -> None:
        """Pass the end on: what is gone has ended, too."""
        self.ended()

    def writable(self, *, yes: bool) -> None:
        """Let the other end wait for a slow reader at this one."""
        if yes:
            self._sink.resume()
        else:
            self._sink.pause()
