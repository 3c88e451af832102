"""What a proxy still delivered under overload, from the requests one by one; and its record."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Final

from .clients import PATIENCE_SECONDS, Asked

_PROMPT: Final = 2.0
"""A proxy has recovered once nothing takes longer than this many times what it took before."""


@dataclass(frozen=True, slots=True)
class Phases:
    """Seconds of each phase: half the capacity, a multiple of it, and half of it again."""

    calm: float
    storm: float
    after: float


@dataclass(frozen=True, slots=True)
class Delivered:
    """What was measured of one proxy. Shares are of 1, times in ms unless the name says seconds.

    `good` is how many a second were served within a second of when they were meant to be asked,
    and `of_capacity` the same as a share. `polite` is the share served of the polite client.
    `left` were given up by their clients after a second; `cut` got a reset instead of an answer.
    `recovery_seconds` is None where the proxy had not recovered by the end.
    """

    proxy: str
    limits: str
    capacity: float
    offered: float
    good: float
    of_capacity: float
    polite: float
    served_p50: float
    served_p99: float
    refused: float
    refused_p50: float
    refused_p99: float
    left: float
    cut: float
    recovery_seconds: float | None
    probes: int
    probe_p99: float
    probe_most: float
    generator_late_p99: float


@dataclass(frozen=True, slots=True)
class Record:
    """One run: where, when, of which commit, and what each proxy delivered by scenario."""

    about: dict[str, str]
    backend: list[Delivered]
    processor: list[Delivered]

    def write(self, path: Path) -> None:
        """Write it as JSON."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")


def read(path: Path) -> Record:
    """Return what `Record.write` wrote."""
    held = json.loads(path.read_text())
    return Record(
        held["about"],
        [Delivered(**one) for one in held["backend"]],
        [Delivered(**one) for one in held["processor"]],
    )


def percentile(values: Iterable[float], share: float) -> float:
    """Return the value that the share of all do not exceed; 0 where there are none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def delivered(  # noqa: PLR0913 - what one run consists of, each by name
    asked: Sequence[Asked],
    *,
    proxy: str,
    limits: str,
    capacity: float,
    phases: Phases,
    probed: Sequence[float],
) -> Delivered:
    """Return what a run showed; `probed` are seconds until each probe was answered."""
    storm_ends = phases.calm + phases.storm
    storm = [one for one in asked if phases.calm <= one.at < storm_ends]
    served = [one.seconds for one in storm if _served(one)]
    refused = [one.seconds for one in storm if one.status > 0 and one.status != HTTPStatus.OK]
    polite = [one for one in storm if one.polite]
    calm = [one.seconds for one in asked if one.at < phases.calm and _served(one)]
    good = len(served) / phases.storm
    return Delivered(
        proxy=proxy,
        limits=limits,
        capacity=round(capacity),
        offered=round(len(storm) / phases.storm),
        good=round(good, 1),
        of_capacity=round(good / capacity, 3),
        polite=_share(sum(map(_served, polite)), len(polite)),
        served_p50=_ms(percentile(served, 0.5)),
        served_p99=_ms(percentile(served, 0.99)),
        refused=_share(len(refused), len(storm)),
        refused_p50=_ms(percentile(refused, 0.5)),
        refused_p99=_ms(percentile(refused, 0.99)),
        left=_share(sum(one.status == 0 for one in storm), len(storm)),
        cut=_share(sum(one.status < 0 for one in storm), len(storm)),
        recovery_seconds=_recovery(asked, storm_ends, phases.after, percentile(calm, 0.99)),
        probes=len(probed),
        probe_p99=_ms(percentile(probed, 0.99)),
        probe_most=_ms(max(probed, default=0.0)),
        generator_late_p99=_ms(percentile((one.late for one in storm), 0.99)),
    )


def _served(one: Asked) -> bool:
    return one.status == HTTPStatus.OK and one.seconds <= PATIENCE_SECONDS


def _recovery(asked: Sequence[Asked], ended: float, after: float, usual: float) -> float | None:
    """Return the seconds after the storm from which on all were served as promptly as before.

    None where a request in the last second of the run was not.
    """
    late = [
        one.at - ended
        for one in asked
        if one.at >= ended and not (_served(one) and one.seconds <= max(_PROMPT * usual, 0.25))
    ]
    last = max(late, default=0.0)
    return None if last > after - 1 else round(last, 2)


def _share(part: int, whole: int) -> float:
    return round(part / whole, 4) if whole else 0.0


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)
