"""The page that shows the results."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from .items import Item
from .results import NOTHING, VERDICTS, Result, Results, telling

PAGE: Final = Path(__file__).parents[1] / "docs" / "scorecard.md"


def render(items: Sequence[Item], results: Results) -> str:
    """Return the page; what nobody measures is missing, never passed."""
    rows = [(item, telling(results.get(item.number, {}))) for item in items]
    counts = Counter(_verdict(result) for _, result in rows)
    machines = sorted({result.machine for _, result in rows if result is not None})
    lines = [
        "# Scorecard",
        "",
        "Measured by `./dev scorecard [--long] [--only NUMBERS]` at the times in the table.",
        *(f"On {one}." for one in machines),
        "",
        "; ".join(f"{counts[one]} {one}" for one in VERDICTS) + ".",
        "",
        *(f"- **{one}**: {meaning}" for one, meaning in VERDICTS.items()),
        "",
        "| # | item | target | measured | form, when (UTC) | verdict |",
        "|--:|---|---|---|---|---|",
        *(_row(item, result) for item, result in rows),
    ]
    return "\n".join([*lines, ""])


def _row(item: Item, result: Result | None) -> str:
    measured = NOTHING.measured if result is None else result.measured
    when = "" if result is None else f"{result.form}, {result.at}"
    cells = (str(item.number), item.name, item.target, measured, when, _verdict(result))
    return "| " + " | ".join(one.replace("|", "\\|") for one in cells) + " |"


def _verdict(result: Result | None) -> str:
    return NOTHING.verdict if result is None else result.verdict
