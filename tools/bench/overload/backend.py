"""A backend of known capacity, `python -m tools.bench.overload.backend PORT SLOTS SECONDS`.

It answers `SLOTS` requests at a time, each after `SECONDS`; all others wait in the order in which
they came, without limit, as before most pools of worker threads. It does not notice that a client
has left: a request that has come is worked on, whether somebody waits for the answer or not.
With 0 slots it echoes at once whatever is posted.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections import deque
from typing import Final

import uvloop

from ..backend import LAST

_END: Final = b"\r\n\r\n"
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_BODY: Final = b'{"ok":true}'


class _Worker:
    """The slots, and the queue before them."""

    def __init__(self, slots: int, seconds: float) -> None:
        self.slots = slots
        self._free = slots
        self._seconds = seconds
        self._queue: deque[_Connection] = deque()
        self._loop = asyncio.get_running_loop()

    def asked(self, connection: _Connection) -> None:
        if self._free:
            self._free -= 1
            self._loop.call_later(self._seconds, self._done, connection)
        else:
            self._queue.append(connection)

    def _done(self, connection: _Connection) -> None:
        connection.answer(_BODY)
        if self._queue:
            self._loop.call_later(self._seconds, self._done, self._queue.popleft())
        else:
            self._free += 1


class _Connection(asyncio.Protocol):
    """The requests of one connection, one after the other."""

    _transport: asyncio.Transport

    def __init__(self, worker: _Worker) -> None:
        self._worker = worker
        self._held = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = transport  # type: ignore[assignment] # TCP has this kind

    def data_received(self, data: bytes) -> None:
        """Ask the worker once a request is whole."""
        self._held += data
        end = self._held.find(_END)
        if end < 0:
            return
        length = _LENGTH.search(self._held, 0, end)
        size = end + len(_END) + (int(length[1]) if length else 0)
        if len(self._held) < size:
            return
        body, asked = self._held[end + len(_END) : size], self._held.split(b" ", 2)[1]
        self._held = self._held[size:]
        if asked == LAST.encode() or not self._worker.slots:
            self.answer(body)
        else:
            self._worker.asked(self)

    def answer(self, body: bytes) -> None:
        """Answer, unless the client has left."""
        if not self._transport.is_closing():
            self._transport.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
                % (len(body), body)
            )


async def _serve(port: int, slots: int, seconds: float) -> None:
    loop = asyncio.get_running_loop()
    worker = _Worker(slots, seconds)
    server = await loop.create_server(lambda: _Connection(worker), "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
