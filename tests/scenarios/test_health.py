"""Probes and scrapers are answered whatever the traffic does to its event loop."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import time
from pathlib import Path

import aiohttp
import pytest

from tests.scenarios.rig import Load, Served, backend, served
from tests.servers import free_port

HELD = """
import os, time
def hold(_logger, _level, entry):
    file = os.environ["HELD_BY"]
    if entry["event"] == "message.handled" and os.path.exists(file):
        time.sleep(float(open(file).read()))
    return entry
"""
"""An operator's processor of log lines: it blocks the event loop of the traffic."""
LOADED = """
import json, os, sys
def tell(_logger, _level, entry):
    if entry["event"] == "server.ready":
        with open(os.environ["LOADED"], "w") as file:
            json.dump(list(sys.modules), file)
    return entry
"""
"""Another: it tells which modules are loaded when all listeners accept connections."""
SOON = ", stalled_after: 1s"


async def asked(ours: Served, path: str) -> tuple[int, str, float]:
    """Return status and text of the health listener, and how many seconds they took."""
    began = time.monotonic()
    timeout = aiohttp.ClientTimeout(total=20)
    url = f"http://127.0.0.1:{ours.health}{path}"
    async with aiohttp.ClientSession(timeout=timeout) as session, session.get(url) as response:
        text = await response.text()
        return response.status, text, time.monotonic() - began


async def until(ours: Served, path: str, status: int) -> str:
    """Ask until the answer has this status; return its text."""
    async with asyncio.timeout(20):
        while True:
            found, text, _ = await asked(ours, path)
            if found == status:
                return text
            await asyncio.sleep(0.05)


def hold(folder: Path, seconds: float) -> None:
    """Let each message hold the event loop up for so long from now on; 0: not any more."""
    file = folder / "held"
    if seconds:
        file.write_text(str(seconds))
    else:
        file.unlink()


def holding(folder: Path) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return options and variables of a server whose event loop can be held up."""
    return processed(folder, "holding:hold", HELD, HELD_BY=folder / "held")


def processed(
    folder: Path, name: str, text: str, **variables: Path
) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return options and variables of a server with a processor of log lines."""
    (folder / f"{name.partition(':')[0]}.py").write_text(text)
    path = os.pathsep.join((str(Path(__file__).parents[2]), str(folder)))
    given = {key: str(file) for key, file in variables.items()}
    return ("--log-processor", name), {"PYTHONPATH": path, **given}


async def test_a_loop_that_is_late_is_alive_and_ready(tmp_path: Path) -> None:
    options, variables = holding(tmp_path)
    async with backend() as behind:
        with served(tmp_path, behind.port, *options, variables=variables) as ours:
            await ours.event("server.ready")
            await until(ours, "/readyz", 200)
            hold(tmp_path, 2)
            load = Load(f"http://127.0.0.1:{ours.port}/api/messages")
            loading = asyncio.get_running_loop().create_task(load.run(2))
            await asyncio.sleep(1)
            answers = [
                await asked(ours, path)
                for _ in range(10)
                for path in ("/livez", "/readyz", "/metrics")
            ]
            hold(tmp_path, 0)
            load.stop.set()
            await loading
            metrics = await until(ours, "/metrics", 200)

    assert {status for status, _, _ in answers} == {200}
    took = sorted(seconds for _, _, seconds in answers)
    assert took[len(took) // 2] < 1  # half of the time that the loop is held up for
    assert load.wrong == []
    handled = re.search(r'messages_total{.*outcome="forwarded".*} ([1-9]\d*)', metrics)
    assert handled is not None
    assert load.canary not in "".join(text for _, text, _ in answers) + ours.log.read_text()


async def test_what_a_scrape_needs_is_loaded_before_the_first_one(tmp_path: Path) -> None:
    """To load it takes 25 ms of a processor, and in an overload four times as long."""
    found = tmp_path / "loaded.json"
    options, variables = processed(tmp_path, "loaded:tell", LOADED, LOADED=found)
    with served(tmp_path, free_port(), *options, variables=variables) as ours:
        await ours.event("server.ready")
        loaded = json.loads(found.read_text())

    assert "proxy.telemetry.metrics.prometheus_text" in loaded


async def test_a_loop_that_stands_still_is_told_and_so_is_its_return(tmp_path: Path) -> None:
    options, variables = holding(tmp_path)
    async with backend() as behind:
        with served(tmp_path, behind.port, *options, variables=variables, health_more=SOON) as ours:
            await ours.event("server.ready")
            assert (await asked(ours, "/livez"))[:2] == (200, "ok\n")
            hold(tmp_path, 4)
            load = Load(f"http://127.0.0.1:{ours.port}/api/messages")
            loading = asyncio.get_running_loop().create_task(load.run(1))
            alive = await until(ours, "/livez", 503)
            ready = await until(ours, "/readyz?verbose", 503)
            scraped, text, took = await asked(ours, "/metrics")
            hold(tmp_path, 0)
            load.stop.set()
            await until(ours, "/livez", 200)
            await until(ours, "/readyz", 200)
            await loading

    assert alive.startswith("stalled: no heartbeat for ")
    assert "[-] heartbeat: none for " in ready
    assert scraped == 200
    assert "\nsealyard_ready 0" in text
    assert took < 4  # it did not wait for the loop
    assert load.wrong == []


@pytest.mark.timing
async def test_a_worker_that_stands_still_is_told_and_so_is_its_return(tmp_path: Path) -> None:
    async with backend() as behind:
        with served(tmp_path, behind.port, "--workers", "2", health_more=SOON) as ours:
            await ours.event("server.ready")
            await until(ours, "/readyz", 200)
            pid = (await ours.event("worker.ready", 2))["worker_pid"]
            os.kill(pid, signal.SIGSTOP)
            try:
                answers = [await asked(ours, path) for path in ("/livez", "/readyz", "/metrics")]
                alive = await until(ours, "/livez", 503)
                scraped, text, took = await asked(ours, "/metrics")
            finally:
                os.kill(pid, signal.SIGCONT)
            await until(ours, "/livez", 200)
            await until(ours, "/readyz", 200)
            running = ours.process.poll()

    age = re.compile(r"^sealyard_heartbeat_age_seconds [1-9]", re.MULTILINE)
    assert [status for status, _, _ in answers] == [200, 200, 200]
    assert all(seconds < 1 for _, _, seconds in answers)
    assert alive.startswith("stalled: no heartbeat for ")
    assert scraped == 200
    assert took < 1
    assert age.search(text) is not None
    assert running is None


async def test_a_worker_that_stands_still_for_good_is_replaced(tmp_path: Path) -> None:
    async with backend() as behind:
        with served(tmp_path, behind.port, "--workers", "2", health_more=SOON) as ours:
            await ours.event("server.ready")
            pid = (await ours.event("worker.ready", 2))["worker_pid"]
            os.kill(pid, signal.SIGSTOP)
            stalled = await ours.event("worker.stalled")
            await ours.event("worker.ready", 3)
            await until(ours, "/livez", 200)
            await until(ours, "/readyz", 200)
            load = Load(f"http://127.0.0.1:{ours.port}/api/messages", pause=0.01)
            loading = asyncio.get_running_loop().create_task(load.run(4))
            await asyncio.sleep(1)
            load.stop.set()
            await loading

    assert stalled["worker_pid"] == pid
    assert 3 <= stalled["silent_s"] < 9  # a busy machine looks later than each second
    assert (load.wrong, load.cut, load.refused) == ([], 0, 0)
    assert load.answered
