"""Connections that the kernel gives to a worker that hangs, or is dead, do not hang with it."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import pytest

from tests.scenarios.rig import Served, backend, served

CONNECTIONS = 24
BODY = {"conversationId": "c1", "content": "a", "note": "b"}


def pids(ours: Served) -> list[int]:
    return [int(one["worker_pid"]) for one in ours.events if one["event"] == "worker.ready"]


@contextmanager
def stopped(*processes: int) -> Iterator[None]:
    """Stop worker processes that a test started, as a hung system call would."""
    for pid in processes:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in processes:
            os.kill(pid, signal.SIGCONT)


async def answers(ours: Served, seconds: float) -> Counter[tuple[int, str]]:
    """Return how each of many new connections is answered; raise TimeoutError for one that hangs.

    `ours` may have one worker that hangs and accepts half of them, so they are many.
    """
    found = Counter[tuple[int, str]]()

    async def ask(_: int) -> None:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(seconds)) as session,
            session.post(f"http://127.0.0.1:{ours.port}/api/messages", json=BODY) as answer,
        ):
            await answer.read()
            found[answer.status, answer.headers.get("Sealyard-Error", "")] += 1

    await asyncio.gather(*map(ask, range(CONNECTIONS)))
    return found


async def test_the_connections_of_a_silent_worker_are_handed_to_another(tmp_path: Path) -> None:
    async with backend() as behind:
        with served(tmp_path, behind.port, "--workers", "2") as ours:
            await ours.event("server.ready")
            first, _ = pids(ours)
            with stopped(first):
                began = time.monotonic()
                assert await answers(ours, 10) == {(200, ""): CONNECTIONS}
                waited = time.monotonic() - began
                assert (await ours.event("worker.silent"))["worker_pid"] == first
                assert await answers(ours, 10) == {(200, ""): CONNECTIONS}
            await asyncio.sleep(0.6)
            assert await answers(ours, 10) == {(200, ""): CONNECTIONS}
            told = [one["event"] for one in ours.events]
    assert waited < 5
    assert "worker.died" not in told
    assert told.count("worker.silent") == 1


async def test_what_was_handed_to_a_worker_that_dies_is_answered(tmp_path: Path) -> None:
    async with backend() as behind:
        with served(tmp_path, behind.port, "--workers", "2") as ours:
            await ours.event("server.ready")
            first, second = pids(ours)
            with stopped(first):
                await ours.event("worker.silent")
                os.kill(second, signal.SIGSTOP)
                asking = asyncio.get_running_loop().create_task(answers(ours, 15))
                await asyncio.sleep(0.5)  # half of them have been handed to it by then
                os.kill(second, signal.SIGKILL)
                found = await asking  # none was reset
    assert {status for status, _ in found} <= {200, 503}
    assert found.total() == CONNECTIONS


async def test_where_all_workers_are_silent_clients_get_an_answer(tmp_path: Path) -> None:
    async with backend() as behind:
        with served(tmp_path, behind.port, "--workers", "2") as ours:
            await ours.event("server.ready")
            with stopped(*pids(ours)):
                assert await answers(ours, 15) == {(503, "busy"): CONNECTIONS}
                refused = await ours.event("clients.refused")
                assert (refused["listener"], refused["reason"]) == ("api", "workers")
            await asyncio.sleep(0.6)
            assert await answers(ours, 10) == {(200, ""): CONNECTIONS}
            metrics = await ours.metrics()
    count = 'sealyard_clients_refused_total{listener="api",reason="workers"} '
    assert any(
        float(line.removeprefix(count)) >= CONNECTIONS
        for line in metrics.splitlines()
        if line.startswith(count)
    )


@pytest.mark.parametrize("dead", [1, 2])
async def test_workers_that_die_at_every_start_hang_no_client(tmp_path: Path, dead: int) -> None:
    async with backend() as behind:
        with served(tmp_path, behind.port, "--workers", "2") as ours:
            await ours.event("server.ready")
            (tmp_path / "keyring.jwe").rename(tmp_path / "away.jwe")
            for pid in pids(ours)[:dead]:
                os.kill(pid, signal.SIGKILL)
            await ours.event("worker.died", 2 * dead)
            for _ in range(2):
                expected = (503, "busy") if dead == 2 else (200, "")
                assert await answers(ours, 15) == {expected: CONNECTIONS}
            (tmp_path / "away.jwe").rename(tmp_path / "keyring.jwe")
            await ours.event("worker.ready", 2 + dead)
            await asyncio.sleep(0.6)
            assert await answers(ours, 10) == {(200, ""): CONNECTIONS}
