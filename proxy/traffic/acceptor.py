"""Where a listener accepts connections: its sockets, and the servers of the loop at them."""

from __future__ import annotations

import asyncio
import socket
import ssl
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from ..config.settings import Address, UnixAddress
from .sockets import BACKLOG, Sockets, close, open_sockets, port_of, waiting_at

NewConnection = Callable[[], asyncio.Protocol]


class Acceptor:
    """Accepts at one address and makes a protocol of each connection.

    With `sockets`, which listen already and stay their giver's, nothing is bound here.
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
        """Show new connections another certificate; those that stand keep theirs."""
        old, self._tls = self._servers, tls
        # Both accept from the same sockets, so no connection meets a closed port in between.
        self._servers = await self._accept()
        for server in old:
            server.close()

    def stop(self) -> None:
        """Accept no more than those who have already been told that they are connected."""
        for server in self._servers:
            for sock in waiting_at(server):
                self._adopting.add(asyncio.get_running_loop().create_task(self._adopt(sock)))
            server.close()
        self._servers = []
        if self._owned and self._sockets:
            close(self._sockets, self._address)
            self._sockets = ()

    async def stopped(self, seconds: float) -> None:
        """Wait until the last of those have been accepted, but no longer than `seconds`."""
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
                # The path is not the server's to remove: others may still accept there.
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
        """Serve a connection that nobody has accepted yet."""
        loop = asyncio.get_running_loop()
        try:
            await loop.connect_accepted_socket(
                self._made, sock, ssl=self._tls, ssl_handshake_timeout=self._handshake
            )
        except OSError:  # also what ssl raises: the client is gone, or speaks no TLS
            sock.close()
