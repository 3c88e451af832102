"""A Redis whose answers take a millisecond more, as those of another node do.

    python -m tools.bench.delayed PORT REDIS    in a process of its own: the way to it and back

`redis` runs both.
"""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final, cast

from .peers.base import Place
from .ports import free_port

SECONDS: Final = 0.001
_PATIENCE_SECONDS: Final = 10.0


class _Leg(asyncio.Protocol):
    """One of two connections; what comes from it goes to the other, after a while."""

    transport: asyncio.Transport

    def __init__(self, later: float, other: _Leg | None = None) -> None:
        self._later = later
        self._held = b""
        self.other = other

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Pass it on, or keep it until there is somewhere to."""
        if self.other is None:
            self._held += data
        elif self._later:
            asyncio.get_running_loop().call_later(self._later, self.other.transport.write, data)
        else:
            self.other.transport.write(data)

    def connection_lost(self, _: Exception | None) -> None:
        """End the other as well."""
        if self.other is not None:
            self.other.transport.close()

    def join(self, other: _Leg) -> None:
        """Pass on to the other from now on."""
        self.other = other
        other.transport.write(self._held)


async def _serve(port: int, redis: int) -> None:
    loop = asyncio.get_running_loop()

    class Client(_Leg):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            self.connecting = loop.create_task(self._connect())

        async def _connect(self) -> None:
            _, server = await loop.create_connection(
                lambda: _Leg(SECONDS, self), "127.0.0.1", redis
            )
            self.join(server)

    server = await loop.create_server(lambda: Client(0.0), "127.0.0.1", port)
    await server.serve_forever()


@contextmanager
def redis(place: Place) -> Iterator[None]:
    """Run Redis, and the way to it at the port of the place's store."""
    port = free_port()
    server = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    way = [sys.executable, "-P", "-m", "tools.bench.delayed", str(place.store), str(port)]
    with ExitStack() as stack:
        for command, at in ((server, port), (way, place.store)):
            process = subprocess.Popen(command, cwd=place.folder, stdout=subprocess.DEVNULL)
            stack.callback(process.wait)
            stack.callback(process.terminate)
            _await(at)
        yield


def _await(port: int) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), int(sys.argv[2])))
