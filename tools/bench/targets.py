"""The targets, and what was measured of each; all against peers in the same rounds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from .cases import LUA, NGINX, OBVIOUS
from .peers import sealyard
from .results import Cell, Curve, Results, Spread, paired, spread

OURS: Final = sealyard.NAME
_LINE_SHARE: Final = 0.9
_ADDED_MICROSECONDS: Final = 60
_BESIDE_MILLISECONDS: Final = 20
_SLACK: Final = 1.1
"""By so much a measured ratio may be above what it is compared with: two runs are never alike."""


@dataclass(frozen=True, slots=True)
class Target:
    """A target, the figure that was measured, and whether that meets it (None: not measured)."""

    text: str
    figure: str
    met: bool | None


RATIOS: Final = (
    ("seal", LUA, 1.5),
    ("seal", "nginx + Lua, URL-safe", 1.9),
    ("seal", "nginx + njs", 2.5),
    ("seal", OBVIOUS, 5.0),
    ("seal", "mitmproxy addon", 23.0),
    ("seal", "Envoy + Lua + OpenSSL", 5.0),
    ("pass", "Envoy", 2.3),
    ("16k", OBVIOUS, 4.5),
    ("1m", OBVIOUS, 2.3),
    ("list", OBVIOUS, 2.0),
    ("list", LUA, 1.5),
)
"""With the native part: case, peer, and how many times as many requests a CPU second."""
_PYTHON_RATIO: Final = 2.5


def targets(results: Results) -> list[Target]:
    """Return every target with its figure."""
    return [
        *(_ratio(results, *ratio) for ratio in RATIOS),
        _slowest(results, OURS),
        _latency(results),
        _beside(results),
        *_weight(results, OURS, "with the native part"),
        _python(results),
        _slowest(results, sealyard.PYTHON),
        *_weight(results, sealyard.PYTHON, "in Python only"),
        _line(results),
        _ready(results),
        _linear(results.curve("fields"), "fields: the cost grows no faster than their number"),
        _linear(results.curve("bodies"), "bodies: the cost grows no faster than their size"),
        _flat(results.curve("rules"), "rules: the cost does not grow visibly with them"),
        *_steps(results),
    ]


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


def _ratio(results: Results, case: str, peer: str, wanted: float) -> Target:
    found = ratio(results, OURS, peer, case)
    return _at_least(f"`{case}`: {wanted:g} times {peer}", found, wanted)


def _at_least(text: str, found: Spread | None, wanted: float) -> Target:
    if found is None:
        return _missing(text)
    return Target(text, shown(found), found.median >= wanted)


def _python(results: Results) -> Target:
    found = ratio(results, sealyard.PYTHON, OBVIOUS, "seal")
    text = f"in Python only, `seal`: {_PYTHON_RATIO:g} times {OBVIOUS}"
    return _at_least(text, found, _PYTHON_RATIO)


def _slowest(results: Results, ours: str) -> Target:
    """No case may be slower than the same in the obvious proxy."""
    how = "in Python only, " if ours == sealyard.PYTHON else ""
    text = f"{how}no case slower than {OBVIOUS}"
    cases = {cell.case for cell in results.cells if cell.peer == OBVIOUS} - {"beside"}
    found = {case: ratio(results, ours, OBVIOUS, case) for case in cases}
    pairs = sorted((one, case) for case, one in found.items() if one is not None)
    if not pairs:
        return _missing(text)
    least, case = pairs[0]
    return Target(text, f"{shown(least)} at `{case}`", least.median >= 1)


def _line(results: Results) -> Target:
    text = f"with its line per message {_LINE_SHARE} of the throughput without"
    return _at_least(text, ratio(results, OURS, sealyard.UNLOGGED, "seal"), _LINE_SHARE)


def _latency(results: Results) -> Target:
    text = f"`seal-1`: p50 {_ADDED_MICROSECONDS} µs above nginx only passing through"
    nginx = results.cell(NGINX, "seal-1")
    if nginx is None or results.cell(OURS, "seal-1") is None:
        return _missing(text)
    added = added_latency(nginx)
    return Target(text, shown(added, 0, " µs"), added.median <= _ADDED_MICROSECONDS)


def added_latency(nginx: Cell) -> Spread:
    """Return by how many µs Sealyard's p50 is above that of nginx, pair by pair."""
    pairs = zip(nginx.ours, nginx.samples, strict=True)
    return spread(ours.p50 - theirs.p50 for ours, theirs in pairs)


def _beside(results: Results) -> Target:
    text = f"`beside`: p99 of small messages {_BESIDE_MILLISECONDS} ms"
    cell = results.cell(OURS, "beside")
    if cell is None:
        return _missing(text)
    found = spread(sample.p99 / 1000 for sample in cell.samples)
    return Target(text, shown(found, 1, " ms"), found.median <= _BESIDE_MILLISECONDS)


def _weight(results: Results, peer: str, how: str) -> Iterator[Target]:
    weight = results.weight(peer)
    for limit, when, values in (
        (66, "when idle", weight.idle if weight else []),
        (68, "under the load of 1 KiB", weight.loaded if weight else []),
    ):
        text = f"{how}, {limit} MiB resident {when}"
        yield _at_most(text, values, limit, lambda found: shown(found, 1, " MiB"))


def _ready(results: Results) -> Target:
    weight = results.weight(OURS)
    text = "1 s from start to the first answer"
    return _at_most(text, weight.ready if weight else [], 1, lambda found: shown(found, 2, " s"))


def _at_most(text: str, values: list[float], limit: float, show: Callable[[Spread], str]) -> Target:
    if not values:
        return _missing(text)
    found = spread(values)
    return Target(text, show(found), found.median <= limit)


def _linear(curve: Curve | None, text: str) -> Target:
    """No point may cost more than the one before it by more than the factor between them."""
    if curve is None:
        return _missing(text)
    medians = [(point.x, spread(point.costs).median) for point in curve.points]
    met = all(b / a <= _SLACK * y / x for (x, a), (y, b) in pairwise(medians))
    return Target(text, _ends(medians), met)


def _flat(curve: Curve | None, text: str) -> Target:
    if curve is None:
        return _missing(text)
    medians = [(point.x, spread(point.costs).median) for point in curve.points]
    (_, least), (_, most) = medians[0], medians[-1]
    return Target(text, _ends(medians), most <= _SLACK * least)


def _ends(medians: list[tuple[int, float]]) -> str:
    (first, least), (last, most) = medians[0], medians[-1]
    return f"{least:,.0f} µs at {first:,}, {most:,.0f} µs at {last:,}"


def _steps(results: Results) -> Iterable[Target]:
    for step in results.steps:
        if step.target is not None:
            found = Spread(step.timing.median, step.timing.least, step.timing.most)
            text = f"{step.name}, {step.target:,.0f} µs"
            yield Target(text, shown(found, 1, " µs"), found.median <= step.target)


def _missing(text: str) -> Target:
    return Target(text, "not measured", None)
