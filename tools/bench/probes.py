"""How fast the health listener answers while the traffic takes all CPU there is.

    python -m tools.bench.probes [--seconds 20] [--connections 500] [--workers 1]

wrk keeps that many messages under way, several times of what Sealyard can do; probes come on a new
connection each, as those of a kubelet do.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Final

import click

from . import cpu
from .peers import Place
from .peers.sealyard import prepare_keys, serving
from .ports import free_port
from .running import KEY, a_backend

PATHS: Final = ("/livez", "/readyz", "/metrics")
_PER_SECOND: Final = 10
_PATIENCE_SECONDS: Final = 30.0
_TOLD: Final = ("99%", "Requests/sec", "Non-2xx", "Socket errors")
_CONFIGURATION: Final = """\
version: 1
keys:
  keyring: {{file: keyring.jwe, key: {{file: root.key}}}}
health: {{listen: "127.0.0.1:{health}"}}
listeners:
  - name: api
    listen: 127.0.0.1:{port}
    upstream: http://127.0.0.1:{backend}
    unmatched: pass
    limits: {{clients_per_address: 10000}}
    defaults: {{others: pass}}
    rules:
      - name: messages
        match: POST /messages
        tenant: const:clinic
        conversation: $.conversation
        request: {{encrypt: [$.content]}}
"""
_SCRIPT: Final = """\
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = '{"conversation":"c1","content":"%s"}'
""" % ("x" * 2000)


@contextmanager
def _sidecar(folder: Path, backend: int, workers: int) -> Iterator[tuple[int, int, int]]:
    """Run `sealyard serve`; yield its traffic port, its health port and its process id."""
    port, health = free_port(), free_port()
    prepare_keys(Place(folder, port, backend, KEY))
    configuration = _CONFIGURATION.format(port=port, backend=backend, health=health)
    (folder / "sealyard.yaml").write_text(configuration)
    command = serving(Place(folder, port, backend, KEY), "--workers", str(workers))
    with (folder / "log").open("wb") as log, subprocess.Popen(command, stderr=log) as process:
        try:
            deadline = time.monotonic() + _PATIENCE_SECONDS
            while b'"server.ready"' not in (folder / "log").read_bytes():
                if process.poll() is not None or time.monotonic() > deadline:
                    sys.exit((folder / "log").read_text())
                time.sleep(0.05)
            yield port, health, process.pid
        finally:
            process.terminate()
            process.wait(_PATIENCE_SECONDS)


async def _probe(port: int, path: str) -> tuple[float, int]:
    """Return how long a probe took, in seconds, and its status; 0 where there was none."""
    began, status = time.perf_counter(), 0
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n".encode())
            writer.write(b"Connection: close\r\n\r\n")
            answer = await reader.read()
            status = int(answer[9:12] or b"0")
            writer.close()
    except (OSError, TimeoutError):
        status = 0
    return time.perf_counter() - began, status


async def _probes(port: int, seconds: float) -> dict[str, list[tuple[float, int]]]:
    found: dict[str, list[tuple[float, int]]] = {path: [] for path in PATHS}
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        for path in PATHS:
            found[path].append(await _probe(port, path))
            await asyncio.sleep(1 / _PER_SECOND / len(PATHS))
    return found


def measure(seconds: float, connections: int, workers: int) -> dict[str, list[tuple[float, int]]]:
    """Return duration in seconds and status of each probe during the load, by path; show wrk's."""
    with tempfile.TemporaryDirectory(prefix="sealyard-probes-") as name, a_backend() as backend:
        folder = Path(name)
        (folder / "wrk.lua").write_text(_SCRIPT)
        with _sidecar(folder, backend, workers) as (port, health, pid):
            command = [
                "wrk",
                "-t1",
                f"-c{connections}",
                f"-d{seconds + 2:.0f}s",
                "--timeout",
                "20s",
            ]
            command += ["--latency", "-s", str(folder / "wrk.lua")]
            command.append(f"http://127.0.0.1:{port}/messages")
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as load:
                time.sleep(1)
                before = cpu.cpu_seconds(pid)
                found = asyncio.run(_probes(health, seconds))
                spent = (cpu.cpu_seconds(pid) - before) / seconds
                told = load.communicate(timeout=_PATIENCE_SECONDS)[0]
    lines = [one.strip() for one in told.splitlines() if any(part in one for part in _TOLD)]
    click.echo(f"the traffic: {', '.join(lines)}; {spent:.2f} cores")
    return found


def main() -> None:
    """Print a line for each path."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m tools.bench.probes")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--connections", type=int, default=500)
    parser.add_argument("--workers", type=int, default=1)
    arguments = parser.parse_args()
    found = measure(arguments.seconds, arguments.connections, arguments.workers)
    for path, probes in found.items():
        took = sorted(1000 * one for one, _ in probes)
        bad = sum(status != HTTPStatus.OK for _, status in probes)
        p50, p99 = took[len(took) // 2], took[len(took) * 99 // 100]
        click.echo(
            f"{path}: {len(probes)} probes, p50 {p50:.1f} ms, p99 {p99:.1f} ms,"
            f" most {took[-1]:.1f} ms, {bad} not 200"
        )


if __name__ == "__main__":
    main()
