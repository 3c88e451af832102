"""Starting a backend and peers, knowing when they answer, and ending them again."""

from __future__ import annotations

import http.client
import os
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from types import MappingProxyType
from typing import Final

from . import cpu
from .backend import LAST
from .peers import Peer, Place
from .ports import free_port

KEY: Final = os.urandom(32)
_CORES: Final = sorted(os.sched_getaffinity(0))
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


def leave_a_core() -> None:
    """Leave the last core to the proxies: keep this process, and what it starts, to the others."""
    if len(_CORES) > 1:
        os.sched_setaffinity(0, _CORES[:-1])


@contextmanager
def a_backend(module: str = "tools.bench.backend", *arguments: str) -> Iterator[int]:
    """Run a backend; yield its port, which is its first argument."""
    port = free_port()
    command = [sys.executable, "-m", module, str(port), *arguments]
    with tempfile.TemporaryFile() as log, _process(command, log.fileno()) as process:
        _await_answer(port, process)
        yield port


@contextmanager
def started(peer: Peer, backend: int) -> Iterator[Running]:
    """Run a peer before the backend on that port. Raises DidNotStart."""
    with tempfile.TemporaryDirectory(prefix="sealyard-bench-") as name:
        place = Place(Path(name), free_port(), backend, KEY, free_port())
        log = place.folder / "log"
        cores = ",".join(map(str, _CORES[-1:] if peer.single else _CORES))
        command = ["taskset", "-c", cores, *peer.prepare(place)]
        with (
            peer.beside(place),
            log.open("ab") as sink,
            _process(command, sink.fileno(), peer.environment) as process,
        ):
            began = time.monotonic()
            try:
                _await_answer(place.port, process, tls=peer.tls)
            except DidNotStart as error:
                raise DidNotStart(
                    f"{peer.name} {error}:\n{log.read_text()[-_SHOWN_CHARS:]}"
                ) from None
            took = time.monotonic() - began
            yield Running(peer, place.port, process.pid, log, took)


@contextmanager
def _process(
    command: list[str], log: int, more: Mapping[str, str] = MappingProxyType({})
) -> Iterator[subprocess.Popen[bytes]]:
    environment = {**os.environ, "BENCH_KEY": KEY.hex(), **more}
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


def connection_to(port: int, *, tls: bool, seconds: float) -> http.client.HTTPConnection:
    """Return a connection that is not open yet; a certificate is not verified."""
    if not tls:
        return http.client.HTTPConnection("127.0.0.1", port, timeout=seconds)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return http.client.HTTPSConnection("127.0.0.1", port, timeout=seconds, context=context)


def _await_answer(port: int, process: subprocess.Popen[bytes], *, tls: bool = False) -> None:
    """Ask the backend for its last body, through a proxy or not, until it is told."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise DidNotStart(f"ended with status {process.returncode}")
        if _answers(port, tls=tls):
            return
        time.sleep(_POLL_SECONDS)
    raise DidNotStart("did not answer in time")


def _answers(port: int, *, tls: bool) -> bool:
    connection = connection_to(port, tls=tls, seconds=5)
    try:
        connection.request("GET", LAST)
        answer = connection.getresponse()
        answer.read()
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
    return answer.status == HTTPStatus.OK
