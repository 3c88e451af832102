"""The upstream `original-port`: the address of the pod, and the port, that the client called.

In a pod, a redirect brings connections for every port to the sidecar. Where a client went, the
kernel still knows (SO_ORIGINAL_DST). What listens on loopback alone is reached from there alone, as
without a redirect. Each address gets an upstream and a handler of its own, so that a connection
kept alive for one is never used for another.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ...config.settings import TcpAddress
from ...core.errors import TrafficError, UpstreamFailed
from ..http1.problem import Problem
from ..interfaces import Request
from ..policy import MOST_PORTS
from ..upstream.client import HttpUpstream
from .exchange import Handler

_NOWHERE: Final = TcpAddress("127.0.0.1", 0)


@dataclass(frozen=True, slots=True)
class PoolCount:
    """How many connections there are to all ports together."""

    size: int
    idle: int


class PortUpstreams:
    """The upstreams of one listener, each made when its address is first called."""

    __slots__ = ("_made", "_make", "nowhere")

    def __init__(self, make: Callable[[TcpAddress], HttpUpstream]) -> None:
        self._make = make
        self._made: dict[TcpAddress, HttpUpstream] = {}
        # What refuses needs an upstream too; nothing is ever sent there.
        self.nowhere = make(_NOWHERE)

    @property
    def pool(self) -> PoolCount:
        """The connections, for those who count them."""
        pools = [one.pool for one in self.every]
        return PoolCount(sum(one.size for one in pools), sum(one.idle for one in pools))

    @property
    def every(self) -> tuple[HttpUpstream, ...]:
        """Those that have been called."""
        return tuple(self._made.values())

    def of(self, called: TcpAddress | None) -> HttpUpstream:
        """Return the upstream of an address; raise UpstreamFailed where there can be none."""
        if called is None:
            raise UpstreamFailed("not-redirected")
        upstream = self._made.get(called)
        if upstream is not None:
            return upstream
        if len(self._made) >= MOST_PORTS:
            unused = next((one for one, made in self._made.items() if not made.pool.size), None)
            if unused is None:
                raise UpstreamFailed("too-many-ports")
            del self._made[unused]
        upstream = self._made[called] = self._make(called)
        return upstream

    async def close(self) -> None:
        """Drop all connections."""
        for upstream in (self.nowhere, *self._made.values()):
            await upstream.close()


class PortHandlers:
    """Answers each request by the handler of the address that its client called."""

    __slots__ = ("__weakref__", "_handlers", "_make", "_refusing", "_upstreams")

    def __init__(self, upstreams: PortUpstreams, make: Callable[[HttpUpstream], Handler]) -> None:
        self._upstreams = upstreams
        self._make = make
        self._handlers: dict[TcpAddress | None, tuple[HttpUpstream, Handler]] = {}
        self._refusing = make(upstreams.nowhere)

    async def handle(self, request: Request) -> None:
        """Answer one request, whatever happens; raise only when the client is gone."""
        try:
            handler = self._of(request.peer.called)
        except TrafficError as error:
            request.refuse(self.reject(error), close=True)
            return
        await handler.handle(request)

    def reject(self, error: TrafficError) -> Problem:
        """Return the answer to what never came to be a request."""
        return self._refusing.reject(error)

    def _of(self, called: TcpAddress | None) -> Handler:
        upstream = self._upstreams.of(called)
        known = self._handlers.get(called)
        if known is not None and known[0] is upstream:
            return known[1]
        kept = set(map(id, self._upstreams.every))
        for address, (old, _) in tuple(self._handlers.items()):
            if id(old) not in kept:
                del self._handlers[address]
        handler = self._make(upstream)
        self._handlers[called] = (upstream, handler)
        return handler
