"""A sidecar without clients rests: how often it wakes, also after it has worked."""

from __future__ import annotations

import time
from pathlib import Path

from tests.bombs.rig import Sidecar, running

MOST_WAKES = 5.0
SECONDS = 6.0
IDLE_SECONDS = 1.5
"""So long idle connections to the upstream stay: until then their deadlines are checked."""


def switches(pid: int) -> int:
    """Return how often the threads of a process have waited for something."""
    told = [one.read_text() for one in Path(f"/proc/{pid}/task").glob("*/status")]
    lines = [line for one in told for line in one.splitlines()]
    return sum(int(line.split()[1]) for line in lines if line.startswith("voluntary_"))


def wakes(sidecar: Sidecar) -> float:
    """Return how often a second it wakes."""
    before, began = switches(sidecar.process.pid), time.monotonic()
    time.sleep(SECONDS)
    return (switches(sidecar.process.pid) - before) / (time.monotonic() - began)


def test_a_sidecar_without_clients_wakes_a_few_times_a_second(tmp_path: Path) -> None:
    """Its heartbeat and the look at its files are all that goes on."""
    with running(tmp_path) as sidecar:
        time.sleep(2 * IDLE_SECONDS)
        assert wakes(sidecar) <= MOST_WAKES
