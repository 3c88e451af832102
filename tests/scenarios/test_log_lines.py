"""The log of a real server under load, by a pipe: whole lines, one for each answer, to the end."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import threading
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from tests.scenarios.rig import Load, backend, served

CLIENTS = 40


def copying(pipe: Path, log: Path) -> threading.Thread:
    """Copy what is written to the pipe until its writers have ended."""

    def copy() -> None:
        with pipe.open("rb", buffering=0) as source, log.open("wb", buffering=0) as target:
            shutil.copyfileobj(source, target)  # a read gives what there is

    thread = threading.Thread(target=copy, daemon=True)
    thread.start()
    return thread


@pytest.mark.parametrize("workers", [1, 2])
async def test_each_answer_has_its_line_through_a_reload_and_to_the_end(
    tmp_path: Path, workers: int
) -> None:
    pipe, log = tmp_path / "pipe", tmp_path / "copied.log"
    os.mkfifo(pipe)
    log.touch()  # it is read before the first line has come
    reader = copying(pipe, log)
    async with backend() as behind:
        with (
            os.fdopen(os.open(pipe, os.O_RDWR), "rb"),  # no open of it waits for another
            served(tmp_path, behind.port, "--workers", str(workers), log=pipe) as process,
        ):
            ours = replace(process, log=log)
            await ours.event("server.ready")
            load = Load(f"http://127.0.0.1:{ours.port}/api/messages")
            async with asyncio.TaskGroup() as group:
                group.create_task(load.run(CLIENTS))
                await ours.event("message.handled", 200)
                ours.process.send_signal(signal.SIGHUP)
                await ours.event("config.loaded", 2)
                await ours.event("message.handled", 400)
                ours.process.send_signal(signal.SIGTERM)
                code = await ours.ended()
                load.stop.set()
    await asyncio.to_thread(reader.join, 10)
    text = log.read_bytes()
    lines = [json.loads(line) for line in text.splitlines()]
    handled = [line for line in lines if line["event"] == "message.handled"]
    statuses = Counter(line["http.response.status_code"] for line in handled)

    assert code == 0
    assert (load.wrong, load.cut) == ([], 0)
    assert statuses == {200: load.answered}
    assert len({line["request_id"] for line in handled}) == load.answered
    assert [lines[0]["event"], lines[-1]["event"]] == ["server.started", "server.stopped"]
    assert load.canary.encode() not in text
