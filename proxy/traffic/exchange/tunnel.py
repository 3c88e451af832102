"""WebSockets on routes without rules: their bytes pass unchanged in both directions."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

from ...config.limits import Timeouts
from ..http1.outgoing_heads import switching_head
from ..interfaces import RawConnection, Request, UpstreamResponse
from ..message_record import MessageRecord
from ..policy import LAST_MESSAGES_SECONDS
from ..websocket.frames import FrameBoundaries, going_away
from .admission import AdmittedExchange
from .steps import CLIENT_CLOSED, Steps

if TYPE_CHECKING:  # imported with the rules that need it
    from .websocket_dry_run import TeeSocket

Ear = Callable[[bytes], None]


class Tunnel:
    """Joins the connections of a client and the upstream until both have ended.

    `ears` are called with the bytes that were passed to the upstream and to the client, for a dry
    run; they raise nothing.

    Attributes:
        abandoned: Whether the client left before either side sent a close frame.
        received: Bytes from the client.
        sent: Bytes from the upstream.
    """

    __slots__ = (
        "_active",
        "_changed",
        "_client",
        "_leaving",
        "_lost",
        "_open",
        "_to_client",
        "_to_upstream",
        "_upstream",
        "abandoned",
        "received",
        "sent",
    )

    def __init__(
        self,
        client: RawConnection,
        upstream: RawConnection,
        ears: tuple[Ear | None, Ear | None] = (None, None),
    ) -> None:
        self._client = client
        self._upstream = upstream
        self._to_upstream = _Way(self, upstream, ears[0], upward=True)
        self._to_client = _Way(self, client, ears[1], upward=False)
        self._open = 2
        self._active = False
        self._leaving = False
        self._lost = False
        self._changed: asyncio.Future[None] | None = None
        self.abandoned = False
        self.received = 0
        self.sent = 0

    async def run(self, *, idle: float, linger: float) -> None:
        """Pass bytes until both sides have ended, or neither has sent any for `idle` seconds.

        Once one side has ended or the process is about to end, the last bytes have `linger` seconds
        to arrive, and LAST_MESSAGES_SECONDS at most where the client has ended. A lost client ends
        the tunnel at once.
        """
        loop = asyncio.get_running_loop()
        self._join()
        while self._open and not self._parted and not self._lost:
            self._active = False
            self._changed = loop.create_future()
            # A timeout around the future would cancel it; asyncio.wait does not.
            patience = idle if self._open > 1 and not self._leaving else max(linger, 0.0)
            if self._to_upstream.over:
                patience = min(patience, LAST_MESSAGES_SECONDS)
            await asyncio.wait({self._changed}, timeout=patience)
            if not self._changed.done() and not (self._active and self._waits_for_boundary):
                return

    def leave(self) -> None:
        """Send both sides a close frame with "going away" (1001, RFC 6455 section 7.4.1)."""
        if self._leaving:
            return
        self._leaving = True
        self._to_upstream.leave()
        self._to_client.leave()
        self.changed()

    def count(self, size: int, *, upward: bool) -> None:
        """Count bytes that came from the client (`upward`) or from the upstream."""
        self._active = True
        if upward:
            self.received += size
        else:
            self.sent += size

    def one_ended(self) -> None:
        """Note that one side sends no more."""
        if self._open > 1 and self._to_upstream.over:
            said = self._to_upstream.said_close or self._to_client.said_close
            self.abandoned = not said and not self._leaving
        self._open -= 1
        self.changed()

    def client_lost(self) -> None:
        """Note that nothing reaches the client any more."""
        self._lost = True
        self.changed()

    def changed(self) -> None:
        """Let `run` check whether the tunnel is over."""
        if self._changed is not None and not self._changed.done():
            self._changed.set_result(None)

    @property
    def _parted(self) -> bool:
        """Whether both sides have got a close frame from here and have sent their own."""
        return self._leaving and self._to_upstream.closed and self._to_client.closed

    @property
    def _waits_for_boundary(self) -> bool:
        return not (self._leaving and self._to_upstream.close_sent and self._to_client.close_sent)

    def _join(self) -> None:
        early = self._client.divert(self._to_upstream)
        late = self._upstream.divert(self._to_client)
        self._client.resume()
        self._upstream.resume()
        if early:
            self._to_upstream.received(early)
        if late:
            self._to_client.received(late)


class _Way:
    """One direction: passes what a source sends to a sink.

    Attributes:
        close_sent: Whether the sink has got a close frame, from here or from the source.
        over: Whether the source sends no more.
    """

    __slots__ = (
        "_boundaries",
        "_ear",
        "_leaving",
        "_sink",
        "_tunnel",
        "_upward",
        "close_sent",
        "over",
    )

    def __init__(
        self, tunnel: Tunnel, sink: RawConnection, ear: Ear | None, *, upward: bool
    ) -> None:
        self._ear = ear
        self._tunnel = tunnel
        self._sink = sink
        self._upward = upward
        self._boundaries = FrameBoundaries()
        self.over = False
        self._leaving = False
        self.close_sent = False

    @property
    def closed(self) -> bool:
        """Whether the source sends no more, or no more than its close frame."""
        return self.over or self.said_close

    @property
    def said_close(self) -> bool:
        """Whether the source has sent a close frame."""
        return self._boundaries.closed

    def received(self, data: bytes) -> None:
        """Pass bytes on."""
        self._tunnel.count(len(data), upward=self._upward)
        if self._leaving:
            self._pass_last(data)
            return
        self._boundaries.pass_by(data)
        self._write(data)
        if self._ear is not None:
            self._ear(data)

    def leave(self) -> None:
        """Send the sink a close frame after the frame that is passing, and no further frame."""
        self._leaving = True
        if self._boundaries.at_boundary:
            self._say_goodbye()

    def _pass_last(self, data: bytes) -> None:
        if not self.close_sent:
            size = self._boundaries.to_boundary(data)
            self._write(data[:size])
            data = data[size:]
            if self._boundaries.at_boundary:
                self._say_goodbye()
        self._boundaries.pass_by(data)
        if self.closed:
            self._tunnel.changed()

    def _say_goodbye(self) -> None:
        if not self._boundaries.closed and not self.over:
            self._write(going_away(masked=self._upward))
        self.close_sent = True

    def _write(self, data: bytes) -> None:
        try:
            self._sink.write(data)
        except ConnectionError:
            self.ended()

    def ended(self) -> None:
        """Tell the sink that the source sends no more."""
        if self.over:
            return
        self.over = True
        self._sink.write_eof()
        self._tunnel.one_ended()

    def lost(self) -> None:
        """Do as `ended`; a client that is lost ends the tunnel as well."""
        self.ended()
        if self._upward:
            self._tunnel.client_lost()

    def leaving(self) -> None:
        """Begin to close both sides: the process is about to end."""
        self._tunnel.leave()

    def writable(self, *, yes: bool) -> None:
        """Read from the sink only while the connection of the source takes bytes."""
        if yes:
            self._sink.resume()
        else:
            self._sink.pause()


async def tunnelled(  # noqa: PLR0913, PLR0917 - an exchange in its parts
    steps: Steps,
    timeouts: Timeouts,
    request: Request,
    admitted: AdmittedExchange,
    response: UpstreamResponse,
    record: MessageRecord,
) -> None:
    """Pass a WebSocket that the upstream has accepted, unread, until it ends."""
    steps.ladder.tunnelled(admitted, record)
    tee: TeeSocket | None = None
    overheard: AbstractAsyncContextManager[None] = contextlib.nullcontext()
    if admitted.exchange.decision.observes is not None:
        from .websocket_dry_run import overhearing, tee_socket  # noqa: PLC0415 - loaded with its rules

        tee = tee_socket(steps, admitted, record, response.head)
        overheard = overhearing(tee)
    upstream = response.divert()
    client = await request.switch(switching_head(response.head))
    tunnel = Tunnel(client, upstream, (None, None) if tee is None else tee.ears)
    try:
        async with overheard:
            try:
                await tunnel.run(idle=timeouts.tunnel, linger=timeouts.linger)
            finally:
                response.close()  # trials may last longer
    finally:
        record.request_bytes, record.response_bytes = tunnel.received, tunnel.sent
        if tunnel.abandoned:
            record.status = CLIENT_CLOSED
