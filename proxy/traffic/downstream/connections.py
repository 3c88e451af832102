"""The clients that are connected to one listener: how many there may be, and how they leave."""

from __future__ import annotations

import asyncio
import socket
from typing import Final, Protocol

from ...config.limits import TrafficLimits
from ..http1.forwarding_headers import Peer


class PerAddress:
    """Counts connections by address; what has none, on a Unix socket, is not counted."""

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


class ConnectedClient(Protocol):
    """A connection of a client, as the listener sees it."""

    @property
    def peer(self) -> Peer:
        """Who is at the other end."""

    def check(self, now: float) -> None:
        """End what has lasted too long."""

    def leave(self) -> None:
        """Close the connection if it is idle; let end what would never end by itself."""

    def abort(self) -> None:
        """Drop the connection."""


class Connections:
    """Counts connections in and out."""

    __slots__ = ("_addresses", "_here", "_none")

    def __init__(self) -> None:
        self._here: set[ConnectedClient] = set()
        self._addresses = PerAddress()
        self._none: asyncio.Future[None] | None = None

    def __len__(self) -> int:
        """Return how many are connected."""
        return len(self._here)

    def admits(self, guest: ConnectedClient, limits: TrafficLimits) -> bool:
        """Count a new connection in; return whether there was room for it."""
        if len(self._here) >= limits.clients:
            return False
        if not self._addresses.admits(guest.peer.address, limits.clients_per_address):
            return False
        self._here.add(guest)
        return True

    def lost(self, guest: ConnectedClient) -> None:
        """Count a connection out."""
        if guest in self._here:
            self._here.remove(guest)
            self._addresses.lost(guest.peer.address)
        if not self._here and self._none is not None and not self._none.done():
            self._none.set_result(None)

    def replace(self, guest: ConnectedClient, heir: ConnectedClient) -> None:
        """Let `heir` go on with the connection of `guest`."""
        self._here.discard(guest)
        self._here.add(heir)

    def check(self, now: float) -> None:
        """End what has lasted too long."""
        for guest in tuple(self._here):
            guest.check(now)

    async def gone(self, seconds: float) -> bool:
        """Let all leave, and wait for it; return whether they did in time."""
        for guest in tuple(self._here):
            guest.leave()
        if not self._here:
            return True
        self._none = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(seconds):
                await self._none
        except TimeoutError:
            return False
        finally:
            self._none = None
        return True

    def abort(self) -> None:
        """Drop all connections."""
        for guest in tuple(self._here):
            guest.abort()


_SO_ORIGINAL_DST: Final = 80  # in netfilter_ipv4.h; IPv6 has the same number
_IPV4_BYTES: Final = 16
_IPV6_BYTES: Final = 28


def called_port(transport: asyncio.BaseTransport) -> int:
    """Return the port that the client of a redirected connection called, 0 for any other."""
    connection = transport.get_extra_info("socket")
    own = transport.get_extra_info("sockname")
    if connection is None or connection.family not in {socket.AF_INET, socket.AF_INET6}:
        return 0
    six = connection.family == socket.AF_INET6
    level = socket.IPPROTO_IPV6 if six else socket.IPPROTO_IP
    try:
        # Of a duplicate, since uvloop's stand-in for a socket has no options.
        with socket.fromfd(connection.fileno(), connection.family, socket.SOCK_STREAM) as asked:
            found = asked.getsockopt(level, _SO_ORIGINAL_DST, _IPV6_BYTES if six else _IPV4_BYTES)
    except OSError:
        return 0
    # In both forms of the address, the port follows the family.
    port = int.from_bytes(found[2:4], "big")
    return 0 if port == own[1] else port


def peer_of(transport: asyncio.BaseTransport, *, redirected: bool) -> Peer:
    """Return who is at the other end, and of `redirected` clients which port they called."""
    name = transport.get_extra_info("peername")
    address = name[0].partition("%")[0] if isinstance(name, tuple) else ""
    encrypted = transport.get_extra_info("ssl_object") is not None
    return Peer(address, encrypted=encrypted, called=called_port(transport) if redirected else 0)
