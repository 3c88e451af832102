"""One connection of a client, as long as all that comes on it is plain.

A request that came whole goes its way without a task. One that cannot do without waits gets a task
of its own. Bytes that are not plain are handed over, with the connection, to ClientConnection and
its parser, for good.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, cast

from ..bodies.buffered import FastRequest
from ..exchange.fast_path import FastExchange
from ..http1.fast_heads import FastHead
from ..message_record import MessageRecord
from ..timers import NEVER
from .connections import peer_of
from .fast_io import FastInput, FastOwner


class FastConnection(FastInput):
    """Plain requests from one client, one after the other.

    `when_leaving` is called when the process is about to end. `live` says that the answer under way
    is a stream without an end, so that a client that sends no more has left it.
    """

    __slots__ = ("_exchange", "_task", "live", "when_leaving")

    def __init__(self, owner: FastOwner, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(owner, loop)
        self._exchange: FastExchange | None = None
        self._task: asyncio.Task[None] | None = None
        self.when_leaving: Callable[[], None] | None = None
        self.live = False

    @property
    def leaving(self) -> bool:
        """Whether the process is about to end."""
        return self._owner.draining

    @property
    def last(self) -> bool:
        """Whether the request under way is the last."""
        return (self._owner.draining or self._ended) and not self._rest

    # --- called by the transport --------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, if there is room."""
        self._transport = cast("asyncio.Transport", transport)
        self.peer = peer_of(transport, redirected=self._owner.redirected)
        if not self._owner.admits(self):
            self._transport.abort()
            return
        self._read_deadline = self._loop.time() + self._owner.timeouts.head

    def eof_received(self) -> bool:
        """Learn that the client sends no more: its last request is answered all the same."""
        self._ended = True
        self.flush()  # what the transport does not have when it closes is lost
        if self._held:
            return self._hand_over(self._held)
        # A client that lags may have asked for more than it has read.
        awaited = (self._request is not None and not self.live) or bool(self._rest)
        # TLS has no half-closed connections in asyncio.
        return awaited and not self.peer.encrypted

    def connection_lost(self, exc: Exception | None) -> None:
        """Learn that the client is gone, and stop working for it."""
        self._owner.lost(self)
        super().connection_lost(exc)
        if self._exchange is not None:
            self._exchange.abandon()
        if self._task is not None:
            self._task.cancel()

    def resume_writing(self) -> None:
        """Learn that the client has caught up."""
        super().resume_writing()
        if self._request is None:
            self._rest_or_go_on()

    def _begin(self, head: FastHead, body: bytes) -> None:
        """Answer a request; without a task, if that can be."""
        request = self._request = FastRequest(self, head, body)
        try:
            fast_exchange = self._owner.depart(request, self)
        except BaseException as error:
            self.broke(error)
            if not isinstance(error, Exception):
                raise
            return
        if fast_exchange is None:
            self.begin_anew(request)
        elif not fast_exchange.over:
            self._exchange = fast_exchange

    # --- called by trips ----------------------------------------------------------------------

    def begin_anew(self, request: FastRequest) -> None:
        """Let the handler answer the request from its beginning."""
        self.go_on(request, self._owner.handle(request))

    def go_on(self, request: FastRequest, way: Coroutine[Any, Any, None]) -> None:
        """Let a task walk the rest of the way."""
        self._exchange = None
        self._task = self._loop.create_task(self._walk(request, way))
        self._owner.began(self._task)

    async def _walk(self, request: FastRequest, way: Coroutine[Any, Any, None]) -> None:
        try:
            await way
        except ConnectionError:
            self.abort()
        except Exception as error:  # noqa: BLE001 - asyncio would log it with what it holds
            self.broke(error)
        except BaseException:  # cancelled: the client is gone, or time is up
            self.abort()
            raise
        finally:
            self._task = None
        self.ended(request)

    def report_behind(self, report: Callable[[MessageRecord], None], record: MessageRecord) -> None:
        """Report a message once its answer is sent."""
        self._outbox.report_behind(report, record)

    def broke(self, error: BaseException) -> None:
        """Drop the connection, for what should not have happened."""
        self.abort()
        self._owner.failed(error)

    def ended(self, request: FastRequest) -> None:
        """Go over to the next request, if there is to be one."""
        self._request = self._exchange = None
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if not request.keep or (self._ended and not self._rest):
            self.finish()
        elif not self._paused:
            self._rest_or_go_on()

    def _rest_or_go_on(self) -> None:
        if self._rest:
            # A client that does not wait for its answers: the parser's queue keeps their order.
            self._hand_over(self._rest)
        else:
            owner = self._owner
            rest = owner.parting if owner.draining else owner.timeouts.keepalive
            self._read_deadline = self._loop.time() + rest

    # --- called by the ticker and by the listener ---------------------------------------------

    def check(self, now: float) -> None:
        """End what has lasted too long."""
        if now > self._write_deadline:
            self.abort()
        elif now > self._read_deadline:
            self._read_deadline = NEVER
            if self._held:
                self._hand_over(self._held)
            elif self._request is None:
                self.finish()

    def leave(self) -> None:
        """Close the connection if it rests for long; let end what would never end by itself."""
        if self.when_leaving is not None:
            self.when_leaving()
        elif self._request is None and not self._held:
            # Not at once: a request may be on its way, and would be answered by a reset.
            deadline = self._loop.time() + self._owner.parting
            self._read_deadline = min(self._read_deadline, deadline)
