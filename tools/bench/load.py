"""Load: one kind of request over and over, from wrk on many connections, or one by one."""

from __future__ import annotations

import http.client
import itertools
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
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
_NUMBERS: Final = 1_000_237
"""So many numbers each run has for its messages, and begins elsewhere among those in turn."""
_runs: Final = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Sample:
    """What one run showed: rates a second and a CPU second, latencies in µs, and resident MiB.

    `beside` is how many requests a second one more client got answered meanwhile, if there was one.
    """

    per_second: float
    per_cpu_second: float
    p50: float
    p99: float
    resident: float
    beside: float = 0.0


class LoadFailed(Exception):
    """Not every request was answered with 2xx; the text says by whom."""


def run(
    running: Running, work: Work, connections: int, seconds: int, *, beside: Work | None = None
) -> Sample:
    """Load a peer with one kind of work, and return what it did and cost. Raises LoadFailed."""
    with (
        tempfile.TemporaryDirectory(prefix="sealyard-load-") as folder,
        _another(running, beside) as others,
    ):
        command = _command(running, work, connections, seconds, Path(folder, "request"))
        before, began = cpu.cpu_seconds(running.pid), time.monotonic()
        figures = _figures(command, work, seconds)
        # Less than a tick cannot be told from nothing.
        spent = max(cpu.cpu_seconds(running.pid) - before, cpu.TICK)
        rate = others.answered / (time.monotonic() - began)
    resident = cpu.resident_mebibytes(running.pid)
    running.forget_log()
    if figures["failed"] or others.failed:
        raise LoadFailed(f"{running.peer.name}, {work.title}: {figures} {others.failed}")
    if not figures["requests"]:
        if seconds > _SPARE_SECONDS:
            raise LoadFailed(f"{running.peer.name}, {work.title}: no answer in {seconds} s")
        # A busy machine, or slow work: what was begun is not counted, so it takes a longer load.
        return run(running, work, connections, 2 * seconds, beside=beside)
    return Sample(
        figures["requests"] / figures["seconds"],
        figures["requests"] / spent,
        figures["p50"],
        figures["p99"],
        resident,
        rate,
    )


class _Another:
    """One more client, which asks for one thing after the other until it is told to end."""

    def __init__(self) -> None:
        self.answered = 0
        self.failed = ""
        self.ends = threading.Event()

    def ask(self, port: int, work: Work) -> None:
        """Ask, and count the answers."""
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_SPARE_SECONDS)
        try:
            while not self.ends.is_set():
                connection.request(work.method, work.path, headers=dict(work.headers))
                answer = connection.getresponse()
                answer.read()
                if answer.status != HTTPStatus.OK:
                    self.failed = f"{work.title}: status {answer.status}"
                    return
                self.answered += 1
        except (OSError, http.client.HTTPException) as error:
            self.failed = f"{work.title}: {error!r}"
        finally:
            connection.close()


@contextmanager
def _another(running: Running, work: Work | None) -> Iterator[_Another]:
    other = _Another()
    if work is None:
        yield other
        return
    thread = threading.Thread(target=other.ask, args=(running.port, work))
    thread.start()
    try:
        yield other
    finally:
        other.ends.set()
        thread.join()


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
            connection.request(work.method, work.path, work.body, dict(work.headers))
            answer = connection.getresponse()
            answer.read()
            if answer.status != HTTPStatus.OK:
                raise LoadFailed(f"{running.peer.name}, {work.title}: status {answer.status}")
            count += 1
    finally:
        connection.close()
        running.forget_log()
    return 1e6 * (cpu.cpu_seconds(running.pid) - before) / count


def _command(
    running: Running, work: Work, connections: int, seconds: int, request: Path
) -> list[str]:
    if work.shape == "websocket":
        many = (str(running.port), work.path, str(connections), str(seconds))
        return [sys.executable, "-P", "-m", "tools.bench.websocket", *many]
    request.write_bytes(work.raw())
    url = f"http{'s' * running.peer.tls}://127.0.0.1:{running.port}"
    options = ["-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "20s"]
    numbers = (work.conversations, next(_runs) * _NUMBERS, work.connection)
    return ["wrk", *options, "-s", str(_SCRIPT), url, "--", str(request), *map(str, numbers)]


def _figures(command: list[str], work: Work, seconds: int) -> dict[str, float]:
    done = subprocess.run(
        command,
        input=work.body,
        capture_output=True,
        check=False,
        timeout=seconds + _SPARE_SECONDS,
    )
    line = next((one[1:] for one in done.stdout.splitlines() if one.startswith(b"@")), None)
    if line is None:
        told = (done.stdout + done.stderr).decode()
        raise LoadFailed(f"{command[0]}: {told}")
    figures: dict[str, float] = json.loads(line)
    return figures
