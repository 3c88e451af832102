"""How soon a client that leaves ends its request at the backend, `python -m tools.bench.leaving`.

Sealyard, and nginx and Envoy where they are installed, before a backend that answers nothing. From
the reset, close or half-close of a client to the end of the connection at the backend.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import socket
import statistics
import struct
import sys
import threading
import time
from collections.abc import Iterator
from typing import Final

from .backend import LAST
from .peers import Peer, envoy, nginx, sealyard
from .ports import free_port
from .running import started
from .works import a_message

_PEERS: Final = (sealyard.PEERS[0], nginx.PEERS[0], envoy.PEERS[0])
_WAYS: Final = ("reset", "close", "half-close")
_PATIENCE_SECONDS: Final = 3.0
_AT_A_TIME: Final = 25
_BODY: Final = a_message(1000)
_JSON: Final = f"Content-Type: application/json\r\nContent-Length: {len(_BODY)}\r\n\r\n"
_REQUESTS: Final = {
    "GET": "GET /plain/slow?n=@ HTTP/1.1\r\nHost: h\r\n\r\n",
    "POST, sealed": f"POST /api/messages?n=@ HTTP/1.1\r\nHost: h\r\n{_JSON}{_BODY.decode()}",
}


class Backend:
    """Answers nothing but whether it is there; notes when a request comes, and when it ends."""

    def __init__(self) -> None:
        self.begun: dict[int, threading.Event] = {}
        self.ended: dict[int, float] = {}
        self.port = free_port()

    def expect(self, number: int) -> threading.Event:
        """Return what is set once the request of that number has come."""
        return self.begun.setdefault(number, threading.Event())

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        numbers = []
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                target = (await reader.readuntil(b"\r\n\r\n")).split(b" ", 2)[1]
                if target == LAST.encode():
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
                    continue
                numbers.append(int(target.rpartition(b"=")[2]))
                self.begun[numbers[-1]].set()
                await reader.read()
                break
        now = time.monotonic()
        self.ended.update(dict.fromkeys(numbers, now))
        writer.close()

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Run it in a thread of its own."""
        loop = asyncio.new_event_loop()
        server = loop.run_until_complete(
            asyncio.start_server(self._connected, "127.0.0.1", self.port)
        )
        thread = threading.Thread(target=loop.run_forever)
        thread.start()
        try:
            yield
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            server.close()
            for task in asyncio.all_tasks(loop):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    loop.run_until_complete(task)
            loop.close()


def _leave(client: socket.socket, way: str) -> None:
    if way == "half-close":
        client.shutdown(socket.SHUT_WR)
        return
    if way == "reset":
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def _together(port: int, backend: Backend, request: str, way: str, numbers: range) -> list[float]:
    """Let some clients leave at once; return after how many seconds each request ended, if so."""
    with contextlib.ExitStack() as stack:
        clients = []
        for number in numbers:
            begun = backend.expect(number)
            client = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            client.sendall(request.replace("@", str(number), 1).encode())
            begun.wait(_PATIENCE_SECONDS)
            clients.append(client)
        left = time.monotonic()
        for client in clients:
            _leave(client, way)
        while time.monotonic() < left + _PATIENCE_SECONDS:
            if all(number in backend.ended for number in numbers):
                break
            time.sleep(0.01)
        return [backend.ended[one] - left for one in numbers if one in backend.ended]


def _measure(peer: Peer, name: str, number: int) -> Iterator[str]:
    backend = Backend()
    with backend.running(), started(peer, backend.port) as running:
        first = 0
        for way in _WAYS:
            seconds: list[float] = []
            for start in range(first, first + number, _AT_A_TIME):
                numbers = range(start, start + _AT_A_TIME)
                seconds += _together(running.port, backend, _REQUESTS[name], way, numbers)
            first += number
            figures = "goes on | |"
            if seconds:
                median, most = statistics.median(seconds), max(seconds)
                figures = f"{len(seconds)} of {number} | {median:.2f} s | {most:.2f} s"
            yield f"| {peer.name} | {name} | {way} | {figures} |"


def _show(row: str) -> None:
    sys.stdout.write(row + "\n")
    sys.stdout.flush()


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=100, help="for each row")
    number = -(-parser.parse_args().clients // _AT_A_TIME) * _AT_A_TIME
    _show("| proxy | request | the client's | ended | median | longest |")
    _show("|---|---|---|---|--:|--:|")
    for peer in _PEERS:
        if peer.absent():
            continue
        for name in _REQUESTS if peer.name == sealyard.NAME else ("GET",):
            for row in _measure(peer, name, number):
                _show(row)


if __name__ == "__main__":
    main()
