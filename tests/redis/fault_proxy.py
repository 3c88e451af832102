"""A TCP proxy before a Redis that spoils its replies: resets, cuts, delays, doubles, flips bits.

It runs on a thread of its own, so that it works beside any event loop. It can tell replies apart,
so a fault concerns one reply. The choice of fault and reply is drawn from a seed.
"""

from __future__ import annotations

import asyncio
import random  # noqa: TID251 - faults that can be had again by their seed
import socket
import ssl
import struct
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final, Literal, get_args

from tests.servers import free_port

Kind = Literal[
    "reset", "close", "cut", "delay", "swallow", "duplicate", "behind", "flip", "misshapen"
]
"""What is done to a reply.

`reset`, `close`: the connection ends by RST or FIN in place of the reply. `cut`: some of its bytes
are sent, then the connection ends by RST or FIN. `delay`: it comes `delay_seconds` late. `swallow`:
it never comes. `duplicate`: it comes twice. `behind`: the reply before it comes again first, so
that all further ones are one behind. `flip`: some bits of it are others. `misshapen`: another, well
formed reply comes in its place.
"""
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
RESETS: Final[tuple[Kind, ...]] = ("reset", "close", "cut")
MALFORMED: Final[tuple[Kind, ...]] = ("cut", "duplicate", "behind", "flip", "misshapen")

_MISSHAPEN: Final = (
    b":5\r\n",
    b"$-1\r\n",
    b"*-1\r\n",
    b"*0\r\n",
    b"+OK\r\n",
    b"$3\r\nabc\r\n",
    b"*1\r\n$-1\r\n",
    b"*3\r\n:1\r\n:2\r\n:3\r\n",
    b"*2\r\n$1\r\na\r\n*1\r\n*1\r\n:1\r\n",
    b"-ERR no\r\n",
    b"-MOVED 1 127.0.0.1:1\r\n",
    b"-\r\n",
    b"?5\r\n",
    b"HTTP/1.1 400 Bad Request\r\n\r\n",
)
_OURS: Final = (b"EVALSHA", b"EVAL", b"SUBSCRIBE")
_REPLICATION: Final = b"PSYNC"  # what follows is no reply
_CHUNK_BYTES: Final = 65_536
_STOP_SECONDS: Final = 10.0
_RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER without waiting: close() sends RST


@dataclass
class FaultProxy:
    """Listens on 127.0.0.1 before the Redis at `target`; without faults it passes all as it is.

    `share` of the replies are spoilt in one of `kinds`, on connections that have sent a command of
    `spoiled` only: so Sentinels that look at a master through it see none of it (empty: on all).
    `limit` ends the faults after so many. `raw` takes whatever arrives for a reply, for TLS that
    the proxy does not end. With `tls`, it ends TLS itself. Both may be changed while it runs.
    """

    target: int
    seed: int = 1
    share: float = 0.0
    kinds: Collection[Kind] = KINDS
    spoiled: Collection[bytes] = _OURS
    limit: int | None = None
    delay_seconds: float = 0.4
    raw: bool = False
    tls: ssl.SSLContext | None = None
    port: int = field(default_factory=free_port)
    counts: Counter[str] = field(default_factory=Counter)
    """How many faults there were, by kind."""
    cut_off: bool = False
    """Whether new connections are reset at once, as by a network that is gone."""
    held: bool = False
    """Whether nothing passes any more, without a word."""
    other: int | None = None
    """Another Redis, that half of the new connections lead to: two masters at once."""

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)  # noqa: S311 - as above
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._legs: set[_Leg] = set()
        self._ready = threading.Event()
        self._stopped: asyncio.Event | None = None

    @property
    def faults(self) -> int:
        """How many replies were spoilt."""
        return sum(self.counts.values())

    def start(self) -> None:
        """Listen; return once it does."""
        self._ready.clear()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self._thread.start()
        assert self._ready.wait(_STOP_SECONDS), "the proxy does not listen"

    def stop(self) -> None:
        """End all connections and stop listening; it can be started again on its port."""
        if self._loop is not None and self._stopped is not None:
            self._loop.call_soon_threadsafe(self._stopped.set)
        if self._thread is not None:
            self._thread.join(_STOP_SECONDS)
        self._loop = self._thread = self._stopped = None

    @contextmanager
    def running(self) -> Iterator[FaultProxy]:
        """Run it for a block."""
        self.start()
        try:
            yield self
        finally:
            self.stop()

    def reset_all(self) -> int:
        """Reset every connection of a client now; return how many there were."""

        def reset() -> int:
            return sum(not leg.end(reset=True) for leg in tuple(self._legs))

        return self._call(reset)

    @property
    def connections(self) -> int:
        """How many connections of clients there are."""
        return self._call(self._legs.__len__)

    def _call(self, what: Callable[[], int]) -> int:
        assert self._loop is not None, "the proxy does not run"

        async def do() -> int:
            return what()

        return asyncio.run_coroutine_threadsafe(do(), self._loop).result(_STOP_SECONDS)

    async def _run(self) -> None:
        self._loop, self._stopped = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=self.tls)
        self._ready.set()
        try:
            await self._stopped.wait()
        finally:
            server.close()
            for leg in tuple(self._legs):
                leg.end(reset=True)
            await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        leg = _Leg(self, writer)
        if self.cut_off:
            leg.end(reset=True)
            return
        self._legs.add(leg)
        try:
            target = self.target if self.other is None or self.below(2) else self.other
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", target)
            leg.far = far_writer
            await asyncio.gather(leg.send(reader), leg.reply(far_reader))
        except (OSError, RuntimeError, ValueError):
            pass
        finally:
            leg.end(reset=False)
            self._legs.discard(leg)

    def draw(self) -> Kind | None:
        """Return what to do to the next reply."""
        if self.limit is not None and self.faults >= self.limit:
            return None
        kinds = sorted(self.kinds)
        if not kinds or self._random.random() >= self.share:
            return None
        kind: Kind = self._random.choice(kinds)
        return kind

    def below(self, number: int) -> int:
        """Return a number from 0 on that is below another one."""
        return self._random.randrange(max(number, 1))


class _Leg:
    """One connection of a client, and the one to Redis that is made for it."""

    def __init__(self, proxy: FaultProxy, near: asyncio.StreamWriter) -> None:
        self.proxy = proxy
        self.near = near
        self.far: asyncio.StreamWriter | None = None
        self.ours = not proxy.spoiled or proxy.raw
        self.whole = not proxy.raw
        """Whether what comes is taken apart into replies."""
        self.last = b""

    async def send(self, reader: asyncio.StreamReader) -> None:
        """Pass on what the client says."""
        assert self.far is not None
        while sent := await reader.read(_CHUNK_BYTES):
            self.ours = self.ours or any(word in sent.upper() for word in self.proxy.spoiled)
            self.whole = self.whole and _REPLICATION not in sent.upper()
            await self._while_held()
            self.far.write(sent)
            await self.far.drain()
        self.far.close()

    async def reply(self, reader: asyncio.StreamReader) -> None:
        """Pass on the replies, each of them whole or spoilt."""
        waiting = bytearray()
        while read := await reader.read(_CHUNK_BYTES):
            waiting += read
            while (end := reply_end(waiting) if self.whole else len(waiting)) > 0:
                one = bytes(waiting[:end])
                del waiting[:end]
                await self._while_held()
                if not await self._pass(one):
                    return
        self.end(reset=False)

    async def _pass(self, one: bytes) -> bool:
        """Pass one reply on; return whether the connection goes on."""
        proxy = self.proxy
        kind = proxy.draw() if self.ours else None
        if kind is not None:
            proxy.counts[kind] += 1
        parts, last = [one], self.last
        self.last = one
        if kind in {"reset", "close"}:
            return self.end(reset=kind == "reset")
        if kind == "cut":
            self.near.write(one[: proxy.below(len(one))])
            await asyncio.sleep(0.001)  # the bytes go out before the end does
            return self.end(reset=bool(proxy.below(2)))
        if kind == "delay":
            await asyncio.sleep(proxy.delay_seconds)
        elif kind == "swallow":
            parts = []
        elif kind == "duplicate":
            parts = [one, one]
        elif kind == "behind":
            parts = [last or one, one]
        elif kind == "flip":
            at = proxy.below(len(one))
            parts = [one[:at] + bytes([one[at] ^ (1 << proxy.below(8))]) + one[at + 1 :]]
        elif kind == "misshapen":
            parts = [_MISSHAPEN[proxy.below(len(_MISSHAPEN))]]
        self.near.write(b"".join(parts))
        await self.near.drain()
        return True

    def end(self, *, reset: bool) -> bool:
        """End both connections, that of the client by RST or FIN; return False."""
        if self.far is not None:
            self.far.close()
        if not reset:
            self.near.close()
            return False
        with suppress(OSError, AttributeError):  # it may be gone already
            found = self.near.get_extra_info("socket")
            found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        with suppress(AttributeError):
            self.near.transport.abort()
        return False

    async def _while_held(self) -> None:
        while self.proxy.held:  # noqa: ASYNC110 - set by another thread
            await asyncio.sleep(0.02)


def reply_end(data: bytes | bytearray) -> int:
    """Return where the first reply (RESP2) in `data` ends; -1 while it is not whole."""
    at, pending = 0, 1
    while pending:
        line = data.find(b"\r\n", at)
        if line < 0:
            return -1
        kind, number = data[at : at + 1], data[at + 1 : line]
        at = line + 2
        pending -= 1
        if kind == b"$" and int(number) >= 0:
            at += int(number) + 2
            if at > len(data):
                return -1
        elif kind == b"*":
            pending += max(int(number), 0)
    return at
