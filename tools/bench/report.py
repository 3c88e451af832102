"""The measured part of docs/benchmarks.md: tables made from the results alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from .cases import Case
from .results import Cell, Results, spread
from .targets import lowest_first, shown, targets
from .works import works

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
_SAME: Final = ("commit", "processor", "cores", "system", "rounds")
"""What is the same of all that is told in one sentence."""
_VERDICTS: Final = {True: "met", False: "**missed**", None: ""}


def page(results: Results, before: str) -> str:
    """Return the page with its measured part made anew."""
    head, _, rest = before.partition(BEGIN)
    behind = rest.partition(END)[2]
    return f"{head}{BEGIN}\n\n{measured(results)}\n{END}{behind}"


def measured(results: Results) -> str:
    """Return every table."""
    sections = [
        _about(results),
        *_section("Goals", _targets(results)),
        *_section("Peers side by side", _cells(results)),
        *_section("As things grow", _curves(results)),
        *_section("Workers", _workers(results)),
        *_section("Large bodies as sealed streams", _frames(results)),
        *_section("Weight", _weights(results)),
        *_section("At rest", _idle(results)),
        *_section("Steps within the process", _steps(results)),
    ]
    return "\n".join(sections)


def _about(results: Results) -> str:
    lines = [
        *(f"- {line}" for line in runs(results)),
        "",
        *(f"- {name}: {version}" for name, version in results.versions.items()),
        *(f"- {name}: not measured, {reason}" for name, reason in results.absent.items()),
        "",
    ]
    return "\n".join(lines)


def runs(results: Results) -> Iterator[str]:
    """Yield a sentence for each commit and machine: what was measured of it, when, how busy."""
    same: dict[tuple[str, ...], list[str]] = {}
    for name, run in results.runs.items():
        same.setdefault(tuple(run[key] for key in _SAME), []).append(name)
    for (commit, processor, cores, system, rounds), names in same.items():
        of = [results.runs[name] for name in names]
        loads, dates = [float(run["load"]) for run in of], sorted(run["date"] for run in of)
        when = " to ".join(dict.fromkeys((dates[0], dates[-1])))
        minutes = max(1, round(sum(float(run["minutes"]) for run in of)))
        yield (
            f"Commit {commit}, {when}, {minutes} min, {rounds} rounds, {processor}, {cores} cores,"
            f" {system}, load average {min(loads):g} to {max(loads):g}:"
            f" {', '.join(f'`{name}`' for name in names)}."
        )


def _section(title: str, lines: Iterable[str]) -> Iterator[str]:
    found = list(lines)
    if found:
        yield "\n".join([f"## {title}", "", *found, ""])


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    found = list(rows)
    if found:
        yield f"| {' | '.join(head)} |"
        yield "|---" * len(head) + "|"
        yield from (f"| {' | '.join(row)} |" for row in found)


def _targets(results: Results) -> Iterator[str]:
    rows = ((one.text, one.stretch, one.figure, _VERDICTS[one.met]) for one in targets(results))
    return _table(("goal", "better still", "now", ""), rows)


def _cells(results: Results) -> Iterator[str]:
    titles = {name: work.title for name, work in works("").items()}
    for case in lowest_first(results):
        cells = [cell for cell in results.cells if cell.case == case.name]
        if not cells:
            continue
        many = f"{case.connections} connection{'s' * (case.connections > 1)}"
        beside = f", beside a client that reads a {titles[case.beside]}" if case.beside else ""
        yield f"### `{case.name}`: {titles[case.work]}, {many}{beside}"
        yield ""
        yield from _beside(cells) if case.beside else _paired(case, cells)
        yield ""


def _paired(case: Case, cells: list[Cell]) -> Iterator[str]:
    head = (
        "peer",
        "requests / CPU s",
        "µs of CPU",
        f"{cells[0].peer} / peer",
        "requests / s",
        "p50 µs",
        "p99 µs",
    )
    rows = (
        (
            cell.peer + (", only passing" if cell.peer in case.passing else ""),
            shown(cell.of("per_cpu_second"), 0),
            f"{cell.cost.median:,.1f}",
            shown(cell.ratio) if cell.ratio else "",
            f"{cell.of('per_second').median:,.0f}",
            f"{cell.of('p50').median:,.0f}",
            f"{cell.of('p99').median:,.0f}",
        )
        for cell in sorted(cells, key=lambda cell: -cell.of("per_cpu_second").median)
    )
    return _table(head, rows)


def _beside(cells: list[Cell]) -> Iterator[str]:
    rows = (
        (
            cell.peer,
            f"{cell.of('p50').median / 1000:,.1f}",
            shown(spread(sample.p99 / 1000 for sample in cell.samples), 1),
            f"{cell.of('per_second').median:,.0f}",
            f"{cell.of('beside').median:,.1f}",
        )
        for cell in sorted(cells, key=lambda cell: cell.of("p99").median)
    )
    return _table(("peer", "p50 ms", "p99 ms", "requests / s", "lists / s"), rows)


def _curves(results: Results) -> Iterator[str]:
    for curve in results.curves:
        points = [(f"{point.x:,}", shown(spread(point.costs), 1)) for point in curve.points]
        yield f"{curve.title}: {curve.meaning}."
        yield ""
        yield from _table((curve.title, "µs of CPU"), points)
        yield ""


def _workers(results: Results) -> Iterator[str]:
    rows = (
        (cell.peer, shown(cell.of("per_cpu_second"), 0), shown(cell.of("per_second"), 0))
        for cell in results.workers
    )
    return _table(("`--workers`", "requests / CPU s", "requests / s"), rows)


def _weights(results: Results) -> Iterator[str]:
    rows = (
        (
            weight.peer,
            shown(spread(weight.ready), 2),
            shown(spread(weight.idle), 1),
            shown(spread(weight.loaded), 1),
        )
        for weight in results.weights
    )
    head = ("peer", "start to first answer, s", "resident when idle, MiB", "after the load, MiB")
    return _table(head, rows)


def _idle(results: Results) -> Iterator[str]:
    rows = (
        (one.peer, f"{one.seconds}", f"{one.resident:,.1f}", f"{one.private:,.1f}")
        for one in results.idle
    )
    return _table(("peer", "seconds at rest", "resident, MiB", "private, MiB"), rows)


def _frames(results: Results) -> Iterator[str]:
    rows = (
        (
            f"{one.mebibytes} MiB {one.way}",
            shown(spread(one.through), 0),
            shown(spread(one.bare), 0),
            shown(spread(one.more), 1),
        )
        for one in results.frames
    )
    head = (
        "body",
        "through a rule that seals streams, MiB/s",
        "without Sealyard, MiB/s",
        "above idle, MiB",
    )
    return _table(head, rows)


def _steps(results: Results) -> Iterator[str]:
    rows = (
        (
            step.name,
            f"{step.timing.median:,.1f} ({step.timing.least:,.1f} to {step.timing.most:,.1f})",
        )
        for step in results.steps
    )
    return _table(("step", "µs of CPU: median (least to most of 9 rounds)"), rows)
