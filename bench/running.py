"""Starting a backend and peers, knowing when they answer, and ending them again."""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Final

from . import cpu
from .backend import LAST
from .peers import Peer, Place
from .ports import free_port

KEY: Final = os.urandom(32)
_PATIENCE_SECONDS: Final = 60.0
_POLL_SECONDS: Final = 0.002
_SHOWN_CHARS: Final = 1000


@dataclass(slots=True)
class Running:
    """A peer that answers on `port`. `seconds_to_ready` is from its start to its first answer."""

    peer: Peer
    port: int
    pid: int
    log: Path
    seconds_to_ready: float

    def forget_log(self) -> None:
        """Empty the file that it logs to, so that it does not fill the disk."""
        os.truncate(self.log, 0)


class DidNotStart(Exception):
    """A process ended, or did not answer in time; the text is what it said."""


def cores() -> tuple[str, str] | None:
    """Return the core of the proxy and those of all others, for taskset; None with one core."""
    every = sorted(os.sched_getaffinity(0))
    return (str(every[-1]), ",".join(map(str, every[:-1]))) if len(every) > 1 else None


def on_core(command: list[str], *, of_proxy: bool) -> list[str]:
    """Return the command, kept to the proxy's core or kept off it."""
    split = cores()
    return ["taskset", "-c", split[not of_proxy], *command] if split else command


@contextmanager
def a_backend() -> Iterator[int]:
    """Run the backend; yield its port."""
    port = free_port()
    command = on_core([sys.executable, "-m", "bench.backend", str(port)], of_proxy=False)
    with tempfile.TemporaryFile() as log, _process(command, log.fileno()) as process:
        _await_answer(port, process)
        yield port


@contextmanager
def started(peer: Peer, backend: int) -> Iterator[Running]:
    """Run a peer before the backend on that port. Raises DidNotStart."""
    with tempfile.TemporaryDirectory(prefix="sealyard-bench-") as name:
        place = Place(Path(name), free_port(), backend, KEY)
        log = place.folder / "log"
        command = peer.prepare(place)
        if peer.single:
            command = on_core(command, of_proxy=True)
        with log.open("ab") as sink, _process(command, sink.fileno()) as process:
            began = time.monotonic()
            try:
                _await_answer(place.port, process)
            except DidNotStart as error:
                raise DidNotStart(
                    f"{peer.name} {error}:\n{log.read_text()[-_SHOWN_CHARS:]}"
                ) from None
            took = time.monotonic() - began
            yield Running(peer, place.port, process.pid, log, took)


@contextmanager
def _process(command: list[str], log: int) -> Iterator[subprocess.Popen[bytes]]:
    environment = {**os.environ, "BENCH_KEY": KEY.hex()}
    process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            for pid in cpu.tree(process.pid):
                os.kill(pid, 9)
            process.wait()


def _await_answer(port: int, process: subprocess.Popen[bytes]) -> None:
    """Ask the backend for its last body, through a proxy or not, until it is told."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise DidNotStart(f"ended with status {process.returncode}")
        if _answers(port):
            return
        time.sleep(_POLL_SECONDS)
    raise DidNotStart("did not answer in time")


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", LAST)
        answer = connection.getresponse()
        answer.read()
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
    return answer.status == HTTPStatus.OK
