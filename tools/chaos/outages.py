"""The ways in which Redis is taken away, and brought back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.redis.server import Server
from tests.servers import free_port

from .failover import Failover, lose, replaced

Step = Callable[[Server], None]
Begin = Callable[[Server, float], None]
"""Takes Redis away; is told for how many seconds."""

_FILLER_BYTES: Final = 8_000
_FILLERS: Final = 400
_EVICTING_BYTES: Final = 1_500_000
_FULL_BYTES: Final = 1


def nothing(_: Server) -> None:
    """Do nothing."""


def _at_once(step: Step) -> Begin:
    return lambda server, _: step(server)


@dataclass(frozen=True, slots=True)
class Outage:
    """One way: `begin` takes Redis away, `again` is called about once a second, `end` returns it.

    `keeps` tells whether Redis goes on to hold the keys of ephemeral sessions; where it does not,
    messages sealed under them are lost by choice. `down` tells whether Redis gives no answer of use
    meanwhile. One `at_start` begins before Sealyard does; one with `over` lasts until that says so.
    """

    name: str
    begin: Begin
    end: Step = nothing
    again: Step = nothing
    keeps: bool = True
    down: bool = True
    options: tuple[str, ...] = ()
    at_start: bool = False
    over: Callable[[Server], bool] | None = None


def _pause(server: Server, seconds: float) -> None:
    # Nobody could end it: that command, too, would wait.
    server.command("CLIENT", "PAUSE", str(int(seconds * 1000)), "ALL")


def _cut(server: Server) -> None:
    for kind in ("normal", "pubsub"):
        server.command("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")


def _fill(server: Server) -> None:
    server.command("CONFIG", "SET", "maxmemory", str(_FULL_BYTES))


def _empty(server: Server) -> None:
    server.command("CONFIG", "SET", "maxmemory", "0")


def _demote(server: Server) -> None:
    server.command("REPLICAOF", "127.0.0.1", str(free_port()))


def _promote(server: Server) -> None:
    server.command("REPLICAOF", "NO", "ONE")


def _flush(server: Server) -> None:
    server.command("FLUSHALL")


def _crowd(server: Server) -> None:
    """Write more than the memory holds, so that records of ours are evicted."""
    server.command("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    used = int(server.command("INFO", "memory").partition(b"used_memory:")[2].split(b"\r\n")[0])
    if server.command("CONFIG", "GET", "maxmemory").endswith(b"$1\r\n0\r\n"):
        server.command("CONFIG", "SET", "maxmemory", str(used + _EVICTING_BYTES))
    script = "for n = 1, ARGV[1] do redis.call('SET', 'filler:' .. ARGV[3] .. n, ARGV[2]) end"
    beat = str(time.monotonic_ns())
    server.command("EVAL", script, "0", str(_FILLERS), "x" * _FILLER_BYTES, beat)


def _slow(server: Server) -> None:
    with suppress(OSError):  # it answers after our own patience, which is what is wanted
        server.command("DEBUG", "SLEEP", "0.9")


def _wait(server: Server) -> None:
    server.command("PING")


OUTAGES: Final = (
    Outage("down at startup", _at_once(Server.kill), Server.start, at_start=True),
    Outage("killed", _at_once(Server.kill), Server.start),
    Outage("failed over by Sentinels", _at_once(lose), over=replaced),
    Outage("frozen", _at_once(Server.freeze), Server.thaw),
    Outage("paused", _pause),
    Outage("slow", _at_once(_slow), _wait, _slow, options=("--enable-debug-command", "local")),
    Outage("cut every second", _at_once(_cut), again=_cut, down=False),
    Outage("full, noeviction", _at_once(_fill), _empty),
    Outage("read-only, replica of a dead master", _at_once(_demote), _promote),
    Outage("flushed every second", _at_once(_flush), again=_flush, keeps=False, down=False),
    Outage("evicting, allkeys-lru", _at_once(_crowd), _empty, _crowd, keeps=False, down=False),
)


async def repeat(step: Step, server: Server, stop: asyncio.Event) -> None:
    """Call `again` once a second until stopped."""
    while not stop.is_set():
        with suppress(TimeoutError):
            async with asyncio.timeout(1):
                await stop.wait()
                return
        await asyncio.to_thread(step, server)


def a_redis(folder: Path, outage: Outage) -> Server:
    """Return the Redis of a trial."""
    if outage.over is not None:
        return Failover(folder)
    return Server(folder, outage.options)
