"""The measured parts of docs/explanation/speed.md, made from the results alone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from .cases import LUA, NGINX, OBVIOUS, Case
from .peers import forwarder, sealyard
from .report import runs
from .results import Results, Spread, spread
from .targets import added_latency, against, goals, lowest_first, ratio, shown
from .works import works

_PART: Final = re.compile(r"<!-- measured: (\w+) -->\n.*?<!-- end -->", re.DOTALL)


def page(results: Results, before: str) -> str:
    """Return the page with its measured parts made anew."""
    parts = {
        "run": _run,
        "cases": _cases,
        "goals": _goals,
        "floor": _floor,
        "stages": _stages,
        "line": _line,
    }

    def made(found: re.Match[str]) -> str:
        text = "\n".join(parts[found[1]](results))
        return f"<!-- measured: {found[1]} -->\n\n{text}\n\n<!-- end -->"

    return _PART.sub(made, before)


def _run(results: Results) -> Iterator[str]:
    yield f"{results.versions.get(sealyard.NAME) or results.versions[sealyard.PYTHON]}."
    yield ""
    yield from (f"* {line}" for line in runs(results))
    yield from (f"* {name}: not measured, {why}." for name, why in results.absent.items())


def _floor(results: Results) -> Iterator[str]:
    rows = [
        (name, cell.cost.median)
        for name in (forwarder.NAME, NGINX, "HAProxy", "Envoy", sealyard.NAME, sealyard.PYTHON)
        if (cell := results.cell(name, "pass"))
    ]
    yield "| 1 KiB passed through, 16 connections | µs of CPU |"
    yield "|---|--:|"
    for name, cost in sorted(rows, key=lambda row: row[1]):
        yield f"| {name} | {cost:.1f} |"
    if nginx := results.cell(NGINX, "seal-1"):
        yield ""
        form = next(cell.peer for cell in results.cells if cell.case == "seal-1" and not cell.ours)
        yield (
            f"At one connection, p50 of a message that {form} seals and opens, above nginx, which"
            f" only passes it: {shown(spread(added_latency(nginx)), 0, ' µs')}."
        )


def _cases(results: Results) -> Iterator[str]:
    titles = {name: work.title for name, work in works("").items()}
    yield (
        "| case | Sealyard / aiohttp | Python only / aiohttp | Sealyard / Lua | Sealyard, µs"
        " | aiohttp, µs |"
    )
    yield "|---|---|---|---|--:|--:|"
    for case in lowest_first(results):
        names = [case.variant(name) for name in (sealyard.NAME, OBVIOUS)]
        cells = [results.cell(name, case.name) for name in names]
        if case.beside or not any(cells):
            continue
        ratios = (
            against(results, case, OBVIOUS),
            ratio(results, sealyard.PYTHON, OBVIOUS, case.name),
            against(results, case, LUA),
        )
        costs = (f"{cell.cost.median:,.1f}" if cell else "" for cell in cells)
        yield f"| {' | '.join((_title(case, titles), *map(_shown, ratios), *costs))} |"


def _title(case: Case, titles: dict[str, str]) -> str:
    kept = case.variant(sealyard.NAME).removeprefix(sealyard.NAME)
    many = "" if case.connections != 1 else ", one connection"
    return f"{titles[case.work]}{kept}{many}"


def _goals(results: Results) -> Iterator[str]:
    yield "| goal | better still | now |"
    yield "|---|--:|---|"
    for one in goals(results):
        missed = ", missed" if one.met is False else ""
        yield f"| {one.text} | {one.stretch} | {one.figure}{missed} |"


def _shown(found: Spread | None) -> str:
    return shown(found) if found else ""


def _line(results: Results) -> Iterator[str]:
    for case, what in (("seal", "is sealed and opened"), ("pass", "only passes")):
        without = results.cell(sealyard.UNLOGGED, case)
        if without is not None and (found := without.ratio):
            yield (
                f"With the line, a message that {what} has {shown(found)} of the requests per CPU"
                " second that it has without."
            )


def _stages(results: Results) -> Iterator[str]:
    if not results.profile:
        yield "Not measured in this run."
        return
    forms = list(results.profile)
    yield f"| stage | {' | '.join(f'{form}, µs' for form in forms)} |"
    yield f"|---{'|--:' * len(forms)}|"
    for stage in dict.fromkeys(stage for form in forms for stage in results.profile[form]):
        times = (results.profile[form].get(stage) for form in forms)
        shown_times = ("" if time is None else f"{time:.1f}" for time in times)
        yield f"| {stage} | {' | '.join(shown_times)} |"
