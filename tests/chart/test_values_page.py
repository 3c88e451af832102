"""The page of the chart's values says what values.yaml says."""

from __future__ import annotations

import runpy
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
MADE = runpy.run_path(str(ROOT / "helm" / "values_page.py"))
PAGE = ROOT / "docs" / "reference" / "values.md"


def _leaves(values: dict[str, object], before: str = "") -> set[str]:
    found: set[str] = set()
    for name, value in values.items():
        path = f"{before}{name}"
        found |= _leaves(value, f"{path}.") if isinstance(value, dict) and value else {path}
    return found


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text() == MADE["page"](MADE["VALUES"].read_text()), "run ./dev docs"


def test_every_value_has_a_row() -> None:
    leaves = _leaves(yaml.safe_load(MADE["VALUES"].read_text()))
    rows = {line.split("`")[1] for line in PAGE.read_text().splitlines() if line.startswith("| `")}
    # What stands in braces on one line is one row.
    assert not {one for one in leaves if not any(f"{one}.".startswith(f"{row}.") for row in rows)}
