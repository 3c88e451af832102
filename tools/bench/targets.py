"""The goals, and what was measured of each; ratios are against peers in the same rounds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from .cases import CASES, KNOWN, LUA, NGINX, OBVIOUS, Case
from .peers import sealyard
from .results import Cell, Curve, Results, Spread, paired, spread

OURS: Final = sealyard.NAME
_LINE_SHARE: Final = 0.9
_ADDED_MICROSECONDS: Final = 60
_BESIDE_MILLISECONDS: Final = 10.7
_FIRST_MILLISECONDS: Final = 1.5
_BUSY: Final = 2
"""From so large a load average a core on, times say more of the machine than of Sealyard."""
_NOT_MEASURED: Final = "not measured"
_SLACK: Final = 1.1
"""By so much a measured ratio may be above what it is compared with: two runs are never alike."""


@dataclass(frozen=True, slots=True)
class Target:
    """A goal, the figure that was measured, and which part of the goal that is: from 1 it is met.

    `stretch` is what would be better still. None: not measured, or not a matter of more or less.
    """

    text: str
    figure: str
    met: bool | None
    reached: float | None = None
    stretch: str = ""


@dataclass(frozen=True, slots=True)
class Ratio:
    """A goal: how many times as many requests a CPU second as a peer a form handles in a case."""

    case: str
    peer: str
    goal: float
    stretch: float | None = None
    form: str = sealyard.NAME


RATIOS: Final = (
    Ratio("heads-5000", OBVIOUS, 1.8, 2.2),
    Ratio("heads", OBVIOUS, 2.2, 2.8),
    Ratio("all-new", OBVIOUS, 1.3, 1.8),
    Ratio("fhir-5000", OBVIOUS, 1.6, 2),
    Ratio("connect", OBVIOUS, 1.2, 1.5),
    Ratio("chat", OBVIOUS, 2.8, 3.5),
    Ratio("seal", LUA, 1.5, 1.7),
    Ratio("seal", OBVIOUS, 4.5, 5),
    Ratio("pass", "Envoy", 2.1, 2.3),
    Ratio("16k", OBVIOUS, 3.5, 4.5),
    Ratio("1m", OBVIOUS, 2.3, 3),
    Ratio("list", OBVIOUS, 2.4, 3),
    Ratio("websocket", OBVIOUS, 1.5, 2),
    Ratio("events", OBVIOUS, 2.5, 3),
    Ratio("chunked", OBVIOUS, 2.5, 3),
    Ratio("whole", OBVIOUS, 2.5, 3),
    Ratio("whole-json", OBVIOUS, 2.5, 3),
    *(Ratio(case, OBVIOUS, 1, form=sealyard.PYTHON) for case in ("heads", "list", "1m")),
    Ratio("websocket", OBVIOUS, 1, form=sealyard.PYTHON),
)
"""The goals against peers; `./dev bench` measures them all."""
_IDLE: Final = (
    (sealyard.REDIS, "resident", "with Redis, MiB resident when idle: 60", 60, "50"),
    (f"{sealyard.NAME}, 2 workers", "private", "two workers, private MiB when idle: 90", 90, "75"),
)


def goals(results: Results) -> list[Target]:
    """Return what users notice, with its figures: what is missed by most comes first."""
    ratios = (_ratio(results, one) for one in RATIOS)
    found = [*ratios, *_idle(results), _first(results), _beside(results)]
    return sorted(found, key=_urgency)


def targets(results: Results) -> list[Target]:
    """Return the goals and all other targets in the same order."""
    found = [
        *goals(results),
        _slowest(results, OURS),
        _slowest(results, sealyard.PYTHON),
        _latency(results),
        *_weight(results, OURS, "with the native part"),
        *_weight(results, sealyard.PYTHON, "in Python only"),
        _line(results),
        _ready(results),
        _linear(results.curve("fields"), "fields: the cost grows no faster than their number"),
        _linear(results.curve("bodies"), "bodies: the cost grows no faster than their size"),
        _flat(results.curve("rules"), "rules: the cost does not grow visibly with them"),
        *_steps(results),
    ]
    return sorted(found, key=_urgency)


def _urgency(one: Target) -> float:
    if one.reached is not None:
        return one.reached
    return {False: 0.999, True: 1e9, None: 1e10}[one.met]


def shown(found: Spread, digits: int = 2, unit: str = "") -> str:
    """Return the median, with the least and the most behind it."""
    median, least, most = (f"{value:,.{digits}f}" for value in found)
    return f"{median}{unit} ({least} to {most})"


def ratio(results: Results, ours: str, theirs: str, case: str) -> Spread | None:
    """Return how many times as many requests a CPU second a form of Sealyard handles as a peer.

    Samples of Sealyard right after each of the peer's if there are any, or else those of the round.
    """
    mine, other = results.cell(ours, case), results.cell(theirs, case)
    if mine is None or other is None:
        return None
    return other.ratio if not mine.ours else paired(mine.samples, other.samples)


def against(results: Results, case: Case, peer: str) -> Spread | None:
    """Return the ratio of Sealyard and a peer in a case, each with the store or TLS of the case."""
    return ratio(results, case.variant(OURS), case.variant(peer), case.name)


def lowest_first(results: Results) -> list[Case]:
    """Return the cases, those first that are worst next to the obvious proxy on aiohttp."""

    def place(case: Case) -> float:
        found = against(results, case, OBVIOUS)
        return found.median if found else float("inf")

    return sorted(CASES, key=place)


def _ratio(results: Results, one: Ratio) -> Target:
    how = "in Python only, " if one.form == sealyard.PYTHON else ""
    found = ratio(results, one.form, one.peer, one.case)
    text = f"{how}`{one.case}`: {one.goal:g} times {one.peer}"
    return _at_least(text, found, one.goal, "" if one.stretch is None else f"{one.stretch:g}")


def _at_least(text: str, found: Spread | None, wanted: float, stretch: str = "") -> Target:
    if found is None:
        return Target(text, _NOT_MEASURED, None, stretch=stretch)
    reached = found.median / wanted
    return Target(text, shown(found), reached >= 1, reached, stretch)


@dataclass(frozen=True, slots=True)
class _Limit:
    """A goal that a figure must not be above, and how the figure is shown."""

    text: str
    limit: float
    digits: int
    unit: str
    stretch: str = ""

    def of(self, values: Iterable[float]) -> Target:
        """Return the goal with the figure of these values."""
        if not (all_of := list(values)):
            return Target(self.text, _NOT_MEASURED, None, stretch=self.stretch)
        found = spread(all_of)
        reached = self.limit / found.median if found.median > 0 else None
        figure, met = shown(found, self.digits, self.unit), found.median <= self.limit
        return Target(self.text, figure, met, reached, self.stretch)


def _idle(results: Results) -> Iterator[Target]:
    for peer, figure, text, limit, stretch in _IDLE:
        values = [getattr(one, figure) for one in results.idle if one.peer == peer]
        yield _Limit(text, limit, 1, " MiB", stretch).of(values)


def _first(results: Results) -> Target:
    """How much longer the first message of a conversation takes than a next one, with Redis."""
    known = results.cell(KNOWN, "redis-new-1")
    pairs = zip(known.ours, known.samples, strict=True) if known else ()
    added = [(new.p50 - next_one.p50) / 1000 for new, next_one in pairs]
    text = f"first message above a next one, Redis at 1 ms: p50 {_FIRST_MILLISECONDS:g} ms"
    return _unless_busy(
        results, "redis-new-1", _Limit(text, _FIRST_MILLISECONDS, 1, " ms").of(added)
    )


def _unless_busy(results: Results, case: str, target: Target) -> Target:
    """Return a goal of time, without a verdict where the machine had much other work."""
    run = results.runs.get(case)
    if target.met is None or run is None or float(run["load"]) <= _BUSY * int(run["cores"]):
        return target
    figure = f"{target.figure}, on a busy machine"
    return Target(target.text, figure, None, None, target.stretch)


def _slowest(results: Results, ours: str) -> Target:
    """No case may be slower than the same in the obvious proxy."""
    how = "in Python only, " if ours == sealyard.PYTHON else ""
    text = f"{how}no case slower than {OBVIOUS}"
    found = {
        case.name: ratio(results, case.variant(ours), case.variant(OBVIOUS), case.name)
        for case in CASES
        if not case.beside
    }
    pairs = sorted((one, case) for case, one in found.items() if one is not None)
    if not pairs:
        return Target(text, _NOT_MEASURED, None)
    least, case = pairs[0]
    return Target(text, f"{shown(least)} at `{case}`", least.median >= 1, least.median)


def _line(results: Results) -> Target:
    text = f"with its line per message {_LINE_SHARE} of the throughput without"
    return _at_least(text, ratio(results, OURS, sealyard.UNLOGGED, "seal"), _LINE_SHARE)


def _latency(results: Results) -> Target:
    text = f"`seal-1`: p50 {_ADDED_MICROSECONDS} µs above nginx only passing through"
    nginx = results.cell(NGINX, "seal-1")
    added = [] if nginx is None else added_latency(nginx)
    return _unless_busy(results, "seal-1", _Limit(text, _ADDED_MICROSECONDS, 0, " µs").of(added))


def added_latency(nginx: Cell) -> list[float]:
    """Return by how many µs Sealyard's p50 is above that of nginx, pair by pair."""
    pairs = zip(nginx.ours, nginx.samples, strict=True)
    return [ours.p50 - theirs.p50 for ours, theirs in pairs]


def _beside(results: Results) -> Target:
    text = f"`beside`: p99 of small messages {_BESIDE_MILLISECONDS:g} ms"
    cell = results.cell(OURS, "beside")
    values = [sample.p99 / 1000 for sample in cell.samples] if cell else []
    found = _Limit(text, _BESIDE_MILLISECONDS, 1, " ms", "8").of(values)
    return _unless_busy(results, "beside", found)


def _weight(results: Results, peer: str, how: str) -> Iterator[Target]:
    weight = results.weight(peer)
    for limit, when, values in (
        (66, "when idle", weight.idle if weight else []),
        (68, "under the load of 1 KiB", weight.loaded if weight else []),
    ):
        yield _Limit(f"{how}, {limit} MiB resident {when}", limit, 1, " MiB").of(values)


def _ready(results: Results) -> Target:
    weight = results.weight(OURS)
    text = "1 s from start to the first answer"
    found = _Limit(text, 1, 2, " s").of(weight.ready if weight else [])
    return _unless_busy(results, "memory", found)


def _linear(curve: Curve | None, text: str) -> Target:
    """No point may cost more than the one before it by more than the factor between them."""
    if curve is None:
        return Target(text, _NOT_MEASURED, None)
    medians = [(point.x, spread(point.costs).median) for point in curve.points]
    met = all(b / a <= _SLACK * y / x for (x, a), (y, b) in pairwise(medians))
    return Target(text, _ends(medians), met)


def _flat(curve: Curve | None, text: str) -> Target:
    if curve is None:
        return Target(text, _NOT_MEASURED, None)
    medians = [(point.x, spread(point.costs).median) for point in curve.points]
    (_, least), (_, most) = medians[0], medians[-1]
    return Target(text, _ends(medians), most <= _SLACK * least)


def _ends(medians: list[tuple[int, float]]) -> str:
    (first, least), (last, most) = medians[0], medians[-1]
    return f"{least:,.0f} µs at {first:,}, {most:,.0f} µs at {last:,}"


def _steps(results: Results) -> Iterable[Target]:
    for step in results.steps:
        if step.target is not None:
            timing = step.timing
            values = (timing.least, timing.median, timing.most)
            text = f"{step.name}, {step.target:,.0f} µs"
            yield _Limit(text, step.target, 1, " µs").of(values)
