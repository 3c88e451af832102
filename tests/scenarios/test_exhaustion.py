"""B20: `sealyard serve` without free descriptors, and without room for its log."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import resource
import select
import time
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
import yaml

from proxy.process.policy import LISTENER_DESCRIPTORS, OWN_DESCRIPTORS
from tests.scenarios.rig import (
    A_FORM,
    Served,
    backend,
    configured,
    running,
    served,
    write_keys,
)
from tests.servers import free_port
from tools.bench.cpu import cpu_seconds

SPARE = 12
_MESSAGE = {"conversationId": "c", "content": "x", "note": "y"}


async def send_one(ours: Served) -> int:
    """Send a message on a connection of its own; return the status, 0 where there was none."""
    timeout = aiohttp.ClientTimeout(total=5)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        url = f"http://127.0.0.1:{ours.port}/api/messages"
        with contextlib.suppress(aiohttp.ClientError, TimeoutError):
            async with session.post(url, json=_MESSAGE) as response:
                await response.read()
                return response.status
    return 0


async def test_b20_without_descriptors_it_neither_spins_nor_ends(tmp_path: Path) -> None:
    async with backend() as behind:
        with served(tmp_path, behind.port) as ours:
            await ours.event("server.ready")
            pid = ours.process.pid
            assert await send_one(ours) == 200
            await asyncio.sleep(2)  # until the idle connection to the backend is closed, too
            used = len(list(Path(f"/proc/{pid}/fd").iterdir()))  # noqa: ASYNC240 - procfs
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (used + SPARE, used + SPARE))
            async with contextlib.AsyncExitStack() as held:
                for _ in range(4 * SPARE):
                    with contextlib.suppress(ConnectionError):
                        _, writer = await asyncio.open_connection("127.0.0.1", ours.port)
                        held.callback(writer.close)
                before, began = cpu_seconds(pid), time.monotonic()
                await asyncio.sleep(2)
                busy = (cpu_seconds(pid) - before) / (time.monotonic() - began)
                answered = await send_one(ours)
                alive = await fetched(f"http://127.0.0.1:{ours.health}/livez")
                async with asyncio.timeout(10):
                    while await refused(ours) <= SPARE:  # noqa: ASYNC110 - nobody tells
                        await asyncio.sleep(0.1)
            async with asyncio.timeout(10):
                while await send_one(ours) != 200:  # noqa: ASYNC110 - nobody tells
                    await asyncio.sleep(0.1)
            running = ours.process.poll()

    assert busy < 0.5
    assert answered == 503
    assert alive == "ok\n"
    assert running is None
    assert behind.forms() == {A_FORM}


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
async def test_b20_so_many_clients_are_accepted_as_there_are_descriptors_for(
    tmp_path: Path, workers: int
) -> None:
    async with backend() as behind:
        options = ("--workers", str(workers))
        with served(tmp_path, behind.port, *options, files=200) as ours:
            await ours.event("server.ready")
            short = await ours.event("descriptors.short")
            async with asyncio.TaskGroup() as group:
                sending = [group.create_task(send_one(ours)) for _ in range(300)]
            metrics = await ours.metrics()
            held = [
                await asyncio.open_connection("127.0.0.1", ours.port)
                for _ in range(3 * workers * short["clients"])
            ]
            ready = await fetched(f"http://127.0.0.1:{ours.health}/readyz")
            for _, writer in held:
                writer.close()
            async with asyncio.timeout(10):
                while await send_one(ours) != 200:  # noqa: ASYNC110 - nobody tells
                    await asyncio.sleep(0.1)

    assert (short["limit"], short["clients"]) == (
        200,
        (200 - OWN_DESCRIPTORS - LISTENER_DESCRIPTORS - 200 // 16) // 2,
    )
    assert short["wanted"] > short["limit"]
    assert {one.result() for one in sending} <= {200, 503}
    assert re.search(r'clients_refused_total{.*"accept"} 0', metrics) is not None
    assert ready == "ready\n"
    assert behind.forms() == {A_FORM}


async def test_a_hundred_listeners_share_the_descriptors_of_one_process(tmp_path: Path) -> None:
    """With 1,024, which a login has; and clients of one listener leave room at the others."""
    async with backend() as behind:
        write_keys(tmp_path)
        port, admin, health = free_port(), free_port(), free_port()
        document = yaml.safe_load(configured(behind.port, f"127.0.0.1:{port}", admin, health, {}))
        [listener] = document["listeners"]
        others = [free_port() for _ in range(99)]
        document["listeners"] += [
            {**listener, "name": f"app{one}", "listen": f"127.0.0.1:{one}"} for one in others
        ]
        text = json.dumps(document)
        with running(tmp_path, text, files=1024, port=port, admin=admin, health=health) as ours:
            await ours.event("server.ready")
            short = await ours.event("descriptors.short")
            held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(300)]
            answered = [await send_one(replace(ours, port=one)) for one in others]
            counted = await ours.metrics()
            for _, writer in held:
                writer.close()

    taken = re.search(r'client_connections{listener="api"} (\d+)', counted)
    assert short["clients"] == (1024 - OWN_DESCRIPTORS - 100 * LISTENER_DESCRIPTORS - 64) // 2
    assert answered == [200] * 99
    assert taken is not None
    assert short["clients"] // 2 <= int(taken[1]) <= short["clients"] - 99


async def test_b20_with_hardly_any_descriptors_it_does_not_start(tmp_path: Path) -> None:
    async with backend() as behind:
        with served(tmp_path, behind.port, files=OWN_DESCRIPTORS + 20) as ours:
            assert await ours.ended() == 3
    assert "too few for the listeners' clients" in ours.log.read_text()


async def test_b20_a_log_that_cannot_be_written_holds_no_message_up(tmp_path: Path) -> None:
    async with backend() as behind:
        with served(tmp_path, behind.port, log=Path("/dev/full")) as ours:
            async with asyncio.timeout(20):
                while await send_one(ours) != 200:  # noqa: ASYNC110 - it cannot say that it is ready
                    await asyncio.sleep(0.1)
            statuses = [await send_one(ours) for _ in range(10)]
            running = ours.process.poll()

    assert statuses == [200] * 10
    assert running is None


async def test_b20_a_log_that_nobody_reads_holds_no_message_up(tmp_path: Path) -> None:
    log = tmp_path / "log"
    os.mkfifo(log)
    ends = os.open(log, os.O_RDWR | os.O_NONBLOCK)  # holds it open for a reader that never reads
    async with backend() as behind:
        with served(tmp_path, behind.port, log=log) as ours:
            async with asyncio.timeout(20):
                while await send_one(ours) != 200:  # noqa: ASYNC110 - it cannot say that it is ready
                    await asyncio.sleep(0.1)
            with contextlib.suppress(BlockingIOError):
                while os.write(ends, b"\n" * select.PIPE_BUF):
                    pass
            statuses = [await send_one(ours) for _ in range(10)]
            metrics = await ours.metrics()
            alive = await fetched(f"http://127.0.0.1:{ours.health}/livez")
    os.close(ends)

    assert statuses == [200] * 10
    lost = re.search(r"^sealyard_log_lines_lost_total (\d+)", metrics, re.MULTILINE)
    assert lost is not None
    assert int(lost[1]) >= len(statuses)
    assert alive


async def refused(ours: Served) -> int:
    """Return how many clients the health listener says were refused for want of descriptors."""
    metrics = await fetched(f"http://127.0.0.1:{ours.health}/metrics")
    found = re.search(r'clients_refused_total{.*"descriptors"} (\d+)', metrics)
    return 0 if found is None else int(found[1])


async def fetched(url: str) -> str:
    """Return what stands at a URL."""
    timeout = aiohttp.ClientTimeout(total=5)
    async with aiohttp.ClientSession(timeout=timeout) as session, session.get(url) as response:
        return await response.text()
