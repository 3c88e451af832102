"""The upstream `original-port`: 127.0.0.1, at the port that the client called.

In a pod, a redirect brings connections for the application's ports to the sidecar. Which port a
client called, the kernel still knows (SO_ORIGINAL_DST). Each port gets an upstream and a handler of
its own, so that a connection kept alive for one is never used for another.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ...config.settings import TcpAddress
from ...core.errors import TrafficError, UpstreamFailed
from ..http1.problem import Problem
from ..interfaces import Request
from ..upstream.client import HttpUpstream
from .handler import Handler

_HOST: Final = "127.0.0.1"
_NOWHERE: Final = TcpAddress(_HOST, 0)
MOST_PORTS: Final = 64
"""Of one listener. Whoever sets the redirect chooses the ports; a rule for all of them is a
mistake, and must not become a pool of connections for each."""


@dataclass(frozen=True, slots=True)
class PoolCount:
    """How many connections there are to all ports together."""

    size: int
    idle: int


class PortUpstreams:
    """The upstreams of one listener by port, each made when its port is first called."""

    __slots__ = ("_made", "_make", "nowhere")

    def __init__(self, make: Callable[[TcpAddress], HttpUpstream]) -> None:
        self._make = make
        self._made: dict[int, HttpUpstream] = {}
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

    def of(self, port: int) -> HttpUpstream:
        """Return the upstream of a port; raise UpstreamFailed where there can be none."""
        if not port:
            raise UpstreamFailed("not-redirected")
        upstream = self._made.get(port)
        if upstream is not None:
            return upstream
        if len(self._made) >= MOST_PORTS:
            raise UpstreamFailed("too-many-ports")
        upstream = self._made[port] = self._make(TcpAddress(_HOST, port))
        return upstream

    async def close(self) -> None:
        """Drop all connections."""
        for upstream in (self.nowhere, *self._made.values()):
            await upstream.close()


class PortHandlers:
    """Answers each request by the handler of the port that its client called."""

    __slots__ = ("__weakref__", "_handlers", "_make", "_refusing", "_upstreams")

    def __init__(self, upstreams: PortUpstreams, make: Callable[[HttpUpstream], Handler]) -> None:
        self._upstreams = upstreams
        self._make = make
        self._handlers: dict[int, Handler] = {}
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

    def _of(self, port: int) -> Handler:
        handler = self._handlers.get(port)
        if handler is None:
            handler = self._handlers[port] = self._make(self._upstreams.of(port))
        return handler
