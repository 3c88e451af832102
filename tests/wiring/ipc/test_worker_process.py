"""A worker that ends while its supervisor still sends it a question."""

from __future__ import annotations

import asyncio
import gc
import socket
import sys
from typing import Any

import pytest

from proxy.core.errors import WorkerGone
from proxy.wiring.ipc.channel import connect
from proxy.wiring.ipc.worker_process import WorkerProcess

_MORE_THAN_A_SOCKET = "x" * (8 * 1024 * 1024)


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
    worker = WorkerProcess(process, await connect(ours))
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
