"""The HTTP/1.1 listener: sockets, connections and their deadlines."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from ...config.limits import Timeouts, TrafficLimits
from ...config.settings import Address, ClientClose
from ...core.errors import MalformedRequest, TrafficError
from ...process import descriptors
from ..byte_budget import ByteBudget
from ..http1.forwarding_headers import client_name, trusts
from ..http1.problem import Problem, deliberate
from ..interfaces import Answerer, Listener
from ..policy import IDLE_GRACE_SECONDS, LAST_LOOK_SECONDS, MOST_PORTS_TOLD
from ..timers import RepeatingTimer, interval
from ..turns import LoopLag, WriteBuffer
from .acceptor import NO_PROXIES, Acceptor, FrontProxies, Refusals
from .client_lifecycle import ClientLifecycle
from .connection import ClientConnection
from .connections import Connections
from .sockets import Sockets


class ClientRoom:
    """The clients that all listeners of a process have together.

    There are `most` at once, where descriptors are few; None: as many as their limits say. Half of
    them are kept for all listeners in equal parts, so that a flood at one leaves room at the
    others.
    """

    __slots__ = ("_listeners", "most")

    def __init__(self, most: int | None = None) -> None:
        self.most = most
        self._listeners: list[HttpListener] = []

    def join(self, listener: HttpListener) -> None:
        """Count a listener in."""
        self._listeners.append(listener)

    def admits(self, listener: HttpListener) -> bool:
        """Return whether one more client of a listener fits."""
        if self.most is None:
            return True
        part = self.most // (2 * len(self._listeners))
        if listener.connections < min(part, listener.limits.clients):
            return True
        taken = (max(min(part, one.limits.clients), one.connections) for one in self._listeners)
        return sum(taken) < self.most

    def connections(self) -> int:
        """Return how many clients are connected."""
        return sum(one.connections for one in self._listeners)

    @property
    def refused(self) -> int:
        """How many refused clients linger."""
        return sum(one.refused for one in self._listeners)


class HttpListener:
    """Accepts connections at one address.

    `idle_grace` is for how many seconds a drain keeps an idle connection.
    """

    def __init__(  # noqa: PLR0913 - what the wiring hands in, each by name
        self,
        address: Address,
        answerer: Answerer,
        *,
        tls: ssl.SSLContext | None = None,
        limits: TrafficLimits | None = None,
        timeouts: Timeouts | None = None,
        sockets: Sockets | None = None,
        redirected: bool = False,
        on_client_close: ClientClose = "probe",
        proxies: FrontProxies = NO_PROXIES,
        name: str = "",
        report: Callable[..., None] | None = None,
        room: ClientRoom | None = None,
        budget: ByteBudget | None = None,
        lag: LoopLag | None = None,
    ) -> None:
        """Open nothing before `start`.

        `sockets` listen already and remain the caller's; without them, `start` binds. Where
        clients are `redirected`, the original port of each connection is looked up. `report` takes
        the events of connections that are refused, under the `name` of the listener. `room` is
        that of all listeners, and `budget` the memory of their messages. `lag` says for which
        requests there is no time; without it, the answerer decides alone.
        """
        self.answerer = answerer
        self.limits = limits or TrafficLimits()
        self.timeouts = timeouts or Timeouts()
        self.on_client_close = on_client_close
        self.draining = False
        self.redirected = redirected
        self.idle_grace = IDLE_GRACE_SECONDS
        self._closed = False
        self._write_buffer: WriteBuffer | None = None
        self._clients = Connections()
        self._outlived: set[asyncio.Future[None]] = set()
        self._name, self._report = name, report
        self._told: set[int] = set()
        self.refusals = Refusals(name, report)
        self._acceptor = Acceptor(
            address, self, self.refusals, tls=tls, proxies=proxies, sockets=sockets
        )
        self._lag = lag
        self.budget = budget or ByteBudget()
        self._room = ClientRoom() if room is None else room
        self._room.join(self)
        self._timer = RepeatingTimer(
            self._clients.check, interval=interval(self.timeouts), rests=lambda: not self._clients
        )

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        return len(self._clients)

    @property
    def refused(self) -> int:
        """How many clients that were refused linger."""
        return len(self._acceptor.lingering)

    @property
    def port(self) -> int:
        """The TCP port, once started: it was chosen by the system where the settings say 0."""
        return self._acceptor.port

    @property
    def write_buffer(self) -> WriteBuffer:
        """Where bytes wait for the end of the loop's iteration."""
        if self._write_buffer is None:
            self._write_buffer = WriteBuffer(asyncio.get_running_loop())
        return self._write_buffer

    async def start(self) -> None:
        """Begin to accept connections."""
        await self._acceptor.start()

    def take(self, sock: socket.socket) -> None:
        """Serve or refuse a connection that another process has accepted."""
        self._acceptor.take(sock)

    def answer_with(  # noqa: PLR0913 - what a reload changes, each by name
        self,
        answerer: Answerer,
        *,
        limits: TrafficLimits,
        timeouts: Timeouts,
        tls: ssl.SSLContext | None,
        proxies: FrontProxies,
        on_client_close: ClientClose = "probe",
    ) -> None:
        """Let `answerer` respond from now on; a request keeps the one it began with.

        New connections see another certificate (`tls`); existing ones keep theirs.
        """
        self.answerer, self.limits, self.timeouts = answerer, limits, timeouts
        self.on_client_close = on_client_close
        self._acceptor.tls, self._acceptor.proxies = tls, proxies

    def stop_accepting(self) -> None:
        """Accept no more connections but those that the kernel has already made."""
        self.draining = True
        self._acceptor.stop()

    async def drained(self, seconds: float) -> bool:
        """Drain all connections; return whether they ended within `seconds`."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        self.idle_grace = min(IDLE_GRACE_SECONDS, seconds / 2)
        await self._acceptor.stopped(self.idle_grace)
        gone = await self._clients.gone(seconds)
        if self._outlived:  # of clients that have gone, copies may still be looked at
            await asyncio.wait(self._outlived, timeout=max(until - loop.time(), 0.0))
        return gone

    async def close(self) -> None:
        """Drop what is left."""
        self.stop_accepting()
        self._closed = True
        self._clients.abort()
        await self._acceptor.close()
        if self._outlived:
            await asyncio.wait(self._outlived, timeout=LAST_LOOK_SECONDS)
        for end in tuple(self._outlived):
            end.cancel()  # it looked at copies
        await asyncio.gather(*self._outlived, return_exceptions=True)
        self.write_buffer.report()
        self._timer.stop()

    # --- called by the front door and the connections -------------------------------------------

    @property
    def patience(self) -> float:
        """Seconds for a PROXY header, and for a TLS handshake."""
        return self.timeouts.head

    @property
    def linger(self) -> float:
        """Seconds for reading on from a client that is refused."""
        return self.timeouts.linger

    @property
    def lingers(self) -> bool:
        """Whether one more client that is refused may linger."""
        return self._room.refused < descriptors.lingering(descriptors.current())

    def holds_back(self) -> int:
        """Return how many connections there is time to accept now, and again soon; 0: for all."""
        return 0 if self._lag is None else self._lag.holds_back()

    def lets_in(self, address: str) -> bool:
        """Return whether there is time for a connection from an address all the same."""
        trusted = trusts(self._acceptor.proxies.trusted, address)  # it has clients of its own
        crowded = not trusted and self._clients.crowded(address)
        return self._lag is None or self._lag.lets_in(crowded=crowded)

    def turns_away(self, address: str) -> bool | None:
        """Return whether there is no time for a request from an address, and count it.

        None for one of a trusted proxy: its head tells whose it is.
        """
        if self._lag is None or trusts(self._acceptor.proxies.trusted, address):
            return None
        refused = self._lag.refuses(client_name(address))
        if refused:
            self.refusals.note("loop-lag", asyncio.get_running_loop().time())
        return refused

    def welcome(self, address: str) -> ClientConnection | str:
        """Count a client in, and return what serves it, or the reason for which nothing does."""
        if not self._room.admits(self):
            return "descriptors"
        client = ClientConnection(self, asyncio.get_running_loop(), address)
        self._timer.start()
        return self._clients.refuses(client, self.limits, self._acceptor.proxies.trusted) or client

    def connected(self, client: ClientLifecycle) -> None:
        """Let a client leave soon that has come while the connections are drained."""
        if self._closed:
            client.abort()
        elif self.draining:
            asyncio.get_running_loop().call_soon(client.leave)

    def outlived(self, end: asyncio.Future[None]) -> None:
        """Wait for the end of an exchange whose client has gone, before all is closed."""
        self._outlived.add(end)
        end.add_done_callback(self._outlived.discard)

    def lost(self, client: ClientLifecycle) -> None:
        """Count a connection out, also one that was never made."""
        self._clients.lost(client)

    def refusal(self, client: ClientConnection, error: TrafficError) -> Problem:
        """Return the response to what is not a valid request."""
        called = client.peer.called
        if called is not None and isinstance(error, MalformedRequest):
            self._tell_port(called.port)
        return self.answerer.reject(error)

    def _tell_port(self, port: int) -> None:
        """Report once that a redirected port is called with something else than HTTP/1.1."""
        if self._report is None or port in self._told or len(self._told) >= MOST_PORTS_TOLD:
            return
        self._told.add(port)
        self._report(
            "port.not_http", listener=self._name, port=port, annotation="sealyard.io/pass-ports"
        )

    def failed(self, error: BaseException) -> None:
        """Report an error that should not have happened, by the name of its class alone."""
        self.answerer.reject(deliberate(error))


class Closable(Protocol):
    """An upstream, or several, as the server sees them."""

    async def close(self) -> None:
        """Drop all connections."""


@dataclass(frozen=True, slots=True)
class Lane:
    """A listener and the upstream behind it."""

    listener: Listener
    upstream: Closable


class TrafficServer:
    """Owns the lanes of one process."""

    __slots__ = ("_lanes", "draining")

    def __init__(self, lanes: Sequence[Lane]) -> None:
        self._lanes = tuple(lanes)
        self.draining = False

    async def start(self) -> None:
        """Open all listeners; if one cannot be opened, none stays open."""
        try:
            for lane in self._lanes:
                await lane.listener.start()
        except BaseException:
            await self.close()
            raise

    def replace(self, lanes: Sequence[Lane]) -> None:
        """Replace the lanes by others that run already, some of them with another upstream."""
        self._lanes = tuple(lanes)

    async def drain(self, grace: float) -> bool:
        """Shut down gracefully within `grace` seconds; return whether no message was cut.

        The grace is one budget for all steps: when it is over, a supervisor kills the process.
        """
        self.draining = True
        for lane in self._lanes:
            lane.listener.stop_accepting()
        waits = [lane.listener.drained(grace) for lane in self._lanes]
        finished = await asyncio.gather(*waits)
        await self.close()
        return all(finished)

    async def close(self) -> None:
        """Drop everything."""
        for lane in self._lanes:
            await lane.listener.close()
            await lane.upstream.close()
