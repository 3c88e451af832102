"""What the benchmark found, by one run or by several, and the JSON file that holds it."""

from __future__ import annotations

import json
import statistics
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from .load import Sample
from .timing import Timing


class Spread(NamedTuple):
    """A median, and the least and the most."""

    median: float
    least: float
    most: float


def spread(values: Iterable[float]) -> Spread:
    """Return the spread of at least one value."""
    found = list(values)
    return Spread(statistics.median(found), min(found), max(found))


@dataclass(frozen=True, slots=True)
class Cell:
    """One peer in one case: a sample for each round, and Sealyard's right after it in `ours`.

    `ours` is empty for the form of Sealyard that all others are paired with.
    """

    peer: str
    case: str
    work: str
    samples: list[Sample] = field(default_factory=list)
    ours: list[Sample] = field(default_factory=list)

    def of(self, figure: str) -> Spread:
        """Return the spread of one figure of the samples."""
        return spread(getattr(sample, figure) for sample in self.samples)

    @property
    def cost(self) -> Spread:
        """The CPU time of a request in µs."""
        return spread(1e6 / sample.per_cpu_second for sample in self.samples)

    @property
    def ratio(self) -> Spread | None:
        """How many times as many requests a CPU second Sealyard handles, round by round."""
        return paired(self.ours, self.samples) if self.ours else None


def paired(ours: list[Sample], theirs: list[Sample]) -> Spread:
    """Return how many times as many requests a CPU second ours are, sample by sample."""
    pairs = zip(ours, theirs, strict=True)
    return spread(a.per_cpu_second / b.per_cpu_second for a, b in pairs)


@dataclass(frozen=True, slots=True)
class Point:
    """A place on a curve: CPU time of a message in µs where there are `x` of something."""

    x: int
    costs: list[float]


@dataclass(frozen=True, slots=True)
class Curve:
    """How the cost of a message grows with something; `meaning` says with what exactly."""

    name: str
    title: str
    meaning: str
    points: list[Point]


@dataclass(frozen=True, slots=True)
class Weight:
    """Over some starts of a peer: seconds to ready, MiB when idle, and MiB after a load."""

    peer: str
    ready: list[float]
    idle: list[float]
    loaded: list[float]


@dataclass(frozen=True, slots=True)
class Idle:
    """MiB of a Sealyard that had nothing to do for so many seconds, with what it started.

    `private` is what no other process shares.
    """

    peer: str
    seconds: int
    resident: float
    private: float


@dataclass(frozen=True, slots=True)
class Step:
    """A step of a message's way, measured within the process; `target` is in µs, if it has one."""

    name: str
    target: float | None
    timing: Timing


@dataclass(frozen=True, slots=True)
class Bulk:
    """One large body, `up` or `down`, round by round: MiB/s through Sealyard and without it.

    `more` is how many MiB it held at most above what it holds when idle.
    """

    mebibytes: int
    way: str
    through: list[float]
    bare: list[float]
    more: list[float]


@dataclass(frozen=True, slots=True)
class Results:
    """Everything that was found; `runs` says of each case and part when, where and how.

    `profile` has µs of each stage, by form of Sealyard.
    """

    versions: dict[str, str]
    absent: dict[str, str]
    runs: dict[str, dict[str, str]] = field(default_factory=dict)
    cells: list[Cell] = field(default_factory=list)
    workers: list[Cell] = field(default_factory=list)
    curves: list[Curve] = field(default_factory=list)
    weights: list[Weight] = field(default_factory=list)
    idle: list[Idle] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    frames: list[Bulk] = field(default_factory=list)
    profile: dict[str, dict[str, float]] = field(default_factory=dict)

    def then(self, later: Results) -> Results:
        """Return what a later run found, and of this one the cases and parts that it left out."""
        curves = {curve.name for curve in later.curves}
        absent = (self.absent | later.absent).items()
        return Results(
            self.versions | later.versions,
            {name: why for name, why in absent if name not in later.versions},
            self.runs | later.runs,
            [one for one in self.cells if one.case not in later.runs] + later.cells,
            later.workers or self.workers,
            [one for one in self.curves if one.name not in curves] + later.curves,
            later.weights or self.weights,
            later.idle or self.idle,
            later.steps or self.steps,
            later.frames or self.frames,
            later.profile or self.profile,
        )

    def only(self, names: Collection[str]) -> Results:
        """Return it without cases and parts that have other names: there are none of them now."""
        runs = {name: run for name, run in self.runs.items() if name in names}
        return replace(self, runs=runs, cells=[one for one in self.cells if one.case in names])

    def cell(self, peer: str, case: str) -> Cell | None:
        """Return one cell, if it was measured."""
        return next((c for c in self.cells if (c.peer, c.case) == (peer, case)), None)

    def curve(self, name: str) -> Curve | None:
        """Return one curve, if it was measured."""
        return next((curve for curve in self.curves if curve.name == name), None)

    def weight(self, peer: str) -> Weight | None:
        """Return what one peer weighs, if it was weighed."""
        return next((weight for weight in self.weights if weight.peer == peer), None)

    def write(self, path: Path) -> None:
        """Write everything as JSON."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")


def read(path: Path) -> Results:
    """Return what `Results.write` wrote."""
    held: dict[str, Any] = json.loads(path.read_text())
    return Results(
        held["versions"],
        held["absent"],
        held["runs"],
        [_cell(cell) for cell in held["cells"]],
        [_cell(cell) for cell in held["workers"]],
        [
            Curve(**{**curve, "points": [Point(**point) for point in curve["points"]]})
            for curve in held["curves"]
        ],
        [Weight(**weight) for weight in held["weights"]],
        [Idle(**one) for one in held["idle"]],
        [Step(**{**step, "timing": Timing(**step["timing"])}) for step in held["steps"]],
        [Bulk(**one) for one in held["frames"]],
        held["profile"],
    )


def _cell(held: dict[str, Any]) -> Cell:
    samples = {name: [Sample(**sample) for sample in held[name]] for name in ("samples", "ours")}
    return Cell(**{**held, **samples})
