"""The page that shows the records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from .items import Item
from .results import NOTHING, VERDICTS, Record, Records, telling

PAGE: Final = Path(__file__).parents[2] / "docs" / "scorecard.md"
SOAK: Final = 24
_HOW: Final = (
    "Measured by `./dev scorecard [--long] [--only NUMBERS]` at the times in the table, and made"
    " from the records of those runs in `tools/scorecard/records`. `+` after a commit: with changes"
    " that were not committed yet."
)
_FAULTS: Final = (
    "| fault | times | requests | acknowledged | refused, by status and code | cut"
    " | recovery: median, worst |"
)
_HOUR: Final = 3600
_MINUTE: Final = 60


def render(items: Sequence[Item], records: Records, changed: str = "") -> str:
    """Return the page; what nobody measures is missing, and what is older than `changed` is due."""
    rows = [(item, telling(records.get(item.number, {}))) for item in items]
    counts = Counter(_verdict(record, changed) for _, record in rows)
    machines = sorted({record.machine for _, record in rows if record is not None})
    lines = [
        "# Scorecard",
        "",
        _HOW,
        *(f"On {one}." for one in machines),
        "",
        "; ".join(f"{counts[one]} {one}" for one in VERDICTS) + ".",
        "",
        *(f"- **{one}**: {meaning}" for one, meaning in VERDICTS.items()),
        "",
        "| # | item | target | measured | form, when (UTC), how long, commit | verdict |",
        "|--:|---|---|---|---|---|",
        *(_row(item, record, changed) for item, record in rows),
    ]
    soak = telling(records.get(SOAK, {}))
    if soak is not None:
        lines += ["", *_soak(soak)]
    return "\n".join([*lines, ""])


def _row(item: Item, record: Record | None, changed: str) -> str:
    measured = NOTHING.measured if record is None else record.measured
    run = "" if record is None else _run(record)
    cells = (str(item.number), item.name, item.target, measured, run, _verdict(record, changed))
    return "| " + " | ".join(_cell(one) for one in cells) + " |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _verdict(record: Record | None, changed: str) -> str:
    if record is None:
        return NOTHING.verdict
    return "due" if record.verdict.startswith("ok") and record.at < changed else record.verdict


def _run(record: Record) -> str:
    parts = [record.form, record.at]
    if record.seconds is not None:
        parts.append(lasting(record.seconds))
    if record.commit is not None:
        parts.append(f"`{record.commit}`")
    if record.seed is not None:
        parts.append(f"seed {record.seed}")
    return ", ".join(parts)


def lasting(seconds: float) -> str:
    """Return a duration for people."""
    if seconds >= 2 * _HOUR - _MINUTE:
        return f"{seconds / _HOUR:.1f} h"
    return f"{seconds / _MINUTE:.0f} min" if seconds >= 2 * _MINUTE else f"{seconds:.0f} s"


def _soak(record: Record) -> Iterator[str]:
    """Yield the section of the soak: faults by kind, and the slopes of each process."""
    figures = record.figures
    yield "## Soak"
    yield ""
    yield (
        f"`./dev soak {(record.seconds or 0) / _HOUR:.3g} --seed {record.seed}` at"
        f" `{record.commit}`: {record.measured}."
    )
    yield from _breaches(figures)
    yield ""
    yield _FAULTS
    yield "|---|--:|--:|--:|---|--:|---|"
    for name, row in figures["faults"].items():
        refused = ", ".join(f"{count:,} x {code}" for code, count in row["refused"].items())
        recovery = ", ".join(f"{one:.1f}" for one in row["recovery"])
        cells = (
            name,
            f"{row['times']}",
            f"{row['requests']:,}",
            f"{row['acknowledged']:,}",
            refused or "none",
            f"{row['cut']:,}",
            f"{recovery} s" if recovery else "",
        )
        yield "| " + " | ".join(_cell(one) for one in cells) + " |"
    yield ""
    yield "| process | seen for | memory, first and last | slope | descriptors, first and last |"
    yield "|---|--:|---|--:|---|"
    for one in figures["processes"]:
        first, last = one["MiB"]
        yield (
            f"| {one['process']} | {lasting(one['seconds'])} | {first}, {last} MiB"
            f" | {one['MiB_an_hour']:+.1f} MiB an hour"
            f" | {one['descriptors'][0]}, {one['descriptors'][1]} |"
        )


def _breaches(figures: Mapping[str, Any]) -> Iterator[str]:
    if figures["breaches"]:
        yield ""
        yield "Broken promises:"
        yield ""
    for kind, count in figures["breaches"].items():
        yield f"- {count:,} x {kind}"
