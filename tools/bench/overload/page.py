"""The page of the last runs that were kept: docs/explanation/overload.md, by their records."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from . import table
from .record import Delivered, Record

_DOCS: Final = Path(__file__).parents[3] / "docs"
FOUND: Final = _DOCS / "assets" / "overload.json"
TABLE: Final = _DOCS / "assets" / "overload-table.json"
PAGE: Final = _DOCS / "explanation" / "overload.md"
_NONE: Final = "No run on a machine without other work has been kept yet."


def render(record: Record | None, page: str) -> str:
    """Return the page with the figures of a record in it; without one it says so."""
    if record is None:
        return _with(page, "measured", [_NONE])
    parts = [
        _when(record.about),
        "## The backend is too small",
        *_table(record.backend),
        "## Sealyard is too small",
        *_table(record.processor),
    ]
    return _with(page, "measured", parts)


def render_table(record: dict[str, Any] | None, page: str) -> str:
    """Return the page with the table of a record in it; without one it says so."""
    if record is None:
        return _with(page, "table", [_NONE])
    rows = table.render(table.from_json(record["cells"]))
    return _with(page, "table", [_when(record["about"]), rows])


def _when(about: dict[str, str]) -> str:
    return (
        f"Measured on {about['date']} at commit {about['commit']}, {about['cores']} cores,"
        f" {about['system']}, load average {about['load']}, for {about['seconds']} s each."
        f" {about['sealyard']}."
    )


def _with(page: str, part: str, parts: Sequence[str]) -> str:
    inside = "\n\n".join(parts)
    begin, end = f"<!-- {part}: begin -->\n", f"<!-- {part}: end -->"
    return re.sub(f"{begin}.*{end}", lambda _: f"{begin}\n{inside}\n\n{end}", page, flags=re.DOTALL)


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


def write_table(record: dict[str, Any]) -> None:
    """Keep the record of a table, and write the page."""
    TABLE.write_text(json.dumps(record, indent=1) + "\n")
    PAGE.write_text(render_table(record, PAGE.read_text()))
