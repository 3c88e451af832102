"""Load: one request over and over, from wrk on many connections, or one after the other."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import tempfile
import time
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Final

from . import cpu
from .running import Running
from .works import Work

_SCRIPT: Final = Path(__file__).with_name("wrk.lua")
_SPARE_SECONDS: Final = 30
_LEAST_MESSAGES: Final = 10


@dataclass(frozen=True, slots=True)
class Sample:
    """What one run showed: rates a second and a CPU second, latencies in µs, and resident MiB."""

    per_second: float
    per_cpu_second: float
    p50: float
    p99: float
    resident: float


class LoadFailed(Exception):
    """Not every request was answered with 2xx; the text says by whom."""


def run(
    running: Running, work: Work, connections: int, seconds: int, *, conversations: int = 1
) -> Sample:
    """Load a peer with one kind of work, and return what it did and cost.

    With `conversations` above 1 the body's `@@@@@@@` is numbered in turn. Raises LoadFailed.
    """
    with tempfile.TemporaryDirectory(prefix="sealyard-load-") as folder:
        body = Path(folder, "body")
        body.write_bytes(work.body)
        url = f"http://127.0.0.1:{running.port}{work.path}"
        options = ["-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "20s"]
        arguments = [work.method, *([str(body), str(conversations)] if work.body else [])]
        command = ["wrk", *options, "-s", str(_SCRIPT), url, "--", *arguments]
        before = cpu.cpu_seconds(running.pid)
        figures = _wrk(command, seconds, numbered=conversations > 1)
        # Less than a tick cannot be told from nothing.
        spent = max(cpu.cpu_seconds(running.pid) - before, cpu.TICK)
    resident = cpu.resident_mebibytes(running.pid)
    running.forget_log()
    if figures["failed"] or not figures["requests"]:
        raise LoadFailed(f"{running.peer.name}, {work.title}: {figures}")
    return Sample(
        figures["requests"] / figures["seconds"],
        figures["requests"] / spent,
        figures["p50"],
        figures["p99"],
        resident,
    )


def cost_one_by_one(running: Running, work: Work, seconds: int) -> float:
    """Return the CPU time of a message in µs, of at least ten sent one after the other.

    No message is under way when the time is up, so that this is right for slow ones as well.
    Raises LoadFailed.
    """
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=_SPARE_SECONDS)
    count, ends = 0, time.monotonic() + seconds
    try:
        connection.connect()
        before = cpu.cpu_seconds(running.pid)
        while count < _LEAST_MESSAGES or time.monotonic() < ends:
            connection.request(
                work.method, work.path, work.body, {"Content-Type": "application/json"}
            )
            answer = connection.getresponse()
            answer.read()
            if answer.status != HTTPStatus.OK:
                raise LoadFailed(f"{running.peer.name}, {work.title}: status {answer.status}")
            count += 1
    finally:
        connection.close()
        running.forget_log()
    return 1e6 * (cpu.cpu_seconds(running.pid) - before) / count


def _wrk(command: list[str], seconds: int, *, numbered: bool) -> dict[str, float]:
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        timeout=seconds + _SPARE_SECONDS,
        env={**os.environ, **({"BENCH_CONVERSATIONS": "1"} if numbered else {})},
    )
    line = next((one[1:] for one in done.stdout.splitlines() if one.startswith("@")), None)
    if line is None:
        raise LoadFailed(f"wrk: {done.stdout}{done.stderr}")
    figures: dict[str, float] = json.loads(line)
    return figures
