"""How much of the product a message enters, for each row of the benchmark.

Each module is a place to look at for a reader, and each of its lines may matter to the message.
Counted on the whole way through a sidecar, from the bytes of the client to the log line behind its
answer, with the benchmark's own configuration, backend and messages.
"""

from __future__ import annotations

import asyncio
import functools
import os
import ssl
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from types import FrameType
from typing import Final, NamedTuple

import pytest

import proxy
from proxy.config.load import load
from proxy.core.leaves import NATIVE
from proxy.telemetry.logs.logger import Logs
from proxy.telemetry.reporter import CountingReporter
from proxy.traffic.turns import LoopLag
from proxy.wiring.reload.material import gather
from proxy.wiring.sidecar.sidecar import Sidecar
from tests.traffic.wire import Client, connected
from tools.bench.backend import Connection, Memory
from tools.bench.cases import CASES, Case
from tools.bench.check import prepared
from tools.bench.peers import PEERS, Peer, Place, sealyard
from tools.bench.peers.base import needs
from tools.bench.ports import free_port
from tools.bench.running import Running
from tools.bench.websocket import Frames, frame, handshake
from tools.bench.works import Work


class Most(NamedTuple):
    """The modules that a message may enter, and how many lines they may have."""

    modules: int
    lines: int


BOUNDS: Final[dict[str, tuple[Most, Most]]] = {
    "chat": (Most(63, 16_000), Most(83, 20_700)),
    "cookie": (Most(63, 16_000), Most(83, 20_700)),
    "path": (Most(66, 16_800), Most(86, 21_600)),
    "heads": (Most(63, 16_000), Most(83, 20_700)),
    "heads-5000": (Most(63, 16_000), Most(83, 20_700)),
    "fhir": (Most(63, 16_000), Most(81, 20_300)),
    "fhir-5000": (Most(63, 16_000), Most(81, 20_300)),
    "connect": (Most(67, 16_700), Most(87, 21_400)),
    "connect-5": (Most(67, 16_700), Most(87, 21_400)),
    "tls": (Most(63, 16_000), Most(83, 20_700)),
    "tls-connect": (Most(67, 16_700), Most(87, 21_400)),
    "chunked": (Most(67, 16_500), Most(84, 20_700)),
    "whole": (Most(72, 18_500), Most(72, 18_500)),
    "whole-json": (Most(77, 19_600), Most(77, 19_600)),
    "pass-1": (Most(44, 11_500), Most(44, 11_500)),
    "pass": (Most(44, 11_500), Most(44, 11_500)),
    "seal-1": (Most(63, 16_000), Most(64, 16_000)),
    "seal": (Most(63, 16_000), Most(64, 16_000)),
    "16k": (Most(75, 18_900), Most(75, 18_900)),
    "1m": (Most(79, 19_400), Most(79, 19_400)),
    "8m": (Most(69, 16_400), Most(69, 16_400)),
    "list-pass": (Most(50, 13_020), Most(50, 13_020)),
    "list": (Most(63, 15_700), Most(64, 15_800)),
    "tokens": (Most(59, 14_400), Most(59, 14_400)),
    "websocket": (Most(20, 5_800), Most(21, 5_800)),
    "events": (Most(72, 17_800), Most(73, 17_800)),
    "beside": (Most(63, 16_000), Most(64, 16_000)),
    "redis": (Most(65, 16_500), Most(85, 21_200)),
    "redis-new": (Most(95, 22_000), Most(115, 26_700)),
    "redis-new-1": (Most(95, 22_000), Most(115, 26_700)),
    "new": (Most(90, 21_000), Most(110, 25_700)),
    "all-new": (Most(93, 21_800), Most(113, 26_600)),
}
"""Of each row of the benchmark, with the native leaves and without, as measured; to be lowered.

Lines are rounded up to a hundred. How long a message takes decides on a module or two where keys
are new, or bodies are long: there, two are to spare, and 400 lines.
"""
_PRODUCT: Final = Path(proxy.__file__).parent
_COLD: Final = 3
"""So many messages find nothing at hand, or not all of it."""
_MESSAGES: Final = 9
_SECONDS: Final = 60.0
"""Far more than 8 MiB take on a machine that has other work to do."""
_LINE: Final = b"message.handled"
_LEAVES: Final = "core/leaves/"
"""The Python form of the leaves; the native one has no files here."""


@pytest.fixture(scope="module")
def place_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Place]:
    """Return the place of a Sealyard of the benchmark by its name, with its files in it."""

    @functools.cache
    def made(name: str) -> Place:
        folder = tmp_path_factory.mktemp("place")
        place = Place(folder, free_port(), free_port(), os.urandom(32), free_port())
        _peer(name).prepare(place)
        return place

    return made


def test_each_row_of_the_benchmark_has_a_bound() -> None:
    assert BOUNDS.keys() == {case.name for case in CASES}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_a_message_enters_little(
    case: Case, place_of: Callable[[str], Place], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Load and backend are on this loop as well: how long its turns are says nothing of the proxy.
    timeless = functools.partial(LoopLag, clock=lambda: 0.0)
    monkeypatch.setattr("proxy.wiring.sidecar.sidecar.LoopLag", timeless)
    monkeypatch.setattr("tests.traffic.wire.PATIENCE", _SECONDS)
    name = case.variant(sealyard.NAME)
    if name == sealyard.REDIS and (lacking := needs("redis-server")):
        pytest.skip(lacking)
    place, log = place_of(name), list[bytes]()
    with _peer(name).beside(place):
        async with _backend(place.backend), _sidecar(place, log):
            running = Running(_peer(name), place.port, 0, place.folder / "log", 0.0)
            # That it is sealed at the backend and opened at the client is seen to here.
            wanted = asyncio.to_thread(prepared, running, place.backend, "c-1", {case.work})
            entered = await _entered((await wanted)[case.work], running, log)

    files = {one for one in entered if not one.startswith(_LEAVES)}
    found, most = Most(len(files), sum(map(_lines, files))), BOUNDS[case.name][not NATIVE]
    assert found.modules <= most.modules, (found, sorted(files))
    assert found.lines <= most.lines, (found, sorted(files))


def _peer(name: str) -> Peer:
    return next(peer for peer in PEERS if peer.name == name)


@functools.cache
def _lines(file: str) -> int:
    return len((_PRODUCT / file).read_text().splitlines())


@asynccontextmanager
async def _backend(port: int) -> AsyncIterator[None]:
    memory = Memory()
    server = await asyncio.get_running_loop().create_server(
        lambda: Connection(memory), "127.0.0.1", port
    )
    try:
        yield
    finally:
        server.close()


@asynccontextmanager
async def _sidecar(place: Place, log: list[bytes]) -> AsyncIterator[None]:
    settings = load(place.folder / "sealyard.yaml", {}).settings
    sidecar = Sidecar(
        gather(settings, {}), CountingReporter(Logs(log.append)), time.time, environ={}
    )
    await sidecar.start()
    try:
        yield
    finally:
        await sidecar.close()


async def _entered(work: Work, running: Running, log: list[bytes]) -> set[str]:
    """Return the files that each warm message enters.

    Where a connection ends after some messages, those of a connection are one. Conversations that
    come in turn were there before.
    """
    tls = ssl.create_default_context() if running.peer.tls else None
    if tls is not None:
        tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    each: list[set[str]] = []
    if work.connection:
        for number in range(_MESSAGES):
            with _noted(number >= _COLD) as entered:
                async with connected(running.port, tls=tls) as client:
                    for one in range(work.connection):
                        drawn = work.at(number * work.connection + one)
                        await _answered(drawn, client, log, last=one + 1 == work.connection)
            each.append(entered)
        return set.intersection(*each[_COLD:])
    async with connected(running.port, tls=tls) as client:
        if work.shape == "websocket":
            client.send(handshake(work.path))
            await client.until(b"\r\n\r\n")
        known = range(_MESSAGES if work.conversations > 1 else 0)
        for number in known:
            await _answered(work.at(number), client, log)
        for number in range(work.conversations, work.conversations + _MESSAGES):
            with _noted(len(each) >= _COLD) as entered:
                await _answered(work.at(number), client, log)
            each.append(entered)
    return set.intersection(*each[_COLD:])


@contextmanager
def _noted(noted: bool) -> Iterator[set[str]]:  # noqa: FBT001 - said in one place
    """Note which files are entered, but for what a timer does, which may come at any moment."""
    entered: set[str] = set()
    by_timer = False

    def note(frame: FrameType, event: str, _: object) -> None:
        nonlocal by_timer
        if event != "call":
            return
        if frame.f_code is asyncio.Handle._run.__code__:
            by_timer = isinstance(frame.f_locals["self"], asyncio.TimerHandle)
        path = Path(frame.f_code.co_filename)
        if not by_timer and path.is_relative_to(_PRODUCT):
            entered.add(path.relative_to(_PRODUCT).as_posix())

    sys.setprofile(note if noted else None)
    try:
        yield entered
    finally:
        sys.setprofile(None)


async def _answered(work: Work, client: Client, log: list[bytes], *, last: bool = False) -> None:
    """Send a message, and wait for its answer and for the line, which is written behind it.

    A WebSocket has one line for all of its messages.
    """
    if work.shape == "websocket":
        client.send(frame(work.body, mask=b"\x37\xfa\x21\x3d"))
        frames, echoes = Frames(), list[bytes]()
        async with asyncio.timeout(_SECONDS):
            while not echoes:
                echoes += (one for _, one in frames.messages(await client.reader.read(65_536)))
        return
    log.clear()
    raw = work.raw()
    client.send(raw.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1) if last else raw)
    answer = await client.response()
    assert answer.raw.startswith(b"HTTP/1.1 200 ")
    async with asyncio.timeout(_SECONDS):
        while _LINE not in b"".join(log):  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0)
