"""What several workers count is one figure, and no reload or death makes it go back."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from pathlib import Path

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from tests.scenarios.rig import Served, backend, served


async def send(ours: Served, number: int) -> None:
    """Send messages, each on a connection of its own, so that every worker gets some."""
    for one in range(number):
        body = {"conversationId": f"c{one}", "content": "a", "note": "b"}
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"http://127.0.0.1:{ours.port}/api/messages", json=body) as answer,
        ):
            assert answer.status == 200


async def scraped(ours: Served) -> Mapping[tuple[str, tuple[str, ...]], float]:
    """Return every sample by its name and the values of its labels, in the order of their names."""
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(await ours.metrics())
        for sample in family.samples
    }


async def test_counters_are_exact_over_workers_their_death_and_a_reload(tmp_path: Path) -> None:
    async with backend() as behind:
        with served(tmp_path, behind.port, "--workers", "2") as ours:
            await ours.event("server.ready")
            await send(ours, 40)
            first = await scraped(ours)  # what a worker has told is kept when it dies
            for number in (1, 2):
                worker = await ours.event("worker.ready", number)
                os.kill(int(worker["worker_pid"]), signal.SIGKILL)
                await ours.event("worker.died", number)
                await ours.event("worker.ready", 2 + number)
            killed = await scraped(ours)
            file = tmp_path / "sealyard.yaml"
            file.write_text(file.read_text().replace("- name: alpha", "- name: beta"))
            ours.process.send_signal(signal.SIGHUP)
            await ours.event("config.loaded", 2)
            await send(ours, 10)
            last = await scraped(ours)

    old, new = ("api", "forwarded", "alpha"), ("api", "forwarded", "beta")
    for seen in (first, killed, last):
        assert seen["sealyard_messages_total", old] == 40
        assert seen["sealyard_values_total", ("request", "api", "sealed", "alpha")] == 80
        assert seen["sealyard_values_total", ("response", "api", "opened", "alpha")] == 80
        assert seen["sealyard_workers", ("wanted",)] == seen["sealyard_workers", ("ready",)] == 2
        assert seen["sealyard_ready", ()] == 1
        assert seen["sealyard_kek_state", ("k1", "primary")] == 2
    assert last["sealyard_messages_total", new] == 10
    duration = "sealyard_request_duration_seconds_count"
    for rule, number in (("alpha", 40), ("beta", 10)):
        assert last[duration, ("api", "POST", "forwarded", rule, "2xx")] == number
    assert last["sealyard_worker_restarts_total", ()] == 2
    counters = [key for key in first if key[0].endswith(("_total", "_count", "_bucket", "_sum"))]
    assert [key for key in counters if last[key] < first[key]] == []


async def test_plain_values_of_a_permissive_rule_are_counted_from_nought(tmp_path: Path) -> None:
    """A counter that began with 1 would not have increased, and raise no alert."""
    async with backend() as behind:
        with served(tmp_path, behind.port) as ours:
            await ours.event("server.ready")
            file = tmp_path / "sealyard.yaml"
            mode = "defaults: {mode: permissive until 2999-01-01, "
            file.write_text(file.read_text().replace("defaults: {", mode))
            ours.process.send_signal(signal.SIGHUP)
            await ours.event("config.loaded", 2)
            seen = await scraped(ours)

    assert seen["sealyard_values_total", ("response", "api", "plain", "alpha")] == 0
    assert seen["sealyard_permissive_until_timestamp_seconds", ("api", "alpha")] > 3e10
