"""The clients that are connected to one listener: who they are, and how many there may be."""

from __future__ import annotations

import asyncio
import socket
from typing import Final

from ...config.limits import TrafficLimits
from ...config.settings import Network, TcpAddress
from ..http1.forwarding_headers import Peer, client_name, trusts
from .client_lifecycle import ClientLifecycle


class PerAddress:
    """Counts connections by the name of their client; on a Unix socket it is empty: no limit."""

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

    def refuses(
        self, client: ClientLifecycle, limits: TrafficLimits, trusted: tuple[Network, ...]
    ) -> str:
        """Count a new connection in, or return why there is no room for it.

        A trusted proxy is not one client, so its address has no limit of its own.
        """
        if len(self._clients) >= limits.clients:
            return "clients"
        address = client.peer.address
        limit = limits.clients if trusts(trusted, address) else limits.clients_per_address
        if not self._addresses.admits(client_name(address), limit):
            return "clients-per-address"
        self._clients.add(client)
        return ""

    def lost(self, client: ClientLifecycle) -> None:
        """Count a connection out."""
        if client in self._clients:
            self._clients.remove(client)
            self._addresses.lost(client_name(client.peer.address))
        if not self._clients and self._all_gone is not None and not self._all_gone.done():
            self._all_gone.set_result(None)

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
        """Drop all connections, and stop working for their clients."""
        for client in tuple(self._clients):
            client.stop()


_SO_ORIGINAL_DST: Final = 80  # in netfilter_ipv4.h; IPv6 has the same number
_IPV4_BYTES: Final = 16
_IPV6_BYTES: Final = 28


def called_address(transport: asyncio.BaseTransport) -> TcpAddress | None:
    """Return where the client of a redirected connection connected to, None for any other."""
    connection = transport.get_extra_info("socket")
    own = transport.get_extra_info("sockname")
    if connection is None or connection.family not in {socket.AF_INET, socket.AF_INET6}:
        return None
    six = connection.family == socket.AF_INET6
    level = socket.IPPROTO_IPV6 if six else socket.IPPROTO_IP
    try:
        # On a duplicate, since uvloop's socket object has no getsockopt.
        with socket.fromfd(connection.fileno(), connection.family, socket.SOCK_STREAM) as asked:
            found = asked.getsockopt(level, _SO_ORIGINAL_DST, _IPV6_BYTES if six else _IPV4_BYTES)
    except OSError:
        return None
    # In both forms the port follows the family; before an IPv6 address comes its flow.
    port, raw = int.from_bytes(found[2:4], "big"), found[8:24] if six else found[4:8]
    return None if port == own[1] else TcpAddress(socket.inet_ntop(connection.family, raw), port)


def peer_of(transport: asyncio.BaseTransport, address: str, *, redirected: bool) -> Peer:
    """Return the peer at an address, and where a `redirected` one was going to."""
    tls = transport.get_extra_info("ssl_object")
    called = called_address(transport) if redirected else None
    certificate = None if tls is None else tls.getpeercert(binary_form=True)
    if certificate is None:
        return Peer(address, encrypted=tls is not None, called=called)
    return Peer(address, encrypted=True, called=called, certificate=certificate, trust=tls.context)
