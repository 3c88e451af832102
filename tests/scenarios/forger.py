"""Sends a request again and again, over several connections: PORT, how many a second, TARGET TOKEN.

It asks at its rate whatever the answers are, as far as there is a connection that waits for none,
and runs until it is killed. It writes the first line of the first answer.
"""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from typing import Final, cast

import uvloop

CONNECTIONS: Final = 64
TICK_SECONDS: Final = 0.001
LATE_SECONDS: Final = 0.1
"""What could not be sent for so long is not sent: it would be another load than what is meant."""


class _Connection(asyncio.Protocol):
    """One connection; its answers are short, so that each comes in one piece."""

    def __init__(self, forger: _Forger) -> None:
        self._forger = forger
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._forger.free.append(self)

    def send(self, request: bytes) -> None:
        assert self._transport is not None
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._forger.answered(data)
        self._forger.free.append(self)

    def connection_lost(self, exc: Exception | None) -> None:
        if self in self._forger.free:
            self._forger.free.remove(self)
        self._forger.connect()


class _Forger:
    def __init__(self, port: int, request: bytes) -> None:
        self._port = port
        self._request = request
        self._connecting: set[asyncio.Task[object]] = set()
        self._told = False
        self.free: deque[_Connection] = deque()

    def connect(self) -> None:
        loop = asyncio.get_running_loop()
        connecting = loop.create_connection(lambda: _Connection(self), "127.0.0.1", self._port)
        task = loop.create_task(connecting)
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    def answered(self, data: bytes) -> None:
        if not self._told:
            print(data.partition(b"\r\n")[0].decode(), flush=True)  # noqa: T201 - how it talks to the test
            self._told = True

    async def run(self, rate: float) -> None:
        for _ in range(CONNECTIONS):
            self.connect()
        loop = asyncio.get_running_loop()
        began, sent = loop.time(), 0.0
        while True:
            due = (loop.time() - began) * rate
            sent = max(sent, due - LATE_SECONDS * rate)
            while sent < due and self.free:
                self.free.popleft().send(self._request)
                sent += 1
            await asyncio.sleep(TICK_SECONDS)


def main(port: int, rate: float, target: str, token: str) -> None:
    shown = f"Authorization: Bearer {token}\r\n" if token else ""
    request = f"GET {target} HTTP/1.1\r\nHost: localhost\r\n{shown}\r\n".encode()
    uvloop.run(_Forger(port, request).run(rate))


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]), *sys.argv[3:])
