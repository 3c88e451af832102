"""The clients that are connected to one listener: how many there may be, and how each leaves."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from abc import abstractmethod
from collections.abc import Callable
from typing import Final, Protocol

from ...config.limits import Timeouts, TrafficLimits
from ..http1.forwarding_headers import Peer
from ..timers import NEVER


class PerAddress:
    """Counts connections by address; those on a Unix socket have none and are not counted."""

    __slots__ = ("_counts",)

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def admits(self, address: str, limit: int) -> bool:
        """Count a new connection in; return whether there was room for it."""
        if not address:
            return True
        count = self._counts.get(address, 0)
        if count >= limit:
            return False
        self._counts[address] = count + 1
        return True

    def lost(self, address: str) -> None:
        """Count a connection out."""
        count = self._counts.pop(address, 0)
        if count > 1:
            self._counts[address] = count - 1


class ConnectionOwner(Protocol):
    """The listener, as its connections see it. A reload may change limits and timeouts."""

    @property
    def limits(self) -> TrafficLimits:
        """Sizes and numbers."""

    @property
    def timeouts(self) -> Timeouts:
        """Waits."""

    @property
    def draining(self) -> bool:
        """Whether the request in progress is to be the last."""

    @property
    def idle_grace(self) -> float:
        """For how many seconds a drain keeps an idle connection: a request may be on its way."""

    def began(self, task: asyncio.Task[None]) -> None:
        """Hold a task of a connection until it ends."""

    def lost(self, client: ClientLifecycle) -> None:
        """Count a connection out."""

    def failed(self, error: BaseException) -> None:
        """Log an error that should not have happened."""


_IN_SUBCLASSES: Final[tuple[str, ...]] = ()


class ClientLifecycle(asyncio.Protocol):
    """The life of one client connection: its deadlines, the drain, and its end.

    FastConnection and ClientConnection differ in who reads the bytes. They say what is in progress,
    and have the slots: Python cannot combine two bases that both have some.

    Attributes:
        peer: Who is at the other end.
        when_leaving: Called when the drain begins, by what would not end by itself.
        live: The response in progress has no end of its own. A client that has closed its sending
            half has left such a response.
        _ended: The client has closed its sending half.
        _read_deadline: Time of the loop by which the client must have sent what is awaited, or
            NEVER. The listener's timer compares it.
        _write_deadline: The same for what the client must have read.
        _task: The task to cancel when the client is gone.
    """

    __slots__ = _IN_SUBCLASSES
    _loop: asyncio.AbstractEventLoop
    _owner: ConnectionOwner
    _ended: bool
    _read_deadline: float
    _write_deadline: float
    _task: asyncio.Task[None] | None
    live: bool
    peer: Peer
    when_leaving: Callable[[], None] | None

    def _init_lifecycle(self, owner: ConnectionOwner) -> None:
        """Set the attributes."""
        self._owner = owner
        self._ended = False
        self._read_deadline = NEVER
        self._write_deadline = NEVER
        self._task = None
        self.live = False
        self.peer = Peer()
        self.when_leaving = None

    # --- what the reading class says ----------------------------------------------------------

    @property
    @abstractmethod
    def _answering(self) -> bool:
        """Whether a request is in progress."""

    @property
    @abstractmethod
    def _queued(self) -> bool:
        """Whether bytes of another request have come behind the one in progress."""

    @property
    @abstractmethod
    def _idle(self) -> bool:
        """Whether no request is in progress, and none has begun to come."""

    @abstractmethod
    def _read_timed_out(self) -> None:
        """End what the client should have sent by now."""

    @abstractmethod
    def _client_gone(self, exc: BaseException | None) -> None:
        """Wake what waits for the client."""

    @abstractmethod
    def finish(self) -> None:
        """Close the connection once the client has read what was sent; it must do so soon."""

    @abstractmethod
    def abort(self) -> None:
        """Drop the connection, so that the client sees that its response was cut."""

    # --- the drain, as a response sees it -----------------------------------------------------

    @property
    def leaving(self) -> bool:
        """Whether the process is about to end."""
        return self._owner.draining

    @property
    def last(self) -> bool:
        """Whether the request in progress is the last."""
        return (self._owner.draining or self._ended) and not self._queued

    # --- called by the transport --------------------------------------------------------------

    def eof_received(self) -> bool:
        """Note that the client sends no more; return whether its last request is still answered."""
        self._ended = True
        awaited = (self._answering and not self.live) or self._queued
        # TLS has no half-closed connections in asyncio.
        return awaited and not self.peer.encrypted

    def connection_lost(self, exc: BaseException | None) -> None:
        """Count the client out, and stop working for it."""
        self._owner.lost(self)
        task = self._task
        self._client_gone(exc)
        if task is not None:
            task.cancel()

    # --- deadlines ----------------------------------------------------------------------------

    def _await_head(self) -> None:
        """Give the client the time for one request head."""
        self._read_deadline = self._loop.time() + self._owner.timeouts.head

    def _await_next_request(self) -> None:
        """Give the client the time between two requests."""
        owner = self._owner
        seconds = owner.idle_grace if owner.draining else owner.timeouts.keepalive
        self._read_deadline = self._loop.time() + seconds

    # --- called by the listener and its timer -------------------------------------------------

    def check(self, now: float) -> None:
        """End what has passed its deadline."""
        if now > self._write_deadline:
            self.abort()
        elif now > self._read_deadline:
            self._read_deadline = NEVER
            self._read_timed_out()

    def leave(self) -> None:
        """Begin the drain: let end what would not end by itself, and soon close what is idle.

        Not at once: a request may be on its way, and a reset would be its response.
        """
        if self.when_leaving is not None:
            self.when_leaving()
        elif self._idle:
            deadline = self._loop.time() + self._owner.idle_grace
            self._read_deadline = min(self._read_deadline, deadline)

    def close_idle(self) -> None:
        """Close the connection unless a request is in progress or has begun to come."""
        if self._idle:
            self.finish()

    def _own(self, task: asyncio.Task[None]) -> None:
        """Cancel `task` when the client is gone, and let the listener hold it until it ends."""
        self._task = task
        self._owner.began(task)


class Connections:
    """The connections of one listener: their number, their deadlines and their drain."""

    __slots__ = ("_addresses", "_all_gone", "_clients")

    def __init__(self) -> None:
        self._clients: set[ClientLifecycle] = set()
        self._addresses = PerAddress()
        self._all_gone: asyncio.Future[None] | None = None

    def __len__(self) -> int:
        """Return how many are connected."""
        return len(self._clients)

    def admits(self, client: ClientLifecycle, limits: TrafficLimits) -> bool:
        """Count a new connection in; return whether there was room for it."""
        if len(self._clients) >= limits.clients:
            return False
        if not self._addresses.admits(client.peer.address, limits.clients_per_address):
            return False
        self._clients.add(client)
        return True

    def lost(self, client: ClientLifecycle) -> None:
        """Count a connection out."""
        if client in self._clients:
            self._clients.remove(client)
            self._addresses.lost(client.peer.address)
        if not self._clients and self._all_gone is not None and not self._all_gone.done():
            self._all_gone.set_result(None)

    def replace(self, client: ClientLifecycle, successor: ClientLifecycle) -> None:
        """Let `successor` read from the connection of `client` from now on."""
        self._clients.discard(client)
        self._clients.add(successor)

    def check(self, now: float) -> None:
        """End what has passed its deadline."""
        for client in tuple(self._clients):
            client.check(now)

    async def gone(self, seconds: float) -> bool:
        """Drain all connections; return whether they ended within `seconds`."""
        for client in tuple(self._clients):
            client.leave()
        if not self._clients:
            return True
        self._all_gone = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(seconds):
                await self._all_gone
        except TimeoutError:
            return False
        finally:
            self._all_gone = None
        return True

    def abort(self) -> None:
        """Drop all connections."""
        for client in tuple(self._clients):
            client.abort()


_SO_ORIGINAL_DST: Final = 80  # in netfilter_ipv4.h; IPv6 has the same number
_IPV4_BYTES: Final = 16
_IPV6_BYTES: Final = 28


def called_port(transport: asyncio.BaseTransport) -> int:
    """Return the port that the client of a redirected connection connected to, 0 for any other."""
    connection = transport.get_extra_info("socket")
    own = transport.get_extra_info("sockname")
    if connection is None or connection.family not in {socket.AF_INET, socket.AF_INET6}:
        return 0
    six = connection.family == socket.AF_INET6
    level = socket.IPPROTO_IPV6 if six else socket.IPPROTO_IP
    try:
        # On a duplicate, since uvloop's socket object has no getsockopt.
        with socket.fromfd(connection.fileno(), connection.family, socket.SOCK_STREAM) as asked:
            found = asked.getsockopt(level, _SO_ORIGINAL_DST, _IPV6_BYTES if six else _IPV4_BYTES)
    except OSError:
        return 0
    # In both forms of the address, the port follows the family.
    port = int.from_bytes(found[2:4], "big")
    return 0 if port == own[1] else port


def peer_of(transport: asyncio.BaseTransport, *, redirected: bool) -> Peer:
    """Return who is at the other end, and the original port of `redirected` clients."""
    name = transport.get_extra_info("peername")
    address = name[0].partition("%")[0] if isinstance(name, tuple) else ""
    encrypted = transport.get_extra_info("ssl_object") is not None
    return Peer(address, encrypted=encrypted, called=called_port(transport) if redirected else 0)


_AT_ONCE: Final = struct.pack("ii", 1, 0)


def reset(transport: asyncio.Transport) -> None:
    """Drop a connection by a reset rather than a close, where its kind knows the difference.

    A response without a length or chunks ends with its connection (RFC 9112 section 6.3), so after
    a close, a response that was cut would pass for a complete one.
    """
    sock = transport.get_extra_info("socket")
    if sock is not None:
        with contextlib.suppress(OSError):  # it is gone already
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
    transport.abort()
