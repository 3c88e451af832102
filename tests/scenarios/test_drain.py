"""B16: `sealyard serve` is told to end under load, with WebSockets and event streams open."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from tests.scenarios.rig import Load, a_configuration, backend, running, write_keys
from tests.servers import free_port

GRACE_SECONDS = 25
GOING_AWAY = 1001
ONE_CLIENT = 2000  # one client leaves a tenth of the WebSockets to others
EVENT = b"id: 1\ndata: one\n\n"
_PER_CLIENT = 0.2


@dataclass(frozen=True)
class Size:
    """How much is under way when the signal comes.

    Together, the sockets carry 250 messages and the streams 200 pieces a second, however many.
    """

    rate: int
    sockets: int
    streams: int


SHORT, LONG = Size(100, 50, 10), Size(500, 1000, 100)


@dataclass
class Talk:
    """WebSockets and event streams on both sides, and how they ended."""

    size: Size
    address: str = ""
    backend_codes: list[int | None] = field(default_factory=list)
    client_codes: list[int | None] = field(default_factory=list)
    streams: list[bytes] = field(default_factory=list)
    begun: int = 0

    # --- the backend ----------------------------------------------------------------------------

    async def echo(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            await socket.send_str(message.data)
        self.backend_codes.append(socket.close_code)
        return socket

    async def events(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            while True:
                for piece in (EVENT[:8], EVENT[8:-1], EVENT[-1:]):
                    await response.write(piece)
                    await asyncio.sleep(self.size.streams * 0.005)
        return response

    # --- the clients ----------------------------------------------------------------------------

    async def hold_socket(self, session: aiohttp.ClientSession) -> None:
        async with session.ws_connect(f"{self.address}/ws") as socket:
            self.begun += 1
            talking = asyncio.get_running_loop().create_task(self._talk(socket))
            async for _ in socket:
                pass
            self.client_codes.append(socket.close_code)
            talking.cancel()

    async def _talk(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        with contextlib.suppress(ConnectionError):
            while True:
                await socket.send_str("hello")
                await asyncio.sleep(self.size.sockets * 0.004)

    async def hold_stream(self, session: aiohttp.ClientSession) -> None:
        async with session.get(f"{self.address}/events") as response:
            self.begun += 1
            self.streams.append(await response.read())  # raises where it was cut


@contextlib.contextmanager
def many_files() -> Iterator[None]:
    """Let this process, and those it starts, open as many files as the system lets them."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.timing
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(
    "size", [SHORT, pytest.param(LONG, marks=pytest.mark.slow)], ids=["short", "long"]
)
async def test_b16_a_drain_under_load_loses_nothing(
    tmp_path: Path, size: Size, workers: int
) -> None:
    talk = Talk(size)
    routes = (web.get("/ws", talk.echo), web.get("/events", talk.events))
    options = ("--workers", str(workers), "--drain-delay", "0.5", "--grace", str(GRACE_SECONDS))
    async with backend(*routes) as behind:
        port, admin, health = free_port(), free_port(), free_port()
        text = a_configuration(
            behind.port, listen=f"127.0.0.1:{port}", admin=admin, health=health
        ).replace("limits: {", f"limits: {{websockets: {ONE_CLIENT}, ")
        write_keys(tmp_path)
        served = running(tmp_path, text, *options, port=port, admin=admin, health=health)
        with many_files(), served as ours:
            await ours.event("server.ready")
            talk.address = f"http://127.0.0.1:{ours.port}"
            load = Load(f"{talk.address}/api/messages", pause=_PER_CLIENT)
            connector = aiohttp.TCPConnector(limit=0)
            async with (
                aiohttp.ClientSession(connector=connector) as session,
                asyncio.TaskGroup() as group,
            ):
                for _ in range(size.sockets):
                    group.create_task(talk.hold_socket(session))
                for _ in range(size.streams):
                    group.create_task(talk.hold_stream(session))
                group.create_task(load.run(int(size.rate * _PER_CLIENT)))
                async with asyncio.timeout(30):
                    while talk.begun < size.sockets + size.streams:  # noqa: ASYNC110 - nobody tells
                        await asyncio.sleep(0.05)
                before = load.answered
                await asyncio.sleep(1)
                rate = load.answered - before
                ours.process.send_signal(signal.SIGTERM)
                await ours.event("server.stopping")
                began = time.monotonic()
                code = await ours.ended()
                took = time.monotonic() - began
                load.stop.set()

    assert code == 0
    assert took < GRACE_SECONDS
    assert rate > size.rate / 3  # the clients share two cores with all the rest
    assert (load.wrong, load.cut) == ([], 0)
    assert load.answered == len(behind.bodies)
    assert talk.client_codes == [GOING_AWAY] * size.sockets
    assert talk.backend_codes == [GOING_AWAY] * size.sockets
    assert len(talk.streams) == size.streams
    assert all(stream == EVENT * stream.count(EVENT) for stream in talk.streams)
    assert any(talk.streams)
    assert load.canary.encode() not in b"".join(behind.bodies)
