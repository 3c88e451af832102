from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import aiohttp
import pytest

from tests.scenarios.rig import (
    A_FORM,
    B_FORM,
    PATIENCE_SECONDS,
    TOKEN,
    Load,
    Served,
    backend,
    served,
)
from tests.scenarios.test_health import processed
from tests.servers import free_port

KILLS = 3
HELD = """
import os, time

def hold(_logger, _level, entry):
    if entry["event"] == "listener.started" and os.path.exists(os.environ["HOLD"]):
        time.sleep(4)
    return entry
"""
"""An operator's processor of log lines: once a file is there, a worker takes long to start."""
WAITING = """
import os, pathlib, time

def wait(_logger, _level, entry):
    if entry["event"] == "server.started":
        pathlib.Path(os.environ["BEGUN"]).touch()
        while not os.path.exists(os.environ["GO_ON"]):
            time.sleep(0.01)
    return entry
"""
"""An operator's processor of log lines: the start goes on once its configuration is read, and a
file is there."""
QUIET = """\
      - name: alpha
        match: POST /api/messages
        conversation: $.conversationId
        log: {level: warning}
        request: {encrypt: [$.content, $.note]}
        response: {decrypt: [$.content, $.note]}
"""


def url(ours: Served) -> str:
    return f"http://127.0.0.1:{ours.port}/api/messages"


async def readiness(ours: Served) -> int:
    """Return the status of /readyz, 0 where nobody answers."""
    async with aiohttp.ClientSession() as session:
        try:
            async with session.get(f"http://127.0.0.1:{ours.health}/readyz") as response:
                return response.status
        except aiohttp.ClientConnectionError:
            return 0


def runs(pid: int) -> bool:
    """Tell whether a process runs; one that has ended and that nobody waited for does not."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def counted(text: str, name: str) -> float:
    """Return the sum of all samples of a metric."""
    lines = [line for line in text.splitlines() if line.startswith(name)]
    return sum(float(line.rpartition(" ")[2]) for line in lines)


@pytest.mark.parametrize("workers", [1, 2])
async def test_b17_a_hangup_during_the_start_is_not_lost(tmp_path: Path, workers: int) -> None:
    """What it was sent for may have been written behind what the start had read already."""
    begun, go_on = tmp_path / "begun", tmp_path / "go-on"
    options, variables = processed(tmp_path, "waiting:wait", WAITING, BEGUN=begun, GO_ON=go_on)
    options = (*options, "--workers", str(workers))
    with served(tmp_path, free_port(), *options, variables=variables) as ours:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not begun.exists():  # noqa: ASYNC110 - another process sets no event here
                await asyncio.sleep(0.01)
        ours.process.send_signal(signal.SIGHUP)
        go_on.touch()
        await ours.event("server.ready")
        assert (await ours.event("config.loaded", 2))["cause"] == "signal"


@pytest.mark.parametrize("workers", [1, 2])
async def test_b17_a_hangup_reloads_and_a_broken_file_changes_nothing(
    tmp_path: Path, workers: int
) -> None:
    async with backend() as behind:
        with served(tmp_path, behind.port, "--workers", str(workers)) as ours:
            await ours.event("server.ready")
            load = Load(url(ours))
            loading = asyncio.get_running_loop().create_task(load.run(3))
            async with asyncio.timeout(PATIENCE_SECONDS):
                while load.answered < 3:  # noqa: ASYNC110 - the clients wait for nobody
                    await asyncio.sleep(0.01)
            text = (tmp_path / "sealyard.yaml").read_text()
            (tmp_path / "sealyard.yaml").write_text(
                text.replace(f"form: {A_FORM}", f"form: {B_FORM}")
            )
            ours.process.send_signal(signal.SIGHUP)
            await ours.event("config.loaded", 2)
            (tmp_path / "sealyard.yaml").write_text("version: 1")
            ours.process.send_signal(signal.SIGHUP)
            await ours.event("config.refused")
            start = len(behind.bodies)
            await asyncio.sleep(0.3)
            load.stop.set()
            await loading
            seen = behind.forms()
            behind.bodies = behind.bodies[start + 3 :]

    assert (load.wrong, load.cut, load.refused) == ([], 0, 0)
    assert seen == {A_FORM, B_FORM}
    assert behind.forms() == {B_FORM}


@pytest.mark.parametrize("workers", [1, 2])
async def test_b16_a_drain_under_load_answers_everything_that_the_backend_got(
    tmp_path: Path, workers: int
) -> None:
    async with backend() as behind:
        behind.pause = 0.02
        options = ("--workers", str(workers), "--drain-delay", "0.5", "--grace", "5")
        with served(tmp_path, behind.port, *options) as ours:
            await ours.event("server.ready")
            before = await readiness(ours)
            load = Load(url(ours))
            loading = asyncio.get_running_loop().create_task(load.run(8))
            await asyncio.sleep(0.5)
            ours.process.send_signal(signal.SIGTERM)
            await ours.event("server.draining")
            async with asyncio.timeout(PATIENCE_SECONDS):
                while (during := await readiness(ours)) == before:  # noqa: ASYNC110 - nobody tells
                    await asyncio.sleep(0.01)
            seen = load.answered
            await ours.event("server.stopping")
            served_while_draining = load.answered - seen
            code = await ours.ended()
            load.stop.set()
            await loading

    assert (before, during, code) == (200, 503, 0)
    assert served_while_draining > 0
    assert load.wrong == []
    # An idle connection may close under its client's next message: nobody has seen that one.
    assert load.answered == len(behind.bodies)
    assert load.cut <= 8
    assert load.canary.encode() not in b"".join(behind.bodies)


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_second_signal_ends_it_at_once(tmp_path: Path, workers: int) -> None:
    async with backend() as behind:
        behind.pause = 5
        with served(tmp_path, behind.port, "--workers", str(workers), "--grace", "60") as ours:
            await ours.event("server.ready")
            load = Load(url(ours))
            loading = asyncio.get_running_loop().create_task(load.run(1))
            await asyncio.sleep(0.3)
            ours.process.send_signal(signal.SIGTERM)
            await ours.event("server.stopping")
            began = time.monotonic()
            ours.process.send_signal(signal.SIGINT)
            code = await ours.ended()
            took = time.monotonic() - began
            load.stop.set()
            await loading

    assert code == 1
    assert took < 4  # it did not wait for the message


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_rule_that_nothing_matched_shows_in_the_metrics(
    tmp_path: Path, workers: int
) -> None:
    async with backend() as behind:
        with served(tmp_path, behind.port, "--workers", str(workers)) as ours:
            await ours.event("server.ready")
            text = await ours.metrics()

    labels = '{listener="api",outcome="forwarded",rule="alpha"}'
    assert f"sealyard_messages_total{labels} 0.0" in text.splitlines()
    assert f'sealyard_kek_state{{kek="k1",state="primary"}} {workers}.0' in text.splitlines()


@pytest.mark.parametrize(
    ("clients", "pause", "kills", "every"),
    [(8, 0.02, 3, 0.5), pytest.param(100, 0.18, 120, 5.0, marks=pytest.mark.slow)],
    ids=["short", "long"],
)
async def test_b18_killed_workers_cost_no_more_than_what_they_had_under_way(
    tmp_path: Path,
    clients: int,
    pause: float,
    kills: int,
    every: float,
    *,
    record_property: Callable[[str, object], None],
) -> None:
    """The long form kills for ten minutes at 500 messages a second."""
    async with backend() as behind:
        with served(tmp_path, behind.port, "--workers", "2", rules=QUIET) as ours:
            await ours.event("server.ready")
            load = Load(url(ours), pause=pause)
            began = time.monotonic()
            loading = asyncio.get_running_loop().create_task(load.run(clients))
            for number in range(kills):
                await asyncio.sleep(every)
                worker = await ours.event("worker.ready", 2 + number)
                os.kill(int(worker["worker_pid"]), signal.SIGKILL)
                await ours.event("worker.died", number + 1)
            ready = await ours.event("worker.ready", 2 + kills)
            await asyncio.sleep(1.2)
            status = await readiness(ours)
            load.stop.set()
            await loading
            took = time.monotonic() - began
            await asyncio.sleep(1.2)
            text = await ours.metrics()
            ours.process.send_signal(signal.SIGTERM)
            code = await ours.ended()

    record_property("kills", f"{kills} in {took:.0f} s")
    record_property("rate", f"{load.answered / took:.0f} a second")
    record_property("lost", f"{load.cut} of {load.answered:,}")
    assert ready["duration_ms"] > 0
    assert (status, code) == (200, 0)
    assert load.wrong == []
    assert load.refused == 0
    assert load.cut <= clients * kills
    assert len(behind.bodies) <= load.answered + load.cut
    assert behind.forms() == {A_FORM}
    assert load.canary.encode() not in b"".join(behind.bodies)
    assert counted(text, "sealyard_worker_restarts_total") == kills
    # What a killed worker counted after its last beat is lost; nothing is counted twice.
    total = counted(text, "sealyard_messages_total")
    assert load.answered / 3 < total <= load.answered + load.cut


async def test_operators_never_see_an_internal_error_for_a_worker_that_ends(
    tmp_path: Path,
) -> None:
    scope = {"tenant": "alpha", "conversation": "c1"}
    headers = {"Authorization": f"Bearer {TOKEN}"}
    statuses: Counter[int] = Counter()
    async with backend() as behind, aiohttp.ClientSession(headers=headers) as session:
        with served(tmp_path, behind.port, "--workers", "2") as ours:
            await ours.event("server.ready")
            place = f"http://127.0.0.1:{ours.admin}/v1/sessions/rotate"

            async def rotate() -> None:
                async with session.post(place, json=scope) as response:
                    statuses[response.status] += 1

            for kill in range(KILLS):
                started = [one for one in ours.events if one["event"] == "worker.started"]
                async with asyncio.TaskGroup() as group:
                    for number in range(20):
                        group.create_task(rotate())
                        if number == 10:
                            await asyncio.sleep(0.005)
                            # With questions that it has not read; each slot in its turn.
                            os.kill(started[-1]["worker_pid"], signal.SIGSTOP)
                            await asyncio.sleep(0.005)
                            os.kill(started[-1]["worker_pid"], signal.SIGKILL)
                await ours.event("worker.ready", 2 + kill + 1)
            unhandled = [one for one in ours.events if one["event"] == "exception.unhandled"]

    assert (statuses, unhandled) == ({200: 20 * KILLS}, [])


async def test_an_operation_behind_a_start_that_fails_is_done_by_the_others(tmp_path: Path) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with backend() as behind, aiohttp.ClientSession(headers=headers) as session:
        with served(tmp_path, behind.port, "--workers", "2") as ours:
            await ours.event("server.ready")
            (tmp_path / "keyring.jwe").rename(tmp_path / "away.jwe")
            started = [one for one in ours.events if one["event"] == "worker.started"]
            os.kill(started[-1]["worker_pid"], signal.SIGKILL)
            await ours.event("worker.started", 3)
            place = f"http://127.0.0.1:{ours.admin}/v1/sessions/rotate"
            scope = {"tenant": "alpha", "conversation": "c1"}
            async with session.post(place, json=scope) as response:
                status = response.status
            unhandled = [one for one in ours.events if one["event"] == "exception.unhandled"]

    assert (status, unhandled) == (200, [])


async def test_a_worker_that_takes_long_to_start_is_not_taken_for_a_stalled_one(
    tmp_path: Path,
) -> None:
    hold = tmp_path / "hold"
    options, variables = processed(tmp_path, "held:hold", HELD, HOLD=hold)
    async with backend() as behind, aiohttp.ClientSession() as session:
        with served(
            tmp_path,
            behind.port,
            *options,
            "--workers",
            "2",
            variables=variables,
            health_more=", stalled_after: 2s",
        ) as ours:
            await ours.event("server.ready")
            hold.touch()
            started = [one for one in ours.events if one["event"] == "worker.started"]
            os.kill(started[-1]["worker_pid"], signal.SIGKILL)
            alive = set()
            ready = asyncio.get_running_loop().create_task(ours.event("worker.ready", 3))
            while not ready.done():
                async with session.get(f"http://127.0.0.1:{ours.health}/livez") as response:
                    alive.add(response.status)
                await asyncio.sleep(0.2)
            await ready
            stalled = [one for one in ours.events if one["event"] == "worker.stalled"]

    assert (alive, stalled) == ({200}, [])


async def test_an_operation_that_a_worker_does_not_answer_is_a_503(tmp_path: Path) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with backend() as behind, aiohttp.ClientSession(headers=headers) as session:
        with served(tmp_path, behind.port, "--workers", "2") as ours:
            await ours.event("server.ready")
            started = [one for one in ours.events if one["event"] == "worker.started"]
            os.kill(started[0]["worker_pid"], signal.SIGSTOP)
            try:
                place = f"http://127.0.0.1:{ours.admin}/v1/sessions/rotate"
                scope = {"tenant": "alpha", "conversation": "c1"}
                async with session.post(place, json=scope) as response:
                    answer = response.status, response.headers["Sealyard-Error"]
            finally:
                os.kill(started[0]["worker_pid"], signal.SIGCONT)
            unhandled = [one for one in ours.events if one["event"] == "exception.unhandled"]

    assert answer == (503, "worker-gone")
    assert unhandled == []


async def test_a_worker_replaced_after_a_refused_reload_begins_with_what_is_in_force(
    tmp_path: Path,
) -> None:
    async with backend() as behind:
        with served(tmp_path, behind.port, "--workers", "2") as ours:
            await ours.event("server.ready")
            (tmp_path / "sealyard.yaml").write_text("broken: [")
            await ours.event("config.refused")
            for worker in [one for one in ours.events if one["event"] == "worker.ready"]:
                os.kill(int(worker["worker_pid"]), signal.SIGKILL)
            await ours.event("worker.ready", 4)
            load = Load(url(ours))
            loading = asyncio.get_running_loop().create_task(load.run(2))
            async with asyncio.timeout(PATIENCE_SECONDS):
                while load.answered < 2:  # noqa: ASYNC110 - the clients wait for nobody
                    await asyncio.sleep(0.01)
            load.stop.set()
            await loading

    assert behind.forms() == {A_FORM}


async def test_workers_end_when_their_supervisor_is_gone(tmp_path: Path) -> None:
    async with backend() as behind:
        with served(tmp_path, behind.port, "--workers", "2") as ours:
            await ours.event("server.ready")
            workers = [one for one in ours.events if one["event"] == "worker.ready"]
            ours.process.kill()
            await ours.ended()
            async with asyncio.timeout(10):
                for worker in workers:
                    while runs(int(worker["worker_pid"])):  # noqa: ASYNC110 - no child of ours
                        await asyncio.sleep(0.05)


async def test_workers_share_a_unix_socket_and_remove_it_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "front.sock"
    async with backend() as behind:
        options = ("--workers", "2")
        with served(tmp_path, behind.port, *options, listen=f"unix:{path}") as ours:
            await ours.event("server.ready")
            connector = aiohttp.UnixConnector(str(path))
            async with aiohttp.ClientSession(connector=connector) as session:
                body = {"conversationId": "c", "content": "x", "note": "y"}
                async with session.post("http://localhost/api/messages", json=body) as response:
                    answer = await response.json()
            ours.process.send_signal(signal.SIGTERM)
            code = await ours.ended()

    assert (answer, code) == (body, 0)
    assert behind.forms() == {A_FORM}
    assert not path.exists()
