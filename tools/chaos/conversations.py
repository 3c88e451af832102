"""`./dev chaos conversations [COUNT] [MODE]`: what many conversations cost in memory and in time.

First messages are sent through a real `sealyard serve`; a sample of them, and of second messages,
one after the other, so that what is measured is a message and not the queue before it.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Final

from tests.redis.server import Server

from .backend import SENT, Backend, backend
from .sealyard import MODES, Mode, Sealyard, sealyard

USUAL: Final = 100_000
_CLIENTS: Final = 16
_SAMPLE: Final = 2_000
_WARM_UP: Final = 500
_REST_SECONDS: Final = 1.1
_OK: Final = 200
_REFUSED: Final = 503


async def measure(mode: Mode, count: int, folder: Path) -> str:
    """Return a line of the table."""
    server = Server(folder)
    server.start()
    try:
        async with (
            backend(b"\0 never") as behind,
            sealyard(folder, behind.port, server.settings, mode) as proxy,
        ):
            return await _measured(mode, count, server, proxy, behind)
    finally:
        server.kill()


async def _measured(
    mode: Mode, count: int, server: Server, proxy: Sealyard, behind: Backend
) -> str:
    await _send(proxy.port, (f"warm-up-{number}" for number in range(_WARM_UP)))
    resident, used = proxy.resident_bytes, _used(server)
    names = [f"conversation-{number}" for number in range(count)]
    cold = await _send(proxy.port, names[:_SAMPLE])
    warm = await _send(proxy.port, names[:_SAMPLE])
    rest = iter(names[_SAMPLE:])
    await asyncio.gather(*(_send(proxy.port, rest) for _ in range(_CLIENTS)))
    held = _used(server) - used
    grown = proxy.resident_bytes - resident
    if set(behind.arrived) < set(names):
        raise AssertionError("not every conversation arrived")
    return (
        f"| {mode} | {count:,} | {held / count:,.0f} B | {grown / 2**20:,.1f} MiB"
        f" | {_figures(cold)} | {_figures(warm)} |"
    )


async def _send(port: int, names: Iterable[str]) -> list[float]:
    """Send a message of each conversation, one after the other; return the seconds of each."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    took: list[float] = []
    again: list[str] = []
    for name in chain(names, _drained(again)):
        body = json.dumps({"conversationId": name, "content": "x" * 100}).encode()
        head = f"POST {SENT} HTTP/1.1\r\nHost: api\r\nContent-Type: application/json\r\n"
        began = time.perf_counter()
        writer.write(head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        status = await _status(reader)
        took.append(time.perf_counter() - began)
        if status == _REFUSED:  # a machine so busy that Redis did not answer in time
            again.append(name)
            await asyncio.sleep(_REST_SECONDS)
        elif status != _OK:
            raise AssertionError(status)
    writer.close()
    return took


async def _status(reader: asyncio.StreamReader) -> int:
    """Read a whole answer and return its status."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]
    await reader.readexactly(int(length))
    return int(head.split(b" ", 2)[1])


def _drained(again: list[str]) -> Iterator[str]:
    while again:
        yield again.pop()


def _used(server: Server) -> int:
    told = server.command("INFO", "memory")
    return int(told.partition(b"used_memory:")[2].split(b"\r\n")[0])


def _figures(seconds: list[float]) -> str:
    hundredths = statistics.quantiles(seconds, n=100)
    return f"{1000 * hundredths[49]:.2f}, {1000 * hundredths[98]:.2f} ms"


def main(arguments: list[str]) -> int:
    """Measure both kinds of sessions, or the one that is named, and print the table."""
    modes = [mode for mode in MODES if mode in arguments] or list(MODES)
    count = next((int(one) for one in arguments if one.isdigit()), USUAL)
    sys.stdout.write(
        "| sessions | conversations | Redis, each | sidecar, all together | first message: median,"
        " p99 | second message: median, p99 |\n|---|---|---|---|---|---|\n"
    )
    for mode in modes:
        with tempfile.TemporaryDirectory(prefix="sealyard-chaos-") as folder:
            sys.stdout.write(asyncio.run(measure(mode, count, Path(folder))) + "\n")
            sys.stdout.flush()
    return 0
