"""A worker answers how it is while it does what may take long, and does that in its order."""

from __future__ import annotations

import asyncio
import resource
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from proxy.keys.operations.verb import Call, Done
from proxy.telemetry.metrics.samples import Facts, Samples
from proxy.wiring.ipc.channel import Channel, connect
from proxy.wiring.reload.config_files import Source
from proxy.wiring.workers.worker import _Worker
from tests.factories import Ear
from tests.scenarios.rig import a_configuration
from tests.traffic.wire import eventually
from tests.wiring.sources import given
from tests.wiring.workers.test_worker_calls import REVOKE


@dataclass
class Change:
    """A prepared change that notes what became of it."""

    done: list[str]

    async def apply(self) -> None:
        self.done.append("apply")

    async def discard(self) -> None:
        self.done.append("discard")


@dataclass
class Sidecar:
    """What a worker obeys with; its root answers only when it is let."""

    root_answers: asyncio.Event = field(default_factory=asyncio.Event)
    done: list[str] = field(default_factory=list)

    @property
    def operations(self) -> Sidecar:
        return self

    async def facts(self) -> Facts:
        return Facts((), Samples(), {})

    async def prepare(self, _: Source) -> Change:
        await self.root_answers.wait()
        self.done.append("prepare")
        return Change(self.done)

    async def run(self, _: Call) -> Done:
        await self.root_answers.wait()
        self.done.append("run")
        return Done({"scope": "name"})

    async def drain(self, _: float) -> bool:
        self.done.append("drain")
        return True


@asynccontextmanager
async def running(sidecar: Sidecar) -> AsyncIterator[Channel]:
    """Run a worker that has started; yield its supervisor's end of the channel."""
    ours, theirs = socket.socketpair()
    supervisor, channel = await connect(ours), await connect(theirs)
    worker = _Worker(channel, Ear(), {}, None)
    worker._sidecar = cast("Any", sidecar)
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        work = group.create_task(worker.run(asyncio.Event()))
        yield supervisor
        await supervisor.send({"id": 99, "do": "drain", "grace": 0})
        assert await work
    supervisor.close()
    channel.close()


def a_change() -> dict[str, Any]:
    source = given(a_configuration(1)).hand_over()
    return {"id": 1, "do": "prepare", "source": source, "secrets": ""}


async def test_a_worker_whose_root_does_not_answer_still_says_how_it_is(tmp_path: Path) -> None:
    sidecar = Sidecar()
    async with running(sidecar) as supervisor:
        await supervisor.send(a_change())
        call = REVOKE.to_json()
        await supervisor.send({"id": 2, "do": "run", "call": call})
        await supervisor.send({"id": 3, "do": "facts"})
        answer = await supervisor.receive()
        assert (answer or {})["id"] == 3
        assert sidecar.done == []
        sidecar.root_answers.set()


async def test_what_changes_something_is_done_in_the_order_in_which_it_is_asked(
    tmp_path: Path,
) -> None:
    sidecar = Sidecar()
    async with running(sidecar) as supervisor:
        await supervisor.send(a_change())
        await supervisor.send({"id": 2, "do": "discard"})
        call = REVOKE.to_json()
        await supervisor.send({"id": 3, "do": "run", "call": call})
        await asyncio.sleep(0.05)
        sidecar.root_answers.set()
        answered = [(await supervisor.receive() or {})["id"] for _ in range(3)]
        assert answered == [1, 2, 3]
    assert sidecar.done == ["prepare", "discard", "run", "drain"]


async def test_a_drain_does_not_wait_for_a_root(tmp_path: Path) -> None:
    sidecar = Sidecar()
    async with running(sidecar) as supervisor:
        await supervisor.send(a_change())
        await asyncio.sleep(0.05)
    assert sidecar.done == ["drain"]
    sidecar.root_answers.set()
    await asyncio.sleep(0.05)


async def test_without_a_descriptor_a_connection_that_is_handed_over_waits() -> None:
    taken = list[socket.socket]()
    listener = SimpleNamespace(listener=SimpleNamespace(take=taken.append))
    door, its_door = socket.socketpair(type=socket.SOCK_SEQPACKET)
    client, passed = socket.socketpair()
    worker = _Worker(cast("Any", None), Ear(), {}, None)
    worker._door = its_door
    with door, its_door, client, passed:
        door.setblocking(False)  # noqa: FBT003 - the signature of the standard library
        its_door.setblocking(False)  # noqa: FBT003 - as above
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        with socket.socket() as probe:
            lowest = probe.fileno()
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
        try:
            worker._watch_door(cast("Any", SimpleNamespace(lanes={"api": listener})))
            socket.send_fds(door, [b"api"], [passed.fileno()])
            await asyncio.sleep(0.3)
            assert not taken
            try:
                said = door.recv(1)
            except BlockingIOError:
                said = b""
            assert said == b""
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        await eventually(lambda: taken)
        assert door.recv(1) == b"t"
        worker._shut_door()
        with taken[0]:
            taken[0].send(b"served")
            assert client.recv(10) == b"served"
