"""What the process weighs: from start to ready, and memory when idle."""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROUNDS = 5
PATIENCE_SECONDS = 20.0
COMMAND = [sys.executable, "-P", "-m", "proxy"]


@dataclass(frozen=True, slots=True)
class Weight:
    """Medians over five starts: seconds from exec to ready, and MiB resident a second later."""

    seconds_to_ready: float
    idle_mebibytes: float


def run() -> Weight:
    """Start `sealyard serve` five times with what `sealyard init` writes, and weigh it."""
    with tempfile.TemporaryDirectory(prefix="sealyard-bench-") as name:
        folder = Path(name)
        listen = ["--listen", "127.0.0.1:18473", "--upstream", "http://127.0.0.1:18474"]
        subprocess.run([*COMMAND, "init", name, *listen], check=True, capture_output=True)
        weights = [_one(folder) for _ in range(ROUNDS)]
    return Weight(
        statistics.median(one.seconds_to_ready for one in weights),
        statistics.median(one.idle_mebibytes for one in weights),
    )


def _one(folder: Path) -> Weight:
    log = folder / "log"
    command = [*COMMAND, "serve", "--config", str(folder / "sealyard.yaml")]
    with log.open("wb") as sink:
        began = time.monotonic()
        process = subprocess.Popen(command, stderr=sink, env={**os.environ})
        try:
            _await_ready(log, process)
            took = time.monotonic() - began
            time.sleep(1.0)
            resident = _resident_mebibytes(process.pid)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(PATIENCE_SECONDS)
    return Weight(took, resident)


def _await_ready(log: Path, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        for line in log.read_bytes().splitlines():
            if json.loads(line).get("event") == "server.ready":
                return
        time.sleep(0.005)
    message = f"sealyard serve did not become ready:\n{log.read_text()}"
    raise RuntimeError(message)


def _resident_mebibytes(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    message = "no VmRSS"
    raise RuntimeError(message)
