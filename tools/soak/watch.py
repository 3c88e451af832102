"""Memory and descriptors of every process over time, and processes that ended by themselves."""

from __future__ import annotations

import asyncio
import signal
import statistics
import time
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any, Final

from .world import World

_MOST_POINTS: Final = 120
_HOUR: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Sample:
    """Memory (MiB) and descriptors of a process, `at` seconds after the start."""

    at: float
    resident: float
    descriptors: int


@dataclass(slots=True)
class Watch:
    """Samples of each process by the name of its sidecar and its pid."""

    began: float = field(default_factory=time.monotonic)
    samples: dict[tuple[str, int], list[Sample]] = field(default_factory=dict)

    async def run(self, world: World, stop: asyncio.Event, every: float) -> None:
        """Look every so many seconds until `stop`."""
        while not stop.is_set():
            for name in await asyncio.to_thread(_revived, world):
                world.journal.breach("a process ended by itself", name)
            for reader in world.logs.values():
                await asyncio.to_thread(reader.read)
            if not world.journal.disturbed("sidecar", 3):
                self._look(world)
            await asyncio.sleep(every)

    def _look(self, world: World) -> None:
        for one in world.sidecars:
            if one.name in world.away:
                continue
            for pid in one.carriers():
                sample = _sample(pid, time.monotonic() - self.began)
                if sample is not None:
                    self.samples.setdefault((one.name, pid), []).append(sample)

    def slopes(self, least: float) -> list[dict[str, Any]]:
        """Return the slopes of each process that was seen for `least` seconds or more.

        The first fifth is left out: caches fill.
        """
        told: list[dict[str, Any]] = []
        for (name, pid), seen in self.samples.items():
            lasted = seen[-1].at - seen[0].at
            if lasted < least or len(seen) < 5:  # noqa: PLR2004 - no slope of fewer
                continue
            warm = [one for one in seen if one.at >= seen[0].at + lasted / 5]
            memory = slope([(one.at, one.resident) for one in warm])
            files = slope([(one.at, float(one.descriptors)) for one in warm])
            told.append(
                {
                    "process": f"{name} {pid}",
                    "seconds": round(lasted),
                    "MiB": [round(warm[0].resident, 1), round(warm[-1].resident, 1)],
                    "MiB_an_hour": round(memory * _HOUR, 2),
                    "grown_MiB": round(memory * (warm[-1].at - warm[0].at), 2),
                    "descriptors": [warm[0].descriptors, warm[-1].descriptors],
                    "descriptors_an_hour": round(files * _HOUR, 2),
                    "grown_descriptors": round(files * (warm[-1].at - warm[0].at), 1),
                }
            )
        return told


def slope(points: list[tuple[float, float]]) -> float:
    """Return the median of the slopes between all pairs of points (Theil and Sen), a second."""
    step = max(len(points) // _MOST_POINTS, 1)
    pairs = combinations(points[::step], 2)
    slopes = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in pairs if b[0] > a[0]]
    return statistics.median(slopes) if slopes else 0.0


def waited(pid: int) -> float:
    """Return for how many seconds a process has waited for a processor since it began."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9
    except (OSError, IndexError):
        return 0.0


def _revived(world: World) -> list[str]:
    """Start again the sidecars that have ended by themselves; return their names."""
    dead = [
        one
        for one in world.sidecars
        if one.name not in world.away and one.process is not None and one.process.poll() is not None
    ]
    for one in dead:
        one.end(signal.SIGKILL)
        one.start()
    return [one.name for one in dead]


def _sample(pid: int, at: float) -> Sample | None:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        descriptors = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    except OSError:
        return None
    line = next((one for one in status.splitlines() if one.startswith("VmRSS")), None)
    if line is None:
        return None
    return Sample(at, int(line.split()[1]) / 1024, descriptors)
