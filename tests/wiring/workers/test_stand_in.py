"""When a worker is silent, and who gets the connections that come to it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from proxy.process import run_time
from proxy.process.run_time import RunTime
from proxy.telemetry.metrics import table
from proxy.telemetry.metrics.samples import Samples
from proxy.wiring.policy import SILENT_LOOKS
from proxy.wiring.workers.sockets import WorkerSockets
from proxy.wiring.workers.stand_in import Silence, StandIn
from tests.factories import Ear
from tests.wiring.sources import given
from tests.wiring.workers.test_supervisor import TEXT


class Worker:
    """A worker that may be heard, and takes connections while it has room for them."""

    pid = 1

    def __init__(self, room: int = 1000) -> None:
        self.heard_at = 0.0
        self.room = room
        self.taken: list[str] = []

    def hand_over(self, listener: str, sock: socket.socket) -> bool:
        if len(self.taken) >= self.room:
            return False
        self.taken.append(listener)
        sock.close()
        return True


class Ended:
    """A worker that has ended, and had not taken all that it was handed."""

    def __init__(self, left: list[tuple[str, socket.socket]]) -> None:
        self._left = left

    def untaken(self) -> list[tuple[str, socket.socket]]:
        return self._left


def looked(monkeypatch: pytest.MonkeyPatch, seen: Sequence[RunTime | None]) -> list[bool]:
    """Return after each look at a worker that is not heard whether it counts as silent."""
    worker = Worker()
    silence = Silence(cast("Any", worker))
    assert silence.look(1.0)
    found = []
    for number, one in enumerate(seen):
        monkeypatch.setattr(run_time, "of", lambda _, one=one: one)
        assert not silence.look(1.25 + number / 4)
        found.append(silence.lasts)
    return found


def test_a_worker_is_silent_that_could_run_and_did_not(monkeypatch: pytest.MonkeyPatch) -> None:
    still = RunTime("S", 5)
    assert looked(monkeypatch, [still] * 5) == [False] * SILENT_LOOKS + [True]


@pytest.mark.parametrize(
    "seen",
    [
        [RunTime("S", ticks) for ticks in range(20)],  # it computes
        [RunTime("R", 5)] * 20,  # its quota is used up
        [*[RunTime("S", 5)] * SILENT_LOOKS, RunTime("S", 6)] * 4,
        [None] * 20,  # the kernel does not show it
    ],
)
def test_a_worker_that_computes_or_waits_for_a_processor_is_not(
    monkeypatch: pytest.MonkeyPatch, seen: list[RunTime | None]
) -> None:
    assert not any(looked(monkeypatch, seen))


def test_a_silence_ends_with_a_sign_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = Worker()
    silence = Silence(cast("Any", worker))
    silence.look(1.0)
    monkeypatch.setattr(run_time, "of", lambda _: RunTime("S", 5))
    for _ in range(SILENT_LOOKS + 1):
        silence.look(2.0)
    assert silence.lasts
    worker.heard_at = 3.0
    assert silence.look(3.0)
    assert not silence.lasts


@asynccontextmanager
async def standing_in(*workers: Worker) -> AsyncIterator[tuple[StandIn, WorkerSockets, int]]:
    """Cover the only slot of a supervisor; `workers` are the others."""
    listeners = given(TEXT).loaded.settings.listeners
    sockets = WorkerSockets(listeners, 1)
    sockets.open()
    made = StandIn(sockets, listeners, Ear().report, lambda: cast("Any", workers))
    made.cover(0)
    try:
        yield made, sockets, int(sockets.of(0)["api"][0].getsockname()[1])
    finally:
        made.close()
        sockets.close()


async def answered(port: int) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(20):
            return await reader.read()
    finally:
        writer.close()


async def test_each_worker_gets_connections_in_its_turn_and_the_rest_is_answered() -> None:
    first, second = Worker(room=3), Worker(room=4)
    async with standing_in(first, second) as (made, _, port):
        told = [await answered(port) for _ in range(9)]
        samples = Samples()
        made.count(samples)
    assert (first.taken, second.taken) == (["api"] * 3, ["api"] * 4)
    assert [one[:12] for one in told] == [b""] * 7 + [b"HTTP/1.1 503"] * 2
    assert samples.value(table.CLIENTS_REFUSED, "api", "workers") == 2


async def test_what_a_worker_had_not_taken_when_it_ended_is_handed_on_or_answered() -> None:
    other = Worker(room=1)
    async with standing_in(other) as (made, _, _port):
        pairs = [socket.socketpair() for _ in range(2)]
        for near, _far in pairs:
            near.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        made.take_back(cast("Any", Ended([("api", far) for _, far in pairs])))
        near = pairs[1][0]
        reader, writer = await asyncio.open_connection(sock=near)
        told = await asyncio.wait_for(reader.read(), 20)
        writer.close()
        pairs[0][0].close()
    assert other.taken == ["api"]
    assert told.startswith(b"HTTP/1.1 503")


async def test_nothing_is_accepted_from_a_slot_that_was_left() -> None:
    worker = Worker()
    async with standing_in(worker) as (made, sockets, port):
        made.cover(0)  # again: it accepts already
        made.leave(0)
        made.leave(0)
        with socket.create_connection(("127.0.0.1", port)):
            await asyncio.sleep(0.1)
            assert worker.taken == []
            accepted, _ = sockets.of(0)["api"][0].accept()  # its worker would
            accepted.close()


async def test_a_refused_client_that_does_not_leave_is_dropped_at_the_end() -> None:
    async with standing_in() as (made, _, port):
        with socket.create_connection(("127.0.0.1", port)) as client:
            await asyncio.sleep(0.1)
            assert client.recv(4096).startswith(b"HTTP/1.1 503")
            client.sendall(b"it still reads")
            made.close()
            await asyncio.sleep(0.1)
            with pytest.raises(OSError, match=r"reset|pipe"):
                client.sendall(b"it does not")
