"""The table of outages, as printed and as written to the documentation."""

from __future__ import annotations

import datetime as dt
import os
import platform
from pathlib import Path
from typing import Final

from .trial import Outcome

PAGE: Final = Path(__file__).parents[2] / "docs" / "explanation" / "outages.md"
_BEGIN: Final = "<!-- measured: begin -->"
_END: Final = "<!-- measured: end -->"
_HEAD: Final = (
    "| Redis is | sessions | known conversations served | their p99, worst | first messages:"
    " served, refused with 503 | their p99, worst | in use again after"
    " | without Sealyard: p99 |\n|---|---|---|---|---|---|---|---|"
)


def row(outcome: Outcome) -> str:
    """Return the line of one trial."""
    cached, new = outcome.cached, outcome.new
    recovery = "never lost" if outcome.recovery is None else f"{outcome.recovery:.1f} s"
    served = latency = "none"
    if cached.sent:
        served = f"{100 * cached.served / cached.sent:.2f} % of {cached.sent:,}"
        latency = f"{cached.at(0.99):.0f}, {cached.at(1):.0f} ms"
    return (
        f"| {outcome.outage} | {outcome.mode} | {served} | {latency}"
        f" | {new.served}, {new.refused} of {new.sent} | {new.at(0.99):.0f}, {new.at(1):.0f} ms"
        f" | {recovery} | {outcome.bare.at(0.99):.0f} ms |"
    )


def write(outcomes: list[Outcome]) -> None:
    """Put the table between the marks of the page."""
    before, _, rest = PAGE.read_text().partition(_BEGIN)
    behind = rest.partition(_END)[2]
    rows = "\n".join(map(row, outcomes))
    PAGE.write_text(f"{before}{_BEGIN}\n\n{_where(outcomes)}\n\n{_HEAD}\n{rows}\n\n{_END}{behind}")


def _where(outcomes: list[Outcome]) -> str:
    lasted = outcomes[0].seconds
    return (
        f"Measured on {dt.datetime.now(dt.UTC).date()} on {os.cpu_count()} cores, Python"
        f" {platform.python_version()}; each outage lasted"
        f" {lasted:.0f} s. Other work shared the machine: its load average was"
        f" {os.getloadavg()[2]:.1f} over the last 15 minutes."
    )
