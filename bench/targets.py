"""The targets, and what was measured of each; all against peers in the same rounds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from .peers import sealyard
from .results import Cell, Curve, Results, Spread, spread
from .works import CONNECTIONS, ROWS

OURS: Final = sealyard.NAME
_HEADLINE: Final = "seal"
_LINE_SHARE: Final = 0.9
_ADDED_MICROSECONDS: Final = 120
_ROW_MICROSECONDS: Final = 8
_SLACK: Final = 1.1
"""By so much a measured ratio may be above what it is compared with: two runs are never alike."""


@dataclass(frozen=True, slots=True)
class Target:
    """A target, the figure that was measured, and whether that meets it (None: not measured)."""

    text: str
    figure: str
    met: bool | None


_RATIOS: Final = (
    (_HEADLINE, "obvious aiohttp", 4.0, "the obvious aiohttp proxy with crypto"),
    (_HEADLINE, "mitmproxy addon", 25.0, "a mitmproxy addon"),
    (_HEADLINE, "nginx + njs", 2.0, "nginx + njs"),
    (_HEADLINE, "nginx + Lua + OpenSSL", 1.5, "nginx + Lua + OpenSSL"),
    ("pass", "Envoy", 1.6, "Envoy, both only passing through"),
)


def targets(results: Results) -> list[Target]:
    """Return every target with its figure."""
    return [
        *(_ratio(results, *ratio) for ratio in _RATIOS),
        _line(results),
        _latency(results),
        _list(results),
        *_weight(results),
        _linear(results.curve("fields"), "fields: the cost grows no faster than their number"),
        _linear(results.curve("bodies"), "bodies: the cost grows no faster than their size"),
        _flat(results.curve("rules"), "rules: the cost does not grow visibly with them"),
        *_steps(results),
    ]


def paired(ours: Cell, theirs: Cell) -> Spread:
    """Return how many times as many requests a CPU second ours handles, round by round."""
    pairs = zip(ours.samples, theirs.samples, strict=True)
    return spread(a.per_cpu_second / b.per_cpu_second for a, b in pairs)


def shown(found: Spread, digits: int = 2, unit: str = "") -> str:
    """Return the median, with the least and the most behind it."""
    median, least, most = (f"{value:,.{digits}f}" for value in found)
    return f"{median}{unit} ({least} to {most})"


def _ratio(results: Results, work: str, peer: str, wanted: float, whom: str) -> Target:
    text = f"{wanted:g} times {whom}"
    ours = results.cell(OURS, work, CONNECTIONS)
    unlogged = results.cell(sealyard.UNLOGGED, work, CONNECTIONS)
    theirs = results.cell(peer, work, CONNECTIONS)
    if ours is None or unlogged is None or theirs is None:
        return _missing(text)
    found, without = paired(ours, theirs), paired(unlogged, theirs)
    figure = f"{shown(found)}; without its line per message {without.median:.2f}"
    return Target(text, figure, found.median >= wanted)


def _line(results: Results) -> Target:
    text = f"with its line per message {_LINE_SHARE} of the throughput without"
    ours = results.cell(OURS, _HEADLINE, CONNECTIONS)
    unlogged = results.cell(sealyard.UNLOGGED, _HEADLINE, CONNECTIONS)
    if ours is None or unlogged is None:
        return _missing(text)
    found = paired(ours, unlogged)
    return Target(text, shown(found, 3), found.median >= _LINE_SHARE)


def _latency(results: Results) -> Target:
    text = f"p50 at one connection {_ADDED_MICROSECONDS} µs above nginx only passing through"
    ours, nginx = results.cell(OURS, _HEADLINE, 1), results.cell("nginx", "pass", 1)
    if ours is None or nginx is None:
        return _missing(text)
    pairs = zip(ours.samples, nginx.samples, strict=True)
    added = spread(a.p50 - b.p50 for a, b in pairs)
    return Target(text, shown(added, 0, " µs"), added.median <= _ADDED_MICROSECONDS)


def _list(results: Results) -> Target:
    text = f"opening a list of {ROWS}: {_ROW_MICROSECONDS} µs a message above passing it through"
    opened = results.cell(OURS, "list", CONNECTIONS)
    passed = results.cell(OURS, "list_pass", CONNECTIONS)
    if opened is None or passed is None:
        return _missing(text)
    pairs = zip(opened.samples, passed.samples, strict=True)
    each = spread(1e6 * (1 / a.per_cpu_second - 1 / b.per_cpu_second) / ROWS for a, b in pairs)
    return Target(text, shown(each, 1, " µs"), each.median <= _ROW_MICROSECONDS)


def _weight(results: Results) -> Iterator[Target]:
    weight = results.weight(OURS)
    for text, limit, digits, unit, values in (
        ("83 MiB resident under the load of 1 KiB", 83, 1, " MiB", weight and weight.loaded),
        ("68 MiB resident when idle", 68, 1, " MiB", weight and weight.idle),
        ("1 s from start to the first answer", 1, 2, " s", weight and weight.ready),
    ):
        if values:
            found = spread(values)
            yield Target(text, shown(found, digits, unit), found.median <= limit)
        else:
            yield _missing(text)


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
