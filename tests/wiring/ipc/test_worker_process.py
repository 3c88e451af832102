"""A worker that ends while its supervisor still sends it a question."""

from __future__ import annotations

import asyncio
import gc
import socket
import sys
from typing import Any

import pytest
import uvloop

from proxy.core.errors import WorkerGone
from proxy.wiring.ipc.channel import Channel, connect
from proxy.wiring.ipc.worker_process import WorkerProcess
from proxy.wiring.policy import MOST_UNTAKEN
from tests.traffic.wire import eventually

_MORE_THAN_A_SOCKET = "x" * (8 * 1024 * 1024)


def a_worker(process: asyncio.subprocess.Process, channel: Channel) -> WorkerProcess:
    door, its_door = socket.socketpair(type=socket.SOCK_SEQPACKET)
    its_door.close()
    return WorkerProcess(process, channel, door, -1)


async def _end(theirs: socket.socket) -> None:
    await asyncio.sleep(0.1)  # the question waits for room in the socket
    theirs.shutdown(socket.SHUT_WR)  # the end of the answers is read first
    await asyncio.sleep(0.1)
    theirs.close()


async def test_a_worker_that_ends_in_mid_question_leaves_no_unhandled_error() -> None:
    unhandled: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unhandled.append(context))
    ours, theirs = socket.socketpair()
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", "input()", stdin=-1)
    worker = a_worker(process, await connect(ours))
    question = worker.ask("look", 30, filler=_MORE_THAN_A_SOCKET)
    try:
        with pytest.raises(WorkerGone):
            await asyncio.gather(_end(theirs), question)
    finally:
        worker.kill()
        await worker.ended()
    assert worker.gone
    del question, worker  # the channel keeps its error, and so the question's frame
    gc.collect()
    assert not unhandled


def test_a_question_as_the_channel_breaks_finds_its_worker_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Under uvloop, as servers run: the transport is closed then, and nobody has read of it yet."""

    async def asked_twice() -> list[object]:
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", "input()", stdin=-1)
        worker = a_worker(process, await connect(ours))
        questions = [loop.create_task(worker.ask("look", 30))]
        lost = asyncio.StreamReaderProtocol.connection_lost

        def ask_and_lose(reading: asyncio.StreamReaderProtocol, exc: Exception | None) -> None:
            questions.append(loop.create_task(worker.ask("look", 30)))
            lost(reading, exc)

        try:
            with monkeypatch.context() as patched:
                patched.setattr(asyncio.StreamReaderProtocol, "connection_lost", ask_and_lose)
                await asyncio.sleep(0)
                theirs.close()  # the question is in it, unread
                await asyncio.wait(questions)
                return list(await asyncio.gather(*questions, return_exceptions=True))
        finally:
            worker.kill()
            await worker.ended()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        found = runner.run(asked_twice())
    assert [type(one) for one in found] == [WorkerGone, WorkerGone]


async def test_a_worker_that_ended_takes_no_connection() -> None:
    ours, theirs = socket.socketpair()
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", "input()", stdin=-1)
    worker = a_worker(process, await connect(ours))
    with theirs:
        assert not worker.hand_over("api", theirs)
    worker.kill()
    await worker.ended()


async def test_what_a_worker_has_not_taken_is_held_until_it_ends() -> None:
    ours, theirs = socket.socketpair()
    door, its_door = socket.socketpair(type=socket.SOCK_SEQPACKET)
    door.setblocking(False)  # noqa: FBT003 - the signature of the standard library
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", "input()", stdin=-1)
    worker = WorkerProcess(process, await connect(ours), door, -1)
    pairs = [socket.socketpair() for _ in range(MOST_UNTAKEN + 2)]
    passed = [worker.hand_over("api", near) for near, _ in pairs]
    assert passed == [True] * MOST_UNTAKEN + [False] * 2
    its_door.send(b"t")
    await eventually(lambda: pairs[0][0].fileno() < 0)
    assert worker.hand_over("api", pairs[-2][0])
    its_door.send(b"t")  # as its last word
    its_door.close()
    theirs.close()
    worker.kill()
    await worker.ended()
    await worker.ended()  # a drain waits for it as well
    left = worker.untaken()
    assert [one for _, one in left] == [near for near, _ in pairs[2:-1]]
    assert not worker.untaken()
    for one in (*left, *((None, sock) for pair in pairs for sock in pair)):
        one[1].close()
