"""What a run is written to: the record, the plots, and two pages of the documentation."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from . import parts, plots, report, results, speed
from .results import Results

_DOCS: Final = Path(__file__).parents[2] / "docs"
FOUND: Final = _DOCS / "assets" / "benchmarks.json"
_PLOTS: Final = {"throughput.svg": plots.throughput, "growth.svg": plots.growth}
_PAGES: Final = {
    _DOCS / "benchmarks.md": report.page,
    _DOCS / "explanation" / "speed.md": speed.page,
}


def rendered(found: Results) -> dict[Path, str]:
    """Return the text of each page and plot, made of the figures and of the pages as they are."""
    drawn = {FOUND.parent / name: plot(found) for name, plot in _PLOTS.items()}
    return drawn | {path: page(found, path.read_text()) for path, page in _PAGES.items()}


def write(later: Results) -> None:
    """Put what was found into the record, and write that and all that is made of it."""
    found = results.read(FOUND).then(later).only(parts.NAMES)
    found.write(FOUND)
    for path, text in rendered(found).items():
        path.write_text(text)
