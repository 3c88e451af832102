"""Listening sockets: opened before anything is served, and shared by the processes that accept."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
import stat
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

from ...config.settings import Address, TcpAddress, UnixAddress
from ...core.errors import UnfitEnvironment

BACKLOG: Final = 1024
EVERY: Final = "*"
_SOCKET_MASK: Final = 0o117  # leaves 0660

Sockets = tuple[socket.socket, ...]


def open_sockets(address: Address, *, reuse_port: bool = False) -> Sockets:
    """Return sockets that listen at `address`: one, or one for each address of a host's name.

    The host `*` is every address, of IPv4 and, where the machine has it, of IPv6.
    With `reuse_port`, others may listen at the same address. It blocks while a name is looked
    up. Raises UnfitEnvironment, naming the address, where it cannot be bound.
    """
    if isinstance(address, UnixAddress):
        sock = _bind_path(str(address.path))
        sock.listen(BACKLOG)
        return (sock,)
    opened: list[socket.socket] = []
    try:
        for family, place in _places(address):
            if address.host == EVERY and family == socket.AF_INET6 and not _has_ipv6():
                continue
            opened.append(_bind(family, place, reuse_port=reuse_port))
    except OSError as error:
        close(opened)
        reason = error.strerror or "cannot be bound"
        raise UnfitEnvironment("listen", detail=f"{address}: {reason.lower()}") from None
    return tuple(opened)


def close(sockets: list[socket.socket] | Sockets, address: Address | None = None) -> None:
    """Close sockets; with the address of a Unix socket, remove its path as well."""
    for sock in sockets:
        sock.close()
    if isinstance(address, UnixAddress):
        Path(address.path).unlink(missing_ok=True)


def port_of(sockets: Sockets) -> int:
    """Return the TCP port that the system chose; 0 for a Unix socket."""
    name = sockets[0].getsockname() if sockets else ""
    return int(name[1]) if isinstance(name, tuple) else 0


def waiting_at(server: asyncio.Server) -> Iterator[socket.socket]:
    """Yield the connections that the kernel has made at `server` and that are not yet accepted.

    Closing the server would reset them, and with them requests that have been sent already.
    """
    for listening in server.sockets:
        with (
            socket.socket(fileno=os.dup(listening.fileno())) as sock,
            contextlib.suppress(OSError),  # there are no more, or no more can be had
        ):
            for _ in range(BACKLOG):
                yield sock.accept()[0]


def _places(address: TcpAddress) -> list[tuple[int, tuple[object, ...]]]:
    host = None if address.host == EVERY else address.host
    found = socket.getaddrinfo(host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return list(dict.fromkeys((int(family), place) for family, _, _, _, place in found))


def _has_ipv6() -> bool:
    """Return whether an IPv6 socket can be bound at all; a kernel may be built without IPv6."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::", 0))
    except OSError:
        return False
    return True


def _bind(family: int, place: tuple[object, ...], *, reuse_port: bool) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(place)
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    sock.setblocking(False)  # noqa: FBT003 - the signature of the standard library
    return sock


def _bind_path(path: str) -> socket.socket:
    """Return a socket at `path` that only owner and group may use."""
    _remove_stale(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # The mode must be right from the start; chmod would come too late.
    mask = os.umask(_SOCKET_MASK)
    try:
        sock.bind(path)
    except OSError as error:
        sock.close()
        reason = error.strerror or str(error)  # a path that is too long has no errno
        raise UnfitEnvironment("socket", detail=f"{path}: {reason}") from None
    finally:
        os.umask(mask)
    sock.setblocking(False)  # noqa: FBT003 - the signature of the standard library
    return sock


def _remove_stale(path: str) -> None:
    """Remove the socket that a killed process left, and no other file."""
    try:
        if not stat.S_ISSOCK(Path(path).stat().st_mode):
            raise UnfitEnvironment("socket", detail=f"{path} exists and is not a socket.")
    except FileNotFoundError:
        return
    except OSError as error:
        raise UnfitEnvironment("socket", detail=f"{path}: {error.strerror}") from None
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(path)
        except OSError:
            Path(path).unlink(missing_ok=True)
            return
    raise UnfitEnvironment("socket", detail=f"{path} is in use by another process.")


NewConnection = Callable[[], asyncio.Protocol]


class Acceptor:
    """Accepts connections at one address and makes a protocol for each.

    `sockets` listen already and remain the caller's; without them, `start` binds.
    """

    __slots__ = (
        "_address",
        "_adopting",
        "_made",
        "_owned",
        "_patience",
        "_servers",
        "_sockets",
        "_tls",
    )

    def __init__(
        self,
        address: Address,
        made: NewConnection,
        *,
        tls: ssl.SSLContext | None,
        patience: Callable[[], float],
        sockets: Sockets | None,
    ) -> None:
        """Open nothing before `start`; `patience` is for a TLS handshake, in seconds."""
        self._address = address
        self._made = made
        self._tls = tls
        self._patience = patience
        self._sockets: Sockets = sockets or ()
        self._owned = sockets is None
        self._servers: list[asyncio.Server] = []
        self._adopting: set[asyncio.Task[None]] = set()

    @property
    def port(self) -> int:
        """The TCP port, once started: it was chosen by the system where the settings say 0."""
        return port_of(self._sockets)

    async def start(self) -> None:
        """Begin to accept connections."""
        if self._owned:
            self._sockets = await asyncio.to_thread(open_sockets, self._address)
        self._servers = await self._accept()

    async def renew_tls(self, tls: ssl.SSLContext | None) -> None:
        """Show new connections another certificate; existing ones keep theirs."""
        old, self._tls = self._servers, tls
        # Both accept from the same sockets, so no connection meets a closed port in between.
        self._servers = await self._accept()
        for server in old:
            server.close()

    def stop(self) -> None:
        """Accept no more connections but those that the kernel has already made."""
        for server in self._servers:
            for sock in waiting_at(server):
                self._adopting.add(asyncio.get_running_loop().create_task(self._adopt(sock)))
            server.close()
        self._servers = []
        if self._owned and self._sockets:
            close(self._sockets, self._address)
            self._sockets = ()

    async def stopped(self, seconds: float) -> None:
        """Wait until these have been accepted, for at most `seconds`."""
        if self._adopting:
            await asyncio.wait(self._adopting, timeout=seconds)

    async def close(self) -> None:
        """Drop what is still being accepted."""
        self.stop()
        for task in self._adopting:
            task.cancel()
        await asyncio.gather(*self._adopting, return_exceptions=True)

    async def _accept(self) -> list[asyncio.Server]:
        loop = asyncio.get_running_loop()
        opener: Any = loop.create_server
        if isinstance(self._address, UnixAddress):
            opener = loop.create_unix_server
            if sys.version_info >= (3, 13):
                # The server must not remove the path: other processes may still accept there.
                opener = partial(opener, cleanup_socket=False)
        return [
            await opener(
                self._made,
                sock=sock.dup(),
                ssl=self._tls,
                backlog=BACKLOG,
                ssl_handshake_timeout=self._handshake,
            )
            for sock in self._sockets
        ]

    @property
    def _handshake(self) -> float | None:
        return self._patience() if self._tls is not None else None

    async def _adopt(self, sock: socket.socket) -> None:
        """Serve a connection that the kernel has made and no server has accepted."""
        loop = asyncio.get_running_loop()
        try:
            await loop.connect_accepted_socket(
                self._made, sock, ssl=self._tls, ssl_handshake_timeout=self._handshake
            )
        except OSError:  # ssl.SSLError too: the client is gone, or does not speak TLS
            sock.close()
