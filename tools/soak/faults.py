"""The faults of a soak: each is a context that breaks something, and mends it at its end.

When the context has ended, all is whole again: what was killed has been started and is ready.
From then on Sealyard has two seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import resource
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from pathlib import Path
from random import Random  # noqa: TID251 - a run shall be repeatable, and nothing here is secret
from typing import Any, Final, Literal

import aiohttp
import redis

from tests.redis.fault_proxy import KINDS as REPLIES
from tests.redis.fault_proxy import Kind as Reply
from tests.redis.server import Server
from tools.chaos.outages import OUTAGES, Outage, nothing, repeat

from .sidecars import Sidecar, faketime
from .world import World

Layer = Literal["store", "sidecar", "backend"]
Break = Callable[[World, Random, float], AbstractAsyncContextManager[None]]

_SPARE_DESCRIPTORS: Final = 4
_CONNECTIONS: Final = 40
_HALF_OPEN: Final = 150
_HALVES: Final = (
    b"",
    b"POST /messages/half/1 HTTP/1.1\r\nHost: a\r\nContent-",
    b"POST /messages/half/1 HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf a body",
)
_SPARE_BYTES: Final = 24 * 1024 * 1024
_COPY_SECONDS: Final = 10.0
_SPOILT: Final = 0.3
_NEAR_SECONDS: Final = 60
_FAR_SECONDS: Final = 40 * 86_400
_OUTAGES: Final = (
    "killed",
    "frozen",
    "paused",
    "slow",
    "cut every second",
    "full, noeviction",
    "read-only, replica of a dead master",
    "flushed every second",
    "evicting, allkeys-lru",
)


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind. `ends_ephemeral`: Redis loses the keys of ephemeral sessions by it.

    `possible` is false where this machine lacks what it takes.
    """

    name: str
    layer: Layer
    breaks: Break
    ends_ephemeral: bool = False
    possible: bool = True


# --- Redis -------------------------------------------------------------------------------------


@asynccontextmanager
async def _outage(outage: Outage, world: World, _: Random, seconds: float) -> AsyncIterator[None]:
    stop = asyncio.Event()
    await asyncio.to_thread(outage.begin, world.redis, seconds)
    try:
        async with asyncio.TaskGroup() as group:
            if outage.again is not nothing:
                group.create_task(repeat(outage.again, world.redis, stop))
            try:
                yield
            finally:
                stop.set()
    finally:
        await asyncio.to_thread(outage.end, world.redis)
        if outage.name == "paused":
            await asyncio.to_thread(_until_unpaused, world)
        if outage.name.startswith("evicting"):
            await asyncio.to_thread(_make_room, world)
        if outage.name.startswith("read-only"):
            await asyncio.to_thread(_alone, world)


def _alone(world: World) -> None:
    """Start Redis again: until then it remembers a replica, and no verb is complete beside one."""
    world.redis.kill()
    world.redis.start()


def _until_unpaused(world: World) -> None:
    with contextlib.suppress(OSError):
        world.redis.command("PING")


def _make_room(world: World) -> None:
    world.redis.command("CONFIG", "SET", "maxmemory-policy", "noeviction")
    with redis.Redis(port=world.redis.port) as client:
        for name in client.scan_iter("filler:*", count=1000):
            client.delete(name)


_PUT_BACK: Final = (
    "if redis.call('GET', KEYS[1]) == ARGV[1] then"
    " redis.call('SET', KEYS[1], ARGV[2], 'KEEPTTL') end"
)


@asynccontextmanager
async def _flipped(world: World, random: Random, _: float) -> AsyncIterator[None]:
    """Flip a bit in half of the records; put back what nobody has replaced meanwhile."""
    lies = await asyncio.to_thread(_flip, world, random)
    try:
        yield
    finally:
        await asyncio.to_thread(_put_back, world, lies)


def _flip(world: World, random: Random) -> list[tuple[bytes, bytes, bytes]]:
    lies = []
    with redis.Redis(port=world.redis.port) as client:
        for name in sorted(client.scan_iter(count=1000)):
            if random.random() < 0.5 or client.type(name) != b"string":  # noqa: PLR2004 - half
                continue
            held = client.get(name)
            if not isinstance(held, bytes) or not held:
                continue
            lie = bytearray(held)
            at = random.randrange(8 * len(lie))
            lie[at // 8] ^= 1 << at % 8
            client.set(name, bytes(lie), keepttl=True)
            lies.append((name, bytes(lie), held))
    return lies


def _put_back(world: World, lies: list[tuple[bytes, bytes, bytes]]) -> None:
    with redis.Redis(port=world.redis.port) as client:
        for name, lie, held in lies:
            client.eval(_PUT_BACK, 1, name, lie, held)


@asynccontextmanager
async def _spoilt(kind: Reply, world: World, _: Random, __: float) -> AsyncIterator[None]:
    """Spoil three in ten replies of Redis in one way."""
    world.wire.kinds, world.wire.share = (kind,), _SPOILT
    try:
        yield
    finally:
        world.wire.share = 0.0


@asynccontextmanager
async def _cut_off(world: World, _: Random, __: float) -> AsyncIterator[None]:
    """Reset every connection to Redis, and each new one."""
    world.wire.cut_off = True
    await asyncio.to_thread(world.wire.reset_all)
    try:
        yield
    finally:
        world.wire.cut_off = False


@asynccontextmanager
async def _held(world: World, _: Random, __: float) -> AsyncIterator[None]:
    """Let nothing pass to Redis and back, without a word."""
    world.wire.held = True
    try:
        yield
    finally:
        world.wire.held = False


@asynccontextmanager
async def _split(world: World, _: Random, __: float) -> AsyncIterator[None]:
    """Let half of the connections lead to a second master, whose writes are lost in the end."""
    folder = world.folder / "split"
    folder.mkdir(exist_ok=True)
    second = Server(folder)
    await asyncio.to_thread(second.start)
    try:
        await asyncio.to_thread(_copied, second, world.redis.port)
        world.wire.other = second.port
        await asyncio.to_thread(world.wire.reset_all)
        yield
    finally:
        world.wire.other = None
        await asyncio.to_thread(world.wire.reset_all)
        await asyncio.to_thread(second.kill)
        await asyncio.to_thread(_alone, world)


def _copied(second: Server, port: int) -> None:
    """Let a server become a copy of another, and then a master of its own."""
    second.command("REPLICAOF", "127.0.0.1", str(port))
    deadline = time.monotonic() + _COPY_SECONDS
    while b"master_link_status:up" not in second.command("INFO", "replication"):
        if time.monotonic() > deadline:
            raise TimeoutError("the second master has no copy")
        time.sleep(0.05)
    second.command("REPLICAOF", "NO", "ONE")


# --- Sidecars ----------------------------------------------------------------------------------


@asynccontextmanager
async def _ended(
    how: signal.Signals, world: World, random: Random, _: float
) -> AsyncIterator[None]:
    """End a mortal sidecar by a signal, and start another in its place."""
    one = random.choice([one for one in world.sidecars if one.mortal])
    world.away.add(one.name)
    try:
        await asyncio.to_thread(one.end, how)
        yield
    finally:
        try:
            await asyncio.to_thread(one.start)
        finally:
            world.away.discard(one.name)


@asynccontextmanager
async def _worker_killed(world: World, random: Random, _: float) -> AsyncIterator[None]:
    """Kill a worker; its supervisor starts another."""
    (one,) = (one for one in world.sidecars if one.workers > 1)
    carriers = one.carriers()
    if carriers:
        os.kill(random.choice(carriers), signal.SIGKILL)
    yield


@asynccontextmanager
async def _worker_hung(world: World, random: Random, _: float) -> AsyncIterator[None]:
    """Stop a worker where it stands: others get its connections."""
    (one,) = (one for one in world.sidecars if one.workers > 1)
    hung = [random.choice(one.carriers())]
    for pid in hung:
        _signal(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in hung:
            _signal(pid, signal.SIGCONT)


@asynccontextmanager
async def _reload_storm(world: World, random: Random, _: float) -> AsyncIterator[None]:
    """Ask for one reload after the other, each with another file than the one before."""
    one = random.choice(world.sidecars)
    whole = one.configuration.read_text()

    async def storm() -> None:
        for number in itertools.count():
            one.configuration.write_text(f"{whole}# {number}\n")
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                await one.admin(world.session, "POST", "/-/reload")

    storming = asyncio.get_running_loop().create_task(storm())
    try:
        yield
    finally:
        storming.cancel()
        await asyncio.gather(storming, return_exceptions=True)
        one.configuration.write_text(whole)
        if await one.admin(world.session, "POST", "/-/reload") != HTTPStatus.OK:
            world.journal.breach("good configuration refused", one.name)


@asynccontextmanager
async def _half_open(world: World, random: Random, _: float) -> AsyncIterator[None]:
    """Hold connections that say nothing, half a head, or half a body, and never end it."""
    one = random.choice(world.sidecars)
    with contextlib.ExitStack() as held:
        for number in range(_HALF_OPEN):
            with contextlib.suppress(OSError):
                near = held.enter_context(socket.socket())
                near.settimeout(1)
                near.connect(("127.0.0.1", one.ports[0]))
                near.sendall(_HALVES[number % len(_HALVES)])
        yield


@asynccontextmanager
async def _little_memory(world: World, random: Random, _: float) -> AsyncIterator[None]:
    """Leave the processes of a sidecar a few MiB of address space more."""
    one = random.choice(world.sidecars)
    pids = one.carriers()
    for pid in pids:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[0])  # noqa: ASYNC240 - procfs
        _limit_memory(pid, pages * resource.getpagesize() + _SPARE_BYTES)
    try:
        yield
    finally:
        for pid in pids:
            _limit_memory(pid, resource.RLIM_INFINITY)


def _limit_memory(pid: int, size: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        _, hard = resource.prlimit(pid, resource.RLIMIT_AS)
        resource.prlimit(pid, resource.RLIMIT_AS, (size, hard))


@asynccontextmanager
async def _stopped(world: World, random: Random, _: float) -> AsyncIterator[None]:
    """Stop all processes of a sidecar where they stand, and let them go on."""
    pids = random.choice(world.sidecars).pids()
    for pid in pids:
        _signal(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            _signal(pid, signal.SIGCONT)


def _signal(pid: int, one: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, one)


@asynccontextmanager
async def _clock(far: int, world: World, random: Random, _: float) -> AsyncIterator[None]:
    """Move the clock of a mortal sidecar by up to that many seconds."""
    one = random.choice([one for one in world.sidecars if one.mortal])
    _move(one, random.choice([-1, 1]) * random.randint(far // 2, far))
    try:
        yield
    finally:
        _move(one, 0)
        await asyncio.sleep(1.0)  # the library looks at its file once a second


def _move(one: Sidecar, seconds: int) -> None:
    written = one.clock.with_suffix(".new")
    written.write_text(f"{seconds:+d}")
    written.replace(one.clock)


@asynccontextmanager
async def _broken_configuration(world: World, random: Random, _: float) -> AsyncIterator[None]:
    """Break a configuration and ask for a reload, which must be refused."""
    one = random.choice(world.sidecars)
    whole = one.configuration.read_text()
    broken = whole.replace("encrypt: body", "encript: body") + random.choice(["", "}", "\0"])
    one.configuration.write_text(broken)
    try:
        if await one.admin(world.session, "POST", "/-/reload") == HTTPStatus.OK:
            world.journal.breach("broken configuration accepted", one.name)
        yield
    finally:
        one.configuration.write_text(whole)
        if await one.admin(world.session, "POST", "/-/reload") != HTTPStatus.OK:
            world.journal.breach("good configuration refused", one.name)


@asynccontextmanager
async def _no_descriptors(world: World, random: Random, _: float) -> AsyncIterator[None]:
    """Leave the processes of a sidecar four descriptors more, and hold connections to it."""
    one = random.choice(world.sidecars)
    pids = one.carriers()
    before = {pid: resource.prlimit(pid, resource.RLIMIT_NOFILE) for pid in pids}
    for pid, (_soft, hard) in before.items():
        used = len(list(Path(f"/proc/{pid}/fd").iterdir()))  # noqa: ASYNC240 - procfs
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (used + _SPARE_DESCRIPTORS, hard))
    with contextlib.ExitStack() as held:
        for _number in range(_CONNECTIONS):
            with contextlib.suppress(OSError):
                near = held.enter_context(socket.socket())
                near.settimeout(0)
                near.connect_ex(("127.0.0.1", one.ports[0]))
        try:
            yield
        finally:
            for pid, limits in before.items():
                with contextlib.suppress(ProcessLookupError):
                    resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)


@asynccontextmanager
async def _no_disk(world: World, random: Random, _: float) -> AsyncIterator[None]:
    """Let the processes of a sidecar write no further byte to the audit log."""
    one = random.choice(world.sidecars)
    size = (one.folder / "audit.log").stat().st_size
    pids = one.pids()
    for pid in pids:
        _limit_files(pid, size)
    try:
        yield
    finally:
        for pid in pids:
            _limit_files(pid, resource.RLIM_INFINITY)


def _limit_files(pid: int, size: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, hard))


# --- The backend -------------------------------------------------------------------------------


@asynccontextmanager
async def _backend_killed(world: World, _: Random, __: float) -> AsyncIterator[None]:
    await asyncio.to_thread(world.backend.kill)
    try:
        yield
    finally:
        await asyncio.to_thread(world.backend.start)


@asynccontextmanager
async def _backend_frozen(world: World, _: Random, __: float) -> AsyncIterator[None]:
    world.backend.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        world.backend.signal(signal.SIGCONT)


@asynccontextmanager
async def _backend_is(
    how: signal.Signals, world: World, _: Random, __: float
) -> AsyncIterator[None]:
    """Let the backend answer late, or before it has read (tools.soak.backend)."""
    world.backend.signal(how)
    try:
        yield
    finally:
        world.backend.signal(signal.SIGHUP)


# --- The table ---------------------------------------------------------------------------------


def table() -> dict[str, Fault]:
    """Return all faults by name; those of clocks are possible where faketime is."""
    by_name: dict[str, Any] = {one.name: one for one in OUTAGES}
    faults = [
        Fault(
            f"Redis {name}",
            "store",
            partial(_outage, by_name[name]),
            ends_ephemeral=not by_name[name].keeps,
        )
        for name in _OUTAGES
    ]
    faults += [
        Fault(f"replies of Redis: {kind}", "store", partial(_spoilt, kind)) for kind in REPLIES
    ]
    faults += [
        Fault("Redis lying: a bit flipped in half of the records", "store", _flipped),
        Fault("Redis cut off by resets", "store", _cut_off),
        Fault("Redis held: nothing passes", "store", _held),
        Fault("Redis split: two masters", "store", _split, ends_ephemeral=True),
        Fault("sidecar killed", "sidecar", partial(_ended, signal.SIGKILL)),
        Fault("sidecar ended and started (SIGTERM)", "sidecar", partial(_ended, signal.SIGTERM)),
        Fault("sidecar stopped (SIGSTOP)", "sidecar", _stopped),
        Fault("worker killed", "sidecar", _worker_killed),
        Fault("worker hung (SIGSTOP)", "sidecar", _worker_hung),
        Fault("reload storm", "sidecar", _reload_storm),
        Fault("half-open connections", "sidecar", _half_open),
        Fault("memory used up", "sidecar", _little_memory),
        Fault("configuration broken", "sidecar", _broken_configuration),
        Fault("descriptors used up", "sidecar", _no_descriptors),
        Fault("disk full", "sidecar", _no_disk),
        Fault("backend killed", "backend", _backend_killed),
        Fault("backend frozen", "backend", _backend_frozen),
        Fault("backend slow", "backend", partial(_backend_is, signal.SIGUSR1)),
        Fault(
            "backend answers before it has read", "backend", partial(_backend_is, signal.SIGUSR2)
        ),
    ]
    clocks = {"up to 60 s": _NEAR_SECONDS, "up to 40 days": _FAR_SECONDS}
    possible = faketime() is not None
    faults += [
        Fault(f"clock moved by {far}", "sidecar", partial(_clock, seconds), possible=possible)
        for far, seconds in clocks.items()
    ]
    return {one.name: one for one in faults}
