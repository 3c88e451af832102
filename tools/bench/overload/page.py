"""The page of the last run that was kept: docs/explanation/overload.md, by its record."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from .record import Delivered, Record

_DOCS: Final = Path(__file__).parents[3] / "docs"
FOUND: Final = _DOCS / "assets" / "overload.json"
PAGE: Final = _DOCS / "explanation" / "overload.md"
_MEASURED: Final = re.compile(r"(<!-- measured: begin -->\n).*(<!-- measured: end -->)", re.DOTALL)


def render(record: Record | None, page: str) -> str:
    """Return the page with the figures of a record in it; without one it says so."""
    if record is None:
        return _with(
            page, ["No run of two minutes on a machine without other work has been kept yet."]
        )
    about = record.about
    when = (
        f"Measured on {about['date']} at commit {about['commit']}, {about['cores']} cores,"
        f" {about['system']}, load average {about['load']}, for {about['seconds']} s each."
        f" {about['sealyard']}."
    )
    parts = [
        when,
        "## The backend is too small",
        *_table(record.backend),
        "## Sealyard is too small",
        *_table(record.processor),
    ]
    return _with(page, parts)


def _with(page: str, parts: Sequence[str]) -> str:
    inside = "\n\n".join(parts)
    return _MEASURED.sub(lambda found: f"{found[1]}\n{inside}\n\n{found[2]}", page)


def _table(rows: Sequence[Delivered]) -> list[str]:
    head = (
        "| proxy | limits | capacity, offered | served in a second | polite client | p50, p99 |"
        " refused, after (p50, p99) | left, cut | recovery | probes: p99, most |"
    )
    lines = [head, "|---|---|---|---|---|---|---|---|---|---|"]
    lines += [_row(one) for one in rows]
    return ["\n".join(lines)]


def _row(one: Delivered) -> str:
    recovery = "not in time" if one.recovery_seconds is None else f"{one.recovery_seconds:.1f} s"
    cells = (
        one.proxy,
        one.limits,
        f"{one.capacity:.0f}, {one.offered:.0f} /s",
        f"{one.good:.0f} /s, {one.of_capacity:.0%}",
        f"{one.polite:.1%}",
        f"{one.served_p50:.0f}, {one.served_p99:.0f} ms",
        f"{one.refused:.1%}, {one.refused_p50:.0f}, {one.refused_p99:.0f} ms",
        f"{one.left:.1%}, {one.cut:.1%}",
        recovery,
        f"{one.probe_p99:.0f}, {one.probe_most:.0f} ms" if one.probes else "none",
    )
    return f"| {' | '.join(cells)} |"


def write_page(record: Record) -> None:
    """Keep a record, and write the page."""
    record.write(FOUND)
    PAGE.write_text(render(record, PAGE.read_text()))
