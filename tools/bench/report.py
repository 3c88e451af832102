"""The measured part of docs/benchmarks.md: tables made from the results alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from .cases import CASES, Case
from .results import Cell, Results, spread
from .targets import shown, targets
from .works import works

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
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
        *_section("Targets", _targets(results)),
        *_section("Peers side by side", _cells(results)),
        *_section("As things grow", _curves(results)),
        *_section("Workers", _workers(results)),
        *_section("Large bodies as sealed streams", _frames(results)),
        *_section("Weight", _weights(results)),
        *_section("Steps within the process", _steps(results)),
    ]
    return "\n".join(sections)


def _about(results: Results) -> str:
    about = results.about
    lines = [
        (
            f"Measured on {about['date']} on {about['processor']}, {about['cores']} cores,"
            f" {about['system']}, at commit {about['commit']}, in {about['minutes']} minutes."
            f" Rounds: {about['rounds']}. Load of the machine before: {about['load']}."
        ),
        "",
        *(f"- {name}: {version}" for name, version in results.versions.items()),
        *(f"- {name}: not measured, {reason}" for name, reason in results.absent.items()),
        "",
    ]
    return "\n".join(lines)


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
    rows = ((one.text, one.figure, _VERDICTS[one.met]) for one in targets(results))
    return _table(("target", "measured", ""), rows)


def _cells(results: Results) -> Iterator[str]:
    titles = {name: work.title for name, work in works("").items()}
    for case in CASES:
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
            cell.peer + (", only passing" if cell.work != case.work else ""),
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
