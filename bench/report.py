"""The measured part of docs/benchmarks.md: tables made from the results alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from .results import Cell, Results, spread
from .targets import OURS, paired, shown, targets
from .works import works

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
PROFILE: Final = Path(__file__).with_name("profile.md")
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
        *_profile(),
        *_section("Steps within the process", _steps(results)),
    ]
    return "\n".join(sections)


def _about(results: Results) -> str:
    about = results.about
    lines = [
        (
            f"Measured on {about['date']} on {about['processor']}, {about['cores']} cores,"
            f" {about['system']}. Rounds: {about['rounds']}, each load {about['seconds']} s."
            f" Load of the machine before: {about['load']}."
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
    groups = dict.fromkeys((cell.work, cell.connections) for cell in results.cells)
    for work, connections in groups:
        cells = [c for c in results.cells if (c.work, c.connections) == (work, connections)]
        many = f"{connections} connection{'s' * (connections > 1)}"
        yield f"### {titles[work]}, {many}"
        yield ""
        yield from _group(cells)
        yield ""


def _group(cells: list[Cell]) -> Iterator[str]:
    ours = next((cell for cell in cells if cell.peer == OURS), None)
    head = (
        "peer",
        "requests / CPU s",
        "µs of CPU",
        "Sealyard / peer",
        "requests / s",
        "p50 µs",
        "p99 µs",
    )
    rows = (
        (
            cell.peer,
            shown(cell.of("per_cpu_second"), 0),
            f"{cell.cost.median:,.1f}",
            "" if ours in (cell, None) else f"{paired(ours, cell).median:.2f}",
            f"{cell.of('per_second').median:,.0f}",
            f"{cell.of('p50').median:,.0f}",
            f"{cell.of('p99').median:,.0f}",
        )
        for cell in sorted(cells, key=lambda cell: -cell.of("per_cpu_second").median)
    )
    return _table(head, rows)


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


def _profile() -> Iterator[str]:
    if PROFILE.exists():
        yield PROFILE.read_text().strip() + "\n"


def _steps(results: Results) -> Iterator[str]:
    rows = (
        (
            step.name,
            f"{step.timing.median:,.1f} ({step.timing.least:,.1f} to {step.timing.most:,.1f})",
        )
        for step in results.steps
    )
    return _table(("step", "µs of CPU: median (least to most of 9 rounds)"), rows)
