"""A client connection, as long as all its requests are fast (http1/fast_heads).

A complete request is forwarded without a task. One that needs waits gets a task of its own. With
the first bytes that are not fast, the connection is handed over for good to ClientConnection and
its parser.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, cast

from ..bodies.buffered import FastRequest
from ..exchange.fast_exchange import FastExchange
from ..http1.fast_heads import FastHead
from ..http1.forwarding_headers import Peer
from .connections import peer_of
from .fast_io import FastInput, FastOwner


class FastConnection(FastInput):
    """Fast requests from one client, one after the other."""

    __slots__ = ("_exchange",)

    def __init__(
        self, owner: FastOwner, loop: asyncio.AbstractEventLoop, address: str = ""
    ) -> None:
        super().__init__(owner, loop)
        self.peer = Peer(address)
        self._exchange = FastExchange(self)

    # --- called by the transport --------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)
        self.peer = peer_of(transport, self.peer.address, redirected=self._owner.redirected)
        self._await_head()
        self._owner.connected(self)

    def eof_received(self) -> bool:
        """Note that the client sends no more; return whether its last request is still answered."""
        awaited = super().eof_received()
        self.flush()  # what the transport does not have when it closes is lost
        return self._hand_over_all() if self._held else awaited

    def _client_gone(self, exc: BaseException | None) -> None:
        super()._client_gone(exc)
        self._exchange.abandon()

    def resume_writing(self) -> None:
        """Note that the client has caught up."""
        super().resume_writing()
        if not (self._busy or self._closing):
            self._rest_or_go_on()

    def _begin(self, head: FastHead, body: bytes) -> None:
        """Respond to a request, without a task if possible."""
        self._busy = True
        try:
            departed = self._owner.answerer.depart(self._exchange, head, body)
        except BaseException as error:
            self.broke(error)
            if not isinstance(error, Exception):
                raise
            return
        if not departed:
            self.begin_anew(FastRequest(self, head, body, begun=self._exchange.begun))

    # --- called by FastExchange ---------------------------------------------------------------

    def begin_anew(self, request: FastRequest) -> None:
        """Let the handler process the request from its beginning."""
        self.go_on(request, self._owner.answerer.handle(request))

    def go_on(self, request: FastRequest, way: Coroutine[Any, Any, None]) -> None:
        """Let a task do the rest."""
        self._request = request
        self._own(self._loop.create_task(self._walk(request, way)))

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
            self._request = self._task = None
        self.ended(keep=request.keep)

    def broke(self, error: BaseException) -> None:
        """Drop the connection after an error that should not have happened."""
        self.abort()
        self._owner.failed(error)

    def ended(self, *, keep: bool) -> None:
        """Continue with the next request, if there is to be one."""
        self._busy = False
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if not keep or (self._ended and not self._rest):
            self.finish()
        elif not self._paused:
            if self._rest or self._owner.draining:
                self._rest_or_go_on()
            else:  # as there, without two calls for each message
                self._read_deadline = self._loop.time() + self._owner.timeouts.keepalive

    def _rest_or_go_on(self) -> None:
        if self._rest:
            # The client pipelines: the queue behind the parser keeps the order of its responses.
            self._hand_over_all()
        else:
            self._await_next_request()

    # --- what ClientLifecycle asks for --------------------------------------------------------

    @property
    def last(self) -> bool:
        """Whether the request in progress is the last: as for any client, in one step."""
        return (self._owner.draining or self._ended) and not self._rest

    def _read_timed_out(self) -> None:
        if self._held:
            self._hand_over_all()
        else:
            self.close_idle()

    @property
    def _answering(self) -> bool:
        return self._busy

    @property
    def _queued(self) -> bool:
        return bool(self._rest)

    @property
    def _idle(self) -> bool:
        return not (self._busy or self._held or self._rest)

    @property
    def present(self) -> FastRequest | None:
        """The request in progress."""
        if self._exchange.under_way:
            return self._exchange.request()
        return self._request

    @property
    def _incomplete(self) -> bool:
        return False

    @property
    def _unread(self) -> bool:
        rest = self._rest  # of most clients, nothing
        return self._ended or (bool(rest) and len(rest) > self._owner.limits.window)

    @property
    def _wire(self) -> asyncio.Transport | None:
        return self._transport
