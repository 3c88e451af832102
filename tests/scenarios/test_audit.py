"""The audit log of real processes: chained over all workers, and without it nothing is opened."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.scenarios.rig import (
    PATIENCE_SECONDS,
    TOKEN,
    Load,
    Served,
    backend,
    environment,
    served,
)

AUDIT = "audit: {file: log/audit.log, on_failure: block}\n"
"""A section of its own, which stands where keys end."""
KILLS = 3
CANARY = "canary-51c2ab"
GUESS = "guess-of-a-caller-0123"


def sealyard(folder: Path, *words: str, status: int = 0) -> str:
    command = [sys.executable, "-P", "-m", "proxy", *words, "--config", "sealyard.yaml"]
    done = subprocess.run(  # noqa: S603 - Sealyard itself
        command, cwd=folder, env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout


def lines(folder: Path) -> list[dict[str, Any]]:
    text = (folder / "log" / "audit.log").read_text()
    return [json.loads(line) for line in text.splitlines() if line.endswith('"}')]


async def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


async def posted(ours: Served, body: dict[str, str]) -> tuple[int, str, dict[str, str]]:
    url = f"http://127.0.0.1:{ours.port}/api/messages"
    async with aiohttp.ClientSession() as session, session.post(url, json=body) as response:
        return response.status, await response.text(), dict(response.headers)


async def called(ours: Served, method: str, path: str, token: str = TOKEN) -> int:
    headers = {"Authorization": f"Bearer {token}"}
    url = f"http://127.0.0.1:{ours.admin}{path}"
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.request(method, url) as response,
    ):
        return response.status


async def ready(ours: Served) -> int:
    url = f"http://127.0.0.1:{ours.health}/readyz"
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return response.status


@pytest.mark.parametrize(
    ("workers", "rounds"), [(1, 1), (3, 1), pytest.param(3, KILLS, marks=pytest.mark.slow)]
)
async def test_every_process_writes_one_chain_even_when_some_are_killed(
    tmp_path: Path, workers: int, rounds: int
) -> None:
    (tmp_path / "log").mkdir()
    async with backend() as behind:
        with served(tmp_path, behind.port, "--workers", str(workers), keys_more=AUDIT) as ours:
            await ours.event("server.ready")
            load = Load(f"http://127.0.0.1:{ours.port}/api/messages", canary=CANARY, pause=0.02)
            loading = asyncio.get_running_loop().create_task(load.run(8))
            for number in range(rounds):
                assert await called(ours, "POST", "/-/reload") == 200
                assert await called(ours, "GET", "/v1/status", GUESS) == 401
                started = [one for one in ours.events if one["event"] == "worker.started"]
                if started:
                    os.kill(started[-1]["worker_pid"], signal.SIGKILL)
                    await ours.event("worker.ready", workers + number + 1)
            sealyard(tmp_path, "keys", "add")
            await until(lambda: "keys.add" in {line["event"] for line in lines(tmp_path)})
            load.stop.set()
            await loading
        assert load.wrong == []
    sealyard(tmp_path, "audit", "verify")
    events = {line["event"] for line in lines(tmp_path)}
    expected = {"audit.began", "process.started", "process.stopped", "config.loaded", "keys.add"}
    assert expected | {"admin.called", "admin.refused", "key.session_created"} <= events
    pids = {line["pid"] for line in lines(tmp_path) if line["event"] == "process.started"}
    assert len(pids) == (1 if workers == 1 else workers + rounds)
    text = (tmp_path / "log" / "audit.log").read_text()
    for secret in (CANARY, TOKEN, GUESS):
        assert secret not in text
    assert re.search(r"\balpha\b", text) is None  # five letters may stand within a MAC
    assert CANARY not in ours.log.read_text()


async def test_where_nothing_can_be_written_down_nothing_begins_and_nothing_opens(
    tmp_path: Path,
) -> None:
    (tmp_path / "log").mkdir()
    async with backend() as behind:
        with served(tmp_path, behind.port, keys_more=AUDIT) as ours:
            await ours.event("server.ready")
            body = {"conversationId": "c1", "content": CANARY, "note": CANARY}
            assert (await posted(ours, body))[0] == 200
            (tmp_path / "log").rename(tmp_path / "away")
            assert await called(ours, "POST", "/-/reload") == 503
            status, answer, headers = await posted(ours, body)
            assert (status, headers["Sealyard-Error"]) == (503, "key-unavailable")
            assert CANARY not in answer
            assert (await posted(ours, {**body, "conversationId": "c2"}))[0] == 503
            async with asyncio.timeout(PATIENCE_SECONDS):
                while await ready(ours) != 503:  # noqa: ASYNC110 - another process sets no event
                    await asyncio.sleep(0.05)
            assert await called(ours, "GET", "/v1/config") == 503
            told = await ours.event("audit.failed")
            assert (told["reason"], told["blocks"]) == ("No such file or directory", True)
            (tmp_path / "away").rename(tmp_path / "log")
            await until(lambda: "audit.failed" in {line["event"] for line in lines(tmp_path)})
            status, answer, _ = await posted(ours, body)
            assert (status, json.loads(answer)["content"]) == (200, CANARY)
    sealyard(tmp_path, "audit", "verify")


async def test_a_log_that_cannot_be_written_from_the_start_lets_nothing_begin(
    tmp_path: Path,
) -> None:
    async with backend() as behind:
        with served(tmp_path, behind.port, keys_more=AUDIT) as ours:
            assert await ours.ended() == 3
    assert "audit line was not written" in ours.log.read_text()


async def test_a_rule_that_shuts_on_poison_is_shut_in_every_worker_until_the_next_reload(
    tmp_path: Path,
) -> None:
    (tmp_path / "log").mkdir()
    rules = (
        "      - name: open\n        match: POST /api/messages\n        poison: shut\n"
        "        conversation: $.conversationId\n        request: {decrypt: $.content}\n"
    )
    async with backend() as behind:
        with served(tmp_path, behind.port, "--workers", "3", keys_more=AUDIT, rules=rules) as ours:
            await ours.event("server.ready")
            poison = sealyard(tmp_path, "audit", "plant", "--label", "row 17").strip()
            status, _, headers = await posted(ours, {"conversationId": "c", "content": poison})
            assert (status, headers["Sealyard-Error"]) == (400, "open-failed")
            alarm = await ours.event("poison.opened")
            assert (alarm["rule"], alarm["shut"]) == ("open", True)
            await asyncio.sleep(2.5)
            for _ in range(20):
                status, _, _ = await posted(ours, {"conversationId": "c", "content": "x"})
                assert status == 403
            assert await called(ours, "POST", "/-/reload") == 200
            for _ in range(20):
                status, _, _ = await posted(ours, {"conversationId": "c", "content": "x"})
                assert status == 400
            await until(lambda: "poison.opened" in {line["event"] for line in lines(tmp_path)})
    sealyard(tmp_path, "audit", "verify")
    assert len(behind.bodies) == 0


@pytest.mark.parametrize("kills", [1, pytest.param(2 * KILLS, marks=pytest.mark.slow)])
async def test_whatever_a_client_got_has_a_line_although_workers_are_killed(
    tmp_path: Path, kills: int
) -> None:
    (tmp_path / "log").mkdir()
    got: set[str] = set()
    audit = AUDIT.replace("block}", "block, opens: all}")
    stop = asyncio.Event()

    async def ask(ours: Served, who: int) -> None:
        at = 0
        while not stop.is_set():
            at += 1
            conversation = f"c{who}-{at}"
            await asyncio.sleep(0.05)  # leaves time for workers to start, and the log short
            body = {"conversationId": conversation, "content": CANARY, "note": CANARY}
            try:
                _, answer, _ = await posted(ours, body)
            except aiohttp.ClientError:  # by a worker that was killed
                continue
            if CANARY in answer:
                got.add(conversation)

    async with backend() as behind:
        with served(tmp_path, behind.port, "--workers", "3", keys_more=audit) as ours:
            await ours.event("server.ready")
            asking = [asyncio.get_running_loop().create_task(ask(ours, who)) for who in range(6)]
            for number in range(kills):
                await asyncio.sleep(0.3)
                started = [one for one in ours.events if one["event"] == "worker.started"]
                os.kill(started[-1]["worker_pid"], signal.SIGKILL)
                await ours.event("worker.ready", 3 + number + 1)
            await until(lambda: len(got) > 50)
            stop.set()
            await asyncio.gather(*asking)
    sealyard(tmp_path, "audit", "verify")
    for conversation in sorted(got)[:: len(got) // 20]:
        told = sealyard(
            tmp_path, "audit", "show", "--tenant", "alpha", "--conversation", conversation, "--json"
        )
        assert '"open.attempted"' in told, conversation
    text = (tmp_path / "log" / "audit.log").read_text()
    assert CANARY not in text
