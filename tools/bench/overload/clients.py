"""Clients that ask at a fixed rate, whatever they are answered (an open loop).

`python -m tools.bench.overload.clients PLAN`: PLAN is a JSON file of a `Plan`; an `Asked` for each
request goes to standard output. A client waits a second from when it meant to ask, so a generator
that is held up makes its figures worse, not better (no coordinated omission). Then it leaves, as
impatient clients do: it closes its connection.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple, cast

import uvloop

PATIENCE_SECONDS: Final = 1.0
FLOOD, POLITE = "127.0.0.1", "127.0.0.2"
_TICK_SECONDS: Final = 0.001
_LATE_SECONDS: Final = 0.2
"""What cannot be asked before this is not asked: it would not be the load that is meant."""
_END: Final = b"\r\n\r\n"
_BIND_ADDRESS_NO_PORT: Final = 24  # in linux/in.h: the port is chosen when the peer is known


@dataclass(frozen=True, slots=True)
class Plan:
    """Ask `port` with `request` at each of the rates in turn, for so many seconds each.

    One in a hundred requests comes from the polite client, which has an address of its own. What a
    generator that is held up cannot ask in time it leaves out: there are fewer requests then.
    """

    port: int
    request: str
    phases: list[tuple[float, float]]


class Asked(NamedTuple):
    """One request: when it was meant to be sent, and what became of it after so many seconds.

    `status` is 0 where the client left, and -1 where the connection was cut.
    """

    at: float
    polite: bool
    status: int
    seconds: float
    late: float


class _Client(asyncio.Protocol):
    """One connection of a client."""

    _transport: asyncio.Transport | None = None

    def __init__(self, crowd: _Crowd, address: str) -> None:
        self._crowd = crowd
        self.address = address
        self._held = b""
        self.meant = self.sent = 0.0
        self.waiting = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if self.waiting:
            self._transport.write(self._crowd.request)
        else:  # it has left already
            self._transport.abort()

    def ask(self, meant: float, now: float) -> None:
        self.meant, self.sent, self.waiting = meant, now, True
        if self._transport is not None:
            self._transport.write(self._crowd.request)

    def data_received(self, data: bytes) -> None:
        self._held += data
        end = self._held.find(_END)
        if end < 0:
            return
        head = self._held[:end].lower()
        _, _, rest = head.partition(b"\r\ncontent-length: ")
        size = end + len(_END) + int(rest.split(b"\r\n", 1)[0])
        if len(self._held) < size:
            return
        status, self._held = int(head[9:12]), b""
        self.over(status)
        if b"\r\nconnection: close" in head:
            self.leave()
        else:
            self._crowd.idle[self.address].append(self)

    def connection_lost(self, _exc: BaseException | None) -> None:
        self._transport = None
        self.over(-1)
        idle = self._crowd.idle[self.address]
        if self in idle:
            idle.remove(self)

    def over(self, status: int) -> None:
        if self.waiting:
            self.waiting = False
            self._crowd.over(self, status)

    def leave(self) -> None:
        if self._transport is not None:
            self._transport.close()


class _Crowd:
    """All connections, and what was asked on them."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self.request = plan.request.encode()
        self._loop = asyncio.get_running_loop()
        self.idle: dict[str, deque[_Client]] = {FLOOD: deque(), POLITE: deque()}
        self._waiting: deque[tuple[float, _Client]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self.asked: list[Asked] = []
        self._began = 0.0

    async def run(self) -> None:
        self._began = began = self._loop.time()
        count = 0
        for rate, seconds in self._plan.phases:
            number = round(rate * seconds)
            for each in range(number):
                count += 1
                meant = began + each / rate
                while (now := self._loop.time()) < meant:
                    self._lose_patience(now)
                    await asyncio.sleep(min(meant - now, _TICK_SECONDS))
                if now < meant + _LATE_SECONDS:
                    self._ask(POLITE if count % 100 == 0 else FLOOD, meant, now)
            began += seconds
        while self._waiting:
            self._lose_patience(self._loop.time())
            await asyncio.sleep(_TICK_SECONDS)

    def over(self, client: _Client, status: int) -> None:
        now = self._loop.time()
        self.asked.append(
            Asked(
                client.meant - self._began,
                client.address == POLITE,
                status,
                now - client.meant,
                client.sent - client.meant,
            )
        )

    def _ask(self, address: str, meant: float, now: float) -> None:
        idle = self.idle[address]
        client = idle.pop() if idle else None
        if client is None:
            client = _Client(self, address)
            task = self._loop.create_task(self._connect(client))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        client.ask(meant, now)
        self._waiting.append((meant, client))

    async def _connect(self, client: _Client) -> None:
        sock = socket.socket()
        sock.settimeout(0)
        sock.setsockopt(socket.IPPROTO_IP, _BIND_ADDRESS_NO_PORT, 1)
        try:
            sock.bind((client.address, 0))
            await self._loop.sock_connect(sock, ("127.0.0.1", self._plan.port))
            await self._loop.create_connection(lambda: client, sock=sock)
        except OSError:
            sock.close()
            client.over(-1)

    def _lose_patience(self, now: float) -> None:
        waiting = self._waiting
        while waiting:
            meant, client = waiting[0]
            if client.waiting and client.meant == meant:
                if now < meant + PATIENCE_SECONDS:
                    return
                client.over(0)
                client.leave()
            waiting.popleft()


async def _main(plan: Plan) -> None:
    crowd = _Crowd(plan)
    await crowd.run()
    sys.stdout.write(json.dumps(crowd.asked))


if __name__ == "__main__":
    uvloop.run(_main(Plan(**json.loads(Path(sys.argv[1]).read_text()))))
