"""The floor: copies bytes from socket to socket and reads none of them, on uvloop.

python -m tools.bench.peers.forwarder PORT BACKEND
"""

from __future__ import annotations

import asyncio
import sys
from importlib import metadata
from typing import Final, cast

import uvloop

from .base import Peer, Place

NAME: Final = "bare forwarder"


class _Leg(asyncio.Protocol):
    """One of two connections; what comes from it goes to the other."""

    transport: asyncio.Transport
    other: _Leg | None = None

    def __init__(self, held: bytes = b"") -> None:
        self._held = held

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send what came before it was there."""
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Pass it on."""
        if self.other is None:
            self._held += data
        else:
            self.other.transport.write(data)

    def connection_lost(self, _: Exception | None) -> None:
        """End the other as well."""
        if self.other is not None:
            self.other.transport.close()

    def join(self, other: _Leg) -> None:
        """Make it the other's other."""
        self.other, other.other = other, self
        other.transport.write(self._held)


async def _serve(port: int, backend: int) -> None:
    loop = asyncio.get_running_loop()

    class Client(_Leg):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            self.connecting = loop.create_task(self._connect())

        async def _connect(self) -> None:
            _, origin = await loop.create_connection(_Leg, "127.0.0.1", backend)
            self.join(origin)

    server = await loop.create_server(Client, "127.0.0.1", port)
    await server.serve_forever()


def _prepare(place: Place) -> list[str]:
    module = [sys.executable, "-P", "-m", "tools.bench.peers.forwarder"]
    return [*module, str(place.port), str(place.backend)]


def _version() -> str:
    return f"uvloop {metadata.version('uvloop')}"


PEERS: Final = (Peer(NAME, frozenset({"pass"}), lambda: None, _version, _prepare),)

if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1]), int(sys.argv[2])))
