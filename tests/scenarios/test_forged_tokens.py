"""A client with a token that is known, beside one that sends 5,000 forged ones a second."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import aiohttp
import pytest

from proxy.traffic.policy import FAILED_AT_ONCE, FAILED_PER_SECOND
from tests.scenarios.rig import ROOT, Served, backend, served
from tests.scenarios.test_callers import CALLERS, RULES, SENT, write_keys
from tests.traffic.callers.issuers import signed
from tools.bench.cpu import cpu_seconds

PER_SECOND: Final = 5000
PAUSE_SECONDS: Final = 0.002


@contextmanager
def beside(one: Served, target: str, token: str) -> Iterator[None]:
    """Have so many requests sent beside, all of them refused: for a token, or for their path."""
    options = [str(one.port), str(PER_SECOND), target, token]
    command = [sys.executable, "-m", "tests.scenarios.forger", *options]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)  # noqa: S603 - our own
    try:
        assert process.stdout is not None
        # The backend is in the loop that waits here: it must get none of them.
        assert process.stdout.readline().split()[1] in {b"400", b"401", b"429"}
        yield
    finally:
        assert process.poll() is None
        process.kill()
        process.communicate()


async def waits(session: aiohttp.ClientSession, one: Served, seconds: float) -> list[float]:
    """Return how long answers take, in milliseconds; each must be one of success."""
    found: list[float] = []
    until = time.monotonic() + seconds
    while (began := time.monotonic()) < until:
        url = f"http://127.0.0.1:{one.port}/api/messages"
        async with session.post(url, json=SENT) as answer:
            assert answer.status == 200
            await answer.read()
        found.append((time.monotonic() - began) * 1000)
        await asyncio.sleep(PAUSE_SECONDS)
    return found


def p99(times: list[float]) -> float:
    return sorted(times)[len(times) * 99 // 100]


def counted(metrics: str, outcome: str) -> int:
    found = re.findall(rf'sealyard_callers_total{{[^}}]*outcome="{outcome}"[^}}]*}} (\d+)', metrics)
    return sum(map(int, found))


@dataclass
class Phase:
    """What answers took beside one load, and what the sidecar spent meanwhile."""

    times: list[float] = field(default_factory=list)
    spent: float = 0.0

    async def add(self, session: aiohttp.ClientSession, one: Served, seconds: float) -> None:
        before = cpu_seconds(one.process.pid)
        self.times += await waits(session, one, seconds)
        self.spent += cpu_seconds(one.process.pid) - before

    def __str__(self) -> str:
        times = sorted(self.times)
        shown = f"p50 {times[len(times) // 2]:.1f} ms, p99 {p99(times):.1f} of {len(times)}"
        return f"{shown}, {self.spent:.2f} s of processor"


@pytest.mark.timing
@pytest.mark.parametrize("seconds", [2.0, pytest.param(20.0, marks=pytest.mark.slow)])
async def test_a_polite_client_waits_for_refusals_and_not_for_signatures(
    seconds: float, tmp_path: Path
) -> None:
    write_keys(tmp_path, "ES256")
    token = signed()
    forged = f"{token[:-8]}AAAAAAAA"
    alone, refused, attacked = Phase(), Phase(), Phase()
    async with (
        backend() as behind,
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as session,
    ):
        with served(tmp_path, behind.port, rules=RULES, listener_more=CALLERS) as one:
            await one.event("server.ready")
            await waits(session, one, 0.5)
            began = time.monotonic()
            for _ in range(3):  # in turns, since the machine has other work
                for phase, more in (
                    (alone, nullcontext()),
                    (refused, beside(one, "/none%00", "")),
                    (attacked, beside(one, "/api/messages", forged)),
                ):
                    with more:
                        await phase.add(session, one, seconds)
            passed = time.monotonic() - began
            metrics = await one.metrics()

    rate = counted(metrics, "throttled") / (3 * seconds)
    print(  # noqa: T201 - `-rP` measures
        f"alone: {alone}; beside refusals: {refused}; beside forgeries: {attacked};"
        f" {rate:.0f} forgeries a second; p99 times {p99(attacked.times) / p99(alone.times):.2f}"
    )
    assert counted(metrics, "refused") <= FAILED_AT_ONCE + FAILED_PER_SECOND * (passed + 1)
    assert rate > PER_SECOND / 5
    # Beside as many refusals of another kind; twice, since the machine has other work. The goal,
    # 1.2 times the p99 alone, is told and not asserted: forger, client, backend and sidecar wait
    # for each other where they have no processor each.
    assert p99(attacked.times) < 2 * p99(refused.times) + 50
    assert not any(b"canary" in body for body in behind.bodies)
